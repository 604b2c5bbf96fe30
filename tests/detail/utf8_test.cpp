#include <ecso/detail/utf8.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace utf8_test {

namespace {

using namespace ecso::detail;

/// UTF-8 of any number up to 0x1FFFFF, surrogates and too large ones too.
std::string encode_code_point(unsigned code) {
  const auto continuation = [&](unsigned shift) { return static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0 | code >> 6), continuation(0)};
  if (code < 0x10000) return {static_cast<char>(0xE0 | code >> 12), continuation(6), continuation(0)};
  return {static_cast<char>(0xF0 | code >> 18), continuation(12), continuation(6), continuation(0)};
}

}  // namespace

TEST_CASE("exactly the Unicode scalar values are valid UTF-8", "[utf8]") {
  for (unsigned code = 0; code < 0x1FFFFF; code += code < 0x11000 ? 1 : 61) {
    const bool is_scalar = code < 0xD800 || (code > 0xDFFF && code < 0x110000);
    const std::string text = encode_code_point(code);
    if (is_valid_utf8(text) != is_scalar) FAIL("code point " << code);
    if (utf8_sequence_length(text) != (is_scalar ? text.size() : 0)) FAIL("code point " << code);
  }
  CHECK(is_valid_utf8(encode_code_point(0x10FFFF)));
  CHECK_FALSE(is_valid_utf8(encode_code_point(0x110000)));
}

TEST_CASE("overlong forms, stray and missing continuation bytes are not valid UTF-8", "[utf8]") {
  const std::vector<std::string_view> wrong{
      "\x80",         "\xBF",         "\xC0\x80",         "\xC1\xBF",         "\xC2",
      "\xC2\x41",     "\xE0\x80\x80", "\xE0\x9F\xBF",     "\xE2\x82",         "\xE2\x28\xA1",
      "\xED\xA0\x80", "\xF0\x9F\x98", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
      "\xFE",         "\xFF"};
  for (const std::string_view text : wrong) {
    INFO(Catch::StringMaker<std::string>::convert(std::string{text}));
    CHECK(find_invalid_utf8(text) == 0);
  }
}

TEST_CASE("the offset of invalid UTF-8 is found behind text of any length", "[utf8]") {
  for (std::size_t ascii = 0; ascii < 40; ++ascii) {
    const std::string start = std::string(ascii, 'a') + "é";
    CHECK(find_invalid_utf8(start) == std::string_view::npos);
    CHECK(find_invalid_utf8(start + "\xFFzzzzzzzzzzzz") == ascii + 2);
    CHECK(find_invalid_utf8(std::string(ascii, 'a') + "\xE2\x82") == ascii);
  }
  CHECK(is_valid_utf8(""));
  CHECK(is_valid_utf8(std::string_view{"\0", 1}));
}

TEST_CASE("text is cut after a number of code points, never inside one", "[utf8]") {
  CHECK(truncate_code_points("héllo", 2) == "hé");
  CHECK(truncate_code_points("日本語", 1) == "日");
  CHECK(truncate_code_points("😀😀", 1) == "😀");
  CHECK(truncate_code_points("abc", 0).empty());
  CHECK(truncate_code_points("abc", 3) == "abc");
  CHECK(truncate_code_points("abc", 99) == "abc");
  CHECK(truncate_code_points("", 5).empty());
  CHECK(truncate_code_points("a\xFF\xFE"
                             "b",
                             3) == "a\xFF\xFE");
  CHECK(truncate_code_points("\xE2\x82"
                             "b",
                             2) == "\xE2\x82");
}

TEST_CASE("cutting text counts as one code point at a time does", "[utf8]") {
  std::string text;
  for (int i = 0; i < 10; ++i) text += "0123456789é日\xFF😀";
  std::size_t end = 0;
  for (std::size_t count = 0; end < text.size(); ++count) {
    REQUIRE(truncate_code_points(text, count).size() == end);
    const std::size_t length = utf8_sequence_length(std::string_view{text}.substr(end));
    end += length == 0 ? 1 : length;
  }
}

}  // namespace utf8_test
