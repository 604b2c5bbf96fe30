#include <ecso/detail/least_tokens.hpp>

#include "support/catch.hpp"

#include <string>

namespace least_tokens_test {

namespace {

using ecso::detail::least_tokens;

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("a word is a token at least, in any script with blanks", "[least_tokens]") {
  CHECK(least_tokens("") == 0);
  CHECK(least_tokens("A bowl of fruit.") == 4);
  CHECK(least_tokens("how-to-build") == 3);
  CHECK(least_tokens("I don't, he’s") == 3);
  CHECK(least_tokens("Что это такое?") == 3);
  CHECK(least_tokens("l'été à Zürich") == 3);
  CHECK(least_tokens("over 9000 times") == 3);
  CHECK(least_tokens("이것은 무엇입니까") == 2);
}

TEST_CASE("a word of many letters is more than one token", "[least_tokens]") {
  CHECK(least_tokens(repeated("a", 24)) == 1);
  CHECK(least_tokens(repeated("a", 25)) == 2);
  CHECK(least_tokens(repeated("ß", 240)) == 10);
}

TEST_CASE("Chinese and kana are counted by the character", "[least_tokens]") {
  CHECK(least_tokens("这是一个水果碗。") == 2);
  CHECK(least_tokens(repeated("水", 400)) == 133);
  CHECK(least_tokens(repeated("み", 400)) == 100);
  CHECK(least_tokens("the 水果盘 bowl") == 3);
}

TEST_CASE("blanks, marks and bytes that are no text count nothing", "[least_tokens]") {
  CHECK(least_tokens(repeated(" ", 1000)) == 0);
  CHECK(least_tokens(repeated("\n\t> ", 1000)) == 0);
  CHECK(least_tokens(repeated("\u00A0\u2003\u3000。、！…", 100)) == 0);
  CHECK(least_tokens(repeated("\xFF", 100)) == 0);
  CHECK(least_tokens("a\xFF"
                     "b") == 2);
}

}  // namespace least_tokens_test
