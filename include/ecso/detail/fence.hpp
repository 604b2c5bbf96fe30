#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace ecso::detail {

/// Length of the line break at the start of `text`, 0 if there is none: LF, CR, CRLF, VT, FF, NEL, LINE SEPARATOR, PARAGRAPH
/// SEPARATOR (Unicode, UAX 14).
[[nodiscard]] constexpr std::size_t line_break_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  if (text.starts_with("\r\n")) return 2;
  if (text[0] == '\n' || text[0] == '\r' || text[0] == '\v' || text[0] == '\f') return 1;
  if (text.starts_with("\xC2\x85")) return 2;
  if (text.starts_with("\xE2\x80\xA8") || text.starts_with("\xE2\x80\xA9")) return 3;
  return 0;
}

/// True if a chat template's control token may start with `first` followed by `next`: `</s>`, `<|im_end|>`, `<image>`, `<<SYS>>`,
/// `[INST]`, `[/INST]`, `[|user|]`.
[[nodiscard]] constexpr bool opens_control_token(char first, char next) noexcept {
  const bool is_letter = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z');
  if (first == '[') return is_letter || next == '/' || next == '|';
  return first == '<' && next != ' ';
}

/// True for a byte that cannot be copied without a look at it: control characters, what opens a control token, and the first
/// bytes of line breaks beyond ASCII.
[[nodiscard]] constexpr bool needs_a_look(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7F || c == '<' || c == '[' || byte == 0xC2 || byte == 0xE2;
}

/// Appends `data` as quoted lines that no content can end: every line, however it is broken, begins with "> "; a space after `<`
/// or `[` keeps servers that parse control tokens in user text from seeing one; other control characters become U+FFFD.
inline void append_quoted(std::string& out, std::string_view data) {
  out.reserve(out.size() + data.size() + data.size() / 16 + 2);
  out += "> ";
  while (!data.empty()) {
    const auto plain = static_cast<std::size_t>(std::ranges::find_if(data, needs_a_look) - data.begin());
    out += data.substr(0, plain);
    data.remove_prefix(plain);
    if (data.empty()) return;
    if (const std::size_t length = line_break_length(data); length != 0) {
      out += "\n> ";
      data.remove_prefix(length);
      continue;
    }
    const char c = data.front();
    data.remove_prefix(1);
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += "\xEF\xBF\xBD";
      continue;
    }
    out += c;
    if (!data.empty() && opens_control_token(c, data.front())) out += ' ';
  }
}

}  // namespace ecso::detail
