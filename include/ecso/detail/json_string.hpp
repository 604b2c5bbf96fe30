#pragma once

#include <ecso/detail/base64.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ecso::detail {

/// Whether a JSON string may not hold `c` as it is: a quote, a backslash, a control character.
[[nodiscard]] constexpr bool json_must_escape(char c) noexcept {
  return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\';
}

/// The end of the run from `at` on of characters that stand for themselves in a JSON string. Clears `is_ascii` if one of them is
/// not ASCII; whether they are UTF-8 is for the caller to see to.
[[nodiscard]] inline const char* json_plain_end_portable(const char* at, const char* end, bool& is_ascii) noexcept {
  for (; at != end && !json_must_escape(*at); ++at) is_ascii = is_ascii && static_cast<unsigned char>(*at) < 0x80;
  return at;
}

#if defined(__x86_64__)

/// Moves `at` over 128 bytes at a time as long as they all stand for themselves: an image's base64 is nothing else.
[[nodiscard]] __attribute__((target("avx2"))) inline const char* json_skip_plain_avx2(const char* at, const char* end,
                                                                                      bool& is_ascii) noexcept {
  const __m256i quote = _mm256_set1_epi8('"');
  const __m256i backslash = _mm256_set1_epi8('\\');
  const __m256i last_control = _mm256_set1_epi8(0x1F);
  __m256i all = _mm256_setzero_si256();
  for (; end - at >= 128; at += 128) {
    __m256i found = _mm256_setzero_si256();
    __m256i block = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int i = 0; i < 128; i += 32) {
      const __m256i text = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + i));
      const __m256i sign = _mm256_or_si256(_mm256_cmpeq_epi8(text, quote), _mm256_cmpeq_epi8(text, backslash));
      const __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(text, last_control), text);
      found = _mm256_or_si256(found, _mm256_or_si256(sign, control));
      block = _mm256_or_si256(block, text);
    }
    if (_mm256_testz_si256(found, found) == 0) break;
    all = _mm256_or_si256(all, block);
  }
  if (_mm256_movemask_epi8(all) != 0) is_ascii = false;
  return at;
}

#endif

/// `json_plain_end_portable` at the speed of memory.
[[nodiscard]] inline const char* json_plain_end(const char* at, const char* end, bool& is_ascii) noexcept {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1F);
  // Names and short texts end before a wider look pays.
  const char* const wide_from = end - at > 256 ? at + 64 : nullptr;
  while (end - at >= 16) {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i sign = _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, backslash));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(text, last_control), text);
    const auto found = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(sign, control)));
    const auto high = static_cast<unsigned>(_mm_movemask_epi8(text));
    if (found != 0) {
      const unsigned before = (found & (0U - found)) - 1;
      if ((high & before) != 0) is_ascii = false;
      return at + std::countr_zero(found);
    }
    if (high != 0) is_ascii = false;
    at += 16;
#if defined(__x86_64__)
    if (at == wide_from && cpu_has_avx2()) at = json_skip_plain_avx2(at, end, is_ascii);
#endif
  }
#endif
  return json_plain_end_portable(at, end, is_ascii);
}

/// The value of four hexadecimal digits at the start of `text`; nothing if they are not there.
[[nodiscard]] constexpr std::optional<std::uint32_t> json_hex4(std::string_view text) noexcept {
  if (text.size() < 4) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : text.substr(0, 4)) {
    const bool is_digit = c >= '0' && c <= '9';
    const auto letter = static_cast<char>(c | 0x20);
    if (!is_digit && (letter < 'a' || letter > 'f')) return std::nullopt;
    value = value << 4 | static_cast<std::uint32_t>(is_digit ? c - '0' : letter - 'a' + 10);
  }
  return value;
}

/// What an escape of a JSON string says.
struct JsonEscape {
  std::size_t size = 0;          ///< Its characters, the backslash included; 0 if it is not one (RFC 8259 section 7).
  std::uint32_t code_point = 0;  ///< Never half of a surrogate pair.
};

/// The escape that `text` begins with, a surrogate pair counting as one.
[[nodiscard]] constexpr JsonEscape json_escape(std::string_view text) noexcept {
  if (text.size() < 2 || text[0] != '\\') return {};
  switch (text[1]) {
    case '"': return {2, '"'};
    case '\\': return {2, '\\'};
    case '/': return {2, '/'};
    case 'b': return {2, '\b'};
    case 'f': return {2, '\f'};
    case 'n': return {2, '\n'};
    case 'r': return {2, '\r'};
    case 't': return {2, '\t'};
    case 'u': break;
    default: return {};
  }
  const auto first = json_hex4(text.substr(2));
  if (!first || (*first >= 0xDC00 && *first <= 0xDFFF)) return {};
  if (*first < 0xD800 || *first > 0xDBFF) return {6, *first};
  if (text.size() < 12 || text[6] != '\\' || text[7] != 'u') return {};
  const auto second = json_hex4(text.substr(8));
  if (!second || *second < 0xDC00 || *second > 0xDFFF) return {};
  return {12, 0x10000 + ((*first - 0xD800) << 10 | (*second - 0xDC00))};
}

/// Appends a code point that is no surrogate as UTF-8.
inline void append_utf8(std::string& out, std::uint32_t code_point) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(value & 0xFF); };
  const auto rest = [&](unsigned shift) { return byte(0x80 | (code_point >> shift & 0x3F)); };
  if (code_point < 0x80) {
    out += byte(code_point);
  } else if (code_point < 0x800) {
    out.append({byte(0xC0 | code_point >> 6), rest(0)});
  } else if (code_point < 0x10000) {
    out.append({byte(0xE0 | code_point >> 12), rest(6), rest(0)});
  } else {
    out.append({byte(0xF0 | code_point >> 18), rest(12), rest(6), rest(0)});
  }
}

/// Appends what the inside of a JSON string says. It must have been checked.
inline void json_unescape(std::string_view inside, std::string& out) {
  while (!inside.empty()) {
    const std::size_t plain = inside.substr(0, inside.find('\\')).size();
    out.append(inside.substr(0, plain));
    inside.remove_prefix(plain);
    const JsonEscape escape = json_escape(inside);
    if (escape.size == 0) return;
    append_utf8(out, escape.code_point);
    inside.remove_prefix(escape.size);
  }
}

}  // namespace ecso::detail
