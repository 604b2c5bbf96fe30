#include <ecso/core/image.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace image_test {

namespace {

using namespace ecso;
using namespace ecso::test;
using Catch::Matchers::ContainsSubstring;

template <class Make>
std::string problem(Make make) {
  try {
    static_cast<void>(make());
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    CHECK(error.message().find('\n') == std::string::npos);
    return error.message();
  }
}

/// A folder that goes away with its content.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ecso-image-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path write(const std::string& name, std::string_view content) const {
    std::ofstream{path_ / name, std::ios::binary} << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

std::string encoded(std::string_view bytes) {
  std::string text(detail::base64_encoded_size(bytes.size()), '\0');
  detail::base64_encode_to(bytes, text.data());
  return text;
}

}  // namespace

TEST_CASE("an image is the same from bytes, file, base64 and data URI", "[image]") {
  const TemporaryFolder folder;
  const std::string bytes = png_bytes(33, 17, "a kettle");
  const Image image = Image::from_bytes(bytes);
  CHECK(image.bytes() == bytes);
  CHECK(image.media_type() == MediaType::png);
  CHECK(image.width() == 33);
  CHECK(image.height() == 17);
  CHECK(image.description() == "a kettle");
  CHECK(image.base64() == encoded(bytes));
  CHECK(image.sha256() == detail::sha256_hex(bytes));

  CHECK(Image::from_file(folder.write("shot.txt", bytes)) == image);
  CHECK(Image::from_base64(image.base64()) == image);
  CHECK(Image::from_base64(encoded(bytes)) == image);
  // The declared type is ignored, upper case and parameters are fine.
  CHECK(Image::from_data_uri("data:image/png;base64," + encoded(bytes)) == image);
  CHECK(Image::from_data_uri("DATA:image/jpeg;name=a.png;Base64," + encoded(bytes)) == image);
  const std::string uri = "data:;base64," + encoded(bytes);
  CHECK(Image::from_data_uri(uri) == image);
  CHECK(Image::from_data_uri(std::string_view{uri}) == image);
  CHECK(Image::from_bytes(png_bytes(33, 16)) != image);
}

TEST_CASE("a copy shares the bytes, the base64 and the hash", "[image]") {
  const Image image = Image::from_bytes(jpeg_bytes(64, 64));
  Image copy = image;
  CHECK(copy.bytes().data() == image.bytes().data());
  CHECK(copy.base64().data() == image.base64().data());
  CHECK(copy.sha256().data() == image.sha256().data());
  // Moving copies: there is no image without a state.
  const Image moved = std::move(copy);
  CHECK(moved.bytes().data() == image.bytes().data());
  copy = moved;
  CHECK(copy == image);
}

TEST_CASE("bytes that are moved in are not copied", "[image]") {
  std::string bytes = png_bytes(33, 17);
  const char* const data = bytes.data();
  const Image image = Image::from_bytes(std::move(bytes));
  CHECK(image.bytes().data() == data);
}

TEST_CASE("base64 and hash are made once, however many threads ask", "[image]") {
  for (int round = 0; round < 20; ++round) {
    const Image image = Image::from_bytes(bmp_bytes(200, 200));
    constexpr std::size_t count = 8;
    std::barrier start{static_cast<std::ptrdiff_t>(count)};
    std::vector<std::pair<const char*, const char*>> seen(count);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&start, &seen, image, i] {
          start.arrive_and_wait();
          seen[i] = {image.base64().data(), image.sha256().data()};
        });
      }
    }
    CHECK(std::ranges::all_of(seen, [&](const auto& pointers) { return pointers == seen.front(); }));
    CHECK(image.base64() == encoded(image.bytes()));
  }
}

TEST_CASE("canonical base64 that is moved in is kept, any other is made anew", "[image]") {
  // All lengths modulo 3, so all paddings.
  for (const std::string_view description : {"x", "xx", "xxx"}) {
    const std::string bytes = png_bytes(33, 17, description);
    const std::string canonical = encoded(bytes);

    std::string text = canonical;
    const char* data = text.data();
    CHECK(Image::from_base64(std::move(text)).base64().data() == data);

    const std::string head = "data:image/png;base64,";
    std::string uri = head + canonical;
    data = uri.data();
    const Image from_uri = Image::from_data_uri(std::move(uri));
    CHECK(from_uri.base64().data() == data + head.size());
    CHECK(from_uri.base64() == canonical);

    std::string url_safe = canonical;
    for (char& c : url_safe) c = c == '+' ? '-' : c == '/' ? '_' : c;
    std::string wrapped = canonical;
    wrapped.insert(20, "\r\n");
    const std::string bare = canonical.substr(0, canonical.find('='));
    // As long as the canonical text, by a space for each sign of padding.
    const std::string same_size = bare + std::string(canonical.size() - bare.size(), ' ');
    const std::string spaced = std::string(canonical.size() - bare.size(), ' ') + bare;
    for (const std::string& other : {url_safe, wrapped, bare, same_size, spaced, canonical + "\n"}) {
      CHECK(Image::from_base64(std::string{other}).base64() == canonical);
      CHECK(Image::from_data_uri(head + other).base64() == canonical);
    }
  }
}

TEST_CASE("base64 with leftover bits is taken but not kept", "[image]") {
  const std::string canonical = encoded(bmp_bytes(33, 17) + "x");
  REQUIRE(canonical.ends_with("eA=="));
  std::string text = canonical;
  text[text.size() - 3] = 'B';
  CHECK(Image::from_base64(std::move(text)).base64() == canonical);
}

TEST_CASE("a wrong character in base64 is named with its offset", "[image]") {
  const std::string text = encoded(png_bytes(3, 3));
  CHECK(problem([] { return Image::from_base64("iVBO#"); }) == "base64 image: not base64: byte 0x23 at offset 4");
  CHECK(problem([] { return Image::from_base64("iVBOR"); }) == "base64 image: base64 ends inside a group, at offset 5");
  CHECK(problem([] { return Image::from_data_uri("data:;base64,iV%2B"); }) == "data URI: not base64: byte 0x25 at offset 15");
  CHECK(problem([] { return Image::from_data_uri("data:;base64,iVBOR"); }) ==
        "data URI: base64 ends inside a group, at offset 18");
  CHECK(problem([] { return Image::from_base64(""); }) == "base64 image: 0 bytes: not an image");
  CHECK_THAT(problem([&] { return Image::from_base64(text.substr(0, 40)); }), ContainsSubstring("truncated PNG"));
}

TEST_CASE("a URI that is not base64 data is refused, and the core fetches nothing", "[image]") {
  const auto uri_problem = [](std::string_view uri) { return problem([&] { return Image::from_data_uri(uri); }); };
  CHECK(uri_problem("https://example.org/a.png?key=secret") ==
        "image URL: https:// is never fetched; download the image and pass its file or bytes");
  CHECK(uri_problem("HTTP://example.org/a.png") ==
        "image URL: http:// is never fetched; download the image and pass its file or bytes");
  CHECK(uri_problem("file:///etc/passwd") == "data URI: does not start with \"data:\"");
  CHECK(uri_problem("") == "data URI: does not start with \"data:\"");
  CHECK(uri_problem("data:image/png;base64") == "data URI: no comma before the data");
  CHECK(uri_problem("data:image/png,%89PNG") == "data URI: not base64: no \";base64\" before the comma");
  CHECK(uri_problem("data:,") == "data URI: not base64: no \";base64\" before the comma");
  CHECK(uri_problem("data:base64,") == "data URI: not base64: no \";base64\" before the comma");
  CHECK(uri_problem("data:;base64,") == "data URI: 0 bytes: not an image");
}

TEST_CASE("an image over a limit is refused by every factory", "[image]") {
  const TemporaryFolder folder;
  const std::string bytes = bmp_bytes(500, 500);
  const std::string text = encoded(bytes);
  const std::string figure = std::to_string(bytes.size());
  const ImageLimits fits{.max_bytes = bytes.size()};
  const ImageLimits small{.max_bytes = 1000};
  CHECK(Image::from_base64(text, fits) == Image::from_bytes(bytes, fits));
  CHECK(Image::from_base64(text + std::string(text.size(), '\n'), fits).bytes() == bytes);
  CHECK(problem([&] { return Image::from_base64(text, {.max_bytes = bytes.size() - 1}); }) ==
        "base64 image: " + figure + " bytes; the limit is " + std::to_string(bytes.size() - 1));

  CHECK(problem([&] { return Image::from_bytes(bytes, small); }) == "image: " + figure + " bytes; the limit is 1000");
  CHECK_THAT(problem([&] { return Image::from_base64(text, small); }), ContainsSubstring("bytes; the limit is 1000"));
  CHECK_THAT(problem([&] { return Image::from_data_uri("data:;base64," + text, small); }),
             ContainsSubstring("bytes; the limit is 1000"));
  const auto file = folder.write("big.bmp", bytes);
  CHECK(problem([&] { return Image::from_file(file, small); }) == file.string() + ": " + figure + " bytes; the limit is 1000");
  CHECK(problem([&] { return Image::from_bytes(png_claiming(30000, 30000)); }) ==
        "image: 30000x30000 is 900000000 pixels; the limit is 50000000");
}

TEST_CASE("a file that cannot be an image is refused by name", "[image]") {
  const TemporaryFolder folder;
  const auto file_problem = [&](const std::string& name) {
    std::string message = problem([&] { return Image::from_file(folder.path() / name); });
    const std::string start = folder.path().string() + "/";
    REQUIRE(message.starts_with(start));
    return message.substr(start.size());
  };
  CHECK(file_problem("missing.png") == "missing.png: no such file");
  CHECK(file_problem("missing/shot.png") == "missing/shot.png: no such file");
  CHECK(file_problem(".") == ".: a folder, not an image file");

  const std::string jpeg = jpeg_bytes(8, 8);
  static_cast<void>(folder.write("shot.jpg", jpeg.substr(0, jpeg.size() - 2)));
  CHECK(file_problem("shot.jpg") ==
        "shot.jpg: truncated JPEG: no end-of-image marker in " + std::to_string(jpeg.size() - 2) + " bytes");
  static_cast<void>(folder.write("empty.png", ""));
  CHECK(file_problem("empty.png") == "empty.png: 0 bytes: not an image");
  static_cast<void>(folder.write("a\nb.png", "text"));
  CHECK_THAT(file_problem("a\nb.png"), ContainsSubstring("a?b.png: not a PNG"));
  static_cast<void>(folder.write("below", "text"));
  CHECK_THAT(file_problem("below/shot.png"), ContainsSubstring("below/shot.png: "));

  // 200 MB that take no room on the disk.
  std::filesystem::resize_file(folder.write("huge.png", ""), 200'000'000);
  CHECK(file_problem("huge.png") == "huge.png: 200000000 bytes; the limit is 20971520");

  REQUIRE(mkfifo((folder.path() / "pipe").c_str(), 0600) == 0);
  CHECK(file_problem("pipe") == "pipe: not a regular file");
  CHECK(problem([] { return Image::from_file("/dev/zero"); }) == "/dev/zero: not a regular file");
  std::filesystem::create_symlink(folder.path() / "loop", folder.path() / "loop");
  CHECK_THAT(file_problem("loop"), ContainsSubstring("loop: "));

  const auto secret = folder.write("secret.png", png_bytes(3, 3));
  std::filesystem::permissions(secret, std::filesystem::perms::none);
  // Root may read everything.
  if (geteuid() != 0) CHECK(file_problem("secret.png") == "secret.png: cannot be opened for reading");
  std::filesystem::permissions(secret, std::filesystem::perms::owner_all);
  std::filesystem::create_symlink(secret, folder.path() / "link.png");
  CHECK(Image::from_file(folder.path() / "link.png").width() == 3);
}

}  // namespace image_test
