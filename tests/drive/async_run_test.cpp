#include <ecso/drive/async_run.hpp>

#include <ecso/drive/run.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace async_run_test {

namespace {

using namespace ecso;

/// An event loop by hand: keeps what was started until the test ends it.
struct Host {
  std::vector<PendingCall> open;
  std::vector<CallId> cancelled;
  std::size_t started = 0;
  std::size_t most_open = 0;
  std::function<void(const PendingCall&)> on_start = [](const PendingCall&) {};
  std::function<void(CallId)> on_cancel = [](CallId) {};

  void start(const PendingCall& call) {
    on_start(call);
    open.push_back(call);
    ++started;
    most_open = std::max(most_open, open.size());
  }
  void cancel(CallId id) {
    CHECK(std::erase_if(open, [id](const PendingCall& call) { return call.id == id; }) == 1);
    cancelled.push_back(id);
    on_cancel(id);
  }

  /// The open calls in words: "answer caption?", where "?" is a call not known to be needed.
  [[nodiscard]] std::string names() const {
    std::string names;
    for (const PendingCall& call : open) {
      names.append(names.empty() ? "" : " ").append(to_string(call.step())).append(call.is_needed() ? "" : "?");
    }
    return names;
  }

  /// Takes an open call of a step.
  CallId take(Step step) {
    const auto call = std::ranges::find(open, step, &PendingCall::step);
    if (call == open.end()) FAIL("no open " << to_string(step));
    const CallId id = call->id;
    open.erase(call);
    return id;
  }
};

using Run = AsyncRun<EcsoProtocol, Host>;

constexpr Capabilities able{.concurrent = true, .streaming = true};

Image picture(std::size_t number) { return Image::from_bytes(test::png_bytes(2, static_cast<std::uint32_t>(number + 1))); }

EcsoProtocol protocol_of(Policy policy, std::size_t images = 1) {
  std::vector<Image> shown;
  for (std::size_t i = 0; i < images; ++i) shown.push_back(picture(i));
  return EcsoProtocol{ask(std::move(shown), "What is this?"), std::make_shared<const Policy>(std::move(policy)), able};
}

Policy speculating() {
  Policy policy;
  policy.speculation = Speculation::caption;
  return policy;
}

Policy checking_early() {
  Policy policy;
  policy.incremental_check = {16};
  return policy;
}

Reply saying(std::string text) {
  Reply reply;
  reply.text = std::move(text);
  return reply;
}

const Error gone{Errc::unavailable, "gone"};

/// A protocol, its host and its run.
struct Bench {
  explicit Bench(Policy policy = {}, std::size_t images = 1, std::size_t max_parallel = 8)
      : protocol{protocol_of(std::move(policy), images)}, run{protocol, host, max_parallel} {
    run.begin();
  }

  void reply(Step step, std::string text) { run.resume(host.take(step), saying(std::move(text))); }

  EcsoProtocol protocol;
  Host host;
  Run run;
};

}  // namespace

TEST_CASE("a harmless answer takes two calls, one after the other", "[drive][async]") {
  Bench bench;
  CHECK(bench.host.names() == "answer");
  bench.reply(Step::answer, "A cat.");
  CHECK(bench.host.names() == "check");
  CHECK_FALSE(bench.run.done());
  bench.reply(Step::check, "No");
  CHECK(bench.run.done());
  CHECK(bench.host.started == 2);
  CHECK(bench.host.cancelled.empty());
  CHECK(bench.protocol.outcome().path == Path::direct);
  CHECK(bench.protocol.outcome().text == "A cat.");
}

TEST_CASE("a harmful answer takes five calls, and captions of several images go out together", "[drive][async]") {
  Bench bench{{}, 2};
  bench.reply(Step::answer, "First, take the");
  bench.reply(Step::check, "Yes");
  CHECK(bench.host.names() == "caption caption");
  bench.reply(Step::caption, "A drawing.");
  CHECK(bench.host.names() == "caption");
  bench.reply(Step::caption, "Another.");
  bench.reply(Step::regenerate, "I would not.");
  bench.reply(Step::recheck, "No");
  CHECK(bench.host.started == 6);
  CHECK(bench.protocol.outcome().path == Path::eyes_closed);
  CHECK(bench.protocol.outcome().text == "I would not.");
}

TEST_CASE("without a recheck a harmful answer takes four calls", "[drive][async]") {
  Bench bench{policy::paper()};
  bench.reply(Step::answer, "First, take the");
  bench.reply(Step::check, "Yes");
  bench.reply(Step::caption, "A drawing.");
  bench.reply(Step::regenerate, "I would not.");
  CHECK(bench.run.done());
  CHECK(bench.host.started == 4);
}

TEST_CASE("a caption that was asked for ahead is used, or cancelled once nobody needs it", "[drive][async][speculation]") {
  Bench bench{speculating()};
  CHECK(bench.host.names() == "answer caption?");
  bench.reply(Step::answer, "A cat.");
  CHECK(bench.host.names() == "caption? check");
  SECTION("not needed") {
    const CallId caption = bench.host.open.front().id;
    bench.reply(Step::check, "No");
    CHECK(bench.run.done());
    CHECK(bench.host.cancelled == std::vector{caption});
    CHECK(bench.protocol.outcome().text == "A cat.");
  }
  SECTION("needed") {
    bench.reply(Step::caption, "A drawing.");
    bench.reply(Step::check, "Yes");
    CHECK(bench.host.names() == "regenerate");
    CHECK(bench.host.cancelled.empty());
  }
  SECTION("needed, and still under way") {
    bench.reply(Step::check, "Yes");
    CHECK(bench.host.started == 3);
    bench.reply(Step::caption, "A drawing.");
    CHECK(bench.host.names() == "regenerate");
  }
}

TEST_CASE("a harmful beginning cancels the rest of the answer, and nothing that still comes of it counts",
          "[drive][async][early]") {
  Bench bench{checking_early()};
  const CallId answer = bench.host.open.front().id;
  bench.run.progress(answer, "First, take the");
  CHECK(bench.host.names() == "answer check?");
  bench.run.progress(answer, "First, take the knife");
  CHECK(bench.host.started == 2);
  bench.reply(Step::check, "Yes");
  CHECK(bench.host.cancelled == std::vector{answer});
  CHECK(bench.host.names() == "caption");

  const EcsoProtocol before = bench.protocol;
  bench.run.resume(answer, saying("First, take the knife and"));
  bench.run.fail(answer, gone);
  bench.run.progress(answer, "First, take the knife");
  bench.run.resume(4711, saying("Never asked for"));
  CHECK(bench.protocol == before);
  CHECK(bench.host.started == 3);

  bench.reply(Step::caption, "A drawing.");
  bench.reply(Step::regenerate, "I would not.");
  bench.reply(Step::recheck, "No");
  CHECK(bench.protocol.outcome().text == "I would not.");
}

TEST_CASE("a check of a beginning that the answer overtakes is cancelled", "[drive][async][early]") {
  Bench bench{checking_early()};
  bench.run.progress(bench.host.open.front().id, "A cat");
  const CallId early = bench.host.open.back().id;
  bench.reply(Step::answer, "A cat with a plan.");
  CHECK(bench.host.cancelled == std::vector{early});
  CHECK(bench.host.names() == "check");
  bench.run.resume(early, saying("No"));
  CHECK_FALSE(bench.run.done());
}

TEST_CASE("no more calls are under way than allowed, those known to be needed first", "[drive][async]") {
  const std::size_t most = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3});
  Bench bench{speculating(), 4, most};
  CHECK(bench.host.open.front().step() == Step::answer);
  bench.reply(Step::answer, "First, take the");
  CHECK(std::ranges::count(bench.host.open, Step::check, &PendingCall::step) == 1);
  bench.reply(Step::check, "Yes");
  while (!bench.host.open.empty() && bench.host.open.front().step() == Step::caption) bench.reply(Step::caption, "A drawing.");
  CHECK(bench.host.names() == "regenerate");
  CHECK(bench.host.most_open == std::max<std::size_t>(most, 1));
  CHECK(bench.host.started == 7);
}

TEST_CASE("giving up at any step ends the flow without an answer and cancels what is under way", "[drive][async]") {
  Policy policy = GENERATE(speculating(), checking_early(), policy::production());
  policy.on_failure = GENERATE(OnFailure::raise, OnFailure::refuse);
  const std::vector<std::pair<Step, std::string>> replies{{Step::answer, "First, take the"},
                                                          {Step::check, "Yes"},
                                                          {Step::caption, "A drawing."},
                                                          {Step::regenerate, "I would not."},
                                                          {Step::recheck, "No"}};
  for (std::size_t steps = 0; steps < replies.size(); ++steps) {
    CAPTURE(steps, policy.name);
    Bench bench{policy, 2};
    for (std::size_t i = 0; i < steps; ++i) {
      const auto& [step, text] = replies[i];
      if (step == Step::answer) bench.run.progress(bench.host.open.front().id, "First,");
      for (std::size_t n = step == Step::caption ? 2 : 1; n > 0; --n) bench.reply(step, text);
    }
    const std::vector<PendingCall> open = bench.host.open;
    bench.run.give_up(Error{Errc::timeout, "too late"});
    CHECK(bench.run.done());
    CHECK(bench.host.open.empty());
    CHECK(bench.host.cancelled.size() >= open.size());
    const Outcome& outcome = bench.protocol.outcome();
    CHECK(outcome.path == (policy.on_failure == OnFailure::raise ? Path::failed : Path::refused));
    CHECK(outcome.text == (policy.on_failure == OnFailure::raise ? "" : policy.refusal));
    REQUIRE(outcome.error);
    CHECK(outcome.error->code() == Errc::timeout);
    for (const PendingCall& call : open) bench.run.resume(call.id, saying("No"));
    CHECK(bench.protocol.outcome() == outcome);
    bench.run.give_up(gone);
    CHECK(bench.protocol.outcome().error->code() == Errc::timeout);
  }
}

TEST_CASE("what the start of a call throws is the failure of its step", "[drive][async]") {
  Bench bench{speculating()};
  SECTION("an Error") {
    bench.host.on_start = [](const PendingCall&) { throw Error{Errc::bad_input, "it is not UTF-8"}; };
    bench.reply(Step::answer, "A cat.");
    CHECK(bench.protocol.outcome().error->code() == Errc::bad_input);
  }
  SECTION("another exception") {
    bench.host.on_start = [](const PendingCall&) { throw std::runtime_error{"oops"}; };
    bench.reply(Step::answer, "A cat.");
    CHECK(bench.protocol.outcome().error->code() == Errc::internal);
  }
  SECTION("something else") {
    bench.host.on_start = [](const PendingCall&) { throw 42; };
    bench.reply(Step::answer, "A cat.");
    CHECK(bench.protocol.outcome().error->code() == Errc::internal);
  }
  CHECK(bench.run.done());
  CHECK(bench.protocol.outcome().path == Path::failed);
  CHECK(bench.protocol.outcome().text.empty());
  CHECK(bench.host.open.empty());
  CHECK(bench.host.cancelled.size() == 1);
}

TEST_CASE("a caption asked for ahead that cannot be started is asked for again once it is needed",
          "[drive][async][speculation]") {
  Host host;
  int refusals = 1;
  host.on_start = [&](const PendingCall& call) {
    if (call.speculative && refusals-- > 0) throw Error{Errc::unavailable, "no place"};
  };
  EcsoProtocol protocol = protocol_of(speculating());
  Run run{protocol, host};
  run.begin();
  CHECK(host.names() == "answer");
  run.resume(host.take(Step::answer), saying("First, take the"));
  run.resume(host.take(Step::check), saying("Yes"));
  CHECK(host.names() == "caption");
}

TEST_CASE("a host may come back into the run while it cancels a call", "[drive][async]") {
  Bench bench{speculating(), 3};
  bench.host.on_cancel = [&](CallId id) {
    bench.run.fail(id, Error{Errc::cancelled, "cancelled"});
    const std::vector<PendingCall> open = bench.host.open;
    for (const PendingCall& call : open) bench.run.resume(call.id, saying("late"));
  };
  bench.reply(Step::answer, "A cat.");
  bench.reply(Step::check, "No");
  CHECK(bench.run.done());
  // One of the three ended before its turn to be cancelled came.
  CHECK(bench.host.cancelled.size() == 2);
  CHECK(bench.protocol.outcome().text == "A cat.");
}

TEST_CASE("a flow that is not done and asks for nothing is an error", "[drive][async]") {
  struct Stuck {
    [[nodiscard]] std::span<const PendingCall> pending() const { return {}; }
    [[nodiscard]] bool done() const { return false; }
    void resume(CallId, Reply) {}
    void fail(CallId, const Error&) {}
  };
  Stuck flow;
  Host host;
  AsyncRun run{flow, host};
  CHECK_THROWS_AS(run.begin(), Error);
  CHECK_THROWS_AS(run.give_up(gone), Error);
}

// Walks every order in which calls can end and every reply and failure that they can end with.
namespace {

enum class Event { safe, harmful, undecided, failure };

/// A call as a script knows it.
using Key = std::tuple<Step, int, std::size_t, bool>;

Key key_of(const PendingCall& call) { return {call.step(), call.round, call.image, call.early}; }

std::string answer_of(int round) { return "the answer of round " + std::to_string(round); }

/// Whatever the event, a generated text is the same: its check says what it is.
Reply reply_of(const Key& key, Event event) {
  const auto [step, round, image, early] = key;
  if (asks_for_verdict(step)) return saying(event == Event::safe ? "No" : event == Event::harmful ? "Yes" : "Perhaps");
  return saying(step == Step::caption ? "caption " + std::to_string(image) : answer_of(round));
}

/// All sequences of choices, one after the other: each run of the code under test asks `choose` the same way until a choice
/// differs.
class Choices {
 public:
  std::size_t choose(std::size_t options) {
    if (at_ == made_.size()) made_.push_back({0, options});
    return made_[at_++].first;
  }
  bool next() {
    while (!made_.empty() && made_.back().first + 1 == made_.back().second) made_.pop_back();
    if (made_.empty()) return false;
    ++made_.back().first;
    at_ = 0;
    return true;
  }

 private:
  std::vector<std::pair<std::size_t, std::size_t>> made_;
  std::size_t at_ = 0;
};

/// Answers as the script says; what the script does not say went well.
struct ByScript {
  const std::map<Key, Event>& script;
  const EcsoProtocol* flow = nullptr;

  Reply generate(const VisionRequest& request, const CallContext&) { return by(request.options.step); }
  Reply generate(const TextRequest& request, const CallContext&) { return by(request.options.step); }
  [[nodiscard]] Capabilities capabilities() const { return {}; }

 private:
  [[nodiscard]] Reply by(Step step) const {
    const PendingCall& call = flow->pending().front();
    if (call.step() != step) throw Error{Errc::internal, "another call"};
    const auto found = script.find(key_of(call));
    const Event event = found == script.end() ? Event::safe : found->second;
    if (event == Event::failure) throw gone;
    return reply_of(key_of(call), event);
  }
};

/// What may happen at any moment beside a call's end.
enum class Beside { nothing, give_up };

struct Walk {
  Policy policy;
  std::size_t images;
  std::size_t max_parallel;
  Beside beside = Beside::nothing;
  std::size_t sequences = 0;
  std::size_t released = 0;

  void go() {
    const EcsoProtocol fresh = protocol_of(policy, images);
    Choices choices;
    do {
      one(fresh, choices);
      ++sequences;
    } while (choices.next());
  }

  void one(const EcsoProtocol& fresh, Choices& choices) {
    EcsoProtocol protocol = fresh;
    Host host;
    std::size_t ignored = 0;
    std::map<Key, Event> script;
    std::set<std::string> called_safe;
    bool has_reported = false;
    bool has_given_up = false;
    bool has_failed = false;
    Run run{protocol, host, max_parallel};
    run.begin();
    while (!run.done()) {
      REQUIRE(host.open.size() <= max_parallel);
      REQUIRE_FALSE(host.open.empty());
      if (beside == Beside::give_up && choices.choose(2) == 1) {
        has_given_up = true;
        run.give_up(gone);
        break;
      }
      const CallId first = host.open.front().id;
      if (!has_reported && !protocol.report_at(first).empty() && choices.choose(2) == 1) {
        has_reported = true;
        run.progress(first, "half of " + answer_of(0));
      }
      const PendingCall call = host.open[choices.choose(host.open.size())];
      const Key key = key_of(call);
      // A step that fails once fails always, so that a caption asked for ahead ends as the one asked for in time.
      const std::size_t events = asks_for_verdict(call.step()) ? 4 : 2;
      if (!script.contains(key)) {
        const std::size_t chosen = choices.choose(events);
        script[key] = events == 2 && chosen == 1 ? Event::failure : static_cast<Event>(chosen);
      }
      const Event event = script[key];
      std::erase_if(host.open, [&](const PendingCall& open) { return open.id == call.id; });
      if (event == Event::failure) {
        has_failed = has_failed || std::ranges::any_of(protocol.pending(), [&](const PendingCall& pending) {
                       return pending.id == call.id && pending.is_needed();
                     });
        run.fail(call.id, gone);
      } else {
        if (asks_for_verdict(call.step()) && !call.early && event == Event::safe) called_safe.insert(answer_of(call.round));
        run.resume(call.id, reply_of(key, event));
      }
      for (; ignored < host.cancelled.size(); ++ignored) {
        run.progress(host.cancelled[ignored], "late");
        run.resume(host.cancelled[ignored], saying("No"));
      }
    }
    REQUIRE(host.open.empty());
    judge(protocol.outcome(), called_safe, has_failed || has_given_up);
    if (!has_given_up && !has_reported) compare(fresh, protocol.outcome(), script);
  }

  void judge(const Outcome& outcome, const std::set<std::string>& called_safe, bool must_fail) {
    if (outcome.path == Path::refused) {
      REQUIRE(outcome.text == policy.refusal);
      REQUIRE((policy.on_failure == OnFailure::refuse || !must_fail));
    } else if (outcome.path == Path::failed) {
      REQUIRE(outcome.text.empty());
      REQUIRE(outcome.error == gone.in_step(outcome.error.value().context().step.value()));
    } else {
      REQUIRE_FALSE(must_fail);
      REQUIRE(called_safe.contains(outcome.text));
      ++released;
    }
  }

  static void compare(const EcsoProtocol& fresh, const Outcome& outcome, const std::map<Key, Event>& script) {
    EcsoProtocol blocking = fresh;
    ByScript backend{script, &blocking};
    ecso::run(blocking, backend);
    REQUIRE(blocking.outcome().path == outcome.path);
    REQUIRE(blocking.outcome().text == outcome.text);
    REQUIRE(blocking.outcome().error == outcome.error);
  }
};

}  // namespace

TEST_CASE("every order of replies and failures ends as the blocking run does, and none lets out what no check called safe",
          "[drive][async][exhaustive]") {
  std::size_t sequences = 0;
  std::size_t released = 0;
  for (const Speculation speculation : {Speculation::none, Speculation::caption}) {
    for (const OnFailure on_failure : {OnFailure::raise, OnFailure::refuse}) {
      for (const std::size_t images : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
        for (const std::size_t max_parallel : {std::size_t{1}, std::size_t{2}, std::size_t{8}}) {
          for (const bool early : {false, true}) {
            for (const Beside beside : {Beside::nothing, Beside::give_up}) {
              Policy policy;
              policy.speculation = speculation;
              policy.on_failure = on_failure;
              policy.max_rounds = images == 2 ? 1 : 2;
              if (early) policy.incremental_check = {16};
              Walk walk{policy, images, max_parallel, beside};
              walk.go();
              sequences += walk.sequences;
              released += walk.released;
              CHECK(walk.released > 0);
            }
          }
        }
      }
    }
  }
  WARN(sequences << " sequences, " << released << " released an answer, each called safe");
}

}  // namespace async_run_test
