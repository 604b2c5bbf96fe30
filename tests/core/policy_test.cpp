#include <ecso/core/policy.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace policy_test {

namespace {

using namespace ecso;
using namespace std::chrono_literals;

}  // namespace

// The values of the public code's MM-SafetyBench runs.
TEST_CASE("The paper's policy has the values of the public code", "[policy]") {
  const Policy p = policy::paper();
  CHECK(p.name == "paper");
  CHECK(p.prompts == Prompts{prompts::paper});
  CHECK(p.reader == VerdictReader::paper);
  CHECK(p.undecided == Verdict::safe);
  CHECK(p.check_choices.empty());
  CHECK(p.recheck == Recheck::off);
  CHECK(p.text_only == TextOnly::pass);
  CHECK(p.empty_reply == EmptyReply::accept);
  CHECK(p.speculation == Speculation::none);
  CHECK(p.max_rounds == 1);
  CHECK(p.max_response_code_points == 1927);
  CHECK(p.deadline == 0ms);
  for (const Sampling& sampling : {p.sampling.answer, p.sampling.check, p.sampling.caption, p.sampling.regenerate}) {
    CHECK(sampling.temperature == 0.0);
    CHECK(sampling.top_p == std::nullopt);
    CHECK(sampling.seed == std::nullopt);
    CHECK(sampling.stop.empty());
  }
  CHECK(p.sampling.answer.max_tokens == 2048);
  CHECK(p.sampling.check.max_tokens == 1024);
  CHECK(p.sampling.caption.max_tokens == 1024);
  CHECK(p.sampling.regenerate.max_tokens == 1024);
  CHECK(p.models == StepModels{});
}

TEST_CASE("The policy for production is the default and fails closed", "[policy]") {
  const Policy p = policy::production();
  CHECK(p == Policy{});
  CHECK(p.name == "production");
  CHECK(p.prompts == Prompts{prompts::hardened});
  CHECK(p.prompts.fence == Fence::quote);
  CHECK(p.reader == VerdictReader::automatic);
  CHECK(p.undecided == Verdict::harmful);
  CHECK(p.on_failure == OnFailure::raise);
  CHECK(p.empty_reply == EmptyReply::fail);
  CHECK(p.recheck == Recheck::on);
  CHECK(p.text_only == TextOnly::check);
  CHECK(p.max_rounds == 2);
  CHECK(p.max_response_code_points == 0);
  CHECK(p.deadline == 120s);
  CHECK(p.sampling.check.temperature == 0.0);
  CHECK_FALSE(p.refusal.empty());
}

TEST_CASE("Neither policy that comes with ecso releases an answer after a failure", "[policy]") {
  CHECK(policy::paper().on_failure == OnFailure::raise);
  CHECK(policy::production().on_failure == OnFailure::raise);
}

TEST_CASE("Policies compare by all their values", "[policy]") {
  CHECK(policy::paper() == policy::paper());
  CHECK_FALSE(policy::paper() == policy::production());
  Policy p;
  p.sampling.caption.seed = 1;
  CHECK_FALSE(p == Policy{});
}

}  // namespace policy_test
