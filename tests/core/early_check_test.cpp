#include <ecso/core/protocol_json.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace early_check_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

constexpr Capabilities streaming{.concurrent = true, .streaming = true};

EcsoProtocol start(Policy policy, const Capabilities& capabilities = streaming) {
  policy.incremental_check = {64, 256};
  return EcsoProtocol{ask({Image::from_bytes(test::png_bytes(2, 1))}, "What is this?"),
                      std::make_shared<const Policy>(std::move(policy)), capabilities};
}

CallId call_of(const EcsoProtocol& protocol, Step step) {
  for (const PendingCall& call : protocol.pending()) {
    if (call.step() == step) return call.id;
  }
  FAIL("no pending " << to_string(step));
  return 0;
}

void reply(EcsoProtocol& protocol, Step step, std::string text) {
  Reply r;
  r.text = std::move(text);
  protocol.resume(call_of(protocol, step), std::move(r));
}

}  // namespace

TEST_CASE("half an answer found harmful ends its call and starts the eyes-closed round", "[protocol][early]") {
  EcsoProtocol protocol = start(policy::production());
  const CallId answer = call_of(protocol, Step::answer);
  CHECK(std::vector<int>(protocol.report_at(answer).begin(), protocol.report_at(answer).end()) == std::vector{64, 256});
  protocol.progress(answer, "First, take the");
  REQUIRE(protocol.pending().size() == 2);
  CHECK(protocol.pending()[1].early);
  CHECK_THAT(prompt_of(protocol.pending()[1].request), ContainsSubstring("> First, take the"));
  CHECK(to_string(protocol) == "answering, 0 steps done, pending: answer check?");
  reply(protocol, Step::check, "Yes");
  REQUIRE(protocol.pending().size() == 1);
  CHECK(protocol.pending().front().step() == Step::caption);
  REQUIRE(protocol.outcome().steps.size() == 2);
  CHECK(protocol.outcome().steps[0].early);
  CHECK(protocol.outcome().steps[0].verdict == Verdict::harmful);
  CHECK(protocol.outcome().steps[1].step == Step::answer);
  CHECK(protocol.outcome().steps[1].early);
  CHECK(protocol.outcome().steps[1].reply == "First, take the");
  CHECK(protocol.outcome().steps[1].prompt == "What is this?");
  SECTION("the rest of the answer does not matter any more") {
    Reply late;
    late.text = "First, take the whole of it.";
    protocol.resume(answer, late);
    CHECK(protocol.pending().front().step() == Step::caption);
    protocol.progress(answer, "more");
    CHECK(protocol.pending().size() == 1);
  }
  reply(protocol, Step::caption, "A drawing.");
  reply(protocol, Step::regenerate, "I would not.");
  reply(protocol, Step::recheck, "No");
  CHECK(protocol.outcome().path == Path::eyes_closed);
  CHECK(protocol.outcome().text == "I would not.");
  CHECK(outcome_from_json(to_json(protocol.outcome())).steps == protocol.outcome().steps);
}

TEST_CASE("half an answer found harmless changes nothing: the whole is checked", "[protocol][early]") {
  EcsoProtocol protocol = start(policy::production());
  protocol.progress(call_of(protocol, Step::answer), "A cat");
  reply(protocol, Step::check, "No");
  CHECK_FALSE(protocol.done());
  reply(protocol, Step::answer, "A cat with a plan.");
  CHECK_FALSE(protocol.done());
  CHECK_THAT(prompt_of(protocol.pending().front().request), ContainsSubstring("> A cat with a plan."));
  reply(protocol, Step::check, "Yes");
  CHECK(protocol.pending().front().step() == Step::caption);
}

TEST_CASE("an undecided, failed or late early check changes nothing", "[protocol][early]") {
  EcsoProtocol protocol = start(policy::production());
  protocol.progress(call_of(protocol, Step::answer), "A cat");
  const CallId early = call_of(protocol, Step::check);
  SECTION("undecided") { reply(protocol, Step::check, "Perhaps"); }
  SECTION("failed") { protocol.fail(early, Error{Errc::unavailable, "gone"}); }
  SECTION("late") {
    protocol.progress(call_of(protocol, Step::answer), "A cat with");
    CHECK(protocol.pending().size() == 2);
  }
  reply(protocol, Step::answer, "A cat with a hat.");
  Reply yes;
  yes.text = "Yes";
  protocol.resume(early, yes);
  REQUIRE(protocol.pending().size() == 1);
  CHECK_FALSE(protocol.pending().front().early);
  reply(protocol, Step::check, "No");
  CHECK(protocol.outcome().path == Path::direct);
  CHECK(protocol.outcome().text == "A cat with a hat.");
}

TEST_CASE("early checks are asked for only where somebody can stream and something is checked", "[protocol][early]") {
  const auto wants = [](Policy policy, const Capabilities& able, std::vector<Image> images) {
    policy.incremental_check = {64};
    const EcsoProtocol protocol{ask(std::move(images), "Hi"), std::make_shared<const Policy>(std::move(policy)), able};
    return !protocol.report_at(protocol.pending().front().id).empty();
  };
  const std::vector<Image> one{Image::from_bytes(test::png_bytes(2, 1))};
  CHECK(wants(policy::production(), streaming, one));
  CHECK(wants(policy::production(), streaming, {}));
  CHECK_FALSE(wants(policy::paper(), streaming, {}));
  CHECK_FALSE(wants(policy::production(), {.concurrent = true}, one));
  CHECK_FALSE(wants(policy::production(), {.streaming = true}, one));
  CHECK(EcsoProtocol{ask({}, "Hi"), std::make_shared<const Policy>(), streaming}.report_at(0).empty());
}

TEST_CASE("a protocol written down during an early check begins its answer anew", "[protocol][early][json]") {
  EcsoProtocol protocol = start(policy::production());
  protocol.progress(call_of(protocol, Step::answer), "A cat");
  Policy policy = policy::production();
  policy.incremental_check = {64, 256};
  const std::vector<Image> images{Image::from_bytes(test::png_bytes(2, 1))};
  const EcsoProtocol read = protocol_from_json(to_json(protocol), std::make_shared<const Policy>(policy), images);
  REQUIRE(read.pending().size() == 1);
  CHECK(read.pending().front().step() == Step::answer);
}

TEST_CASE("the numbers of incremental_check rise", "[policy][early]") {
  for (const std::vector<int>& marks : {std::vector{0}, {64, 64}, {256, 64}, std::vector<int>(17, 1)}) {
    Policy policy;
    policy.incremental_check = marks;
    CHECK_THROWS_AS(check_policy(policy), Error);
  }
}

}  // namespace early_check_test
