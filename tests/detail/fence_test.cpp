#include <ecso/detail/fence.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>

namespace {

using namespace std::string_literals;

std::string quote(std::string_view data) {
  std::string out;
  ecso::detail::append_quoted(out, data);
  return out;
}

}  // namespace

TEST_CASE("Quoting begins every line with a quote mark, however it is broken", "[fence]") {
  CHECK(quote("") == "> ");
  CHECK(quote("a") == "> a");
  CHECK(quote("a\nb") == "> a\n> b");
  CHECK(quote("a\n") == "> a\n> ");
  CHECK(quote("\n\n") == "> \n> \n> ");
  CHECK(quote("a\r\nb") == "> a\n> b");
  CHECK(quote("a\rb") == "> a\n> b");
  CHECK(quote("a\n\rb") == "> a\n> \n> b");
  CHECK(quote("a\vb\fc") == "> a\n> b\n> c");
  CHECK(quote("a\u0085b") == "> a\n> b");
  CHECK(quote("a\u2028b\u2029c") == "> a\n> b\n> c");
  CHECK(quote("> a") == "> > a");
}

TEST_CASE("Quoting replaces control characters other than tab", "[fence]") {
  CHECK(quote("a\0b"s) == "> a\uFFFDb");
  CHECK(quote("\x1B[2J\x7F") == "> \uFFFD[2J\uFFFD");
  CHECK(quote("a\tb") == "> a\tb");
  CHECK(quote("\x1C\x1D\x1E") == "> \uFFFD\uFFFD\uFFFD");
}

TEST_CASE("Quoting breaks up control tokens and keeps other brackets", "[fence]") {
  CHECK(quote("</s>") == "> < /s>");
  CHECK(quote("<|im_start|>") == "> < |im_start|>");
  CHECK(quote("<<SYS>>") == "> < < SYS>>");
  CHECK(quote("[INST][/INST]") == "> [ INST][ /INST]");
  CHECK(quote("[|user|]") == "> [ |user|]");
  CHECK(quote("<\n/s>") == "> < \n> /s>");
  CHECK(quote("a < b, a[0], [1, 2], x[-1] <") == "> a < b, a[0], [1, 2], x[-1] <");
  CHECK(quote("2<3") == "> 2< 3");
}

TEST_CASE("Quoting appends", "[fence]") {
  std::string out = "QUERY:\n";
  ecso::detail::append_quoted(out, "x");
  ecso::detail::append_quoted(out, "y");
  CHECK(out == "QUERY:\n> x> y");
}

TEST_CASE("Quoting keeps text that is not valid UTF-8 apart from its line breaks", "[fence]") {
  CHECK(quote("\xFF\xC2") == "> \xFF\xC2");
  CHECK(quote("\xE2\x80") == "> \xE2\x80");
  CHECK(quote("\xC2\n\x85") == "> \xC2\n> \x85");
}
