#include <ecso/detail/text_stream.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace text_stream_test {

using namespace ecso::detail;

namespace {

struct Streamed {
  std::vector<std::string> pieces;
  std::string text;
  bool stopped = false;

  [[nodiscard]] std::string joined() const {
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    return all;
  }
};

Streamed stream(const std::vector<std::string>& stops, const std::vector<std::string>& tokens) {
  TextStream stream{stops};
  Streamed result;
  for (const std::string& token : tokens) result.pieces.emplace_back(stream.append(token));
  result.pieces.emplace_back(stream.finish());
  result.stopped = stream.stopped();
  result.text = std::move(stream).text();
  return result;
}

}  // namespace

TEST_CASE("Text comes out as it goes in", "[text_stream]") {
  const Streamed result = stream({}, {"The", " picture", "", " shows"});
  CHECK(result.pieces == std::vector<std::string>{"The", " picture", "", " shows", ""});
  CHECK(result.text == "The picture shows");
  CHECK_FALSE(result.stopped);
}

TEST_CASE("A character cut between tokens comes out whole", "[text_stream]") {
  const Streamed result = stream({}, {"a\xE4", "\xBD", "\xA0\xF0\x9F", "\x98\x80", "b"});
  CHECK(result.pieces == std::vector<std::string>{"a", "", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "b", ""});
}

TEST_CASE("Each byte that is part of no character becomes a replacement character", "[text_stream]") {
  CHECK(to_valid_utf8("a\xFF\x80z") == "a\xEF\xBF\xBD\xEF\xBF\xBDz");
  CHECK(to_valid_utf8("\xE4\xBD") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(to_valid_utf8("\xE4\xBDz") == "\xEF\xBF\xBD\xEF\xBF\xBDz");
  CHECK(to_valid_utf8("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(to_valid_utf8("\xC0\xAF") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(to_valid_utf8("\xF5") == "\xEF\xBF\xBD");
  CHECK(to_valid_utf8("").empty());
  const Streamed result = stream({}, {"\xF0\x9F", "z"});
  CHECK(result.pieces == std::vector<std::string>{"", "\xEF\xBF\xBD\xEF\xBF\xBDz", ""});
}

TEST_CASE("A stop text ends the text wherever the tokens cut it, and none of it gets out", "[text_stream]") {
  const std::string whole = "one two STOP three";
  for (std::size_t first = 0; first <= whole.size(); ++first) {
    for (std::size_t second = first; second <= whole.size(); ++second) {
      const Streamed result =
          stream({"STOP"}, {whole.substr(0, first), whole.substr(first, second - first), whole.substr(second)});
      INFO(first << " " << second);
      REQUIRE(result.text == "one two ");
      REQUIRE(result.joined() == result.text);
      REQUIRE(result.stopped);
    }
  }
}

TEST_CASE("What may become a stop text waits, and comes out when it does not", "[text_stream]") {
  const Streamed result = stream({"###", "</s>"}, {"a#", "#", "b<", "/", "s"});
  CHECK(result.pieces == std::vector<std::string>{"a", "", "##b", "", "", "</s"});
  CHECK_FALSE(result.stopped);
}

TEST_CASE("Of several stop texts the first in the text counts; an empty one counts never", "[text_stream]") {
  CHECK(stream({"", "two", "one t"}, {"zero one two"}).text == "zero ");
  CHECK(stream({""}, {"a"}).text == "a");
  CHECK(stream({"a"}, {"a", "b"}).text.empty());
  CHECK(stream({"aab"}, {"a", "a", "a", "b"}).text == "a");
}

}  // namespace text_stream_test
