#include <ecso/backend/ollama_own_calls.hpp>

#include <ecso/backend/openai.hpp>

#include <string>
#include <utility>
#include <vector>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>

#include "support/catch.hpp"
#include "support/raw_server.hpp"

namespace ollama_own_calls_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;
using test::http_response;
using test::RawServer;

/// An Ollama whose own API gives `own`.
RawServer::Script ollama(std::string own) {
  return [own = std::move(own)](RawServer::Connection& connection) {
    while (connection.read_request()) {
      const bool is_own = connection.last_head().starts_with("POST /api/chat ");
      const std::string whole = R"({"choices":[{"message":{"content":"Paris."},"finish_reason":"stop"}]})";
      if (!connection.send(http_response(200, is_own ? own : whole))) return;
    }
  };
}

TextRequest asked(Step step) {
  return {close_eyes(ask({}, "Hi"), {}),
          {.step = step, .sampling = {.max_tokens = 16}, .choices = {"yes", "no"}, .top_logprobs = 20}};
}

OpenAiOptions options_for(const RawServer& server) {
  return {.base_url = server.url() + "/v1", .model = "tiny", .dialect = ollama_dialect(), .http = {.proxy = ""}};
}

}  // namespace

TEST_CASE("of an Ollama's OpenAI API, only the answer takes that", "[backend][openai][ollama]") {
  RawServer server{
      ollama(R"({"message":{"content":"No"},"done":true,"done_reason":"stop","logprobs":[{"token":"No","logprob":0}]})")};
  OpenAiBackend backend{options_for(server)};
  CHECK(backend.generate(asked(Step::answer), {}).text == "Paris.");
  for (const Step step : {Step::check, Step::recheck, Step::caption, Step::regenerate}) {
    CHECK(backend.generate(asked(step), {}).text == "No");
  }
  const auto sent = server.requests();
  REQUIRE(sent.size() == 5);
  CHECK_THAT(sent[0].head, ContainsSubstring("POST /v1/chat/completions "));
  for (std::size_t i = 1; i < sent.size(); ++i) {
    CHECK_THAT(sent[i].head, ContainsSubstring("POST /api/chat "));
    CHECK_THAT(sent[i].body, ContainsSubstring(R"("truncate":false,"shift":false)"));
  }
  CHECK(sent[1].body == ollama_request_body(asked(Step::check), ollama_dialect_of(ollama_dialect(), Step::check), "tiny"));
  CHECK_THAT(sent[4].body, !ContainsSubstring("\"think\""));
}

TEST_CASE("an Ollama without log-probabilities is held to the choices in the next check", "[backend][openai][ollama]") {
  RawServer server{ollama(R"({"message":{"content":"\"no\""},"done":true,"done_reason":"stop"})")};
  OpenAiBackend backend{options_for(server)};
  for (int i = 0; i < 2; ++i) static_cast<void>(backend.generate(asked(Step::check), {}));
  CHECK(backend.generate(asked(Step::check), {}).text == "no");
  CHECK_THAT(server.requests()[0].body, ContainsSubstring("\"logprobs\"") && !ContainsSubstring("\"format\""));
  CHECK_THAT(server.requests()[1].body, ContainsSubstring(R"("format":{"type":"string","enum":["yes","no"]})"));
}

}  // namespace ollama_own_calls_test
