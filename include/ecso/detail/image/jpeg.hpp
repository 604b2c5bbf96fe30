#pragma once

#include <ecso/detail/image/reader.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ecso::detail {

/// Whether `bytes`, of which 65 can be read, has no 0xFF with another byte than zero behind it in the first 64. Spelt out
/// because gcc -O2 does not vectorise the loop, and `memchr` stops at every stuffed byte: 10 MiB cost three times as much.
[[nodiscard]] inline bool jpeg_has_no_marker(const char* bytes) noexcept {
#if defined(__SSE2__)
  const __m128i zero = _mm_setzero_si128();
  __m128i found = zero;
#pragma GCC unroll 4
  for (int i = 0; i < 64; i += 16) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i + 1));
    const __m128i is_ff = _mm_cmpeq_epi8(first, _mm_set1_epi8(-1));
    found = _mm_or_si128(found, _mm_andnot_si128(_mm_cmpeq_epi8(second, zero), is_ff));
  }
  return _mm_movemask_epi8(found) == 0;
#else
  unsigned found = 0;
  for (int i = 0; i < 64; ++i) {
    found |= static_cast<unsigned>(static_cast<unsigned char>(bytes[i]) == 0xFF) & static_cast<unsigned>(bytes[i + 1] != 0);
  }
  return found == 0;
#endif
}

/// Offset of the 0xFF of the first marker from `at` on that ends a scan: not a stuffed zero, not a restart.
[[nodiscard]] inline std::size_t jpeg_scan_end(const ImageReader& in, std::size_t at) {
  const std::string_view bytes = in.bytes();
  while (at + 1 < bytes.size()) {
    if (bytes.size() - at > 64 && jpeg_has_no_marker(bytes.data() + at)) {
      at += 64;
      continue;
    }
    for (const std::size_t stop = std::min(at + 64, bytes.size() - 1); at < stop; ++at) {
      const auto next = static_cast<unsigned char>(bytes[at + 1]);
      const bool goes_on = next == 0 || next == 0xFF || (next >= 0xD0 && next <= 0xD7);
      if (bytes[at] == '\xFF' && !goes_on) return at;
    }
  }
  in.truncated();
}

/// Walks a JPEG's markers (ITU-T T.81 annex B) from SOI over frame header and scans to EOI; bytes after EOI, such as a
/// phone's second picture, are ignored.
inline void read_jpeg(ImageReader& in) {
  constexpr std::uint32_t end_of_image = 0xD9, start_of_scan = 0xDA, comment = 0xFE;
  const auto stands_alone = [](std::uint32_t marker) { return marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7); };
  const auto starts_frame = [](std::uint32_t marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
  };
  bool has_frame = false;
  bool has_scan = false;
  std::size_t at = 2;
  for (;;) {
    if (in.u8(at) != 0xFF) in.malformed(fmt::format("no marker at byte {}", at));
    while (in.u8(at) == 0xFF) ++at;
    const std::uint32_t marker = in.u8(at++);
    if (marker == end_of_image) break;
    if (stands_alone(marker)) continue;
    if (marker < 0xC0 || marker == 0xD8) in.malformed(fmt::format("marker 0x{:02x} at byte {}", marker, at - 1));
    const std::size_t length = in.be16(at);
    if (length < 2) in.malformed(fmt::format("a segment of {} bytes at byte {}", length, at));
    const std::string_view segment = in.view(at + 2, length - 2);
    if (starts_frame(marker)) {
      if (has_frame) in.malformed("two frame headers");
      if (segment.size() < 6) in.malformed("a frame header without a size");
      in.set_size(in.be16(at + 5), in.be16(at + 3));
      has_frame = true;
    } else if (marker == comment) {
      in.add_description(segment);
    }
    at += length;
    if (marker == start_of_scan) {
      if (!has_frame) in.malformed("a scan before the frame header");
      at = jpeg_scan_end(in, at);
      has_scan = true;
    }
  }
  if (!has_scan) in.malformed("no scan before the end-of-image marker");
}

}  // namespace ecso::detail
