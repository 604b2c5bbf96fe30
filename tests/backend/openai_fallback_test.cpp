#include <ecso/backend/openai_fallback.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace openai_fallback_test {

namespace {

using namespace ecso;

const CallOptions asked{.sampling = {.temperature = 0, .max_tokens = 8, .seed = 1}, .choices = {"yes", "no"}, .top_logprobs = 5};

Error refused(std::string message, int status = 400) {
  return Error{Errc::bad_request, std::move(message), {.http_status = status}};
}

OpenAiDialect after(std::string message, const OpenAiDialect& dialect, const CallOptions& options = asked) {
  const auto plainer = openai_fallback(dialect, options, refused(std::move(message)));
  REQUIRE(plainer);
  return *plainer;
}

}  // namespace

TEST_CASE("a refused field is left out of what is tried next", "[backend][openai][fallback]") {
  const OpenAiDialect llama = llama_server_dialect();
  CHECK(after("Unrecognized request argument supplied: top_logprobs", llama).logprobs == LogprobStyle::none);
  CHECK(after("logprobs: Extra inputs are not permitted", llama).logprobs == LogprobStyle::none);
  CHECK(after("failed to parse grammar", llama).choices == ChoiceStyle::none);
  CHECK(after("Unknown field \"structured_outputs\"", vllm_dialect()).choices == ChoiceStyle::none);
  CHECK(after("'seed' is not supported", llama).omit == std::vector<std::string>{"seed"});
  CHECK(after("Unsupported value: 'temperature' does not support 0 with this model.", openai_dialect()).omit ==
        std::vector<std::string>{"temperature"});
  CHECK_FALSE(after("cache_prompt: unknown", llama).extra.contains("cache_prompt"));
  CHECK(after("id_slot is not known", llama).omit == std::vector<std::string>{"id_slot"});
}

TEST_CASE("the other name of the token limit is tried once", "[backend][openai][fallback]") {
  const std::string wants_new = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.";
  const OpenAiDialect second = after(wants_new, {});
  CHECK(second.token_limit == TokenLimitField::max_completion_tokens);
  CHECK_FALSE(openai_fallback(second, asked, refused("'max_completion_tokens' is too large")));
}

TEST_CASE("errors about something else, or about what was not sent, change nothing", "[backend][openai][fallback]") {
  const OpenAiDialect llama = llama_server_dialect();
  CHECK_FALSE(openai_fallback(llama, asked, refused("Failed to load image or audio file")));
  CHECK_FALSE(openai_fallback(llama, {}, refused("logprobs: unknown")));
  CHECK_FALSE(openai_fallback(llama, asked, refused("seeds and topography")));
  CHECK_FALSE(openai_fallback(llama, asked, refused("logprobs: unknown", 500)));
  CHECK_FALSE(openai_fallback(llama, asked, refused("logprobs: unknown", 429)));
}

TEST_CASE("a model that has to think is asked for the least that it takes", "[backend][openai][fallback][thinking]") {
  const CallOptions check{.step = Step::check, .model = "gpt-5.1"};
  const std::string refusal = "Unsupported value: 'reasoning_effort' does not support 'none' with this model.";
  OpenAiDialect dialect = openai_dialect();
  for (const char* next : {"minimal", "low"}) {
    dialect = after(refusal, dialect, check);
    CHECK(dialect.reasoning_effort == next);
  }
  CHECK(after(refusal, dialect, check).thinking == ThinkingSwitch::none);
  CHECK(openai_fallback(openai_dialect(), {.step = Step::check}, refused(refusal), "o3")->thinking == ThinkingSwitch::none);
  CHECK(after("think value \"false\" is not supported", ollama_dialect(), check).thinking == ThinkingSwitch::none);
  CHECK(after("invalid format", {.choices = ChoiceStyle::format}).choices == ChoiceStyle::none);
  CHECK_FALSE(openai_fallback(llama_server_dialect(), asked, refused("invalid image format")));
}

TEST_CASE("falling back comes to an end", "[backend][openai][fallback]") {
  const Error all = refused(
      "logprobs grammar max_tokens max_completion_tokens stream_options id_slot seed top_p temperature stop cache_prompt");
  OpenAiDialect dialect = llama_server_dialect();
  int times = 0;
  for (auto next = openai_fallback(dialect, asked, all); next; next = openai_fallback(dialect, asked, all)) {
    dialect = *next;
    REQUIRE(++times < 20);
  }
  CHECK(times > 2);
}

}  // namespace openai_fallback_test
