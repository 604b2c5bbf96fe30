#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ecso::detail {

/// Length of the line break at the start of `text`, 0 if there is none: LF, CR, CRLF, VT, FF, NEL, LINE SEPARATOR, PARAGRAPH SEPARATOR (Unicode, UAX 14).
[[nodiscard]] constexpr std::size_t line_break_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  if (text.starts_with("\r\n")) return 2;
  if (text[0] == '\n' || text[0] == '\r' || text[0] == '\v' || text[0] == '\f') return 1;
  if (text.starts_with("\xC2\x85")) return 2;
  if (text.starts_with("\xE2\x80\xA8") || text.starts_with("\xE2\x80\xA9")) return 3;
  return 0;
}

/// True if a chat template's control token may start with `first` followed by `next`: `</s>`, `<|im_end|>`, `<image>`, `<<SYS>>`, `[INST]`, `[/INST]`, `[|user|]`.
[[nodiscard]] constexpr bool opens_control_token(char first, char next) noexcept {
  const bool is_letter = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z');
  if (first == '[') return is_letter || next == '/' || next == '|';
  return first == '<' && next != ' ';
}

/// Appends `data` as quoted lines that no content can end: every line, however it is broken, begins with "> "; a space after `<` or `[` keeps servers that parse
/// control tokens in user text from seeing one; other control characters become U+FFFD.
inline void append_quoted(std::string& out, std::string_view data) {
  out.reserve(out.size() + data.size() + data.size() / 16 + 2);
  out += "> ";
  std::size_t at = 0;
  while (at < data.size()) {
    if (const std::size_t length = line_break_length(data.substr(at)); length != 0) {
      out += "\n> ";
      at += length;
      continue;
    }
    const char c = data[at++];
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F) {
      out += "\xEF\xBF\xBD";
      continue;
    }
    out += c;
    if (at < data.size() && opens_control_token(c, data[at])) out += ' ';
  }
}

}  // namespace ecso::detail
