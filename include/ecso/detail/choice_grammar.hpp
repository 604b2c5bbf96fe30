#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ecso::detail {

/// A GBNF grammar that takes just these texts.
[[nodiscard]] inline std::string choice_grammar(std::span<const std::string> choices) {
  std::string grammar = "root ::= ";
  for (const std::string& choice : choices) {
    if (&choice != &choices.front()) grammar += " | ";
    grammar += '"';
    for (const char c : choice) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        grammar.append(1, '\\').append(1, c);
      } else if (byte < ' ' || byte == 0x7F) {
        constexpr std::string_view hex = "0123456789abcdef";
        grammar.append("\\x").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
      } else {
        grammar += c;
      }
    }
    grammar += '"';
  }
  return grammar;
}

/// A regular expression that takes just these texts.
[[nodiscard]] inline std::string choice_regex(std::span<const std::string> choices) {
  std::string regex = "(";
  for (const std::string& choice : choices) {
    if (&choice != &choices.front()) regex += '|';
    for (const char c : choice) {
      if (std::string_view{R"(\^$.|?*+()[]{}/-)"}.find(c) != std::string_view::npos) regex += '\\';
      regex += c;
    }
  }
  return regex += ')';
}

}  // namespace ecso::detail
