#include <ecso/detail/image/peek.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace image_peek_test {

namespace {

using namespace ecso;
using namespace ecso::test;

std::string encoded(std::string_view bytes) {
  std::string text(detail::base64_encoded_size(bytes.size()), '\0');
  detail::base64_encode_to(bytes, text.data());
  return text;
}

template <typename Read>
std::string outcome(Read read) {
  try {
    const ImageHeader header = read();
    return fmt::format("{} {}x{}", to_string(header.media_type), header.width, header.height);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.message();
  }
}

std::string peeked(std::string_view bytes, std::uint64_t max_pixels = 50'000'000) {
  const std::string text = encoded(bytes);
  return outcome([&] { return detail::peek_image_header(detail::Base64Range{text}, max_pixels, "shot"); });
}

std::string walked(std::string_view bytes) {
  return outcome([&] { return read_image_header(bytes, {}, "shot"); });
}

std::string changed(std::string bytes, std::size_t at, std::string_view by) { return bytes.replace(at, by.size(), by); }

std::vector<std::string> images() {
  const std::string vp8 = raw("\x30\x01\x00\x9D\x01\x2A") + little_endian(33, 2) + little_endian(17, 2) + raw("\x00");
  const std::string canvas = raw("\x00\x00\x00\x00") + little_endian(32, 3) + little_endian(16, 3);
  const std::string exif = raw("\xFF\xD8") + jpeg_segment(0xE1, std::string(60'000, 'e')) + raw("\xFF\xFF\xFF\xD0");
  return {png_bytes(33, 17),
          png_bytes(70'000, 3, "a kettle"),
          jpeg_bytes(33, 17),
          jpeg_bytes(33, 17, "a kettle"),
          exif + jpeg_bytes(33, 17, "a kettle").substr(2),
          gif_bytes(33, 17),
          gif_bytes(300, 1, "a kettle"),
          bmp_bytes(33, 17),
          changed(bmp_bytes(33, 17), 22, little_endian(std::uint64_t{0} - 17, 4)),
          webp_bytes(33, 17),
          webp_bytes(16384, 1000),
          webp_file(riff_chunk("VP8 ", vp8)),
          webp_file(riff_chunk("VP8X", canvas) + riff_chunk("ICCP", "odd") + riff_chunk("VP8 ", vp8)),
          "BM" + little_endian(100, 4) + little_endian(0, 4) + little_endian(26, 4) + little_endian(12, 4) +
              little_endian(33, 2) + little_endian(17, 2) + little_endian(1, 2) + little_endian(1, 2) +
              std::string(8 * 17, '\0')};
}

}  // namespace

TEST_CASE("a peek at an image tells what walking all of it does", "[image]") {
  for (const std::string& bytes : images()) {
    CHECK(walked(bytes).starts_with("image/"));
    CHECK(peeked(bytes) == walked(bytes));
  }
  CHECK(peeked(images()[8]) == "image/bmp 33x17");
}

TEST_CASE("a peek at an image that is cut anywhere tells its size or an error", "[image]") {
  for (const std::string& bytes : images()) {
    const std::string expected = walked(bytes);
    const std::size_t step = bytes.size() > 2000 ? 997 : 1;
    bool knows = false;
    for (std::size_t size = 0; size < bytes.size(); size += step) {
      const std::string outcome = peeked(bytes.substr(0, size));
      if (outcome == expected) {
        knows = true;
        continue;
      }
      CHECK(outcome == walked(bytes.substr(0, size)));
      CHECK(outcome.starts_with("shot: "));
      // More bytes do not make it know less.
      CHECK_FALSE(knows);
    }
  }
}

TEST_CASE("a peek refuses a header as walking the image does", "[image]") {
  const std::string png = png_bytes(33, 17);
  const std::string jpeg = jpeg_bytes(33, 17);
  const std::string bmp = bmp_bytes(33, 17);
  const std::string vp8 = raw("\x30\x01\x00\x9D\x01\x2A") + little_endian(33, 2) + little_endian(17, 2) + raw("\x00");
  const std::vector<std::string> wrong{
      "",
      "<svg>",
      std::string(40, '\0'),
      changed(png, 12, "IDAT"),
      changed(png, 11, "\x0E"),
      changed(png, 20, "\x01"),
      png_claiming(0, 7),
      png_claiming(30'000, 30'000),
      png_claiming(0xFFFFFFFF, 0xFFFFFFFF),
      jpeg_bytes(0, 7),
      raw("\xFF\xD8\xFF\xD9"),
      raw("\xFF\xD8\xFF\xC0\x00\x07\x08\x00\x11\x00\x21\x01"),
      raw("\xFF\xD8\xFF\x02\x00\x07"),
      raw("\xFF\xD8\xFF\xD8\x00\x07"),
      raw("\xFF\xD8\xFF\xE0\x00\x01"),
      raw("\xFF\xD8\xFF\xE0\x00\x02\x00"),
      raw("\xFF\xD8") + jpeg.substr(jpeg.find("\xFF\xDA")),
      gif_bytes(0, 7),
      changed(bmp, 14, little_endian(39, 4)),
      changed(bmp, 14, little_endian(125, 4)),
      changed(bmp, 18, little_endian(0x80000001, 4)),
      changed(bmp, 22, little_endian(0, 4)),
      webp_bytes(33, 17).substr(0, 22),
      webp_file(riff_chunk("VP8X", "canvas")),
      webp_file(riff_chunk("VP8 ", "shortkey")),
      webp_file(riff_chunk("VP8 ", changed(vp8, 0, "\x31"))),
      webp_file(riff_chunk("VP8 ", changed(vp8, 3, "\x9E"))),
      webp_file(riff_chunk("VP8L", "tiny")),
      webp_file(riff_chunk("VP8L", changed(std::string(8, '\0'), 0, "\x2E"))),
  };
  for (const std::string& bytes : wrong) {
    CHECK(walked(bytes).starts_with("shot: "));
    CHECK(peeked(bytes) == walked(bytes));
  }
  CHECK(peeked(png, 33 * 17) == "image/png 33x17");
  CHECK(peeked(png, 33 * 17 - 1) == "shot: 33x17 is 561 pixels; the limit is 560");
}

TEST_CASE("a peek looks no further than images that anybody writes need", "[image]") {
  std::string markers = raw("\xFF\xD8");
  for (int i = 0; i < 9'000; ++i) markers += jpeg_segment(0xE2, "");
  const std::string rest = jpeg_bytes(33, 17).substr(2);
  CHECK(peeked(markers + rest) == "image/jpeg 33x17");
  for (int i = 0; i < 1'000; ++i) markers += jpeg_segment(0xE2, "");
  CHECK(walked(markers + rest) == "image/jpeg 33x17");
  CHECK(peeked(markers + rest) == "shot: malformed JPEG: no frame header among the first 10000 markers");
  CHECK(peeked(raw("\xFF\xD8") + std::string(100'000, '\xFF')) ==
        "shot: malformed JPEG: no frame header among the first 10000 markers");
  const std::string picture = webp_bytes(33, 17).substr(12);
  CHECK(walked(webp_file(riff_chunk("what", "") + picture)) == "image/webp 33x17");
  CHECK(peeked(webp_file(riff_chunk("what", "") + picture)) == "shot: malformed WebP: no picture in the first chunk");
}

}  // namespace image_peek_test
