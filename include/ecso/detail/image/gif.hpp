#pragma once

#include <ecso/detail/image/reader.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace ecso::detail {

/// Walks a GIF's blocks (GIF89a specification) to the trailer; bytes after it are ignored.
inline void read_gif(ImageReader& in) {
  const auto color_table_size = [](std::uint32_t flags) -> std::size_t {
    return (flags & 0x80) != 0 ? std::size_t{6} << (flags & 7) : 0;
  };
  in.set_size(in.le16(6), in.le16(8));
  std::size_t at = 13 + color_table_size(in.u8(10));
  // Reads sub-blocks up to the empty one; gives the start of their content to `text` if there is one.
  const auto skip_sub_blocks = [&](std::string* text) {
    while (const std::size_t length = in.u8(at)) {
      if (text != nullptr && text->size() <= 4096) text->append(in.view(at + 1, length));
      at += 1 + length;
    }
    ++at;
  };

  bool has_frame = false;
  for (;;) {
    const std::uint32_t block = in.u8(at);
    if (block == 0x3B) break;
    if (block == 0x2C) {
      // A decoder may take its buffer from the frame, so a frame may not be larger than what the limit was checked for.
      if (in.le16(at + 1) + in.le16(at + 5) > in.width() || in.le16(at + 3) + in.le16(at + 7) > in.height()) {
        in.malformed(fmt::format("the frame at byte {} leaves the {}x{} canvas", at, in.width(), in.height()));
      }
      at += 10 + color_table_size(in.u8(at + 9)) + 1;
      skip_sub_blocks(nullptr);
      has_frame = true;
    } else if (block == 0x21) {
      const bool is_comment = in.u8(at + 1) == 0xFE;
      at += 2;
      std::string comment;
      skip_sub_blocks(is_comment ? &comment : nullptr);
      if (is_comment) in.add_description(comment);
    } else {
      in.malformed(fmt::format("no block at byte {}", at));
    }
  }
  if (!has_frame) in.malformed("no frame before the trailer");
}

}  // namespace ecso::detail
