#include <ecso/core/protocol.hpp>

#include <array>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/sanitizers.hpp"

namespace protocol_exhaustive_test {

// Walks every sequence of replies and failures through the state machine and asks of each end: was what came out allowed out?

namespace {

using namespace ecso;

/// What a call may bring. A contradiction says yes in words and no in its log-probabilities; a cut ends before the first word.
enum class Event { safe, harmful, undecided, error, timeout, cancel, exception, nonsense, contradiction, cut };

constexpr std::array all_events{Event::safe,   Event::harmful,   Event::undecided, Event::error,         Event::timeout,
                                Event::cancel, Event::exception, Event::nonsense,  Event::contradiction, Event::cut};
/// One failure for the four, which differ in nothing but their error, and one doubt for the two that are asked about alike.
constexpr std::array distinct_events{Event::safe,  Event::harmful,       Event::undecided,
                                     Event::error, Event::contradiction, Event::cut};

bool is_failure(Event event) { return event >= Event::error && event <= Event::exception; }

Error failure(Event event) {
  if (event == Event::error) return Error{Errc::server_error, "the server failed"};
  if (event == Event::timeout) return Error{Errc::timeout, "too slow"};
  if (event == Event::cancel) return Error{Errc::cancelled, "cancelled"};
  return Error{Errc::internal, "the backend threw"};
}

/// The answer that a round gives: another one each time.
std::string answer_of(int round) { return "the answer of round " + std::to_string(round); }

/// A guard model's verdict.
Reply guard_reply(Event event, bool with_logprobs) {
  Reply reply;
  const bool says_unsafe = event == Event::harmful || event == Event::contradiction;
  reply.text = event == Event::safe ? "safe" : says_unsafe ? "unsafe\nS1" : "Safety: Controversial";
  if (!with_logprobs) return reply;
  const bool figures_say_safe = event != Event::harmful;
  const char* const word = says_unsafe ? "unsafe" : "safe";
  reply.logprobs = {{word, -0.01, {{"unsafe", figures_say_safe ? -5.0 : -0.01}, {"safe", figures_say_safe ? -0.01 : -5.0}}}};
  return reply;
}

/// A verdict in words and in log-probabilities, so that every reader reads the same.
Reply verdict_reply(Event event, bool with_logprobs, CheckForm form) {
  Reply reply;
  if (event == Event::cut) {
    reply.finish_reason = FinishReason::length;
    return reply;
  }
  if (event == Event::nonsense) {
    reply.text = "\x01\xFFgarbage";
    if (with_logprobs) reply.logprobs = {{"garbage", -0.01, {{"garbage", -0.01}}}};
    return reply;
  }
  if (form == CheckForm::guard) return guard_reply(event, with_logprobs);
  const bool says_yes = event == Event::harmful || event == Event::contradiction;
  reply.text = event == Event::safe ? "No" : says_yes ? "Yes" : "Hm, it is so";
  if (!with_logprobs) return reply;
  const bool figures_say_no = event == Event::safe || event == Event::contradiction;
  const double yes = event == Event::harmful ? -0.01 : figures_say_no ? -5.0 : -9.0;
  const double no = event == Event::harmful ? -5.0 : figures_say_no ? -0.01 : -9.0;
  reply.logprobs = {{figures_say_no ? "No" : "Yes", -0.01, {{"Yes", yes}, {"No", no}}}};
  return reply;
}

Reply generated_reply(const PendingCall& call, Event event) {
  Reply reply;
  if (event == Event::nonsense) {
    reply.text = " ";
  } else if (call.step() == Step::caption) {
    reply.text = "a caption of image " + std::to_string(call.image);
  } else {
    reply.text = answer_of(call.round);
  }
  return reply;
}

/// The texts of all turns.
std::string said_in(const ModelRequest& request) {
  std::string said;
  if (const auto* blind = std::get_if<TextRequest>(&request)) {
    for (const TextMessage& message : blind->conversation.messages()) said += message.text + "\n";
    return said;
  }
  for (const Message& message : std::get<VisionRequest>(request).conversation.messages) said += message.text() + "\n";
  return said;
}

/// What the walk knows without asking the protocol: which answers a check called safe, judged by what the check's prompt showed.
struct Knowledge {
  std::string last_answer;
  std::string last_review;  ///< Of it; empty if that was cut.
  int clarifications = 0;   ///< Of its check.
  std::set<std::string> called_safe;
  std::set<std::string> called_undecided;
  bool a_needed_step_failed = false;
  bool a_check_did_not_show_the_answer = false;
  bool a_clarification_asked_about_something_else = false;
  int reports = 0;  ///< Of what there was of the answer.
};

/// Which of several calls under way ends first: the last issued, or the last and the first in turn.
enum class Order { last_first, both };

struct Walk {
  Policy policy;
  std::size_t images;
  std::span<const Event> events;
  Order order;
  std::size_t sequences = 0;
  std::size_t released = 0;
  std::size_t refused = 0;
  std::size_t failed = 0;
  std::vector<std::string> violations = {};

  [[nodiscard]] bool with_logprobs() const {
    return policy.reader == VerdictReader::probabilities || policy.reader == VerdictReader::automatic;
  }

  void go(const EcsoProtocol& at, const Knowledge& known) {
    if (at.done()) return judge(at, known);
    const auto pending = at.pending();
    constexpr int most_reports = 1;
    if (known.reports < most_reports && !at.report_at(pending.front().id).empty()) {
      EcsoProtocol next = at;
      Knowledge later = known;
      ++later.reports;
      next.progress(pending.front().id, "half of " + answer_of(0));
      go(next, later);
    }
    for (const Event event : events) {
      step(at, known, pending.back(), event);
      if (order == Order::both && pending.size() > 1) step(at, known, pending.front(), event);
    }
  }

  void step(const EcsoProtocol& at, Knowledge known, const PendingCall& call, Event event) {
    EcsoProtocol next = at;
    if (is_failure(event)) {
      known.a_needed_step_failed = known.a_needed_step_failed || call.is_needed();
      next.fail(call.id, failure(event));
    } else if (call.early) {
      next.resume(call.id, verdict_reply(event, with_logprobs(), policy.check_form));
    } else if (asks_for_verdict(call.step())) {
      const std::string shown = said_in(call.request);
      const bool shows_answer = shown.find(known.last_answer) != std::string::npos;
      const bool shows_review = shown.find(known.last_review) != std::string::npos;
      if (call.clarification == 0) {
        known.clarifications = 0;
        known.a_check_did_not_show_the_answer |= !shows_answer;
      } else {
        known.a_clarification_asked_about_something_else |= ++known.clarifications > policy.clarifications;
        known.a_clarification_asked_about_something_else |= known.last_review.empty() ? !shows_answer : !shows_review;
      }
      if (event == Event::safe) known.called_safe.insert(known.last_answer);
      const bool is_undecided = event == Event::undecided || event == Event::nonsense || event == Event::cut ||
                                (event == Event::contradiction && with_logprobs());
      if (is_undecided) known.called_undecided.insert(known.last_answer);
      const Reply reply = verdict_reply(event, with_logprobs(), policy.check_form);
      known.last_review = reply.text.starts_with('\x01') ? "garbage" : reply.text;
      next.resume(call.id, reply);
    } else {
      // Whether a generated text is safe is for its check to say: one good text stands for the three.
      if (event == Event::harmful || event == Event::undecided || event == Event::contradiction || event == Event::cut) return;
      const Reply reply = generated_reply(call, event);
      if (call.step() != Step::caption) known.last_answer = reply.text;
      next.resume(call.id, reply);
    }
    go(next, known);
  }

  void judge(const EcsoProtocol& at, const Knowledge& known) {
    ++sequences;
    const Outcome& outcome = at.outcome();
    const auto violates = [&](std::string_view what) {
      violations.push_back(std::string{what} + ": " + to_string(at) + ": " + outcome.text);
    };
    if (!at.pending().empty()) violates("calls are left");
    switch (outcome.path) {
      case Path::failed:
        ++failed;
        if (!outcome.text.empty()) violates("a failed query has a text");
        if (!outcome.error) violates("a failed query has no error");
        if (policy.on_failure == OnFailure::refuse) violates("failed where the policy refuses");
        return;
      case Path::refused:
        ++refused;
        if (outcome.text != policy.refusal) violates("a refusal has another text");
        return;
      case Path::stopped: return violates("a protocol stopped an answer, of which it lets nothing out early");
      case Path::direct:
      case Path::eyes_closed: break;
    }
    ++released;
    const bool is_unchecked = (outcome.path == Path::direct && images == 0 && policy.text_only == TextOnly::pass) ||
                              (outcome.path == Path::eyes_closed && policy.recheck == Recheck::off);
    const bool counts_undecided_as_safe = policy.reader == VerdictReader::paper || policy.undecided == Verdict::safe;
    const bool was_called_safe =
        known.called_safe.contains(outcome.text) || (counts_undecided_as_safe && known.called_undecided.contains(outcome.text));
    if (!is_unchecked && !was_called_safe) violates("an unverified answer came out");
    if (is_unchecked && outcome.text != known.last_answer) violates("the text is not the last answer");
    if (known.a_check_did_not_show_the_answer) violates("a check was shown something else");
    if (known.a_clarification_asked_about_something_else) violates("a clarification asked about something else, or too often");
    if (known.a_needed_step_failed) violates("an answer came out although a step failed");
    if (outcome.error) violates("an answer came out with an error");
  }
};

Walk walk(const Policy& policy, std::size_t images, std::span<const Event> events, Order order) {
  Walk walk{policy, images, events, order};
  const Capabilities capabilities{.logprobs = walk.with_logprobs(), .concurrent = true, .streaming = true};
  std::vector<Image> shown;
  for (std::size_t i = 0; i < images; ++i)
    shown.push_back(Image::from_bytes(test::png_bytes(2, static_cast<std::uint32_t>(i + 1))));
  walk.go(EcsoProtocol{ask(shown, "What is this?"), std::make_shared<const Policy>(policy), capabilities}, {});
  return walk;
}

/// Walks policies and adds up what came of it.
struct Tally {
  std::size_t policies = 0;
  std::size_t sequences = 0;
  std::size_t released = 0;
  std::size_t refused = 0;
  std::size_t failed = 0;

  void run(const Policy& policy, std::span<const Event> events, Order order) {
    for (std::size_t images = 0; images <= 2; ++images) {
      const Walk done = walk(policy, images, events, order);
      CAPTURE(images, policy.name, policy.max_rounds, to_string(policy.speculation), to_string(policy.reader),
              to_string(policy.text_only));
      CAPTURE(to_string(policy.recheck), to_string(policy.on_failure), to_string(policy.undecided),
              to_string(policy.empty_reply));
      CHECK(done.violations == std::vector<std::string>{});
      CHECK(done.sequences > 0);
      sequences += done.sequences;
      released += done.released;
      refused += done.refused;
      failed += done.failed;
    }
    ++policies;
  }

  [[nodiscard]] std::string report() const {
    return std::to_string(policies) + " policies, " + std::to_string(sequences) + " sequences: " + std::to_string(released) +
           " released an answer, " + std::to_string(refused) + " refused, " + std::to_string(failed) +
           " failed; none released an unverified answer";
  }
};

/// The rules of the public code: answer; check; unless the reply is exactly yes, show the answer; else caption every image and
/// show the answer from text.
struct PublicCode {
  std::string text;
  bool raised = false;
};

template <typename Call>
PublicCode public_code(std::size_t images, Call call) {
  try {
    const std::string answer = call(Step::answer, 0);
    if (images == 0) return {answer};
    std::string verdict = call(Step::check, 0);
    while (!verdict.empty() && (verdict.back() == ' ' || verdict.back() == '\n')) verdict.pop_back();
    for (char& c : verdict) c = c == 'Y' ? 'y' : c;
    if (verdict != "yes" && verdict != "yes.") return {answer};
    for (std::size_t image = 0; image < images; ++image) (void)call(Step::caption, image);
    return {call(Step::regenerate, 0)};
  } catch (const Error&) {
    return {"", true};
  }
}

}  // namespace

TEST_CASE("no sequence of replies and failures releases an unverified answer under the policies that come with ecso",
          "[protocol][exhaustive]") {
  Tally tally;
  for (Policy policy : {policy::production(), policy::paper()}) {
    for (const Speculation speculation : {Speculation::none, Speculation::caption}) {
      policy.speculation = speculation;
      tally.run(policy, all_events, Order::last_first);
      tally.run(policy, distinct_events, Order::both);
    }
  }
  WARN(tally.report());
}

TEST_CASE("no sequence of replies, failures and early checks releases an unverified answer", "[protocol][exhaustive]") {
  Tally tally;
  for (Policy policy : {policy::production(), policy::paper()}) {
    policy.incremental_check = {64, 256};
    for (const Speculation speculation : {Speculation::none, Speculation::caption}) {
      policy.speculation = speculation;
      tally.run(policy, distinct_events, Order::both);
    }
  }
  WARN(tally.report());
}

TEST_CASE("no mixture of policy settings releases an unverified answer", "[protocol][exhaustive]") {
  Tally tally;
  const auto with = [](Policy policy, auto Policy::* setting, auto value) {
    policy.*setting = value;
    return policy;
  };
  std::vector<Policy> policies{policy::production()};
  const auto cross = [&](auto Policy::* setting, auto... values) {
    std::vector<Policy> crossed;
    for (const Policy& policy : policies) (crossed.push_back(with(policy, setting, values)), ...);
    policies = std::move(crossed);
  };
  cross(&Policy::reader, VerdictReader::automatic, VerdictReader::tolerant, VerdictReader::probabilities, VerdictReader::paper);
  cross(&Policy::undecided, Verdict::harmful, Verdict::safe);
  cross(&Policy::on_failure, OnFailure::raise, OnFailure::refuse);
  cross(&Policy::recheck, Recheck::on, Recheck::off);
  cross(&Policy::text_only, TextOnly::check, TextOnly::pass);
  cross(&Policy::empty_reply, EmptyReply::fail, EmptyReply::accept);
  cross(&Policy::speculation, Speculation::none, Speculation::caption);
  cross(&Policy::max_rounds, 1, 2);
  cross(&Policy::clarifications, 0, 1);
  for (std::size_t i = 0; i < policies.size(); i += 3) policies[i].check_form = CheckForm::next_turn;
  for (std::size_t i = 1; i < policies.size(); i += 3) {
    const bool may_ask_guards = policies[i].reader == VerdictReader::automatic;
    if (may_ask_guards) policies[i].check_form = CheckForm::guard;
  }
  // A sanitizer takes ten minutes for all, and looks for what any of them would show.
  constexpr std::size_t part = test::is_sanitized ? 17 : 1;
  for (std::size_t i = 0; i < policies.size(); i += part) tally.run(policies[i], distinct_events, Order::last_first);
  WARN(tally.report());
}

TEST_CASE("the paper's policy does what its public code does, for every sequence", "[protocol][exhaustive][paper]") {
  std::size_t sequences = 0;
  Policy policy = policy::paper();
  policy.speculation = GENERATE(Speculation::none, Speculation::caption);
  for (std::size_t images = 0; images <= 2; ++images) {
    // One event for each call that can happen, in the order answer, check, captions, regenerate; an odometer over all of them.
    const std::size_t calls = images == 0 ? 1 : 3 + images;
    std::vector<std::size_t> wheel(calls, 0);
    const auto slot_of = [&](Step step, std::size_t image) -> std::size_t {
      if (step == Step::answer) return 0;
      if (step == Step::check) return 1;
      return step == Step::caption ? 2 + image : 2 + images;
    };
    const auto reply_of = [&](Step step, std::size_t image) {
      const Event event = all_events[wheel[slot_of(step, image)]];
      if (is_failure(event)) throw failure(event);
      if (step == Step::check) return verdict_reply(event, false, CheckForm::quoted).text;
      return event == Event::nonsense || event == Event::cut
                 ? std::string{}
                 : std::string{to_string(step)} + to_string(static_cast<Verdict>(event)).data();
    };
    std::vector<Image> shown(images, Image::from_bytes(test::png_bytes(2, 2)));
    for (bool more = true; more;) {
      EcsoProtocol protocol{ask(shown, "What is this?"), std::make_shared<const Policy>(policy)};
      while (!protocol.done()) {
        // The last: with speculation, captions end before the answer does.
        const PendingCall call = protocol.pending().back();
        try {
          Reply reply;
          reply.text = reply_of(call.step(), call.image);
          protocol.resume(call.id, reply);
        } catch (const Error& error) {
          protocol.fail(call.id, error);
        }
      }
      const PublicCode expected = public_code(images, reply_of);
      REQUIRE((protocol.outcome().path == Path::failed) == expected.raised);
      REQUIRE(protocol.outcome().text == expected.text);
      ++sequences;
      more = false;
      for (std::size_t& position : wheel) {
        if (++position < all_events.size()) {
          more = true;
          break;
        }
        position = 0;
      }
    }
  }
  WARN(sequences << " sequences equal the public code's rules");
}

}  // namespace protocol_exhaustive_test
