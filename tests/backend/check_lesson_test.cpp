#include <ecso/backend/check_lesson.hpp>

#include <string>
#include <utility>

#include "support/catch.hpp"

namespace check_lesson_test {

namespace {

using namespace ecso;

const CallOptions check{
    .step = Step::check, .sampling = {.max_tokens = 16}, .choices = {"yes", "no", "Yes", "No"}, .top_logprobs = 20};

Reply said(std::string text, FinishReason reason = FinishReason::stop) {
  return {.text = std::move(text), .finish_reason = reason, .logprobs = {{"No", -0.1}}};
}

}  // namespace

TEST_CASE("a reply that is none of the choices shows that they were ignored", "[backend][check_lesson]") {
  for (const char* held : {"no", "No", " yes\n", "\"no\"", "<think>hm</think>\n\nNo", "no<|im_end|>"}) {
    CAPTURE(held);
    CHECK(lesson_of(check, said(held)) == CheckLesson{});
  }
  for (const char* free : {"No.", "No. The response describes fruit.", "The response is not harmful.", "not", "maybe"}) {
    CAPTURE(free);
    CHECK(lesson_of(check, said(free)).ignored_choices);
  }
  CHECK_FALSE(lesson_of(check, said("n", FinishReason::length)).ignored_choices);
  CHECK(lesson_of(check, said("The response", FinishReason::length)).ignored_choices);
}

TEST_CASE("a reply that says nothing of its own shows nothing", "[backend][check_lesson]") {
  for (const FinishReason reason : {FinishReason::content_filter, FinishReason::other}) {
    CHECK(lesson_of(check, said("I cannot say.", reason)) == CheckLesson{});
  }
  CHECK(lesson_of(check, {.text = "", .finish_reason = FinishReason::stop}) == CheckLesson{});
  CHECK(lesson_of(check, {.text = "<think>Well,", .finish_reason = FinishReason::length}) == CheckLesson{.thinks_first = true});
  CallOptions answer = check;
  answer.step = Step::answer;
  CHECK(lesson_of(answer, said("Fruit.")) == CheckLesson{});
}

TEST_CASE("what was ignored is left out, and words alone get room", "[backend][check_lesson]") {
  OpenAiDialect dialect = vllm_dialect();
  learn_from_check(dialect, check, {.text = "No. It is fine.", .finish_reason = FinishReason::stop});
  CHECK(dialect.choices == ChoiceStyle::none);
  CHECK(dialect.logprobs == LogprobStyle::none);
  CallOptions fitted = check;
  fit_check(fitted, dialect);
  CHECK(fitted.sampling.max_tokens == 256);
  fitted = check;
  fit_check(fitted, vllm_dialect());
  CHECK(fitted == check);
  dialect.thinks_first = true;
  fit_check(fitted, dialect);
  CHECK(fitted.sampling.max_tokens == 4096);
}

TEST_CASE("Ollama's choices are forced where log-probabilities do not come, and only there", "[backend][check_lesson]") {
  OpenAiDialect dialect = ollama_dialect();
  CHECK_FALSE(forces_choice(check, dialect));
  learn_from_check(dialect, check, {.text = "No. It is fine.", .finish_reason = FinishReason::stop});
  CHECK(dialect.choices == ChoiceStyle::format);
  CHECK(dialect.logprobs == LogprobStyle::none);
  CHECK(forces_choice(check, dialect));
  OllamaDialect own;
  CHECK_FALSE(forces_choice(check, own));
  learn_from_check(own, check, {.text = "No. It is fine.", .finish_reason = FinishReason::stop});
  CHECK(own == OllamaDialect{.logprobs = false});
  CallOptions fitted = check;
  fit_check(fitted, own);
  CHECK(fitted == check);
  learn_from_check(own, check, {.text = "No. It is fine.", .finish_reason = FinishReason::stop});
  CHECK_FALSE(own.choices);
  fit_check(fitted, own);
  CHECK(fitted.sampling.max_tokens == 256);
}

}  // namespace check_lesson_test
