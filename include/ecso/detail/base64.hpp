#pragma once

// Why our own: the core depends on fmt and nlohmann_json only, Debian 12 packages no fast header-only base64, and an
// image is encoded on the way to every model call, so this pass decides what the library costs over a memcpy. AVX2
// where the processor has it (method of Muła and Lemire, "Faster Base64 Encoding and Decoding Using AVX2
// Instructions", 2018), tables everywhere else; SSSE3 alone would only help processors from before 2013.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ecso::detail {

inline constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Length of the padded base64 text of `size` bytes.
[[nodiscard]] constexpr std::size_t base64_encoded_size(std::size_t size) noexcept { return (size + 2) / 3 * 4; }

/// Bytes a buffer must have to decode any base64 text of `size` characters into it.
[[nodiscard]] constexpr std::size_t base64_decoded_capacity(std::size_t size) noexcept { return size / 4 * 3 + 3; }

/// What `base64_decode_to` did.
struct Base64Decoded {
  /// Bytes written.
  std::size_t size = 0;
  /// Where the text is wrong: an offset in it, its length if it ends too early, `npos` if all is well.
  std::size_t error_offset = std::string_view::npos;
};

/// Two characters for each value of 12 bits.
inline constexpr auto base64_pairs = [] {
  std::array<std::array<char, 2>, 4096> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {base64_alphabet[i >> 6], base64_alphabet[i & 63]};
  return pairs;
}();

/// A character that is in neither alphabet: no sum of three sextets reaches this bit.
inline constexpr std::uint32_t base64_bad = 1U << 31;

/// Four tables, one for each place in a group, of the character's sextet shifted to where the 24 bits want it.
inline constexpr auto base64_sextets = [] {
  std::array<std::array<std::uint32_t, 256>, 4> tables{};
  for (std::size_t place = 0; place < 4; ++place) {
    auto& table = tables[place];
    table.fill(base64_bad);
    const auto shift = static_cast<unsigned>(6 * (3 - place));
    for (std::uint32_t i = 0; i < 64; ++i) table[static_cast<unsigned char>(base64_alphabet[i])] = i << shift;
    table['-'] = 62U << shift;
    table['_'] = 63U << shift;
  }
  return tables;
}();

inline void base64_encode_portable(std::string_view in, char* out) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(in[i])); };
  std::size_t i = 0;
  for (; in.size() - i >= 3; i += 3, out += 4) {
    const std::uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    std::memcpy(out, base64_pairs[bits >> 12].data(), 2);
    std::memcpy(out + 2, base64_pairs[bits & 0xFFF].data(), 2);
  }
  if (i == in.size()) return;
  const bool two_left = in.size() - i == 2;
  const std::uint32_t bits = byte(i) << 16 | (two_left ? byte(i + 1) << 8 : 0U);
  std::memcpy(out, base64_pairs[bits >> 12].data(), 2);
  out[2] = two_left ? base64_alphabet[(bits >> 6) & 63] : '=';
  out[3] = '=';
}

/// Decodes whole groups from `in` on, stops at the first that is not four letters of an alphabet; moves both pointers.
inline void base64_decode_groups_portable(const char*& in, const char* end, char*& out) noexcept {
  const auto sextet = [&](std::size_t place) { return base64_sextets[place][static_cast<unsigned char>(in[place])]; };
  for (; end - in >= 4; in += 4, out += 3) {
    const std::uint32_t bits = sextet(0) | sextet(1) | sextet(2) | sextet(3);
    if ((bits & base64_bad) != 0) return;
    out[0] = static_cast<char>(bits >> 16);
    out[1] = static_cast<char>(bits >> 8 & 0xFF);
    out[2] = static_cast<char>(bits & 0xFF);
  }
}

#if defined(__x86_64__)

[[nodiscard]] inline bool cpu_has_avx2() noexcept {
  static const bool yes = [] {
    // An image may be made by another file's static constructor, before the run-time library looks at the processor.
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") != 0;
  }();
  return yes;
}

__attribute__((target("avx2"))) inline void base64_encode_avx2(std::string_view in, char* out) noexcept {
  const __m256i spread = _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10,  //
                                          1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
  const __m256i offsets =
      _mm256_broadcastsi128_si256(_mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                                '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0));
  std::size_t i = 0;
  // 28: the second half loads 16 bytes from offset 12, of which it uses 12.
  for (; in.size() - i >= 28; i += 24, out += 32) {
    const char* from = in.data() + i;
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 12));
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
    const __m256i outer =
        _mm256_mulhi_epu16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x0FC0FC00)), _mm256_set1_epi32(0x04000040));
    const __m256i inner =
        _mm256_mullo_epi16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x003F03F0)), _mm256_set1_epi32(0x01000010));
    const __m256i sextets = _mm256_or_si256(outer, inner);
    const __m256i capital = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), sextets);
    const __m256i range =
        _mm256_or_si256(_mm256_subs_epu8(sextets, _mm256_set1_epi8(51)), _mm256_and_si256(capital, _mm256_set1_epi8(13)));
    const __m256i text = _mm256_add_epi8(sextets, _mm256_shuffle_epi8(offsets, range));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), text);
  }
  base64_encode_portable(in.substr(i), out);
}

/// As `base64_decode_groups_portable`, for the standard alphabet only; leaves at least the last 16 characters alone.
__attribute__((target("avx2"))) inline void base64_decode_groups_avx2(const char*& in, const char* end, char*& out) noexcept {
  const __m256i low_classes = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A));
  const __m256i high_classes = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10));
  const __m256i offsets = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0));
  const __m256i pack = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
  const __m256i mask = _mm256_set1_epi8(0x2F);
  // 48: a store writes 32 bytes where 24 are wanted, and the output has room for what the rest of the input needs.
  for (; end - in >= 48; in += 32, out += 24) {
    const __m256i text = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi32(text, 4), mask);
    const __m256i low = _mm256_and_si256(text, mask);
    if (!_mm256_testz_si256(_mm256_shuffle_epi8(low_classes, low), _mm256_shuffle_epi8(high_classes, high))) return;
    const __m256i range = _mm256_add_epi8(_mm256_cmpeq_epi8(text, mask), high);
    const __m256i sextets = _mm256_add_epi8(text, _mm256_shuffle_epi8(offsets, range));
    const __m256i halves = _mm256_maddubs_epi16(sextets, _mm256_set1_epi32(0x01400140));
    const __m256i groups = _mm256_madd_epi16(halves, _mm256_set1_epi32(0x00011000));
    const __m256i bytes =
        _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(groups, pack), _mm256_setr_epi32(0, 1, 2, 4, 5, 6, -1, -1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), bytes);
  }
}

#endif

/// Writes the padded standard base64 (RFC 4648 section 4) of `in` to `out`: exactly `base64_encoded_size(in.size())`
/// characters and no terminator.
inline void base64_encode_to(std::string_view in, char* out) noexcept {
#if defined(__x86_64__)
  if (cpu_has_avx2()) return base64_encode_avx2(in, out);
#endif
  base64_encode_portable(in, out);
}

/// How `base64_decode_to` does whole groups; tests name it, everybody else leaves the default.
using Base64GroupDecoder = void (*)(const char*& in, const char* end, char*& out);

/// The fastest way this processor has to decode whole groups.
inline void base64_decode_groups(const char*& in, const char* end, char*& out) noexcept {
#if defined(__x86_64__)
  if (cpu_has_avx2()) base64_decode_groups_avx2(in, end, out);
#endif
  base64_decode_groups_portable(in, end, out);
}

/// Decodes base64 (RFC 4648 sections 4 and 5: either alphabet, padded or not, ASCII white space anywhere) to `out`,
/// which has room for `base64_decoded_capacity(in.size())` bytes. Bits left over in the last group are ignored.
[[nodiscard]] inline Base64Decoded base64_decode_to(std::string_view in, char* out,
                                                    Base64GroupDecoder decode_groups = base64_decode_groups) noexcept {
  const char* at = in.data();
  const char* const end = at + in.size();
  char* to = out;
  const auto result = [&](bool good) {
    return Base64Decoded{static_cast<std::size_t>(to - out),
                         good ? std::string_view::npos : static_cast<std::size_t>(at - in.data())};
  };
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  for (;;) {
    decode_groups(at, end, to);
    std::uint32_t bits = 0;
    int sextets = 0;
    for (; at != end && sextets != 4; ++at) {
      if (is_space(*at)) continue;
      const std::uint32_t sextet = base64_sextets[3][static_cast<unsigned char>(*at)];
      if (sextet == base64_bad) break;
      bits = bits << 6 | sextet;
      ++sextets;
    }
    if (sextets == 4) {
      *to++ = static_cast<char>(bits >> 16);
      *to++ = static_cast<char>(bits >> 8 & 0xFF);
      *to++ = static_cast<char>(bits & 0xFF);
      continue;
    }
    if (sextets == 1) return result(false);
    int padding = 0;
    for (; at != end; ++at) {
      if (is_space(*at)) continue;
      if (*at != '=' || sextets == 0 || sextets + padding == 4) return result(false);
      ++padding;
    }
    if (padding != 0 && sextets + padding != 4) return result(false);
    bits <<= 6 * (4 - sextets);
    if (sextets >= 2) *to++ = static_cast<char>(bits >> 16);
    if (sextets == 3) *to++ = static_cast<char>(bits >> 8 & 0xFF);
    return result(true);
  }
}

}  // namespace ecso::detail
