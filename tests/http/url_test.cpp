#include <ecso/http/url.hpp>

#include <string>
#include <string_view>
#include <utility>

#include "support/catch.hpp"

namespace url_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::Url;

std::string refusal(std::string_view text) {
  try {
    return "accepted as " + Url::parse(text).text();
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    CHECK(std::string_view{error.what()}.find_first_of("\n\r\x1B") == std::string_view::npos);
    return error.what();
  }
}

}  // namespace

TEST_CASE("A URL loses the slashes at its end and keeps its path", "[http][url]") {
  CHECK(Url::parse("http://127.0.0.1:8080").text() == "http://127.0.0.1:8080");
  CHECK(Url::parse("http://127.0.0.1:8080/").text() == "http://127.0.0.1:8080");
  CHECK(Url::parse("HTTPS://example.com/v1//").text() == "https://example.com/v1");
  CHECK(Url::parse("http://[::1]:8080/v1").text() == "http://[::1]:8080/v1");
  CHECK(Url::parse("http://127.0.0.1:8080/").path().empty());
  CHECK(Url::parse("https://example.com/a/v1/").path() == "/a/v1");
}

TEST_CASE("A path is joined after the URL's own path", "[http][url]") {
  const Url url = Url::parse("http://localhost/v1/").with_path("/chat/completions");
  CHECK(url.text() == "http://localhost/v1/chat/completions");
  CHECK(url.path() == "/v1/chat/completions");
  CHECK(url == Url::parse("http://localhost/v1/chat/completions"));
}

TEST_CASE("A query is joined after the path, and counts as part of it", "[http][url]") {
  const Url base = Url::parse("https://localhost:8443/openai/");
  const Url url = base.with_path("/chat").with_query("api-version=2024-10-21");
  CHECK(url.text() == "https://localhost:8443/openai/chat?api-version=2024-10-21");
  CHECK(url.path() == "/openai/chat?api-version=2024-10-21");
  CHECK(base.with_query("").text() == "https://localhost:8443/openai");
  CHECK(base.with_query("") == base);
  CHECK(Url::parse("http://localhost/").with_query("a=1&b=%20").text() == "http://localhost?a=1&b=%20");
  CHECK(Url::parse("http://localhost/").with_query("a=1").path() == "?a=1");
}

TEST_CASE("Every wrong URL is refused with its reason", "[http][url]") {
  const auto [text, reason] = GENERATE(table<std::string, std::string>({
      {"", "is empty"},
      {"localhost:8080", "does not start with http:// or https://"},
      {"/v1", "does not start with http:// or https://"},
      {"ftp://host", "neither http:// nor https://"},
      {"file:///etc/passwd", "neither http:// nor https://"},
      {"http://", "names no host"},
      {"http://:8080", "names no host"},
      {"http://host:99999", "port"},
      {"http://host:eight", "port"},
      {"http://a b/", "is not a URL"},
      {"http://host/\n", "is not a URL"},
      {"http://host/\x1B[31m", "is not a URL"},
      {std::string{"http://host/\0x", 14}, "zero byte"},
      {"http://host/v1?api-version=1", "has a query"},
      {"http://host/v1#top", "has a fragment"},
  }));
  CAPTURE(text);
  CHECK_THAT(refusal(text), ContainsSubstring(reason));
}

TEST_CASE("A URL with a user, a password or a query is refused without repeating them", "[http][url]") {
  for (const std::string text :
       {"http://user:hunter2@host", "http://hunter2@host", "http://:hunter2@host", "ftp://u:hunter2@host",
        "http://host?key=hunter2", "http://host/#hunter2", "u:hunter2@host", "http://u:hunter2@host:99999"}) {
    CAPTURE(text);
    const std::string message = refusal(text);
    CHECK_THAT(message, !ContainsSubstring("hunter2"));
    CHECK_THAT(message, !ContainsSubstring("accepted"));
  }
  CHECK_THAT(refusal("http://user:hunter2@host"), ContainsSubstring("the option for the key"));
}

}  // namespace url_test
