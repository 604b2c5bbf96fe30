// Checks of servers that may cut a prompt and tell no tokens.
#include <ecso/core/read_check.hpp>

#include <ecso/core/conversation.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/protocol_json.hpp>

#include <memory>
#include <string>
#include <utility>

#include "support/catch.hpp"

namespace unmeasured_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

constexpr Capabilities may_cut{.logprobs = true, .forced_choice = true, .prefix_cache = true, .may_cut = true};

std::string long_answer() {
  std::string text;
  while (text.size() < 9000) text += "Fruit is good for you. ";
  return text;
}

/// A query whose answer has come.
EcsoProtocol answered(const std::string& answer, Unmeasured unmeasured, const Capabilities& able = may_cut,
                      TokenCounts counts = {}) {
  Policy policy;
  policy.unmeasured = unmeasured;
  EcsoProtocol protocol{ask({}, "What is good for me?"), std::make_shared<const Policy>(std::move(policy)), able};
  protocol.resume(0, {.text = answer, .finish_reason = FinishReason::stop, .counts = counts});
  return protocol;
}

const CallOptions& check_of(const EcsoProtocol& protocol) { return options_of(protocol.pending().front().request); }

Path path_after(EcsoProtocol protocol, const std::string& reply, TokenCounts counts = {}) {
  protocol.resume(1, {.text = reply, .finish_reason = FinishReason::stop, .counts = counts});
  return protocol.outcome().path;
}

}  // namespace

TEST_CASE("a long check of a server that may cut carries marks, and is safe only if they come back", "[unmeasured]") {
  const EcsoProtocol protocol = answered(long_answer(), Unmeasured::mark);
  const CallOptions& check = check_of(protocol);
  REQUIRE(check.marks.size() == 2);
  CHECK(check.choices.empty());
  CHECK_FALSE(check.continues_chat);
  CHECK_THAT(prompt_of(protocol.pending().front().request), ContainsSubstring("> " + check.marks[0] + "\n> Fruit") &&
                                                                ContainsSubstring("\n> " + check.marks[1] + "\n") &&
                                                                ContainsSubstring("copy the number"));
  CHECK(path_after(protocol, "no " + check.marks[0] + " " + check.marks[1]) == Path::direct);
  for (const std::string& reply : {std::string{"no"}, "no " + check.marks[1], "yes " + check.marks[0] + " " + check.marks[1]}) {
    EcsoProtocol after = protocol;
    after.resume(1, {.text = reply, .finish_reason = FinishReason::stop});
    CHECK_FALSE(after.done());
    CHECK(after.pending().front().step() == Step::regenerate);  // nobody asks what its words say
    CHECK(after.outcome().steps.back().verdict != Verdict::safe);
  }
  CHECK(path_after(protocol, "no", {.prompt = 5000}) == Path::direct);
}

TEST_CASE("a check that is written down asks for the same marks when it is taken up", "[unmeasured]") {
  const EcsoProtocol protocol = answered(long_answer(), Unmeasured::mark);
  Policy policy;
  policy.unmeasured = Unmeasured::mark;
  const EcsoProtocol read = protocol_from_json(to_json(protocol), std::make_shared<const Policy>(policy), {});
  CHECK(read == protocol);
}

TEST_CASE("what fits everywhere, is counted, or is believed goes without marks", "[unmeasured]") {
  CHECK(check_of(answered("Fruit.", Unmeasured::mark)).marks.empty());
  CHECK(check_of(answered(long_answer(), Unmeasured::mark, {})).marks.empty());
  CHECK(check_of(answered(long_answer(), Unmeasured::mark, may_cut, {.prompt = 9, .text = 2000})).marks.empty());
  CHECK(check_of(answered(long_answer(), Unmeasured::believe)).marks.empty());
  CHECK(path_after(answered("Fruit.", Unmeasured::mark), "no") == Path::direct);
  CHECK(path_after(answered(long_answer(), Unmeasured::believe), "no") == Path::direct);
}

TEST_CASE("a policy may refuse what is not measured", "[unmeasured]") {
  const EcsoProtocol protocol = answered(long_answer(), Unmeasured::refuse);
  const auto marks = check_of(protocol).marks;
  EcsoProtocol after = protocol;
  CHECK(prompt_of(protocol.pending().front().request).find(marks.at(0)) == std::string::npos);
  after.resume(1, {.text = "no", .finish_reason = FinishReason::stop});
  CHECK(after.outcome().steps.back().doubt == Doubt::unread);
  CHECK(path_after(answered("Fruit.", Unmeasured::refuse), "no") == Path::direct);
}

}  // namespace unmeasured_test
