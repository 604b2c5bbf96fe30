#pragma once

#include <ecso/detail/image/reader.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ecso::detail {

/// Walks a WebP's RIFF chunks (RFC 9649) to the length its header gives; bytes after it are ignored. The size is the
/// canvas's, and no frame may leave it.
inline void read_webp(ImageReader& in) {
  const std::size_t end = std::size_t{in.le32(4)} + 8;
  if (end > in.size()) in.truncated();
  bool has_canvas = false;
  bool has_pixels = false;
  const auto add_frame = [&](std::uint32_t width, std::uint32_t height) {
    if (!has_canvas) {
      in.set_size(width, height);
      has_canvas = true;
    } else if (width > in.width() || height > in.height()) {
      in.malformed(fmt::format("a {}x{} frame on a {}x{} canvas", width, height, in.width(), in.height()));
    }
    has_pixels = true;
  };

  for (std::size_t at = 12; at < end;) {
    const std::string_view type = in.view(at, 4);
    const std::size_t length = in.le32(at + 4);
    const std::size_t data = at + 8;
    if (data > end || length > end - data) {
      in.malformed(fmt::format("the chunk at byte {} is longer than the file says it is", at));
    }
    const auto need = [&](std::size_t count) {
      if (length < count) in.malformed(fmt::format("a chunk of {} bytes at byte {}", length, at));
    };
    if (type == "VP8X") {
      need(10);
      if (has_canvas) in.malformed("a VP8X chunk that is not the first");
      in.set_size(in.le24(data + 4) + 1, in.le24(data + 7) + 1);
      has_canvas = true;
    } else if (type == "VP8 ") {
      need(10);
      if ((in.u8(data) & 1) != 0 || in.view(data + 3, 3) != "\x9d\x01\x2a") in.malformed("no VP8 key frame");
      add_frame(in.le16(data + 6) & 0x3FFF, in.le16(data + 8) & 0x3FFF);
    } else if (type == "VP8L") {
      need(5);
      if (in.u8(data) != 0x2F) in.malformed("no VP8L signature");
      const std::uint32_t sides = in.le32(data + 1);
      add_frame((sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1);
    } else if (type == "ANMF") {
      need(16);
      if (!has_canvas) in.malformed("a frame of an animation without a canvas");
      add_frame(2 * in.le24(data) + in.le24(data + 6) + 1, 2 * in.le24(data + 3) + in.le24(data + 9) + 1);
    }
    at = data + length + length % 2;
  }
  if (!has_pixels) in.malformed("no picture");
}

}  // namespace ecso::detail
