#include <ecso/core/image_header.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace image_header_test {

namespace {

using namespace ecso;
using namespace ecso::test;
using Catch::Matchers::ContainsSubstring;

/// What is wrong with the image; "" if nothing is.
std::string problem(std::string_view bytes, const ImageLimits& limits = {}) {
  try {
    static_cast<void>(read_image_header(bytes, limits, "shot"));
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    CHECK(error.message().starts_with("shot: "));
    return error.message().substr(6);
  }
}

std::string dimensions(std::string_view bytes) {
  const ImageHeader header = read_image_header(bytes);
  return std::to_string(header.width) + "x" + std::to_string(header.height);
}

std::string replaced(std::string bytes, std::size_t at, std::string_view by) { return bytes.replace(at, by.size(), by); }

/// A whole image of each kind, small enough to try every truncation; the last ones have the rarer structures.
std::vector<std::pair<MediaType, std::string>> small_images() {
  const std::string vp8 = raw("\x30\x01\x00\x9D\x01\x2A") + little_endian(33, 2) + little_endian(17, 2) + raw("\x00");
  const std::string canvas = raw("\x00\x00\x00\x00") + little_endian(32, 3) + little_endian(16, 3);
  const std::string anmf =
      std::string(6, '\0') + little_endian(32, 3) + little_endian(16, 3) + std::string(4, '\0') + riff_chunk("VP8 ", vp8);
  // Two scans, a restart, stuffed zeros, a fill byte, a table between the scans and an end of image inside a segment.
  const std::string frame = raw("\x08") + big_endian(17, 2) + big_endian(33, 2) + raw("\x01\x01\x11\x00");
  const std::string scan = jpeg_segment(0xDA, raw("\x01\x01\x00\x00\x3F\x00"));
  const std::string progressive = raw("\xFF\xD8") + jpeg_segment(0xE1, raw("Exif\0\0\xFF\xD8\xFF\xD9")) +
                                  jpeg_segment(0xC2, frame) + scan + raw("\x12\xFF\x00\x34\xFF\xD0\x56\xFF\xFF") +
                                  jpeg_segment(0xC4, raw("\xFF\xD9")).substr(1) + scan + std::string(200, '\x77') +
                                  raw("\xFF\xFF\xD9");
  return {{MediaType::png, png_bytes(33, 17)},
          {MediaType::png, png_bytes(33, 17, "a kettle")},
          {MediaType::jpeg, jpeg_bytes(33, 17)},
          {MediaType::jpeg, jpeg_bytes(33, 17, "a kettle")},
          {MediaType::jpeg, progressive},
          {MediaType::gif, gif_bytes(33, 17)},
          {MediaType::gif, gif_bytes(33, 17, "a kettle")},
          {MediaType::bmp, bmp_bytes(33, 17)},
          {MediaType::webp, webp_bytes(33, 17)},
          {MediaType::webp, webp_file(riff_chunk("VP8 ", vp8))},
          {MediaType::webp, webp_file(riff_chunk("VP8X", canvas) + riff_chunk("VP8 ", vp8))},
          {MediaType::webp, webp_file(riff_chunk("VP8X", canvas) + riff_chunk("ANIM", "??????") + riff_chunk("ANMF", anmf))}};
}

}  // namespace

TEST_CASE("type and size of every format are read from the header", "[image_header]") {
  for (const auto& [type, bytes] : small_images()) {
    INFO(to_string(type));
    const ImageHeader header = read_image_header(bytes);
    CHECK(header.media_type == type);
    CHECK(header.width == 33);
    CHECK(header.height == 17);
  }
  CHECK(dimensions(webp_bytes(16384, 3)) == "16384x3");
  CHECK(dimensions(gif_bytes(300, 2)) == "300x2");
  CHECK(dimensions(replaced(bmp_bytes(8, 2), 22, little_endian(0xFFFFFFFE, 4))) == "8x2");
}

TEST_CASE("an image cut at any byte is refused, and bytes behind its end are not", "[image_header]") {
  for (const auto& [type, bytes] : small_images()) {
    INFO(to_string(type));
    REQUIRE(problem(bytes).empty());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      if (problem(bytes.substr(0, size)).empty()) FAIL("taken when cut to " << size << " of " << bytes.size());
    }
    CHECK(problem(bytes + "behind the end").empty());
  }
}

TEST_CASE("any byte may change without harm", "[image_header]") {
  for (const auto& [type, bytes] : small_images()) {
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      for (const int value : {0x00, 0x01, 0x10, 0x7F, 0x80, 0xC0, 0xD9, 0xDA, 0xFE, 0xFF}) {
        std::string changed = bytes;
        changed[at] = static_cast<char>(value);
        const std::string first = problem(changed);
        if (first.find('\n') != std::string::npos) FAIL("more than one line: " << first);
      }
    }
  }
}

TEST_CASE("the message says what is wrong with an image", "[image_header]") {
  const std::string png = png_bytes(33, 17);
  const std::string jpeg = jpeg_bytes(33, 17);
  const std::string gif = gif_bytes(33, 17);
  const std::string bmp = bmp_bytes(33, 17);
  CHECK(problem("") == "0 bytes: not an image");
  CHECK(problem("<html>") == "not a PNG, JPEG, WebP, GIF or BMP (it starts with 3c 68 74 6d)");
  CHECK(problem(jpeg.substr(0, jpeg.size() - 1)) ==
        "truncated JPEG: no end-of-image marker in " + std::to_string(jpeg.size() - 1) + " bytes");
  CHECK_THAT(problem(png.substr(0, png.size() - 1)), ContainsSubstring("truncated PNG: no IEND chunk"));
  CHECK_THAT(problem(gif.substr(0, gif.size() - 1)), ContainsSubstring("truncated GIF: no trailer"));
  CHECK_THAT(problem(bmp.substr(0, bmp.size() - 1)), ContainsSubstring("truncated BMP"));
  CHECK_THAT(problem(webp_bytes(1, 1).substr(0, 20)), ContainsSubstring("truncated WebP"));

  CHECK(problem(replaced(png, 19, "\x22")) == "malformed PNG: wrong checksum in the IHDR chunk");
  CHECK(problem(png_start(3, 3) + png_start(3, 3).substr(8)) == "malformed PNG: not exactly one IHDR chunk, at the start");
  CHECK(problem(png_start(3, 3) + png_chunk("IEND", "")) == "malformed PNG: no IDAT chunk");
  CHECK(problem(png_start(3, 3) + png_chunk("ID\nT", "")) == "malformed PNG: no chunk at byte 33");
  CHECK(problem(raw("\xFF\xD8\xFF\xD9")) == "malformed JPEG: no scan before the end-of-image marker");
  CHECK(problem(raw("\xFF\xD8\xFF\xDA\x00\x02\xFF\xD9")) == "malformed JPEG: a scan before the frame header");
  CHECK(problem(raw("\xFF\xD8\xFF\xE0\x00\x02garbage")) == "malformed JPEG: no marker at byte 6");
  CHECK(problem(raw("\xFF\xD8\xFF\xE0\x00\x01garbage")) == "malformed JPEG: a segment of 1 bytes at byte 4");
  CHECK(problem(replaced(bmp, 28, little_endian(0, 2))) == "malformed BMP: 0 bits a pixel");
  CHECK(problem(replaced(bmp, 30, little_endian(4, 4))) == "malformed BMP: unknown compression 4");
  CHECK(problem(replaced(bmp, 14, little_endian(13, 4))) == "malformed BMP: a header of 13 bytes");
  CHECK(problem("GIF89a" + gif.substr(6, 13) + ";") == "malformed GIF: no frame before the trailer");
  CHECK(problem(webp_file(riff_chunk("ICCP", "12"))) == "malformed WebP: no picture");
}

TEST_CASE("a side of zero is refused", "[image_header]") {
  for (const std::string& bytes : {png_claiming(0, 5), png_claiming(5, 0), jpeg_bytes(0, 5), jpeg_bytes(5, 0), gif_bytes(0, 5),
                                   gif_bytes(5, 0), bmp_bytes(0, 5), bmp_bytes(5, 0)}) {
    CHECK_THAT(problem(bytes), ContainsSubstring("a side is zero"));
  }
}

TEST_CASE("more pixels or bytes than the limits allow are refused with both figures", "[image_header]") {
  CHECK(problem(png_claiming(30000, 30000)) == "30000x30000 is 900000000 pixels; the limit is 50000000");
  // Even when the file ends behind the size.
  CHECK(problem(png_start(30000, 30000)) == "30000x30000 is 900000000 pixels; the limit is 50000000");
  CHECK(problem(png_claiming(0xFFFFFFFF, 0xFFFFFFFF)) ==
        "4294967295x4294967295 is 18446744065119617025 pixels; the limit is 50000000");
  CHECK(problem(webp_bytes(16384, 16384)) == "16384x16384 is 268435456 pixels; the limit is 50000000");
  CHECK(problem(png_claiming(100, 100), {.max_pixels = 10000}).empty());
  CHECK_FALSE(problem(png_claiming(100, 101), {.max_pixels = 10000}).empty());

  const std::string png = png_bytes(3, 3);
  CHECK(problem(png, {.max_bytes = png.size()}).empty());
  CHECK(problem(png, {.max_bytes = 10}) == std::to_string(png.size()) + " bytes; the limit is 10");
}

TEST_CASE("a frame larger than the size the limit was checked for is refused", "[image_header]") {
  const std::string gif = gif_bytes(33, 17);
  const std::size_t frame = 13 + 6;
  CHECK_THAT(problem(replaced(gif, frame + 5, little_endian(30000, 2))), ContainsSubstring("leaves the 33x17 canvas"));
  CHECK_THAT(problem(replaced(gif, frame + 1, little_endian(1, 2))), ContainsSubstring("leaves the 33x17 canvas"));
  const std::string canvas = raw("\x00\x00\x00\x00") + little_endian(32, 3) + little_endian(16, 3);
  CHECK(problem(webp_file(riff_chunk("VP8X", canvas) + webp_bytes(16384, 16384).substr(12))) ==
        "malformed WebP: a 16384x16384 frame on a 33x17 canvas");
  const std::string frame_header = raw("\x08") + big_endian(17, 2) + big_endian(33, 2) + raw("\x01\x01\x11\x00");
  CHECK(problem(replaced(jpeg_bytes(3, 3), 2, jpeg_segment(0xC0, frame_header) + jpeg_segment(0xC0, frame_header))) ==
        "malformed JPEG: two frame headers");
}

TEST_CASE("a description stored in the image is found", "[image_header]") {
  const auto description = [](std::string_view bytes) { return read_image_header(bytes).description; };
  const auto png_with = [](std::string_view type, std::string_view data) {
    const std::string png = png_bytes(3, 3);
    return png.substr(0, 33) + png_chunk(type, data) + png.substr(33);
  };
  CHECK(description(png_bytes(3, 3)).empty());
  CHECK(description(png_bytes(3, 3, "a kettle")) == "a kettle");
  CHECK(description(jpeg_bytes(3, 3, "a kettle")) == "a kettle");
  CHECK(description(gif_bytes(3, 3, "a kettle")) == "a kettle");
  CHECK(description(gif_bytes(3, 3, std::string(1000, 'x'))) == std::string(1000, 'x'));
  CHECK(description(png_with("tEXt", raw("Author\0me"))).empty());
  CHECK(description(png_with("iTXt", raw("Description\0\0\0de\0Beschreibung\0ein Kessel"))) == "ein Kessel");
  CHECK(description(png_with("iTXt", raw("Description\0\1\0de\0Beschreibung\0zipped"))).empty());
  CHECK(description(png_with("iTXt", raw("Description\0\0"))).empty());
  CHECK(description(png_with("iTXt", raw("Description\0\0\0no end"))).empty());
}

TEST_CASE("a description is UTF-8 of at most 4096 bytes whatever is stored", "[image_header]") {
  const auto description = [](std::string_view text) { return read_image_header(png_bytes(3, 3, text)).description; };
  CHECK(description("café") == "café");
  CHECK(description("caf\xE9") == "café");  // Latin-1, as tEXt should be
  CHECK(description(std::string(5000, 'x')) == std::string(4096, 'x'));
  CHECK(description(std::string(4095, 'x') + "é tail") == std::string(4095, 'x'));
  const std::string latin = description(std::string(5000, '\xE9'));
  CHECK(latin.size() == 4096);
  CHECK(detail::is_valid_utf8(latin));
}

TEST_CASE("media types are spelled as HTTP does", "[image_header]") {
  CHECK(to_string(MediaType::png) == "image/png");
  CHECK(to_string(MediaType::jpeg) == "image/jpeg");
  CHECK(to_string(MediaType::webp) == "image/webp");
  CHECK(to_string(MediaType::gif) == "image/gif");
  CHECK(to_string(MediaType::bmp) == "image/bmp");
}

}  // namespace image_header_test
