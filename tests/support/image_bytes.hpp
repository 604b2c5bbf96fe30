#pragma once

// Tiny valid images for anybody's tests: a decoder shows one colour, every checksum is right, and the bytes are always
// the same for the same arguments.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ecso::test {

/// The low `count` bytes of `value`, most significant first.
inline std::string big_endian(std::uint64_t value, std::size_t count) {
  std::string bytes;
  for (std::size_t i = count; i > 0; --i) bytes += static_cast<char>(value >> (8 * (i - 1)) & 0xFF);
  return bytes;
}

/// The low `count` bytes of `value`, least significant first.
inline std::string little_endian(std::uint64_t value, std::size_t count) {
  std::string bytes = big_endian(value, count);
  std::ranges::reverse(bytes);
  return bytes;
}

/// A byte string that may hold zeros, from a literal.
template <std::size_t Size>
std::string raw(const char (&literal)[Size]) {
  return {literal, Size - 1};
}

/// The CRC-32 of PNG and zlib.
inline std::uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> values{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
      values[i] = crc;
    }
    return values;
  }();
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

/// One PNG chunk: length, type, data, checksum.
inline std::string png_chunk(std::string_view type, std::string_view data) {
  const std::string body = std::string{type}.append(data);
  return big_endian(data.size(), 4) + body + big_endian(crc32(body), 4);
}

/// The signature and the IHDR chunk of a black and white PNG.
inline std::string png_start(std::uint32_t width, std::uint32_t height) {
  return raw("\x89PNG\r\n\x1a\n") + png_chunk("IHDR", big_endian(width, 4) + big_endian(height, 4) + raw("\x01\x00\x00\x00\x00"));
}

/// A black PNG, 1 bit a pixel, not compressed; with a tEXt chunk "Description" unless `description` is empty.
inline std::string png_bytes(std::uint32_t width, std::uint32_t height, std::string_view description = "") {
  const std::string pixels(std::size_t{height} * (1 + (std::size_t{width} + 7) / 8), '\0');
  std::string zlib = raw("\x78\x01");
  for (std::size_t at = 0; at < pixels.size();) {
    const std::size_t count = std::min<std::size_t>(0xFFFF, pixels.size() - at);
    const bool is_last = at + count == pixels.size();
    zlib += static_cast<char>(is_last);
    zlib.append(little_endian(count, 2)).append(little_endian(~count, 2)).append(pixels, at, count);
    at += count;
  }
  // Adler-32 of n zeros.
  zlib += big_endian(std::uint64_t{pixels.size() % 65521} << 16 | 1, 4);
  std::string png = png_start(width, height);
  if (!description.empty()) png += png_chunk("tEXt", raw("Description\0").append(description));
  return png + png_chunk("IDAT", zlib) + png_chunk("IEND", "");
}

/// A PNG whose structure is whole and whose header claims any size, with the pixels of a single row: a bomb if large.
inline std::string png_claiming(std::uint32_t width, std::uint32_t height) {
  return png_start(width, height) + png_chunk("IDAT", raw("\x78\x01\x03\x00\x00\x00\x00\x01")) + png_chunk("IEND", "");
}

/// One JPEG segment: marker, length, data.
inline std::string jpeg_segment(unsigned char marker, std::string_view data) {
  return std::string{'\xFF', static_cast<char>(marker)} + big_endian(data.size() + 2, 2) + std::string{data};
}

/// A grey baseline JPEG; with a comment unless `comment` is empty.
inline std::string jpeg_bytes(std::uint16_t width, std::uint16_t height, std::string_view comment = "") {
  std::string jpeg = raw("\xFF\xD8");
  if (!comment.empty()) jpeg += jpeg_segment(0xFE, comment);
  jpeg += jpeg_segment(0xDB, raw("\x00") + std::string(64, '\x01'));
  jpeg += jpeg_segment(0xC0, raw("\x08") + big_endian(height, 2) + big_endian(width, 2) + raw("\x01\x01\x11\x00"));
  // Two tables of one code, "0": no difference to the block before (DC), end of block (AC).
  for (const char table : {'\x00', '\x10'}) {
    jpeg += jpeg_segment(0xC4, std::string{table} + '\x01' + std::string(15, '\0') + '\0');
  }
  jpeg += jpeg_segment(0xDA, raw("\x01\x01\x00\x00\x3F\x00"));
  const std::size_t blocks = ((std::size_t{width} + 7) / 8) * ((std::size_t{height} + 7) / 8);
  const std::size_t bits = 2 * blocks;
  jpeg += std::string(bits / 8, '\0');
  if (bits % 8 != 0) jpeg += static_cast<char>(0xFF >> bits % 8);
  return jpeg + raw("\xFF\xD9");
}

/// `data` as GIF sub-blocks, the empty one included.
inline std::string gif_sub_blocks(std::string_view data) {
  std::string blocks;
  for (; !data.empty(); data.remove_prefix(std::min<std::size_t>(255, data.size()))) {
    const std::string_view block = data.substr(0, 255);
    blocks.append(1, static_cast<char>(block.size())).append(block);
  }
  return blocks + '\0';
}

/// A black GIF; with a comment unless `comment` is empty.
inline std::string gif_bytes(std::uint16_t width, std::uint16_t height, std::string_view comment = "") {
  const std::string size = little_endian(width, 2) + little_endian(height, 2);
  std::string gif = "GIF89a" + size + raw("\x80\x00\x00") + raw("\x00\x00\x00\xFF\xFF\xFF");
  if (!comment.empty()) gif += raw("\x21\xFE") + gif_sub_blocks(comment);
  gif += raw("\x2C\x00\x00\x00\x00") + size + raw("\x00\x07");
  // Codes of 8 bits as long as the table is cleared (0x80) before it grows to 256: no compression, one byte a pixel.
  std::string codes;
  for (std::size_t pixel = 0; pixel < std::size_t{width} * height; ++pixel) {
    if (pixel % 100 == 0) codes += '\x80';
    codes += '\0';
  }
  return gif + gif_sub_blocks(codes + '\x81') + ';';
}

/// A black BMP, 1 bit a pixel.
inline std::string bmp_bytes(std::uint32_t width, std::uint32_t height) {
  const std::size_t pixels = (std::size_t{width} + 31) / 32 * 4 * height;
  const std::size_t pixels_at = 14 + 40 + 8;
  return "BM" + little_endian(pixels_at + pixels, 4) + little_endian(0, 4) + little_endian(pixels_at, 4) + little_endian(40, 4) +
         little_endian(width, 4) + little_endian(height, 4) + little_endian(1, 2) + little_endian(1, 2) + little_endian(0, 4) +
         little_endian(pixels, 4) + std::string(16, '\0') + raw("\x00\x00\x00\x00\xFF\xFF\xFF\x00") + std::string(pixels, '\0');
}

/// One RIFF chunk: type, length, data, padding.
inline std::string riff_chunk(std::string_view type, std::string_view data) {
  std::string chunk = std::string{type} + little_endian(data.size(), 4) + std::string{data};
  if (data.size() % 2 != 0) chunk += '\0';
  return chunk;
}

/// A WebP file of `chunks`.
inline std::string webp_file(std::string_view chunks) { return riff_chunk("RIFF", std::string{"WEBP"}.append(chunks)); }

/// A black lossless WebP; sides of at most 16384.
inline std::string webp_bytes(std::uint32_t width, std::uint32_t height) {
  // After the sides: an alpha bit, a version of three, then bits from the lowest: no transform, no colour cache, one
  // group of codes, and five codes of one symbol, which take no bits in the pixels.
  std::uint64_t bits = 0;
  std::size_t used = 3;
  for (int code = 0; code < 5; ++code, used += 4) bits |= std::uint64_t{0b0001} << used;
  const std::uint32_t sides = (width - 1) | (height - 1) << 14;
  return webp_file(riff_chunk("VP8L", '\x2F' + little_endian(sides, 4) + little_endian(bits, (used + 7) / 8)));
}

}  // namespace ecso::test
