#pragma once

#include <ecso/detail/utf8.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace ecso::detail {

/// Text as HTML shows it, also in an attribute; control characters, and bytes that are not UTF-8, become U+FFFD.
[[nodiscard]] inline std::string html_text(std::string_view text) {
  std::string html;
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (length == 0 || (first < 0x20 && first != '\n' && first != '\t') || first == 0x7F) {
      html += "\uFFFD";
    } else if (first == '&') {
      html += "&amp;";
    } else if (first == '<') {
      html += "&lt;";
    } else if (first == '>') {
      html += "&gt;";
    } else if (first == '"') {
      html += "&quot;";
    } else {
      html += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return html;
}

}  // namespace ecso::detail
