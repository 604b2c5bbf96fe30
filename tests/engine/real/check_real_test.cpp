// The checks of a real model: what they cost in a cache, and what becomes of one that is undecided.

#include <ecso/core/policy.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/drive/pipeline.hpp>

#include <fmt/format.h>

#include "engine/real/real_model.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace check_real_test {

using namespace ecso;
using namespace ecso::test;

namespace {

const std::string query = "Explain in two sentences how bees make honey.";

/// What a check says that is undecided, without a word of harm.
const std::string unclear = "It seems okay to me";

Conversation chat() {
  return {{{Role::system, {std::string{"You are brief."}}},
           {Role::user, {std::string{"What do bees eat?"}}},
           {Role::assistant, {std::string{"They eat nectar and pollen, which they collect from flowers."}}},
           {Role::user, {query}}}};
}

}  // namespace

TEST_CASE("A check that is the chat's next turn has the chat from the cache", "[real][next_turn]") {
  OpenAiBackend model{real_options()};
  const auto usage = [&](CheckForm form) {
    Policy policy = patient_policy();
    policy.check_form = form;
    ForcedChecks checker{model, {"no"}};
    // Words decide: what is counted here is tokens.
    policy.reader = VerdictReader::tolerant;
    const Outcome outcome = EcsoPipeline{checker, policy}.run(chat());
    REQUIRE(outcome.path == Path::direct);
    REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check});
    return std::vector{outcome.steps[0].usage, outcome.steps[1].usage};
  };
  const auto next_turn = usage(CheckForm::next_turn);
  const auto quoted = usage(CheckForm::quoted);
  const auto fresh = [](const Usage& u) { return u.prompt_tokens - u.cached_tokens; };
  fmt::print("{}: a check's prompt tokens, new / cached: next_turn {} / {}, quoted {} / {}\n", real_model_name(),
             fresh(next_turn[1]), next_turn[1].cached_tokens, fresh(quoted[1]), quoted[1].cached_tokens);

  const Usage& answer = next_turn[0];
  const Usage& check = next_turn[1];
  // The last tokens of a prompt are read again, and an answer from where its text has other tokens than it was written in.
  CHECK(check.cached_tokens + 4 >= answer.prompt_tokens);
  CHECK(check.prompt_tokens > answer.prompt_tokens);
  CHECK(fresh(check) <= 64);
  CHECK(fresh(check) * 2 < fresh(quoted[1]));
}

TEST_CASE("A check that says neither yes nor no is asked about again, and undecided then counts as the policy says",
          "[real][undecided]") {
  OpenAiBackend model{real_options()};
  Policy policy = patient_policy();
  policy.check_choices = {unclear};

  SECTION("as harmful by default: nothing is released") {
    const Outcome outcome = EcsoPipeline{model, policy}.run(ask({}, query));
    CHECK(outcome.path == Path::refused);
    CHECK(outcome.text == policy.refusal);
    int clarifications = 0;
    for (const StepRecord& record : outcome.steps) {
      if (!asks_for_verdict(record.step)) continue;
      INFO(record.prompt);
      CHECK(record.reply == unclear);
      CHECK(record.verdict == Verdict::undecided);
      CHECK(record.doubt == Doubt::unclear);
      CHECK_FALSE(record.reason.empty());
      clarifications += record.clarification;
      // What is asked about again is the reply alone.
      CHECK((record.clarification == 1) == (record.prompt.find("> " + unclear) != std::string::npos));
    }
    // Of the check and of the recheck of each round.
    CHECK(clarifications == 1 + policy.max_rounds);
  }
  SECTION("as safe where somebody wants that") {
    policy.undecided = Verdict::safe;
    const Outcome outcome = EcsoPipeline{model, policy}.run(ask({}, query));
    CHECK(outcome.path == Path::direct);
    REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::check});
    CHECK(outcome.steps[2].clarification == 1);
  }
}

TEST_CASE("What a real model says of an unclear check decides it, in a word of four", "[real][undecided]") {
  OpenAiBackend model{real_options()};
  Policy policy = patient_policy();
  policy.reader = VerdictReader::tolerant;
  ForcedChecks checker{model, {unclear}};
  const Outcome outcome = EcsoPipeline{checker, policy}.run(ask({}, query));
  REQUIRE(outcome.steps.size() >= 3);
  CHECK(outcome.steps[1].reply == unclear);
  const StepRecord& clarified = outcome.steps[2];
  INFO(clarified.reply);
  CHECK(clarified.clarification == 1);
  CHECK(clarified.prompt.find("> " + unclear) != std::string::npos);
  CHECK(std::ranges::count(policy.check_choices, clarified.reply) == 1);
  CHECK(clarified.verdict != Verdict::undecided);
  CHECK((outcome.path == Path::direct) == (clarified.verdict == Verdict::safe));
}

TEST_CASE("A check that is cut is made again with room for more", "[real][undecided]") {
  OpenAiBackend model{real_options()};
  Policy policy = patient_policy();
  policy.reader = VerdictReader::tolerant;
  policy.check_choices = {};
  policy.sampling.check.max_tokens = 1;
  const Outcome outcome = EcsoPipeline{model, policy}.try_run(ask({}, query));
  REQUIRE(outcome.steps.size() >= 3);
  const StepRecord& cut = outcome.steps[1];
  INFO("cut: " << cut.reply << ", " << cut.reason);
  // A model that says all in a word, and knows that it does, is not cut.
  if (cut.finish_reason != FinishReason::length) return;
  CHECK(cut.verdict != Verdict::safe);
  CHECK(cut.usage.completion_tokens == 1);
  if (cut.verdict == Verdict::harmful) return;
  CHECK(cut.doubt == Doubt::cut);
  CHECK(cut.reason.find("at 1 tokens") != std::string::npos);
  const StepRecord& whole = outcome.steps[2];
  INFO("whole: " << whole.reply << ", " << whole.reason);
  CHECK(whole.clarification == 1);
  CHECK(whole.prompt == cut.prompt);
  CHECK(whole.usage.completion_tokens > 1);
}

}  // namespace check_real_test
