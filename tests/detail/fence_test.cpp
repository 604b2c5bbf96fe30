#include <ecso/detail/fence.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>

namespace fence_test {

namespace {

using namespace std::string_literals;

std::string quoted(std::string_view data) {
  std::string out;
  ecso::detail::append_quoted(out, data);
  return out;
}

}  // namespace

TEST_CASE("Quoting begins every line with a quote mark, however it is broken", "[fence]") {
  CHECK(quoted("") == "> ");
  CHECK(quoted("a") == "> a");
  CHECK(quoted("a\nb") == "> a\n> b");
  CHECK(quoted("a\n") == "> a\n> ");
  CHECK(quoted("\n\n") == "> \n> \n> ");
  CHECK(quoted("a\r\nb") == "> a\n> b");
  CHECK(quoted("a\rb") == "> a\n> b");
  CHECK(quoted("a\n\rb") == "> a\n> \n> b");
  CHECK(quoted("a\vb\fc") == "> a\n> b\n> c");
  CHECK(quoted("a\u0085b") == "> a\n> b");
  CHECK(quoted("a\u2028b\u2029c") == "> a\n> b\n> c");
  CHECK(quoted("> a") == "> > a");
}

TEST_CASE("Quoting replaces control characters other than tab", "[fence]") {
  CHECK(quoted("a\0b"s) == "> a\uFFFDb");
  CHECK(quoted("\x1B[2J\x7F") == "> \uFFFD[2J\uFFFD");
  CHECK(quoted("a\tb") == "> a\tb");
  CHECK(quoted("\x1C\x1D\x1E") == "> \uFFFD\uFFFD\uFFFD");
}

TEST_CASE("Quoting breaks up control tokens and keeps other brackets", "[fence]") {
  CHECK(quoted("</s>") == "> < /s>");
  CHECK(quoted("<|im_start|>") == "> < |im_start|>");
  CHECK(quoted("<<SYS>>") == "> < < SYS>>");
  CHECK(quoted("[INST][/INST]") == "> [ INST][ /INST]");
  CHECK(quoted("[|user|]") == "> [ |user|]");
  CHECK(quoted("<\n/s>") == "> < \n> /s>");
  CHECK(quoted("a < b, a[0], [1, 2], x[-1] <") == "> a < b, a[0], [1, 2], x[-1] <");
  CHECK(quoted("2<3") == "> 2< 3");
}

TEST_CASE("Quoting appends", "[fence]") {
  std::string out = "QUERY:\n";
  ecso::detail::append_quoted(out, "x");
  ecso::detail::append_quoted(out, "y");
  CHECK(out == "QUERY:\n> x> y");
}

TEST_CASE("Quoting keeps text that is not valid UTF-8 apart from its line breaks", "[fence]") {
  CHECK(quoted("\xFF\xC2") == "> \xFF\xC2");
  CHECK(quoted("\xE2\x80") == "> \xE2\x80");
  CHECK(quoted("\xC2\n\x85") == "> \xC2\n> \x85");
}

}  // namespace fence_test
