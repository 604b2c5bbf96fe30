// Input: a template, a query and an answer, divided by bytes 0x1F. Whatever they are, filling puts each value where it belongs,
// and a quoted value cannot leave its place.
#include <ecso/core/prompts.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace ecso;

void require(bool holds) {
  if (!holds) std::abort();
}

std::string_view take_piece(std::string_view& input) {
  const std::string_view piece = input.substr(0, input.find('\x1F'));
  input.remove_prefix(piece.size() == input.size() ? piece.size() : piece.size() + 1);
  return piece;
}

void check_quotation(std::string_view quoted) {
  for (std::size_t at = 0; at < quoted.size();) {
    require(quoted.substr(at).starts_with("> "));
    const std::string_view line = quoted.substr(at + 2, quoted.find('\n', at) - at - 2);
    for (std::size_t i = 0; i < line.size(); ++i) {
      const unsigned char c = static_cast<unsigned char>(line[i]);
      require((c >= 0x20 || c == '\t') && c != 0x7F);
      require(!line.substr(i).starts_with("\u0085") && !line.substr(i).starts_with("\u2028") &&
              !line.substr(i).starts_with("\u2029"));
      require(c != '<' || i + 1 == line.size() || line[i + 1] == ' ');
    }
    for (const std::string_view token : {"[INST", "[/INST", "[IMG", "[|"}) require(line.find(token) == std::string_view::npos);
    at += 2 + line.size() + 1;
  }
}

/// What `prompt` makes of the values must begin, go on and end as the template does.
void check_hardened(std::string_view filled, std::string_view before, std::string_view between, std::string_view after,
                    std::size_t values) {
  require(filled.starts_with(before) && filled.ends_with(after));
  filled.remove_prefix(before.size());
  filled.remove_suffix(after.size());
  if (values == 1) return check_quotation(filled);
  const std::size_t middle = filled.find(between);
  require(middle != std::string_view::npos && filled.find(between, middle + 1) == std::string_view::npos);
  check_quotation(filled.substr(0, middle));
  check_quotation(filled.substr(middle + between.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input{reinterpret_cast<const char*>(data), size};
  const std::string text{take_piece(input)};
  const std::string_view query = take_piece(input);
  const SlotValues values{.query = query, .response = input, .caption = input};

  try {
    const PromptTemplate<Slot::query, Slot::response> prompt{text};
    const auto length = [&](const SlotValues& v) { return prompt.fill(v).size(); };
    const std::size_t empty = length({});
    const std::size_t queries = length({.query = "x"}) - empty;
    const std::size_t responses = length({.response = "x"}) - empty;
    require(queries >= 1 && responses >= 1);
    require(length(values) == empty + queries * values.query.size() + responses * values.response.size());
    require(prompt.fill(values, Fence::quote).size() >= length(values));
  } catch (const Error& error) {
    require(error.code() == Errc::bad_input && error.message().starts_with("prompt template: "));
  }

  static const Prompts hardened = prompts::hardened;
  const std::string_view caption_text = hardened.caption.text();
  const std::size_t slot = caption_text.find("{query}");
  check_hardened(hardened.caption.fill(values, Fence::quote), caption_text.substr(0, slot), {}, caption_text.substr(slot + 7), 1);
  const std::string_view check_text = hardened.check.text();
  const std::size_t first = check_text.find("{query}");
  const std::size_t second = check_text.find("{response}");
  check_hardened(hardened.check.fill(values, Fence::quote), check_text.substr(0, first),
                 check_text.substr(first + 7, second - first - 7), check_text.substr(second + 10), 2);
  return 0;
}
