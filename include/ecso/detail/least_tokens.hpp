#pragma once

#include <ecso/detail/utf8.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ecso::detail {

/// Which part a character has in `least_tokens`.
enum class TokenPart { none, word, han, kana };

[[nodiscard]] constexpr TokenPart token_part_of(char32_t c) noexcept {
  const auto is_in = [&](char32_t first, char32_t last) { return c >= first && c <= last; };
  if (c < 0x80) return is_in('0', '9') || is_in('A', 'Z') || is_in('a', 'z') ? TokenPart::word : TokenPart::none;
  if (is_in(0x3040, 0x30FF)) return TokenPart::kana;
  if (is_in(0x3400, 0x4DBF) || is_in(0x4E00, 0x9FFF) || is_in(0xF900, 0xFAFF) || is_in(0x20000, 0x3FFFF)) return TokenPart::han;
  const bool is_blank_or_mark =
      c <= 0xBF || is_in(0x2000, 0x206F) || is_in(0x3000, 0x303F) || is_in(0xFE00, 0xFE6F) || is_in(0xFF00, 0xFFEF);
  return is_blank_or_mark ? TokenPart::none : TokenPart::word;
}

/// The code point of a well-formed sequence.
[[nodiscard]] constexpr char32_t code_point_of(std::string_view sequence) noexcept {
  constexpr unsigned char lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  auto point = static_cast<char32_t>(static_cast<unsigned char>(sequence[0]) & lead_bits[sequence.size()]);
  for (const char c : sequence.substr(1)) point = (point << 6) | (static_cast<unsigned char>(c) & 0x3FU);
  return point;
}

[[nodiscard]] constexpr bool is_apostrophe(std::string_view mark) noexcept { return mark == "'" || mark == "\xE2\x80\x99"; }

/// A number of tokens that no tokenizer in use goes below for `text`: one a word, and one more for each 24 characters of a long
/// one; one for three Chinese characters, or for four kana. Blanks and marks count nothing, so padding with them moves nothing.
[[nodiscard]] constexpr std::int64_t least_tokens(std::string_view text) noexcept {
  constexpr std::int64_t longest_word = 24;
  std::int64_t tokens = 0;
  std::int64_t word = 0;
  std::int64_t twelfths = 0;
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    const TokenPart part = length == 0 ? TokenPart::none : token_part_of(code_point_of(text.substr(0, length)));
    const std::string_view mark = text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
    if (part == TokenPart::word) {
      if (word % longest_word == 0) ++tokens;
      ++word;
      continue;
    }
    twelfths += part == TokenPart::han ? 4 : part == TokenPart::kana ? 3 : 0;
    const bool joins = is_apostrophe(mark) && word > 0;  // "don't" is one token to some
    if (!joins) word = 0;
  }
  return tokens + twelfths / 12;
}

}  // namespace ecso::detail
