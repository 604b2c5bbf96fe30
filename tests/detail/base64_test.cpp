#include <ecso/detail/base64.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace base64_test {

namespace {

using namespace ecso::detail;

using Encoder = void (*)(std::string_view, char*) noexcept;

std::vector<Encoder> encoders() {
  std::vector<Encoder> all{base64_encode_portable, base64_encode_to};
#if defined(__x86_64__)
  if (cpu_has_avx2()) all.push_back(base64_encode_avx2);
#endif
  return all;
}

std::vector<Base64GroupDecoder> group_decoders() {
  std::vector<Base64GroupDecoder> all{base64_decode_groups_portable, base64_decode_groups};
#if defined(__x86_64__)
  if (cpu_has_avx2()) all.push_back(base64_decode_groups_avx2);
#endif
  // None at all: every group goes through the code for white space and ends.
  all.push_back([](const char*&, const char*, char*&) {});
  return all;
}

std::string encode(std::string_view bytes, Encoder encoder = base64_encode_to) {
  std::string text(base64_encoded_size(bytes.size()), '?');
  encoder(bytes, text.data());
  return text;
}

/// The bytes, or "error at N".
std::string decode(std::string_view text, Base64GroupDecoder groups = base64_decode_groups) {
  // Exactly as large as promised, so that a sanitizer sees a write behind it.
  std::vector<char> bytes(base64_decoded_capacity(text.size()));
  const Base64Decoded decoded = base64_decode_to(text, bytes.data(), groups);
  if (decoded.error_offset != std::string_view::npos) return "error at " + std::to_string(decoded.error_offset);
  return {bytes.data(), decoded.size};
}

/// One bit at a time, as RFC 4648 tells it.
std::string naive_encode(std::string_view bytes) {
  std::string bits;
  for (const char c : bytes) {
    for (int bit = 7; bit >= 0; --bit) bits += (static_cast<unsigned char>(c) >> bit & 1) != 0 ? '1' : '0';
  }
  while (bits.size() % 6 != 0) bits += '0';
  std::string text;
  for (std::size_t at = 0; at < bits.size(); at += 6) {
    std::size_t sextet = 0;
    for (const char bit : bits.substr(at, 6)) sextet = 2 * sextet + (bit == '1' ? 1U : 0U);
    text += base64_alphabet[sextet];
  }
  while (text.size() % 4 != 0) text += '=';
  return text;
}

std::string random_bytes(std::mt19937& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random() & 0xFF);
  return bytes;
}

std::string url_safe(std::string text) {
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

std::string without_padding(std::string text) { return text.substr(0, text.find('=')); }

}  // namespace

TEST_CASE("base64 gives the test vectors of RFC 4648", "[base64]") {
  const std::vector<std::pair<std::string, std::string>> vectors{{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    CHECK(encode(bytes) == text);
    CHECK(decode(text) == bytes);
  }
}

TEST_CASE("every way to encode and decode base64 agrees with the naive one", "[base64]") {
  std::mt19937 random{1};
  for (std::size_t size = 0; size <= 300; ++size) {
    const std::string bytes = random_bytes(random, size);
    const std::string text = naive_encode(bytes);
    for (const Encoder encoder : encoders()) REQUIRE(encode(bytes, encoder) == text);
    for (const Base64GroupDecoder groups : group_decoders()) {
      REQUIRE(decode(text, groups) == bytes);
      REQUIRE(decode(without_padding(text), groups) == bytes);
      REQUIRE(decode(url_safe(text), groups) == bytes);
      REQUIRE(decode(without_padding(url_safe(text)), groups) == bytes);
    }
  }
}

TEST_CASE("base64 maps each of its characters at each place of a vector", "[base64]") {
  for (std::size_t place = 0; place < 64; ++place) {
    for (const char c : base64_alphabet) {
      std::string text(64, 'A');
      text[place] = c;
      for (const Base64GroupDecoder groups : group_decoders()) {
        const std::string bytes = decode(text, groups);
        for (const Encoder encoder : encoders()) REQUIRE(encode(bytes, encoder) == text);
      }
    }
  }
}

TEST_CASE("base64 names the offset of a byte that does not belong, wherever it is", "[base64]") {
  const std::string text(128, 'A');
  for (std::size_t place = 0; place < text.size(); ++place) {
    for (int value = 0; value < 256; ++value) {
      const char c = static_cast<char>(value);
      if (base64_alphabet.find(c) != std::string_view::npos) continue;
      if (std::string_view{"-_ \t\n\v\f\r"}.find(c) != std::string_view::npos) continue;
      // Padding is right in the last two places, if nothing comes after it.
      if (c == '=' && place == text.size() - 1) continue;
      std::string wrong = text;
      wrong[place] = c;
      // Of padding in the middle, the first letter after it is what does not belong, unless a group was complete.
      const bool late = c == '=' && place % 4 >= 2;
      const std::string expected = "error at " + std::to_string(late ? place + 1 : place);
      for (const Base64GroupDecoder groups : group_decoders()) REQUIRE(decode(wrong, groups) == expected);
    }
  }
}

TEST_CASE("base64 tolerates ASCII white space anywhere, as in MIME", "[base64]") {
  std::mt19937 random{2};
  for (const std::size_t size : {1U, 2U, 3U, 56U, 57U, 58U, 200U, 1000U}) {
    const std::string bytes = random_bytes(random, size);
    const std::string text = encode(bytes);
    std::string lines;
    for (std::size_t at = 0; at < text.size(); at += 76) lines += text.substr(at, 76) + "\r\n";
    std::string scattered;
    for (const char c : text) {
      scattered += c;
      if (random() % 3 == 0) scattered += " \t\n\v\f\r"[random() % 6];
    }
    for (const Base64GroupDecoder groups : group_decoders()) {
      CHECK(decode(lines, groups) == bytes);
      CHECK(decode(scattered, groups) == bytes);
    }
  }
  CHECK(decode(" \n ").empty());
  CHECK(decode("Zg = =\n") == "f");
}

TEST_CASE("base64 refuses wrong padding and half groups", "[base64]") {
  CHECK(decode("Z") == "error at 1");
  CHECK(decode("Zm9vY") == "error at 5");
  CHECK(decode("Z===") == "error at 1");
  CHECK(decode("Zg=") == "error at 3");
  CHECK(decode("Zg===") == "error at 4");
  CHECK(decode("Zm8==") == "error at 4");
  CHECK(decode("Zm9v=") == "error at 4");
  CHECK(decode("=") == "error at 0");
  CHECK(decode("Zg==Zg==") == "error at 4");
  CHECK(decode("Zh==") == "f");  // bits left over
}

}  // namespace base64_test
