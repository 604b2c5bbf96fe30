#pragma once

#include <ecso/core/image_header.hpp>
#include <ecso/detail/base64_range.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ecso::detail {

/// What a peek works with: reads that never leave the image and decode only what they give; errors as `ImageReader` words them.
class ImagePeek {
 public:
  ImagePeek(const Base64Range& bytes, std::string_view name, std::string_view format, std::string_view end_mark) noexcept
      : bytes_{bytes}, name_{name}, format_{format}, end_mark_{end_mark} {}

  /// `count` bytes from `offset`. @throws Error "truncated" if they are not there; so do all reads below.
  [[nodiscard]] std::string read(std::size_t offset, std::size_t count) const {
    need(offset, count);
    std::string read;
    for (std::size_t i = 0; i < count; ++i) read += static_cast<char>(bytes_[offset + i]);
    return read;
  }
  /// That there are `count` bytes from `offset` on.
  void need(std::size_t offset, std::size_t count) const {
    if (offset <= bytes_.size() && count <= bytes_.size() - offset) return;
    fail(fmt::format("truncated {}: no {} in {} bytes", format_, end_mark_, bytes_.size()));
  }
  [[nodiscard]] std::uint32_t u8(std::size_t offset) const { return little(offset, 1); }
  [[nodiscard]] std::uint32_t le16(std::size_t offset) const { return little(offset, 2); }
  [[nodiscard]] std::uint32_t le24(std::size_t offset) const { return little(offset, 3); }
  [[nodiscard]] std::uint32_t le32(std::size_t offset) const { return little(offset, 4); }
  [[nodiscard]] std::uint32_t be16(std::size_t offset) const { return u8(offset) << 8 | u8(offset + 1); }
  [[nodiscard]] std::uint32_t be32(std::size_t offset) const { return be16(offset) << 16 | be16(offset + 2); }

  [[noreturn]] void malformed(std::string_view why) const { fail(fmt::format("malformed {}: {}", format_, why)); }
  [[noreturn]] void fail(std::string_view what) const { throw Error(Errc::bad_input, fmt::format("{}: {}", name_, what)); }

 private:
  [[nodiscard]] std::uint32_t little(std::size_t offset, std::size_t count) const {
    need(offset, count);
    std::uint32_t value = 0;
    for (std::size_t i = count; i > 0; --i) value = value << 8 | bytes_[offset + i - 1];
    return value;
  }

  const Base64Range& bytes_;
  std::string_view name_;
  std::string_view format_;
  std::string_view end_mark_;
};

/// In pixels.
struct ImageSize {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
};

/// From the IHDR chunk, whose checksum must be right.
[[nodiscard]] inline ImageSize peek_png(const ImagePeek& in) {
  constexpr std::size_t chunk = 8;
  if (in.read(chunk + 4, 4) != "IHDR") in.malformed("not exactly one IHDR chunk, at the start");
  if (in.be32(chunk) != 13) in.malformed(fmt::format("an IHDR chunk of {} bytes", in.be32(chunk)));
  if (in.be32(chunk + 21) != png_crc(in.read(chunk + 4, 17))) in.malformed("wrong checksum in the IHDR chunk");
  return {in.be32(chunk + 8), in.be32(chunk + 12)};
}

/// Walks the markers (ITU-T T.81 annex B) to the frame header.
[[nodiscard]] inline ImageSize peek_jpeg(const ImagePeek& in) {
  constexpr std::uint32_t end_of_image = 0xD9, start_of_scan = 0xDA;
  // Far more than cameras and editors write; a file of nothing but markers is walked no further.
  constexpr int most_steps = 10'000;
  std::size_t at = 2;
  for (int step = 0; step < most_steps; ++step) {
    if (in.u8(at) != 0xFF) in.malformed(fmt::format("no marker at byte {}", at));
    const std::uint32_t marker = in.u8(++at);
    if (marker == 0xFF) continue;
    ++at;
    if (marker == end_of_image) in.malformed("no scan before the end-of-image marker");
    if (marker == start_of_scan) in.malformed("a scan before the frame header");
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) continue;
    if (marker < 0xC0 || marker == 0xD8) in.malformed(fmt::format("marker 0x{:02x} at byte {}", marker, at - 1));
    const std::size_t length = in.be16(at);
    if (length < 2) in.malformed(fmt::format("a segment of {} bytes at byte {}", length, at));
    in.need(at, length);
    if (marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
      if (length < 8) in.malformed("a frame header without a size");
      return {in.be16(at + 5), in.be16(at + 3)};
    }
    at += length;
  }
  in.malformed(fmt::format("no frame header among the first {} markers", most_steps));
}

/// From the first chunk (RFC 9649): the canvas if there is one.
[[nodiscard]] inline ImageSize peek_webp(const ImagePeek& in) {
  in.need(8, in.le32(4));
  const std::string type = in.read(12, 4);
  const std::size_t length = in.le32(16);
  const std::size_t data = 20;
  const auto need = [&](std::size_t count) {
    if (length < count) in.malformed(fmt::format("a chunk of {} bytes at byte 12", length));
  };
  if (type == "VP8X") {
    need(10);
    return {in.le24(data + 4) + 1, in.le24(data + 7) + 1};
  }
  if (type == "VP8 ") {
    need(10);
    if ((in.u8(data) & 1) != 0 || in.read(data + 3, 3) != "\x9d\x01\x2a") in.malformed("no VP8 key frame");
    return {in.le16(data + 6) & 0x3FFF, in.le16(data + 8) & 0x3FFF};
  }
  if (type != "VP8L") in.malformed("no picture in the first chunk");
  need(5);
  if (in.u8(data) != 0x2F) in.malformed("no VP8L signature");
  const std::uint32_t sides = in.le32(data + 1);
  return {(sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1};
}

[[nodiscard]] inline ImageSize peek_gif(const ImagePeek& in) { return {in.le16(6), in.le16(8)}; }

[[nodiscard]] inline ImageSize peek_bmp(const ImagePeek& in) {
  const std::uint32_t header_size = in.le32(14);
  const bool is_os2 = header_size == 12;
  if (is_os2) return {in.le16(18), in.le16(20)};
  if (header_size < 40 || header_size > 124) in.malformed(fmt::format("a header of {} bytes", header_size));
  const std::uint32_t width = in.le32(18);
  const std::uint32_t height = in.le32(22);
  if (width >> 31 != 0) in.malformed("a negative width");
  // Negative if the rows come from the top.
  return {width, height >> 31 != 0 ? 0 - height : height};
}

/// The type and size that an image's first bytes tell, of which only those are decoded; no description. Whether the rest is
/// there and whole is not looked at. For an image that is whole, the same as `read_image_header`.
/// @throws Error `bad_input` if it is empty, of no known format, malformed as far as it was looked at, or has too many pixels.
[[nodiscard]] inline ImageHeader peek_image_header(const Base64Range& bytes, std::uint64_t max_pixels, std::string_view name) {
  std::string start;
  for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 12); ++i) start += static_cast<char>(bytes[i]);
  const std::optional<MediaType> type = sniff_media_type(start);
  // It refuses what is no image at all, and has the words for it.
  if (!type) return read_image_header(start, {}, name);
  const auto peek = [&](ImageSize (*peeker)(const ImagePeek&), std::string_view format, std::string_view end_mark) {
    const ImagePeek in{bytes, name, format, end_mark};
    const auto [width, height] = peeker(in);
    if (width == 0 || height == 0) in.malformed(fmt::format("size {}x{}: a side is zero", width, height));
    const std::uint64_t pixels = std::uint64_t{width} * height;
    if (pixels > max_pixels) {
      in.fail(fmt::format("{}x{} is {} pixels; the limit is {}", width, height, pixels, max_pixels));
    }
    return ImageHeader{*type, width, height, {}};
  };
  switch (*type) {
    case MediaType::png: return peek(peek_png, "PNG", "IEND chunk");
    case MediaType::jpeg: return peek(peek_jpeg, "JPEG", "end-of-image marker");
    case MediaType::webp: return peek(peek_webp, "WebP", "complete RIFF data");
    case MediaType::gif: return peek(peek_gif, "GIF", "trailer");
    case MediaType::bmp: break;
  }
  return peek(peek_bmp, "BMP", "complete pixels");
}

}  // namespace ecso::detail
