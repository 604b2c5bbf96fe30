#include <ecso/core/image.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace image_range_test {

namespace {

using namespace ecso;
using namespace ecso::test;

std::string encoded_text(std::string_view bytes) {
  std::string text(detail::base64_encoded_size(bytes.size()), '\0');
  detail::base64_encode_to(bytes, text.data());
  return text;
}

std::string range_problem(std::string_view base64, ImageLimits limits = {}) {
  try {
    static_cast<void>(Image::from_base64_range({}, base64, limits));
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    CHECK(error.message().find('\n') == std::string::npos);
    return error.message();
  }
}

}  // namespace

TEST_CASE("an image that stays in somebody's bytes is the image that its base64 says", "[image]") {
  for (const std::string& bytes : {png_bytes(33, 17, "a kettle"), png_bytes(33, 17, "a kettle!"), jpeg_bytes(64, 48, "a kettle"),
                                   gif_bytes(20, 30, "a kettle"), bmp_bytes(5, 6), webp_bytes(70, 80)}) {
    const Image whole = Image::from_bytes(bytes);
    const std::string base64 = encoded_text(bytes);
    const Image image = Image::from_base64_range({}, base64);
    CHECK(image.media_type() == whole.media_type());
    CHECK(image.width() == whole.width());
    CHECK(image.height() == whole.height());
    CHECK(image.base64().data() == base64.data());
    CHECK(image.base64().size() == base64.size());
    CHECK(image == whole);
    CHECK(image.bytes() == bytes);
    CHECK(image.sha256() == whole.sha256());
    CHECK(image.description() == whole.description());
    CHECK(image == Image::from_base64_range({}, std::string_view{base64}));
    CHECK(image == Image::from_base64_range({}, whole.base64()));
  }
  const std::string other = encoded_text(png_bytes(33, 18));
  CHECK(Image::from_base64_range({}, other) != Image::from_bytes(png_bytes(33, 17)));
  CHECK(Image::from_base64_range({}, other) != Image::from_base64_range({}, encoded_text(png_bytes(33, 17))));
}

TEST_CASE("the owner of a range lives as long as any copy of the image", "[image]") {
  auto owner = std::make_shared<const std::string>("{\"url\":\"" + encoded_text(png_bytes(33, 17)) + "\"}");
  const std::weak_ptr<const std::string> watch = owner;
  const std::string_view base64 = std::string_view{*owner}.substr(8, owner->size() - 10);
  {
    std::vector<Image> copies;
    {
      const Image image = Image::from_base64_range(owner, base64);
      copies.push_back(image);
    }
    owner.reset();
    REQUIRE_FALSE(watch.expired());
    CHECK(copies.front().base64().data() == base64.data());
    CHECK(copies.front().width() == 33);
  }
  CHECK(watch.expired());

  owner = std::make_shared<const std::string>("not an image");
  CHECK_THROWS_AS(Image::from_base64_range(owner, *owner), Error);
  CHECK(owner.use_count() == 1);
}

TEST_CASE("copies of an image have one identity and images made apart have two", "[image]") {
  const std::string bytes = png_bytes(33, 17);
  const std::string base64 = encoded_text(bytes);
  const Image image = Image::from_base64_range({}, base64);
  Image copy = image;
  CHECK(copy.identity() == image.identity());
  CHECK(Image::from_base64_range({}, base64).identity() != image.identity());
  CHECK(Image::from_bytes(bytes).identity() != image.identity());
  copy = Image::from_bytes(bytes);
  CHECK(copy == image);
  CHECK(copy.identity() != image.identity());
}

TEST_CASE("a range that is not canonical base64 is refused with the offset", "[image]") {
  const std::string base64 = encoded_text(png_bytes(33, 17));
  CHECK(range_problem("") == "base64 image: 0 bytes: not an image");
  CHECK(range_problem("iVBO#GciOiJ=") == "base64 image: not canonical base64: byte 0x23 at offset 4");
  CHECK(range_problem("iVBOR") == "base64 image: base64 ends inside a group, at offset 5");
  CHECK(range_problem("iVBORw") == "base64 image: base64 ends inside a group, at offset 6");
  CHECK(range_problem("iVBORw=") == "base64 image: base64 ends inside a group, at offset 7");
  // A bit left over.
  CHECK(range_problem("iVBORx==") == "base64 image: not canonical base64: byte 0x78 at offset 5");
  CHECK(range_problem(base64.substr(0, 20) + "\n" + base64.substr(20)) ==
        "base64 image: not canonical base64: byte 0x0a at offset 20");
  std::string url_safe = base64;
  url_safe[300 % base64.size()] = '_';
  CHECK(range_problem(url_safe) ==
        "base64 image: not canonical base64: byte 0x5f at offset " + std::to_string(300 % base64.size()));
  CHECK(range_problem("data:image/png;base64,iVBO") == "base64 image: not canonical base64: byte 0x3a at offset 4");
  CHECK(range_problem(base64 + "=") ==
        "base64 image: not canonical base64: byte 0x3d at offset " + std::to_string(base64.size()));
}

TEST_CASE("a range over a limit or of no image is refused", "[image]") {
  const std::string bytes = bmp_bytes(500, 500);
  const std::string base64 = encoded_text(bytes);
  CHECK(range_problem(base64, {.max_bytes = bytes.size()}).empty());
  CHECK(range_problem(base64, {.max_bytes = bytes.size() - 1}) ==
        "base64 image: " + std::to_string(bytes.size()) + " bytes; the limit is " + std::to_string(bytes.size() - 1));
  CHECK(range_problem(base64, {.max_pixels = 250'000}).empty());
  CHECK(range_problem(base64, {.max_pixels = 249'999}) == "base64 image: 500x500 is 250000 pixels; the limit is 249999");
  CHECK(range_problem(encoded_text(png_claiming(30000, 30000))) ==
        "base64 image: 30000x30000 is 900000000 pixels; the limit is 50000000");
  CHECK(range_problem(encoded_text("<svg>")) == "base64 image: not a PNG, JPEG, WebP, GIF or BMP (it starts with 3c 73 76 67)");
  CHECK(range_problem(encoded_text("x")) == "base64 image: not a PNG, JPEG, WebP, GIF or BMP (it starts with 78)");
}

TEST_CASE("a range that is cut behind its header is found out only when its description is read", "[image]") {
  const std::string bytes = png_bytes(33, 17, "a kettle");
  const std::string base64 = encoded_text(bytes.substr(0, 40));
  const Image image = Image::from_base64_range({}, base64);
  CHECK(image.width() == 33);
  CHECK(image.bytes() == bytes.substr(0, 40));
  CHECK(image.sha256() == detail::sha256_hex(bytes.substr(0, 40)));
  for (int i = 0; i < 2; ++i) {
    try {
      static_cast<void>(image.description());
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.message() == "base64 image: truncated PNG: no IEND chunk in 40 bytes");
    }
  }
}

TEST_CASE("a range is decoded once, however many threads ask", "[image]") {
  const std::string base64 = encoded_text(bmp_bytes(200, 200));
  for (int round = 0; round < 20; ++round) {
    const Image image = Image::from_base64_range({}, base64);
    constexpr std::size_t count = 8;
    std::barrier start{static_cast<std::ptrdiff_t>(count)};
    std::vector<std::pair<const char*, const char*>> seen(count);
    std::vector<std::string> descriptions(count, "?");
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&start, &seen, &descriptions, image, i] {
          start.arrive_and_wait();
          if (i % 2 == 0) descriptions[i] = image.description();
          seen[i] = {image.bytes().data(), image.sha256().data()};
          if (i % 2 == 1) descriptions[i] = image.description();
        });
      }
    }
    CHECK(std::ranges::all_of(seen, [&](const auto& pointers) { return pointers == seen.front(); }));
    CHECK(descriptions == std::vector<std::string>(count));
  }
}

}  // namespace image_range_test
