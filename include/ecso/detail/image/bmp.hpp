#pragma once

#include <ecso/detail/image/reader.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

namespace ecso::detail {

/// Reads a BMP's headers and makes sure that its pixels are there, and as many bytes as it claims.
inline void read_bmp(ImageReader& in) {
  const std::size_t claimed_size = in.le32(2);
  const std::uint64_t pixels_at = in.le32(10);
  const std::uint32_t header_size = in.le32(14);
  // 12 is OS/2's, with sides of 16 bits; all others begin like Windows' of 40 bytes.
  const bool is_os2 = header_size == 12;
  if (!is_os2 && (header_size < 40 || header_size > 124)) {
    in.malformed(fmt::format("a header of {} bytes", header_size));
  }
  const std::uint32_t raw_height = is_os2 ? in.le16(20) : in.le32(22);
  const bool is_top_down = !is_os2 && (raw_height >> 31) != 0;
  const std::uint32_t width = is_os2 ? in.le16(18) : in.le32(18);
  const std::uint32_t height = is_top_down ? 0 - raw_height : raw_height;
  if (width >> 31 != 0) in.malformed("a negative width");
  in.set_size(width, height);

  const std::uint32_t bits_per_pixel = is_os2 ? in.le16(24) : in.le16(28);
  if (bits_per_pixel == 0 || bits_per_pixel > 32) in.malformed(fmt::format("{} bits a pixel", bits_per_pixel));
  const std::uint32_t compression = is_os2 ? 0 : in.le32(30);
  const bool is_run_length = compression == 1 || compression == 2;
  const bool is_plain = compression == 0 || compression == 3 || compression == 6;
  if (!is_run_length && !is_plain) in.malformed(fmt::format("unknown compression {}", compression));

  const std::uint64_t row_size = (std::uint64_t{width} * bits_per_pixel + 31) / 32 * 4;
  const std::uint64_t pixels_size = is_run_length ? in.le32(34) : row_size * height;
  if (pixels_at < 14 + std::uint64_t{header_size}) in.malformed("the pixels begin inside the header");
  if (pixels_size == 0) in.malformed("no pixels");
  if (claimed_size > in.size() || pixels_at + pixels_size > in.size()) in.truncated();
}

}  // namespace ecso::detail
