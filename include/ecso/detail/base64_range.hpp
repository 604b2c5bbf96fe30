#pragma once

#include <ecso/detail/base64.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ecso::detail {

/// The sextet of a character of either base64 alphabet; `base64_bad` of all else.
[[nodiscard]] constexpr std::uint32_t base64_sextet(char c) noexcept { return base64_sextets[3][static_cast<unsigned char>(c)]; }

[[nodiscard]] constexpr bool is_standard_base64(char c) noexcept {
  return base64_sextet(c) != base64_bad && c != '-' && c != '_';
}

/// Characters at the start of `text` that are of the standard alphabet (RFC 4648 section 4).
[[nodiscard]] inline std::size_t base64_letters_portable(std::string_view text) noexcept {
  std::size_t count = 0;
  while (count < text.size() && is_standard_base64(text[count])) ++count;
  return count;
}

#if defined(__x86_64__)

/// The same, but it may stop up to 127 characters early.
[[nodiscard]] __attribute__((target("avx2"))) inline std::size_t base64_letters_avx2(std::string_view text) noexcept {
  // The classes of `base64_decode_groups_avx2`.
  const __m256i low_classes = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A));
  const __m256i high_classes = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10));
  const __m256i mask = _mm256_set1_epi8(0x2F);
  std::size_t at = 0;
  for (; text.size() - at >= 128; at += 128) {
    __m256i wrong = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 128; i += 32) {
      const __m256i letters = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text.data() + at + i));
      const __m256i high = _mm256_shuffle_epi8(high_classes, _mm256_and_si256(_mm256_srli_epi32(letters, 4), mask));
      const __m256i low = _mm256_shuffle_epi8(low_classes, _mm256_and_si256(letters, mask));
      wrong = _mm256_or_si256(wrong, _mm256_and_si256(low, high));
    }
    if (_mm256_testz_si256(wrong, wrong) == 0) break;
  }
  return at;
}

#endif

/// `base64_letters_portable` at the speed of memory.
[[nodiscard]] inline std::size_t base64_letters(std::string_view text) noexcept {
  std::size_t at = 0;
#if defined(__x86_64__)
  if (text.size() >= 256 && cpu_has_avx2()) at = base64_letters_avx2(text);
#endif
#if defined(__SSE2__)
  const auto among = [](__m128i chars, char first, char count) {
    const __m128i from_first = _mm_sub_epi8(chars, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(from_first, _mm_set1_epi8(static_cast<char>(count - 1))), from_first);
  };
  for (; text.size() - at >= 16; at += 16) {
    const __m128i chars = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + at));
    const __m128i letter = among(_mm_or_si128(chars, _mm_set1_epi8(0x20)), 'a', 26);
    const __m128i digit_or_slash = among(chars, '/', 11);
    const __m128i plus = _mm_cmpeq_epi8(chars, _mm_set1_epi8('+'));
    const __m128i good = _mm_or_si128(_mm_or_si128(letter, digit_or_slash), plus);
    const auto bad = static_cast<unsigned>(_mm_movemask_epi8(good)) ^ 0xFFFFU;
    if (bad != 0) return at + static_cast<std::size_t>(std::countr_zero(bad));
  }
#endif
  return at + base64_letters_portable(text.substr(at));
}

/// Checks without decoding that `text` is what encoding some bytes gives: padded standard base64 with no bits left over. The size
/// is that of the bytes; `error_offset` is that of the first wrong character, `text.size()` if it ends too early.
/// @param known_tail how many characters before the padding are known to be letters of the standard alphabet.
[[nodiscard]] inline Base64Decoded check_base64(std::string_view text, std::size_t known_tail = 0) noexcept {
  const std::size_t unpadded = text.size() - (text.ends_with("==") ? 2U : text.ends_with('=') ? 1U : 0U);
  const std::size_t unknown = unpadded - std::min(known_tail, unpadded);
  std::size_t letters = base64_letters(text.substr(0, unknown));
  if (letters == unknown) letters = unpadded;
  const std::size_t in_group = letters % 4;
  const std::size_t padding = in_group == 0 ? 0 : 4 - in_group;
  if (in_group == 1) return {0, letters};
  for (std::size_t at = letters; at < letters + padding; ++at) {
    if (at == text.size() || text[at] != '=') return {0, at};
  }
  if (text.size() != letters + padding) return {0, letters + padding};
  const std::uint32_t left_over = padding == 0 ? 0U : padding == 1 ? 3U : 15U;
  if (left_over != 0 && (base64_sextet(text[letters - 1]) & left_over) != 0) return {0, letters - 1};
  return {text.size() / 4 * 3 - padding, std::string_view::npos};
}

/// Random access to the bytes that a text encodes, without decoding more than is asked for. The text must have passed
/// `check_base64` and outlive this.
class Base64Range {
 public:
  explicit Base64Range(std::string_view checked) noexcept : text_{checked} {}

  [[nodiscard]] std::string_view text() const noexcept { return text_; }

  /// Bytes.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::size_t padding = text_.ends_with("==") ? 2U : text_.ends_with('=') ? 1U : 0U;
    return text_.size() / 4 * 3 - padding;
  }

  /// The byte at `offset`, which is less than `size()`.
  [[nodiscard]] unsigned char operator[](std::size_t offset) const noexcept {
    const std::size_t place = offset % 3;
    const std::size_t at = offset / 3 * 4 + place;
    const std::uint32_t bits = base64_sextet(text_[at]) << 6 | base64_sextet(text_[at + 1]);
    return static_cast<unsigned char>(bits >> (4 - 2 * place) & 0xFF);
  }

 private:
  std::string_view text_;
};

}  // namespace ecso::detail
