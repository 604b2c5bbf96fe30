// A LLaVA worker's stream, cut in two at any place: nothing but ecso::Error comes out; the pieces passed on are the reply's text;
// where the cut is makes no difference; and no stop text is in the reply. The first byte says where to cut, the second picks the
// stop texts.

#include <ecso/backend/llava_wire.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

const std::vector<std::string>& stops_of(std::uint8_t which) {
  static const std::vector<std::vector<std::string>> all{{"</s>"}, {"###", "\n"}, {"aab", "aa"}, {"a"}, {"\xE7\x8C\xAB"}};
  return all[which % all.size()];
}

void check_message(const ecso::Error& error) {
  const std::string& message = error.message();
  require(!message.empty() && ecso::detail::is_valid_utf8(message));
  require(std::ranges::none_of(message, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; }));
}

/// The reply, or nothing for an error, which is put into `failure`.
std::optional<ecso::Reply> read(std::string_view first, std::string_view second, const std::vector<std::string>& stops,
                                std::string& failure) {
  ecso::LlavaStream stream{"P:", stops, 3};
  std::string given;
  const auto on_text = [&](std::string_view piece) {
    require(!piece.empty());
    given += piece;
  };
  try {
    stream.feed(first, on_text);
    stream.feed(second, on_text);
    const ecso::Reply reply = std::move(stream).finish();
    require(!reply.text.empty() && reply.text.starts_with(given));
    for (const std::string& stop : stops) require(given.find(stop) == given.npos);
    return reply;
  } catch (const ecso::Error& error) {
    check_message(error);
    failure = error.message();
    return std::nullopt;
  }
}

template <typename Parse>
void check_controller(std::string_view body, const Parse& parse) {
  try {
    static_cast<void>(parse(body));
  } catch (const ecso::Error& error) {
    require(error.code() == ecso::Errc::bad_reply && !error.message().empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::vector<std::string>& stops = stops_of(data[1]);
  const std::string_view bytes{reinterpret_cast<const char*>(data) + 2, size - 2};
  const std::size_t cut = data[0] % (bytes.size() + 1);
  std::string failure_of_whole;
  std::string failure_of_parts;
  const auto whole = read(bytes, {}, stops, failure_of_whole);
  const auto parts = read(bytes.substr(0, cut), bytes.substr(cut), stops, failure_of_parts);
  require(whole == parts && failure_of_whole == failure_of_parts);
  check_controller(bytes, ecso::parse_llava_address);
  check_controller(bytes, ecso::parse_llava_models);
  return 0;
}
