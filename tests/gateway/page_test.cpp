#include <ecso/gateway/page.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace page_test {

namespace {

using namespace ecso::gateway;
using Catch::Matchers::ContainsSubstring;

const std::string page{page_html};

std::string header(std::string_view name) {
  const auto& headers = page_security_headers();
  const auto found = std::ranges::find(headers, name, &PageHeader::name);
  return found == headers.end() ? std::string{} : found->value;
}

std::size_t count(const std::string& regex, const std::string& text = page) {
  const std::regex wanted{regex, std::regex::icase | std::regex::optimize};
  return static_cast<std::size_t>(std::distance(std::sregex_iterator{text.begin(), text.end(), wanted}, {}));
}

/// The page without its script, its style and its images: what a browser reads as markup.
std::string markup() {
  std::string text = page;
  for (const std::string tag : {"script", "style"}) {
    const std::size_t begin = text.find("<" + tag + ">");
    text.erase(begin, text.find("</" + tag + ">") - begin);
  }
  for (std::size_t at = 0; (at = text.find(";base64,", at)) != std::string::npos;) {
    at += std::string_view{";base64,"}.size();
    text.erase(at, text.find('"', at) - at);
  }
  return text;
}

std::string base64_of(const std::string& file) {
  std::ifstream in{file, std::ios::binary};
  const std::string bytes{std::istreambuf_iterator<char>{in}, {}};
  REQUIRE_FALSE(bytes.empty());
  std::string encoded(ecso::detail::base64_encoded_size(bytes.size()), '\0');
  ecso::detail::base64_encode_to(bytes, encoded.data());
  return encoded;
}

}  // namespace

TEST_CASE("A hash of the Content-Security-Policy is base64 of SHA-256", "[gateway][page]") {
  // FIPS 180-4 example "abc".
  CHECK(ecso::detail::csp_hash("abc") == "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='");
}

TEST_CASE("The page has one script and one style, and its policy allows those two and no other", "[gateway][page]") {
  REQUIRE(count("<script") == 1);
  REQUIRE(count("</script") == 1);
  REQUIRE(count("<style") == 1);
  REQUIRE(count("</style") == 1);
  const std::string script{ecso::detail::between(page_html, "<script>", "</script>")};
  const std::string style{ecso::detail::between(page_html, "<style>", "</style>")};
  CHECK(script.size() > 1000);
  CHECK(style.size() > 1000);

  const std::string policy = header("Content-Security-Policy");
  CHECK_THAT(policy, ContainsSubstring("script-src " + ecso::detail::csp_hash(script) + ";"));
  CHECK_THAT(policy, ContainsSubstring("style-src " + ecso::detail::csp_hash(style) + ";"));
  for (const char* rule : {"default-src 'none';", "img-src data: blob:;", "connect-src 'self';", "base-uri 'none';",
                           "form-action 'none';", "frame-ancestors 'none';", "require-trusted-types-for 'script'"}) {
    CHECK_THAT(policy, ContainsSubstring(rule));
  }
  CHECK(policy.find("unsafe") == std::string::npos);
  CHECK(policy.find('*') == std::string::npos);
}

TEST_CASE("The page's headers keep it to itself and can be written into a response", "[gateway][page]") {
  CHECK(header("Content-Type") == "text/html; charset=utf-8");
  CHECK(header("X-Content-Type-Options") == "nosniff");
  CHECK(header("X-Frame-Options") == "DENY");
  CHECK(header("Referrer-Policy") == "no-referrer");
  CHECK(header("Cross-Origin-Opener-Policy") == "same-origin");
  CHECK(&page_security_headers() == &page_security_headers());
  for (const PageHeader& field : page_security_headers()) {
    CHECK_FALSE(field.name.empty());
    CHECK(std::ranges::all_of(field.value, [](char c) { return c >= ' ' && c <= '~'; }));
  }
}

TEST_CASE("The page needs nothing from outside and has nothing that its policy forbids", "[gateway][page]") {
  CHECK(page.starts_with("<!doctype html>\n"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(count("https?://") == 0);
  CHECK(count("@import|\\burl\\(", std::string{ecso::detail::between(page_html, "<style>", "</style>")}) == 0);
  const std::string html = markup();
  CHECK(count("\\son[a-z]+\\s*=", html) == 0);
  CHECK(count("\\sstyle\\s*=", html) == 0);
  CHECK(count("<(link|img|iframe|object|embed|base|meta[^>]+http-equiv)[^>]*(src|href)=\"(?!data:image/png;base64,)", html) == 0);
  CHECK(count("javascript:", html) == 0);
  CHECK(count("<(iframe|object|embed|base)\\b", html) == 0);
}

TEST_CASE("The page's script makes text of what comes from outside, never markup or code", "[gateway][page]") {
  const std::string script{ecso::detail::between(page_html, "<script>", "</script>")};
  for (const char* sink : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document\\.write", "\\beval\\b", "new Function",
                           "createContextualFragment", "srcdoc", "localStorage", "sessionStorage", "document\\.cookie"}) {
    CAPTURE(sink);
    CHECK(count(sink, script) == 0);
  }
}

TEST_CASE("The page's examples are the images of the demo", "[gateway][page]") {
  CHECK(page.find(base64_of("examples/images/harmful.png")) != std::string::npos);
  CHECK(page.find(base64_of("examples/images/benign.png")) != std::string::npos);
}

TEST_CASE("The page is small", "[gateway][page]") {
  constexpr std::size_t images = 27'000;
  CHECK(page.size() < 64'000 + images);
}

}  // namespace page_test
