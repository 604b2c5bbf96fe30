#pragma once

#include <ecso/detail/image/reader.hpp>
#include <ecso/detail/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ecso::detail {

inline constexpr std::string_view png_signature = "\x89PNG\r\n\x1a\n";

/// The checksum PNG uses (CRC-32 of ISO 3309), bit by bit: it only ever sees the 17 bytes of a header chunk.
[[nodiscard]] constexpr std::uint32_t png_crc(std::string_view bytes) noexcept {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

/// The text of a tEXt or uncompressed iTXt chunk whose keyword is "Description"; empty for any other chunk.
[[nodiscard]] inline std::string_view png_description(std::string_view type, std::string_view data) noexcept {
  constexpr std::string_view keyword{"Description\0", 12};
  if (!data.starts_with(keyword)) return {};
  data.remove_prefix(keyword.size());
  if (type == "tEXt") return data;
  if (type != "iTXt" || data.size() < 2 || data[0] != 0) return {};
  data.remove_prefix(2);
  for (int skip = 0; skip < 2; ++skip) {  // language tag, translated keyword
    const std::size_t end = data.find('\0');
    if (end == std::string_view::npos) return {};
    data.remove_prefix(end + 1);
  }
  return data;
}

/// Walks a PNG's chunks from IHDR, whose checksum must be right, to IEND; bytes after IEND are ignored.
inline void read_png(ImageReader& in) {
  bool has_pixels = false;
  std::size_t at = png_signature.size();
  for (bool first = true;; first = false) {
    const std::size_t length = in.be32(at);
    const std::string_view type = in.view(at + 4, 4);
    if (!std::ranges::all_of(type, is_letter)) in.malformed(fmt::format("no chunk at byte {}", at));
    if ((type == "IHDR") != first) in.malformed("not exactly one IHDR chunk, at the start");
    const std::string_view data = in.view(at + 8, length);
    const std::uint32_t crc = in.be32(at + 8 + length);
    if (first) {
      if (length != 13) in.malformed(fmt::format("an IHDR chunk of {} bytes", length));
      if (crc != png_crc(in.view(at + 4, 17))) in.malformed("wrong checksum in the IHDR chunk");
      in.set_size(in.be32(at + 8), in.be32(at + 12));
    } else if (type == "IDAT") {
      has_pixels = true;
    } else if (type == "IEND") {
      break;
    } else {
      in.add_description(png_description(type, data));
    }
    at += 12 + length;
  }
  if (!has_pixels) in.malformed("no IDAT chunk");
}

}  // namespace ecso::detail
