#include <ecso/core/answer_check.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/backend/simulated.hpp>
#include <ecso/drive/run.hpp>
#include <ecso/drive/run_batch.hpp>

#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace answer_check_test {

namespace {

using namespace ecso;

const auto production = std::make_shared<const Policy>();
constexpr Capabilities able{.logprobs = true, .forced_choice = true, .prefix_cache = true};
const Image picture = Image::from_bytes(test::png_bytes(2, 2));

Reply said(std::string text, FinishReason reason = FinishReason::stop) {
  return {.text = std::move(text), .finish_reason = reason, .usage = {.completion_tokens = 16}};
}

}  // namespace

TEST_CASE("a given answer is asked about as the answer of a query is", "[check]") {
  for (const CheckForm form : {CheckForm::quoted, CheckForm::next_turn}) {
    Policy policy;
    policy.check_form = form;
    const auto shared = std::make_shared<const Policy>(policy);
    EcsoProtocol query{ask({}, "Why?"), shared, able};
    query.resume(query.pending().front().id, Reply{.text = "Because.", .finish_reason = FinishReason::stop});
    const AnswerCheck check{ask({}, "Why?"), "Because.", shared, able};
    REQUIRE(check.pending().size() == 1);
    CHECK(check.pending().front().request == query.pending().front().request);
    CHECK(options_of(check.pending().front().request).continues_chat == (form == CheckForm::next_turn));
  }
}

TEST_CASE("a given answer is asked about whatever the policy does beside checks", "[check]") {
  Policy policy = policy::paper();
  policy.speculation = Speculation::caption;
  policy.incremental_check = {16};
  const AnswerCheck check{ask({}, "Why?"), "Because.", std::make_shared<const Policy>(policy)};
  REQUIRE(check.pending().size() == 1);
  CHECK(check.pending().front().step() == Step::check);
}

TEST_CASE("the check of an answer ends with its verdict, and asks for nothing more", "[check]") {
  for (const auto& [word, verdict] : {std::pair{"no", Verdict::safe}, {"yes", Verdict::harmful}}) {
    AnswerCheck check{ask({picture}, "Why?"), "Because.", production};
    CHECK_FALSE(check.done());
    check.resume(check.pending().front().id, said(word));
    CHECK(check.done());
    CHECK(check.pending().empty());
    REQUIRE(check.checks().size() == 1);
    CHECK(check.checks().front().verdict == verdict);
    CHECK_FALSE(check.error());
  }
}

TEST_CASE("the check of an answer is asked about again where it is unclear", "[check]") {
  AnswerCheck check{ask({}, "Why?"), "Because.", production};
  check.resume(check.pending().front().id, said("It seems okay to me"));
  REQUIRE_FALSE(check.done());
  CHECK(check.pending().front().clarification == 1);
  check.resume(check.pending().front().id, said("no"));
  CHECK(check.done());
  REQUIRE(check.checks().size() == 2);
  CHECK(check.checks()[0].doubt == Doubt::unclear);
  CHECK(check.checks()[1].verdict == Verdict::safe);
}

TEST_CASE("the check of an answer that fails says why", "[check]") {
  AnswerCheck check{ask({}, "Why?"), "Because.", production};
  check.fail(check.pending().front().id, Error{Errc::unavailable, "gone"});
  CHECK(check.done());
  REQUIRE(check.error());
  CHECK(check.error()->code() == Errc::unavailable);
}

TEST_CASE("a check that the checker has no room for is undecided without a call", "[check]") {
  Capabilities small = able;
  small.context_tokens = 8;
  const AnswerCheck check{ask({}, "Why?"), "Because it is a long story of many words.", production, small};
  CHECK(check.done());
  REQUIRE(check.checks().size() == 1);
  CHECK(check.checks().front().doubt == Doubt::unread);
}

TEST_CASE("the check of an answer takes an answer, a chat and a policy", "[check]") {
  CHECK_THROWS_AS((AnswerCheck{ask({}, "Why?"), " \n", production}), Error);
  CHECK_THROWS_AS((AnswerCheck{ask({}, ""), "Because.", production}), Error);
  CHECK_THROWS_AS((AnswerCheck{ask({}, "Why?"), "Because.", nullptr}), Error);
  CHECK_THROWS_AS((AnswerCheck{ask({picture}, "Why?"), "Because.", production, Capabilities{.vision = false}}), Error);
}

TEST_CASE("drivers run the check of an answer as they run a query", "[check]") {
  ScriptedBackend model;
  model.expect(Step::check).with_prompt("Because.").reply("no");
  AnswerCheck check{ask({}, "Why?"), "Because.", production, model.capabilities()};
  run(check, model);
  model.verify();
  CHECK(check.checks().front().verdict == Verdict::safe);

  SimulatedBackend simulated;
  std::vector<std::string> answers{"a bomb", "a cake", "a weapon"};
  std::size_t harmful = 0;
  const auto next = [&]() -> std::optional<AnswerCheck> {
    if (answers.empty()) return std::nullopt;
    std::string answer = std::move(answers.back());
    answers.pop_back();
    return AnswerCheck{ask({}, "Why?"), std::move(answer), production, simulated.capabilities()};
  };
  run_batch(next, simulated, [&](std::size_t, const AnswerCheck& done) {
    if (done.checks().front().verdict == Verdict::harmful) ++harmful;
  });
  CHECK(harmful == 2);
}

}  // namespace answer_check_test
