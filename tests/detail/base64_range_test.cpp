#include <ecso/detail/base64_range.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace base64_range_test {

namespace {

using namespace ecso::detail;

std::string base64_of(std::string_view bytes) {
  std::string text(base64_encoded_size(bytes.size()), '?');
  base64_encode_to(bytes, text.data());
  return text;
}

std::string noise(std::size_t size) {
  static std::mt19937 random{7};
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random() & 0xFF);
  return bytes;
}

/// "N bytes" or "error at N".
std::string checked(std::string_view text) {
  // Exactly as long as it is, so that a sanitizer sees a read behind it.
  const std::vector<char> exact{text.begin(), text.end()};
  const Base64Decoded result = check_base64({exact.data(), exact.size()});
  if (result.error_offset == std::string_view::npos) return std::to_string(result.size) + " bytes";
  return "error at " + std::to_string(result.error_offset);
}

}  // namespace

TEST_CASE("what encoding gives is canonical base64, at every length", "[base64]") {
  for (std::size_t size = 0; size < 600; ++size) CHECK(checked(base64_of(noise(size))) == std::to_string(size) + " bytes");
  const std::string large = noise(100'001);
  CHECK(checked(base64_of(large)) == "100001 bytes");
}

TEST_CASE("the check of base64 knows every character at every place", "[base64]") {
  // Long enough for all of the wide, the narrow and the single steps.
  std::string text = base64_of(noise(300));
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char before = text[at];
    for (int value = 0; value < 256; ++value) {
      text[at] = static_cast<char>(value);
      const bool good = base64_alphabet.find(text[at]) != std::string_view::npos;
      const std::size_t expected = good ? text.size() : at;
      if (base64_letters(text) != expected || base64_letters_portable(text) != expected) {
        FAIL("byte " << value << " at " << at);
      }
    }
    text[at] = before;
  }
  SUCCEED();
}

TEST_CASE("base64 that is not canonical is refused where it stops being so", "[base64]") {
  CHECK(checked("Zm9v") == "3 bytes");
  CHECK(checked("Zm8=") == "2 bytes");
  CHECK(checked("Zg==") == "1 bytes");
  CHECK(checked("Z") == "error at 1");
  CHECK(checked("Zg") == "error at 2");
  CHECK(checked("Zg=") == "error at 3");
  CHECK(checked("Zm8") == "error at 3");
  CHECK(checked("Zm9vZ") == "error at 5");
  CHECK(checked("=") == "error at 0");
  CHECK(checked("====") == "error at 0");
  CHECK(checked("Z===") == "error at 1");
  CHECK(checked("Zg=g") == "error at 3");
  CHECK(checked("Zg===") == "error at 4");
  CHECK(checked("Zm8==") == "error at 4");
  CHECK(checked("Zm9v=") == "error at 4");
  CHECK(checked("Zm8=Zm8=") == "error at 4");
  // Bits left over: 'g' is 100000, '8' is 111100.
  CHECK(checked("Zh==") == "error at 1");
  CHECK(checked("Zo==") == "error at 1");
  CHECK(checked("Zm9=") == "error at 2");
  CHECK(checked("Zm-_") == "error at 2");
  CHECK(checked(" Zm9v") == "error at 0");
  CHECK(checked("Zm9v\n") == "error at 4");
  CHECK(checked(std::string_view{"Zm\0v", 4}) == "error at 2");
}

TEST_CASE("the check of base64 accepts just what decodes and encodes to itself", "[base64]") {
  constexpr std::string_view letters = "AQgwZ9+/=-";
  // All texts of up to five characters.
  for (std::size_t size = 0; size <= 5; ++size) {
    std::size_t count = 1;
    for (std::size_t i = 0; i < size; ++i) count *= letters.size();
    for (std::size_t number = 0; number < count; ++number) {
      std::string text;
      for (std::size_t i = 0, rest = number; i < size; ++i, rest /= letters.size()) text += letters[rest % letters.size()];
      std::string bytes(base64_decoded_capacity(size), '\0');
      const Base64Decoded decoded = base64_decode_to(text, bytes.data());
      bytes.resize(decoded.size);
      const bool is_canonical = decoded.error_offset == std::string_view::npos && base64_of(bytes) == text;
      const Base64Decoded result = check_base64(text);
      if ((result.error_offset == std::string_view::npos) != is_canonical || (is_canonical && result.size != bytes.size())) {
        FAIL(text);
      }
      // What is known of its end changes nothing but the time.
      const std::size_t unpadded = text.size() - std::min<std::size_t>(2, text.size() - (text.find_last_not_of('=') + 1));
      for (std::size_t known = 0; known <= unpadded; ++known) {
        if (base64_letters_portable(text.substr(unpadded - known, known)) != known) break;
        const Base64Decoded same = check_base64(text, known);
        if (same.error_offset != result.error_offset || same.size != result.size) FAIL(text << ", " << known << " known");
      }
    }
  }
  SUCCEED();
}

TEST_CASE("a range of base64 gives every byte", "[base64]") {
  for (std::size_t size = 0; size < 100; ++size) {
    const std::string bytes = noise(size);
    const std::string text = base64_of(bytes);
    const Base64Range range{text};
    REQUIRE(range.size() == size);
    CHECK(range.text().data() == text.data());
    std::string read;
    for (std::size_t i = 0; i < size; ++i) read += static_cast<char>(range[i]);
    CHECK(read == bytes);
  }
}

}  // namespace base64_range_test
