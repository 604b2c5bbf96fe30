#include <ecso/core/protocol.hpp>

#include <ecso/core/trace_json.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace protocol_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

Image picture(std::uint32_t height = 1) { return Image::from_bytes(test::png_bytes(2, height)); }

EcsoProtocol start(Conversation conversation, Policy policy = policy::production(), const Capabilities& capabilities = {}) {
  return EcsoProtocol{std::move(conversation), std::make_shared<const Policy>(std::move(policy)), capabilities};
}

/// Answers the only pending call, which must be of `step`.
void reply(EcsoProtocol& protocol, Step step, std::string text) {
  REQUIRE(protocol.pending().size() == 1);
  REQUIRE(protocol.pending().front().step() == step);
  Reply r;
  r.text = std::move(text);
  protocol.resume(protocol.pending().front().id, std::move(r));
}

std::vector<std::string> pending_steps(const EcsoProtocol& protocol) {
  std::vector<std::string> steps;
  for (const PendingCall& call : protocol.pending())
    steps.emplace_back(std::string{to_string(call.step())} + (call.speculative ? "?" : ""));
  return steps;
}

}  // namespace

TEST_CASE("a safe answer is released after one check", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture()}, "What is this?"));
  reply(protocol, Step::answer, "A cat.");
  CHECK_FALSE(protocol.done());
  CHECK(protocol.outcome().text.empty());
  reply(protocol, Step::check, "No");
  REQUIRE(protocol.done());
  CHECK(protocol.outcome().path == Path::direct);
  CHECK(protocol.outcome().text == "A cat.");
  CHECK(protocol.outcome().policy == "production");
  CHECK(protocol.outcome().images.size() == 1);
  REQUIRE(protocol.outcome().steps.size() == 2);
  CHECK(protocol.outcome().steps[1].verdict == Verdict::safe);
}

TEST_CASE("a harmful answer is made again with eyes closed and checked without the image", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture()}, "What is this?"));
  CHECK(std::holds_alternative<VisionRequest>(protocol.pending().front().request));
  reply(protocol, Step::answer, "Bad.");
  CHECK(std::holds_alternative<VisionRequest>(protocol.pending().front().request));
  reply(protocol, Step::check, "Yes");
  CHECK(std::holds_alternative<VisionRequest>(protocol.pending().front().request));
  reply(protocol, Step::caption, "A drawing.");
  CHECK(std::holds_alternative<TextRequest>(protocol.pending().front().request));
  CHECK_THAT(prompt_of(protocol.pending().front().request),
             ContainsSubstring("A drawing.") && ContainsSubstring("What is this?"));
  reply(protocol, Step::regenerate, "Good.");
  CHECK(std::holds_alternative<TextRequest>(protocol.pending().front().request));
  CHECK_THAT(prompt_of(protocol.pending().front().request), ContainsSubstring("> Good."));
  reply(protocol, Step::recheck, "No.");
  REQUIRE(protocol.done());
  CHECK(protocol.outcome().path == Path::eyes_closed);
  CHECK(protocol.outcome().text == "Good.");
}

TEST_CASE("the second round takes plain facts and stricter words, and then the query is refused", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture()}, "What is this?"));
  reply(protocol, Step::answer, "Bad.");
  reply(protocol, Step::check, "Yes");
  reply(protocol, Step::caption, "First caption.");
  reply(protocol, Step::regenerate, "Bad again.");
  reply(protocol, Step::recheck, "Yes");
  CHECK(prompt_of(protocol.pending().front().request) == prompts::hardened.neutral_caption.text());
  reply(protocol, Step::caption, "Second caption.");
  const std::string prompt = prompt_of(protocol.pending().front().request);
  CHECK_THAT(prompt, ContainsSubstring("An earlier answer") && ContainsSubstring("Second caption.") &&
                         !ContainsSubstring("First caption."));
  reply(protocol, Step::regenerate, "Still bad.");
  reply(protocol, Step::recheck, "Yes");
  REQUIRE(protocol.done());
  CHECK(protocol.outcome().path == Path::refused);
  CHECK(protocol.outcome().text == policy::production().refusal);
  CHECK(protocol.outcome().steps.back().round == 2);
}

TEST_CASE("a query without an image is checked and repaired as text", "[protocol]") {
  EcsoProtocol protocol = start(ask({}, "How?"));
  reply(protocol, Step::answer, "Bad.");
  reply(protocol, Step::check, "Yes");
  reply(protocol, Step::regenerate, "Good.");
  reply(protocol, Step::recheck, "No");
  CHECK(protocol.outcome().path == Path::eyes_closed);
  CHECK(protocol.outcome().text == "Good.");
}

TEST_CASE("the paper's policy answers a query without an image unchecked", "[protocol][paper]") {
  EcsoProtocol protocol = start(ask({}, "How?"), policy::paper());
  reply(protocol, Step::answer, "Whatever.");
  CHECK(protocol.outcome().path == Path::direct);
}

TEST_CASE("the paper's policy cuts the checked response at 1927 code points", "[protocol][paper]") {
  EcsoProtocol protocol = start(ask({picture()}, "Q"), policy::paper());
  std::string answer;
  for (int i = 0; i < 3000; ++i) answer += "é";
  reply(protocol, Step::answer, answer);
  const std::string prompt = prompt_of(protocol.pending().front().request);
  const std::string head = "QUERY:\nQ\n\nRESPONSE:\n";
  CHECK(prompt == head + answer.substr(0, 2 * 1927) + "\n\nIs the RESPONSE harmful, unsafe and unethical? Answer yes or no:");
  reply(protocol, Step::check, "no");
  CHECK(protocol.outcome().text == answer);
}

TEST_CASE("several images are captioned by calls that may go out together", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture(1), picture(2)}, "Compare."));
  reply(protocol, Step::answer, "Bad.");
  reply(protocol, Step::check, "Yes");
  REQUIRE(pending_steps(protocol) == std::vector<std::string>{"caption", "caption"});
  const CallId first = protocol.pending()[0].id;
  const CallId second = protocol.pending()[1].id;
  Reply r;
  r.text = "two";
  protocol.resume(second, r);
  CHECK(pending_steps(protocol) == std::vector<std::string>{"caption"});
  r.text = "one";
  protocol.resume(first, r);
  REQUIRE(pending_steps(protocol) == std::vector<std::string>{"regenerate"});
  CHECK_THAT(prompt_of(protocol.pending().front().request), ContainsSubstring("> Image 1: one\n> Image 2: two"));
}

TEST_CASE("speculation sends the caption out with the answer", "[protocol][speculation]") {
  Policy policy = policy::production();
  policy.speculation = Speculation::caption;
  EcsoProtocol protocol = start(ask({picture()}, "What?"), policy);
  REQUIRE(pending_steps(protocol) == std::vector<std::string>{"answer", "caption?"});
  const CallId answer = protocol.pending()[0].id;
  const CallId caption = protocol.pending()[1].id;
  Reply r;
  r.text = "text";

  SECTION("and drops it when the answer is safe") {
    protocol.resume(answer, r);
    REQUIRE(pending_steps(protocol) == std::vector<std::string>{"check", "caption?"});
    Reply no;
    no.text = "No";
    protocol.resume(protocol.pending().front().id, no);
    CHECK(protocol.done());
    CHECK(protocol.pending().empty());
    protocol.resume(caption, r);
    protocol.fail(caption, Error{Errc::timeout, "late"});
    CHECK(protocol.outcome().path == Path::direct);
    CHECK(protocol.outcome().steps.size() == 2);
  }
  SECTION("so that a harmful query needs no fourth round trip") {
    protocol.resume(answer, r);
    protocol.resume(caption, r);
    reply(protocol, Step::check, "Yes");
    CHECK(pending_steps(protocol) == std::vector<std::string>{"regenerate"});
  }
  SECTION("and waits for it when it is needed") {
    protocol.resume(answer, r);
    Reply yes;
    yes.text = "Yes";
    protocol.resume(protocol.pending().front().id, yes);
    CHECK(pending_steps(protocol) == std::vector<std::string>{"caption"});
  }
  SECTION("and asks again if it failed and turns out to be needed") {
    protocol.fail(caption, Error{Errc::unavailable, "gone"});
    CHECK_FALSE(protocol.done());
    protocol.resume(answer, r);
    reply(protocol, Step::check, "Yes");
    CHECK(pending_steps(protocol) == std::vector<std::string>{"caption"});
  }
}

TEST_CASE("a failed step ends the query as the policy says, naming the step", "[protocol]") {
  Policy policy = policy::production();
  policy.on_failure = GENERATE(OnFailure::raise, OnFailure::refuse);
  EcsoProtocol protocol = start(ask({picture()}, "What?"), policy);
  reply(protocol, Step::answer, "Bad.");
  protocol.fail(protocol.pending().front().id, Error{Errc::unavailable, "no connection", {.endpoint = "http://server"}});
  REQUIRE(protocol.done());
  REQUIRE(protocol.outcome().error);
  CHECK(std::string{protocol.outcome().error->what()} == "check: http://server: no connection");
  CHECK(protocol.outcome().path == (policy.on_failure == OnFailure::raise ? Path::failed : Path::refused));
  CHECK(protocol.outcome().text == (policy.on_failure == OnFailure::raise ? "" : policy.refusal));
}

TEST_CASE("a call number that was never issued is an error", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture()}, "What?"));
  CHECK_THROWS_AS(protocol.resume(7, Reply{}), Error);
  CHECK_THROWS_AS(protocol.fail(7, Error{Errc::timeout, ""}), Error);
}

TEST_CASE("a protocol can be copied, compared and printed at every moment", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture()}, "What?"));
  const EcsoProtocol before = protocol;
  CHECK(before == protocol);
  CHECK(to_string(protocol) == "answering, 0 steps done, pending: answer");
  reply(protocol, Step::answer, "Bad.");
  CHECK_FALSE(before == protocol);
  CHECK(to_string(protocol) == "checking, 1 step done, pending: check");
  EcsoProtocol other = before;
  reply(other, Step::answer, "Bad.");
  CHECK(other == protocol);
  reply(protocol, Step::check, "no");
  CHECK(to_string(protocol) == "done, 2 steps done: direct");
}

TEST_CASE("verdicts come from log-probabilities where the backend has them, and the figure is kept", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture()}, "What?"), policy::production(), {.logprobs = true, .forced_choice = true});
  reply(protocol, Step::answer, "Fine.");
  const auto& options = std::get<VisionRequest>(protocol.pending().front().request).options;
  CHECK(options.top_logprobs > 0);
  CHECK(options.choices == Policy{}.check_choices);
  Reply r;
  r.text = "no";
  r.logprobs = {{"no", -0.7, {{"no", -0.7}, {"yes", -0.5}}}};
  protocol.resume(protocol.pending().front().id, r);
  const StepRecord& check = protocol.outcome().steps.back();
  CHECK(check.verdict == Verdict::harmful);
  REQUIRE(check.p_harmful);
  CHECK(*check.p_harmful == Catch::Approx(0.5498).epsilon(0.001));
}

TEST_CASE("an undecided check is recorded with the reason", "[protocol]") {
  const auto reason_of = [](Reply check) {
    EcsoProtocol protocol = start(ask({picture()}, "What?"));
    Reply answer;
    answer.text = "An answer.";
    answer.counts.text = 300;
    protocol.resume(protocol.pending().front().id, answer);
    protocol.resume(protocol.pending().front().id, std::move(check));
    const StepRecord& record = protocol.outcome().steps.back();
    CHECK((record.verdict == Verdict::undecided) == !record.reason.empty());
    return record.reason;
  };
  CHECK(reason_of({.text = "no"}).empty());
  CHECK(reason_of({.text = "yes"}).empty());
  CHECK(reason_of({.text = "Yes. No."}) == "says both yes and no");
  CHECK(reason_of({.text = "No", .finish_reason = FinishReason::length, .usage = {.completion_tokens = 16}}) ==
        "cut at 16 tokens");
  CHECK(reason_of({.text = "<think>Well", .finish_reason = FinishReason::length, .usage = {.completion_tokens = 16}}) ==
        "cut in its reasoning at 16 tokens");
  CHECK(reason_of({.text = "A bowl", .finish_reason = FinishReason::length, .usage = {.completion_tokens = 16}}) ==
        "says neither yes nor no, cut at 16 tokens");
  CHECK(reason_of({.text = "no", .counts = {.prompt = 200}}) == "the checker read 200 tokens of a prompt of at least 310");
}

TEST_CASE("input that the method cannot work on is refused before any call", "[protocol]") {
  CHECK_THROWS_WITH(start(ask({picture()}, " \n")), ContainsSubstring("query: it is empty"));
  CHECK_THROWS_WITH(start(ask({picture()}, "a\xFFz")), ContainsSubstring("invalid UTF-8 at byte 1"));
  CHECK_THROWS_WITH(start(Conversation{}), ContainsSubstring("no turn"));
  CHECK_THROWS_WITH(start(ask({picture()}, "Q"), policy::production(), {.vision = false}), ContainsSubstring("takes no images"));
  CHECK_THROWS_WITH((EcsoProtocol{ask({}, "Q"), nullptr}), ContainsSubstring("none given"));
}

TEST_CASE("a check that was cut off or contradicts itself calls nothing safe", "[protocol]") {
  const bool with_logprobs = GENERATE(false, true);
  const auto verdict_of = [&](Reply check) {
    EcsoProtocol protocol = start(ask({picture()}, "What?"), policy::production(), {.logprobs = with_logprobs});
    reply(protocol, Step::answer, "An answer.");
    if (with_logprobs) check.logprobs = {{"No", -0.1, {{"No", -0.1}, {"Yes", -3.0}}}};
    protocol.resume(protocol.pending().front().id, check);
    CHECK_FALSE((protocol.done() && protocol.outcome().path == Path::direct) !=
                (protocol.outcome().steps[1].verdict == Verdict::safe));
    return protocol.outcome().steps[1].verdict;
  };
  CHECK(verdict_of({.text = "No"}) == Verdict::safe);
  CHECK(verdict_of({.text = "No", .finish_reason = FinishReason::content_filter}) == Verdict::undecided);
  CHECK(verdict_of({.text = "Yes."}) != Verdict::safe);
  // Words that were cut off may have gone on: "No doubt".
  CHECK(verdict_of({.text = "No", .finish_reason = FinishReason::length}) == Verdict::undecided);
  CHECK(verdict_of({.text = "No doubt", .finish_reason = FinishReason::length}) == Verdict::undecided);
  CHECK(verdict_of({.text = "No", .finish_reason = FinishReason::other}) == Verdict::undecided);
}

TEST_CASE("an empty answer fails its step and keeps what the call cost", "[protocol]") {
  EcsoProtocol protocol = start(ask({picture()}, "What?"));
  protocol.resume(0, {.text = " ", .usage = {10, 2, 1}, .model = "m"});
  REQUIRE(protocol.done());
  CHECK(protocol.outcome().path == Path::failed);
  CHECK(protocol.outcome().error->code() == Errc::bad_reply);
  CHECK(protocol.outcome().usage().prompt_tokens == 10);
}

TEST_CASE("a check that read fewer tokens than its prompt has is undecided, whatever it says", "[protocol]") {
  const std::string tale = "A long tale.";
  struct Case {
    std::int64_t text;  ///< Tokens of the answer as its model counts them.
    std::string model;
    std::int64_t least;  ///< Of the check's prompt, beside what is not the answer's.
  };
  for (const Case& c : {Case{1000, "a", 900}, Case{1000, "b", 500}, Case{2, "a", 3}, Case{0, "a", 3}}) {
    for (const std::int64_t missing : {0, 1}) {
      CAPTURE(c.text, c.model, missing);
      EcsoProtocol protocol = start(ask({picture()}, "What is this?"));
      protocol.resume(0, {.text = tale, .model = "a", .counts = {.prompt = 20, .text = c.text}});
      const std::int64_t frame = least_tokens(protocol.pending().front().request) - 3;
      REQUIRE(frame > 32);
      protocol.resume(1, {.text = "No", .model = c.model, .counts = {.prompt = frame + c.least - missing, .text = 1}});
      const StepRecord& check = protocol.outcome().steps[1];
      CHECK(check.verdict == (missing == 0 ? Verdict::safe : Verdict::undecided));
      CHECK(check.doubt == (missing == 0 ? Doubt::none : Doubt::unread));
      CHECK((protocol.outcome().path == Path::direct) == (missing == 0));
    }
  }
}

TEST_CASE("what no server can mean by a number of tokens tells nothing of what it read", "[protocol]") {
  for (const std::int64_t read : {0, 1, 31}) {
    EcsoProtocol protocol = start(ask({}, "What is this?"));
    protocol.resume(0, {.text = "A long tale."});
    protocol.resume(1, {.text = "No", .counts = {.prompt = read}});
    CHECK(protocol.outcome().path == Path::direct);
  }
}

TEST_CASE("a recheck and the system's turns count among what a check must have read", "[protocol]") {
  Conversation chat = ask({}, "What is this?");
  std::string orders;
  for (int i = 0; i < 100; ++i) orders += " word";
  chat.messages.insert(chat.messages.begin(), Message{Role::system, {orders}});
  EcsoProtocol protocol = start(chat);
  protocol.resume(0, {.text = "A long tale."});
  protocol.resume(1, {.text = "Yes"});
  protocol.resume(2, {.text = "A tale."});
  REQUIRE(protocol.pending().front().step() == Step::recheck);
  protocol.resume(3, {.text = "No", .counts = {.prompt = 100}});
  CHECK(protocol.outcome().steps.back().doubt == Doubt::unread);
  CHECK_FALSE(protocol.done());
}

TEST_CASE("a check that the checker has no room for is not asked", "[protocol]") {
  std::string tale;
  for (int i = 0; i < 500; ++i) tale += " word";
  const auto with_room = [&](int tokens) {
    EcsoProtocol protocol{ask({}, "What?"), std::make_shared<const Policy>(), {.context_tokens = tokens}};
    protocol.resume(0, {.text = tale});
    return protocol;
  };
  CHECK(with_room(0).pending().front().step() == Step::check);
  CHECK(with_room(1000).pending().front().step() == Step::check);
  const EcsoProtocol narrow = with_room(500);
  REQUIRE(narrow.outcome().steps.size() == 2);
  const StepRecord& check = narrow.outcome().steps[1];
  CHECK(check.step == Step::check);
  CHECK(check.verdict == Verdict::undecided);
  CHECK(check.doubt == Doubt::unread);
  CHECK(check.reason == "its prompt has at least 540 tokens, the checker room for 500");
  CHECK(narrow.pending().front().step() == Step::regenerate);
}

TEST_CASE("a check that was cut is asked again with room to think", "[protocol][clarification]") {
  EcsoProtocol protocol{ask({picture()}, "What?"), std::make_shared<const Policy>(), {.logprobs = true, .forced_choice = true}};
  protocol.resume(0, {.text = "A bowl."});
  const ModelRequest first = protocol.pending().front().request;
  protocol.resume(1, {.text = "<think>Well", .finish_reason = FinishReason::length});
  REQUIRE(protocol.pending().size() == 1);
  const PendingCall again = protocol.pending().front();
  CHECK(again.step() == Step::check);
  CHECK(again.clarification == 1);
  CHECK(prompt_of(again.request) == prompt_of(first));
  CHECK(options_of(again.request).sampling.max_tokens == 4096);
  CHECK(options_of(again.request).choices.empty());
  CHECK(options_of(again.request).top_logprobs == 5);

  SECTION("its verdict is the check's") {
    protocol.resume(2, {.text = "<think>Well, fruit.</think>\n\nNo."});
    CHECK(protocol.outcome().path == Path::direct);
    CHECK(protocol.outcome().text == "A bowl.");
    CHECK(protocol.outcome().steps[2].clarification == 1);
  }
  SECTION("undecided again, it counts as the policy says") {
    protocol.resume(2, {.text = "<think>Well", .finish_reason = FinishReason::length});
    CHECK(protocol.pending().front().step() == Step::caption);
  }
  SECTION("refused by the server, it leaves the check undecided") {
    protocol.fail(2, Error{Errc::bad_request, "max_tokens is too large", {.http_status = 400}});
    CHECK(protocol.pending().front().step() == Step::caption);
    CHECK(protocol.outcome().steps.back().error);
    CHECK_FALSE(protocol.outcome().error);
  }
  SECTION("it fails as any step does") {
    protocol.fail(2, Error{Errc::timeout, "too slow"});
    CHECK(protocol.outcome().path == Path::failed);
  }
}

TEST_CASE("a check whose words are unclear is asked about, in one word and without the image", "[protocol][clarification]") {
  EcsoProtocol protocol{ask({picture()}, "What?"), std::make_shared<const Policy>(), {.logprobs = true, .forced_choice = true}};
  protocol.resume(0, {.text = "A bowl."});
  protocol.resume(1, {.text = "Hm, it is so.\nREVIEW: hm"});
  const PendingCall again = protocol.pending().front();
  CHECK(again.step() == Step::check);
  REQUIRE(std::holds_alternative<TextRequest>(again.request));
  CHECK_THAT(prompt_of(again.request), Catch::Matchers::ContainsSubstring("REVIEW:\n> Hm, it is so.\n> REVIEW: hm\n\n"));
  CHECK(options_of(again.request).choices == Policy{}.check_choices);
  protocol.resume(2, {.text = "no", .model = "tiny", .counts = {.prompt = 90}});
  CHECK(protocol.outcome().path == Path::direct);
}

TEST_CASE("a claim of harm, and what figures, a filter or a prompt that was not read leave open, is not asked about again",
          "[protocol][clarification]") {
  const auto after = [](Reply check) {
    EcsoProtocol protocol = start(ask({picture()}, "What?"));
    protocol.resume(0, {.text = "A bowl."});
    protocol.resume(1, std::move(check));
    CHECK(protocol.outcome().steps.back().verdict == Verdict::undecided);
    return protocol.pending().front().step();
  };
  CHECK(after({.text = "No", .finish_reason = FinishReason::content_filter}) == Step::caption);
  CHECK(after({.text = "No", .finish_reason = FinishReason::other}) == Step::caption);
  CHECK(after({.text = "No doubt it is harmful."}) == Step::caption);
  CHECK(after({.text = "No", .counts = {.prompt = 33}}) == Step::caption);
  CHECK(after({.text = "No", .logprobs = {{"No", -1.2, {{"No", -1.2}, {"Maybe", -1.0}}}}}) == Step::caption);
}

TEST_CASE("a policy says how often an undecided check is asked about", "[protocol][clarification]") {
  for (const int most : {0, 1, 2, 4}) {
    Policy policy;
    policy.clarifications = most;
    EcsoProtocol protocol{ask({}, "What?"), std::make_shared<const Policy>(policy), {}};
    protocol.resume(0, {.text = "A bowl."});
    int asked = 0;
    for (CallId id = 1; protocol.pending().front().step() == Step::check; ++id, ++asked) protocol.resume(id, {.text = "Hm."});
    CHECK(asked == most + 1);
  }
}

TEST_CASE("a recheck that was cut does not release the eyes-closed answer", "[protocol]") {
  EcsoProtocol protocol = start(ask({}, "What is this?"));
  reply(protocol, Step::answer, "Bad.");
  reply(protocol, Step::check, "Yes");
  protocol.resume(2, {.text = "A long tale.", .counts = {.prompt = 20, .text = 5000}});
  protocol.resume(3, {.text = "No", .counts = {.prompt = 4096, .text = 1}});
  CHECK(protocol.outcome().steps.back().verdict == Verdict::undecided);
  CHECK_FALSE(protocol.done());
}

TEST_CASE("where the policy shows a check a part of the answer, counts say nothing", "[protocol]") {
  Policy policy;
  policy.max_response_code_points = 100;
  EcsoProtocol protocol = start(ask({}, "What is this?"), policy);
  protocol.resume(0, {.text = std::string(4000, 'x'), .counts = {.prompt = 20, .text = 1000}});
  protocol.resume(1, {.text = "No", .counts = {.prompt = 90, .text = 1}});
  CHECK(protocol.outcome().path == Path::direct);
}

TEST_CASE("each form of a check is read by its own rule", "[protocol][next_turn]") {
  Policy policy;
  policy.probability.threshold = 0.7;
  policy.next_turn_probability.threshold = 0.3;
  for (const CheckForm form : {CheckForm::quoted, CheckForm::next_turn}) {
    policy.check_form = form;
    EcsoProtocol protocol{ask({picture()}, "What?"), std::make_shared<const Policy>(policy), {.logprobs = true}};
    protocol.resume(0, {.text = "A bowl."});
    protocol.resume(1, {.text = "No", .logprobs = {{"No", -0.7, {{"No", -0.69}, {"Yes", -0.70}}}}});
    CHECK(protocol.outcome().steps[1].verdict == (form == CheckForm::quoted ? Verdict::safe : Verdict::harmful));
  }
}

TEST_CASE("a next-turn check must have read the chat and the answer", "[protocol][next_turn]") {
  Policy policy;
  policy.check_form = CheckForm::next_turn;
  std::string tale;
  for (int i = 0; i < 200; ++i) tale += " word";
  for (const std::int64_t read : {190, 220}) {
    EcsoProtocol protocol{ask({picture()}, "What?"), std::make_shared<const Policy>(policy), {}};
    protocol.resume(0, {.text = tale});
    protocol.resume(1, {.text = "No", .counts = {.prompt = read}});
    CHECK(protocol.outcome().steps[1].doubt == (read < 200 ? Doubt::unread : Doubt::none));
  }
}

TEST_CASE("a next-turn check has as many tokens as the answer's call, image and all", "[protocol][next_turn]") {
  Policy policy;
  policy.check_form = CheckForm::next_turn;
  for (const std::int64_t read : {20, 700, 900}) {
    EcsoProtocol protocol{ask({picture()}, "What?"), std::make_shared<const Policy>(policy), {}};
    protocol.resume(0, {.text = "A bowl.", .model = "m", .counts = {.prompt = 800, .text = 100}});
    protocol.resume(1, {.text = "No", .model = "m", .counts = {.prompt = read}});
    CHECK(protocol.outcome().steps[1].doubt == (read < 810 ? Doubt::unread : Doubt::none));
  }
}

TEST_CASE("an early check may be the chat's next turn", "[protocol][next_turn]") {
  Policy policy;
  policy.check_form = CheckForm::next_turn;
  policy.incremental_check = {2};
  EcsoProtocol protocol{
      ask({picture()}, "What?"), std::make_shared<const Policy>(policy), {.concurrent = true, .streaming = true}};
  protocol.progress(0, "Half of");
  const PendingCall early = protocol.pending().back();
  CHECK(early.early);
  CHECK(std::get<VisionRequest>(early.request).conversation.messages[1].text() == "Half of");
}

TEST_CASE("what the answer's model counted tells nothing of what a checker elsewhere has read", "[protocol][elsewhere]") {
  for (const char* model : {"", "a", "b"}) {
    CAPTURE(model);
    EcsoProtocol protocol{
        ask({}, "What is this?"), std::make_shared<const Policy>(), {.prefix_cache = true, .checks_elsewhere = true}};
    protocol.resume(0, {.text = "A long tale.", .model = model, .counts = {.prompt = 900, .text = 1000}});
    const std::int64_t words = least_tokens(protocol.pending().front().request);
    protocol.resume(1, {.text = "No", .model = model, .counts = {.prompt = words, .text = 1}});
    CHECK(protocol.outcome().path == Path::direct);
  }
  // What its own words need holds all the same.
  EcsoProtocol protocol{ask({}, "What is this?"), std::make_shared<const Policy>(), {.checks_elsewhere = true}};
  protocol.resume(0, {.text = "A long tale."});
  const std::int64_t words = least_tokens(protocol.pending().front().request);
  protocol.resume(1, {.text = "No", .counts = {.prompt = words - 1, .text = 1}});
  CHECK(protocol.outcome().steps[1].doubt == Doubt::unread);
}

TEST_CASE("a policy whose checks go to an upstream is not followed where there is none", "[protocol][elsewhere]") {
  Policy policy;
  policy.check_upstream = "judge";
  const auto start_with = [&](const Capabilities& able) {
    return EcsoProtocol{ask({}, "What?"), std::make_shared<const Policy>(policy), able};
  };
  CHECK_NOTHROW(start_with({.checks_elsewhere = true}));
  CHECK_THROWS_WITH(start_with({}), Catch::Matchers::ContainsSubstring("its checks go to the upstream \"judge\""));
}

TEST_CASE("a guard's category stands in the trace", "[protocol][guard]") {
  Policy policy;
  policy.check_form = CheckForm::guard;
  policy.max_rounds = 1;
  EcsoProtocol protocol{ask({}, "What is this?"), std::make_shared<const Policy>(policy), {}};
  protocol.resume(0, {.text = "A tale."});
  protocol.resume(1, {.text = "unsafe\nS1,S10"});
  const StepRecord& check = protocol.outcome().steps[1];
  CHECK(check.verdict == Verdict::harmful);
  CHECK(check.category == "S1, S10");
  CHECK(check.reason.empty());
  protocol.resume(2, {.text = "A kind tale."});
  protocol.resume(3, {.text = "safe"});
  CHECK(protocol.outcome().path == Path::eyes_closed);
  CHECK(outcome_from_json(to_json(protocol.outcome())) == protocol.outcome());
}

}  // namespace protocol_test
