#include <ecso/detail/html_text.hpp>

#include "support/catch.hpp"

namespace html_text_test {

using ecso::detail::html_text;

TEST_CASE("text in HTML shows itself and does nothing", "[html]") {
  CHECK(html_text("<a href=\"x\">&amp;</a>") == "&lt;a href=&quot;x&quot;&gt;&amp;amp;&lt;/a&gt;");
  CHECK(html_text("café 中文\n\t") == "café 中文\n\t");
  CHECK(html_text("a\x1B[0m\x7F\xFFz") == "a\uFFFD[0m\uFFFD\uFFFDz");
  CHECK(html_text("").empty());
}

}  // namespace html_text_test
