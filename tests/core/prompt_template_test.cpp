#include <ecso/core/prompt_template.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace prompt_template_test {

namespace {

using namespace ecso;
using namespace std::string_literals;
using namespace std::string_view_literals;

using Query = PromptTemplate<Slot::query>;
using QueryAndResponse = PromptTemplate<Slot::query, Slot::response>;

std::string problem(const std::string& text) {
  try {
    const QueryAndResponse prompt{text};
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.message();
  }
}

}  // namespace

TEST_CASE("A prompt puts each value into its slot", "[prompt_template]") {
  const QueryAndResponse prompt{"Q={query} R={response} Q={query}"s};
  CHECK(prompt.fill({.query = "why", .response = "because"}) == "Q=why R=because Q=why");
  CHECK(prompt.fill({}) == "Q= R= Q=");
  CHECK(prompt.text() == "Q={query} R={response} Q={query}");
}

TEST_CASE("A prompt checked while compiling fills like the same text checked at run time", "[prompt_template]") {
  static constexpr StaticPrompt<Slot::caption, Slot::query> literal{"{caption} {{x}} {query}"};
  const PromptTemplate<Slot::caption, Slot::query> from_literal = literal;
  const PromptTemplate<Slot::caption, Slot::query> from_text{std::string{literal.text()}};
  CHECK(from_literal == from_text);
  CHECK(from_literal.fill({.query = "b", .caption = "a"}) == "a {x} b");
}

TEST_CASE("A brace written twice is a literal brace", "[prompt_template]") {
  CHECK(Query{"{{{query}}}"s}.fill({.query = "x"}) == "{x}");
  CHECK(Query{"{{query}} {query}"s}.fill({.query = "x"}) == "{query} x");
  CHECK(Query{"}}{{{query}"s}.fill({.query = "x"}) == "}{x");
  CHECK(PromptTemplate<>{"{{}}"s}.fill({}) == "{}");
  CHECK(PromptTemplate<>{""s}.fill({}).empty());
}

TEST_CASE("A value is never read as a template", "[prompt_template]") {
  const QueryAndResponse prompt{"{query}|{response}"s};
  const std::string odd[]{"{",         "}",        "{{",    "}}",  "{query}",  "{response}",  "{{query}}", "{caption}",
                          "{unknown}", "%s",       "%n%d%", "{0}", "{:>1000}", "\\{query\\}", "$query",    "\0{query}\0"s,
                          "a\0b"s,     "\xFF\xFE", ""};
  for (const std::string& query : odd) {
    for (const std::string& response : odd) CHECK(prompt.fill({.query = query, .response = response}) == query + "|" + response);
  }
}

TEST_CASE("Values of megabytes are filled whole", "[prompt_template]") {
  const std::string query(std::size_t{3} << 20, '{');
  const std::string response(std::size_t{2} << 20, '\n');
  const std::string filled = QueryAndResponse{"<{query}|{response}>"s}.fill({.query = query, .response = response});
  CHECK(filled == "<" + query + "|" + response + ">");
}

TEST_CASE("Filling takes the memory that it needs at once", "[prompt_template]") {
  const QueryAndResponse prompt{"The query is\n{query}\nand the response is\n{response}\nand that is all there is."s};
  const std::string query(100'000, 'q');
  std::string response;
  for (int line = 0; line < 3'000; ++line) response += "An answer of many lines, with <b>tags</b> [and] brackets.\n";
  const SlotValues values{.query = query, .response = response};
  const std::string filled = prompt.fill(values);
  CHECK(filled.capacity() < filled.size() + 64);
  const std::string quoted = prompt.fill(values, Fence::quote);
  CHECK(quoted.capacity() <= 2 * quoted.size());
}

TEST_CASE("A template that comes at run time is refused with what is wrong", "[prompt_template]") {
  const std::string known = "; this prompt has the slots {query}, {response}";
  CHECK(problem("{query} {response}").empty());
  CHECK(problem("{query}") == "prompt template: missing slot {response}" + known);
  CHECK(problem("{response}") == "prompt template: missing slot {query}" + known);
  CHECK(problem("") == "prompt template: missing slot {query}" + known);
  CHECK(problem("{query} {{response}}") == "prompt template: missing slot {response}" + known);
  CHECK(problem("{query} {response} {caption}") == "prompt template: unknown slot {caption}" + known);
  CHECK(problem("{query} {response} {Query}") == "prompt template: unknown slot {Query}" + known);
  CHECK(problem("{query} {response} { query }") == "prompt template: unknown slot { query }" + known);
  CHECK(problem("{query} {response} {}") == "prompt template: unknown slot {}" + known);
  CHECK(problem("{query} {response} {0}") == "prompt template: unknown slot {0}" + known);
  CHECK(problem("{query} {response} {que{ry}") == "prompt template: unknown slot {que{ry}" + known);
  const std::string brace = "prompt template: a brace that is not closed or not opened; write a literal brace twice";
  CHECK(problem("{query} {response} {") == brace);
  CHECK(problem("{query} {response} }") == brace);
  CHECK(problem("} {query} {response}") == brace);
  CHECK(problem("{query} {response} {query") == brace);
  CHECK(problem("{query} {response}}") == brace);
  CHECK(problem("{query} {response} {{{") == brace);
}

TEST_CASE("A template without slots takes none", "[prompt_template]") {
  CHECK_THROWS_WITH(PromptTemplate<>{"Describe {query}."s}, "prompt template: unknown slot {query}; this prompt has no slots");
}

TEST_CASE("Slots have the names that stand in templates", "[prompt_template]") {
  CHECK(to_string(Slot::query) == "query");
  CHECK(to_string(Slot::response) == "response");
  CHECK(to_string(Slot::caption) == "caption");
}

}  // namespace prompt_template_test
