#include <ecso/backend/openai_stream.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// A stream must read the same wherever it is cut, and end in a reply or in an Error.

namespace {

using namespace ecso;

struct Read {
  std::string heard;
  std::optional<Reply> reply;
  Errc code = Errc::internal;

  bool operator==(const Read&) const = default;
};

Read read(std::string_view bytes, std::size_t piece) {
  Read result;
  OpenAiStream stream;
  try {
    while (!bytes.empty()) {
      stream.feed(bytes.substr(0, piece), [&](std::string_view text) { result.heard += text; });
      bytes.remove_prefix(std::min(piece, bytes.size()));
    }
    result.reply = std::move(stream).finish();
  } catch (const Error& error) {
    result.code = error.code();
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes{reinterpret_cast<const char*>(data) + 1, size - 1};
  const Read whole = read(bytes, bytes.size() + 1);
  if (!(read(bytes, 1 + data[0] % 16) == whole)) __builtin_trap();
  if (whole.reply && (whole.reply->text != whole.heard || whole.heard.empty())) __builtin_trap();
  return 0;
}
