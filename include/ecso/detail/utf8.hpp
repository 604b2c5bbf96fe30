#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ecso::detail {

/// Length of the well-formed UTF-8 sequence (Unicode 15, table 3-7: no overlong form, no surrogate, none above U+10FFFF)
/// at the start of `text`; 0 if there is none or `text` is empty.
[[nodiscard]] constexpr std::size_t utf8_sequence_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  if (text.empty()) return 0;
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  if (first < 0xE0) return text.size() >= 2 && continues(1) ? 2 : 0;
  if (first < 0xF0) {
    if (text.size() < 3 || !continues(1) || !continues(2)) return 0;
    if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
    return 3;
  }
  if (text.size() < 4 || !continues(1) || !continues(2) || !continues(3)) return 0;
  if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) return 0;
  return 4;
}

/// Whether the 8 bytes at `text` are all ASCII.
[[nodiscard]] inline bool eight_ascii(const char* text) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof word);
  return (word & 0x8080808080808080U) == 0;
}

/// Offset of the first byte that is not part of well-formed UTF-8; `npos` if all is.
[[nodiscard]] inline std::size_t find_invalid_utf8(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= 8 && eight_ascii(text.data() + at)) {
      at += 8;
      continue;
    }
    const std::size_t length = utf8_sequence_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

/// Whether all of `text` is well-formed UTF-8; the empty text is.
[[nodiscard]] inline bool is_valid_utf8(std::string_view text) noexcept {
  return find_invalid_utf8(text) == std::string_view::npos;
}

/// The first `count` code points of `text`, or all of it; a byte outside well-formed UTF-8 counts as one.
[[nodiscard]] inline std::string_view truncate_code_points(std::string_view text, std::size_t count) noexcept {
  std::size_t at = 0;
  while (count > 0 && at < text.size()) {
    if (count >= 8 && text.size() - at >= 8 && eight_ascii(text.data() + at)) {
      at += 8;
      count -= 8;
      continue;
    }
    const std::size_t length = utf8_sequence_length(text.substr(at));
    at += length == 0 ? 1 : length;
    --count;
  }
  return text.substr(0, at);
}

}  // namespace ecso::detail
