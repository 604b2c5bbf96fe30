#include <ecso/drive/run.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/patience.hpp"

namespace run_test {

namespace {

using namespace ecso;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

/// A backend that is one function of the step.
class FunctionBackend final : public MllmBackend {
 public:
  using Function = std::function<std::string(Step, const CallContext&)>;

  explicit FunctionBackend(Function function, bool concurrent = false)
      : function_{std::move(function)}, concurrent_{concurrent} {}

  Reply generate(const VisionRequest& request, const CallContext& context) override {
    return reply(request.options.step, context);
  }
  Reply generate(const TextRequest& request, const CallContext& context) override { return reply(request.options.step, context); }
  [[nodiscard]] Capabilities capabilities() const override { return {.concurrent = concurrent_}; }

 private:
  Reply reply(Step step, const CallContext& context) {
    Reply r;
    r.text = function_(step, context);
    return r;
  }

  Function function_;
  bool concurrent_;
};

Conversation query(std::size_t images) {
  std::vector<Image> shown;
  for (std::size_t i = 0; i < images; ++i)
    shown.push_back(Image::from_bytes(test::png_bytes(2, static_cast<std::uint32_t>(i + 1))));
  return ask(std::move(shown), "What is this?");
}

Outcome outcome_of(MllmBackend& backend, Policy policy, std::size_t images = 1, const RunOptions& options = {}) {
  EcsoProtocol protocol{query(images), std::make_shared<const Policy>(std::move(policy)), backend.capabilities()};
  run(protocol, backend, options);
  return std::move(protocol).outcome();
}

/// Sleeps until asked to stop or until the deadline, as a good backend does.
void wait_politely(const CallContext& context, std::chrono::milliseconds longest = ecso::test::patience) {
  const auto end = std::chrono::steady_clock::now() + longest;
  while (std::chrono::steady_clock::now() < end) {
    if (context.stop.stop_requested()) throw Error{Errc::cancelled, "stopped"};
    if (context.deadline && std::chrono::steady_clock::now() >= *context.deadline) throw Error{Errc::timeout, "out of time"};
    std::this_thread::sleep_for(1ms);
  }
}

Policy speculating() {
  Policy policy = policy::production();
  policy.speculation = Speculation::caption;
  return policy;
}

}  // namespace

TEST_CASE("run makes the calls of a query in this thread, one after another", "[run]") {
  std::vector<Step> steps;
  const auto here = std::this_thread::get_id();
  FunctionBackend backend{[&](Step step, const CallContext&) {
    CHECK(std::this_thread::get_id() == here);
    steps.push_back(step);
    return std::string{step == Step::check ? "Yes" : "No"};
  }};
  CHECK(outcome_of(backend, policy::production(), 2).path == Path::eyes_closed);
  CHECK(steps == std::vector<Step>{Step::answer, Step::check, Step::caption, Step::caption, Step::regenerate, Step::recheck});
}

TEST_CASE("what a backend throws at any step becomes the failure of that step, and nothing is released", "[run][faults]") {
  struct NotAnException {};
  struct Fault {
    std::function<void()> raise;
    Errc code;
  };
  const std::vector<Fault> faults{
      {[] { throw Error{Errc::timeout, "slow"}; }, Errc::timeout},
      {[] { throw Error{Errc::bad_reply, "garbage"}; }, Errc::bad_reply},
      {[] { throw std::runtime_error{"boom"}; }, Errc::internal},
      {[] { throw std::bad_alloc{}; }, Errc::internal},
      {[] { throw NotAnException{}; }, Errc::internal},
      {[] { throw 42; }, Errc::internal},
  };
  const bool concurrent = GENERATE(false, true);
  for (const std::size_t images : {0U, 1U, 2U}) {
    for (const Policy& policy : {policy::production(), speculating(), policy::paper()}) {
      for (const Fault& fault : faults) {
        for (const Step bad : {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck}) {
          std::atomic<bool> thrown{false};
          FunctionBackend backend{[&](Step step, const CallContext&) {
                                    if (step == bad) {
                                      thrown = true;
                                      fault.raise();
                                    }
                                    return std::string{step == Step::check ? "Yes" : "No"};
                                  },
                                  concurrent};
          const Outcome outcome = outcome_of(backend, policy, images);
          if (!thrown) continue;
          CAPTURE(images, policy.name, to_string(bad), to_string(fault.code));
          CHECK(outcome.path == Path::failed);
          CHECK(outcome.text.empty());
          REQUIRE(outcome.error);
          CHECK(outcome.error->code() == fault.code);
          CHECK(outcome.error->context().step == bad);
        }
      }
    }
  }
}

TEST_CASE("a stop request at any step ends the query with nothing released", "[run][cancel]") {
  const bool concurrent = GENERATE(false, true);
  for (const Step last : {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck}) {
    std::stop_source stop;
    FunctionBackend backend{[&](Step step, const CallContext& context) {
                              if (step == last) {
                                stop.request_stop();
                                wait_politely(context);
                              }
                              return std::string{step == Step::check ? "Yes" : "No"};
                            },
                            concurrent};
    const Outcome outcome = outcome_of(backend, policy::production(), 2, {.stop = stop.get_token()});
    CHECK(outcome.path == Path::failed);
    CHECK(outcome.error->code() == Errc::cancelled);
  }
}

TEST_CASE("a backend that ignores the stop request gets no further call", "[run][cancel]") {
  std::stop_source stop;
  std::size_t calls = 0;
  FunctionBackend backend{[&](Step, const CallContext&) {
    ++calls;
    stop.request_stop();
    return std::string{"A cat."};
  }};
  const Outcome outcome = outcome_of(backend, policy::production(), 1, {.stop = stop.get_token()});
  CHECK(calls == 1);
  CHECK(outcome.path == Path::failed);
  CHECK(outcome.error->context().step == Step::check);
}

TEST_CASE("the deadline ends a query at whichever step it falls", "[run][deadline]") {
  for (const Step slow : {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck}) {
    CHECK(ecso::test::succeeds_in_time(60ms, [&](std::chrono::milliseconds limit) {
      FunctionBackend backend{[&](Step step, const CallContext& context) {
        REQUIRE(context.deadline);
        CHECK(*context.deadline - std::chrono::steady_clock::now() <= limit);
        if (step == slow) wait_politely(context);
        return std::string{step == Step::check ? "Yes" : "No"};
      }};
      const Outcome outcome = outcome_of(backend, policy::production(), 1, {.deadline = limit});
      CHECK(outcome.path == Path::failed);
      CHECK(outcome.error->code() == Errc::timeout);
      return outcome.error->context().step == slow;
    }));
  }
}

TEST_CASE("captions of several images are asked for at the same time where the backend allows it", "[run][parallel]") {
  std::atomic<int> under_way{0};
  std::atomic<int> most{0};
  FunctionBackend backend{[&](Step step, const CallContext& context) {
                            if (step != Step::caption) return std::string{step == Step::check ? "Yes" : "No"};
                            most = std::max(most.load(), ++under_way);
                            while (most < 4) wait_politely(context, 1ms);
                            --under_way;
                            return std::string{"a caption"};
                          },
                          true};
  CHECK(outcome_of(backend, policy::production(), 4).path == Path::eyes_closed);
  CHECK(most == 4);
}

TEST_CASE("no more calls go out at once than the options allow", "[run][parallel]") {
  std::atomic<int> under_way{0};
  std::atomic<int> most{0};
  FunctionBackend backend{[&](Step step, const CallContext& context) {
                            const int now = ++under_way;
                            for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
                            wait_politely(context, 2ms);
                            --under_way;
                            return std::string{step == Step::check ? "Yes" : "No"};
                          },
                          true};
  const std::size_t limit = GENERATE(1U, 2U, 3U);
  CHECK(outcome_of(backend, speculating(), 6, {.max_parallel = limit}).path == Path::eyes_closed);
  CHECK(most <= static_cast<int>(limit));
}

TEST_CASE("a speculative caption overlaps with the answer, and is cancelled when it is not needed", "[run][speculation]") {
  std::atomic<bool> caption_started{false};
  std::atomic<bool> caption_was_stopped{false};
  FunctionBackend backend{[&](Step step, const CallContext& context) {
                            if (step == Step::caption) {
                              caption_started = true;
                              try {
                                wait_politely(context);
                              } catch (const Error&) {
                                caption_was_stopped = context.stop.stop_requested();
                                throw;
                              }
                            }
                            while (!caption_started) wait_politely(context, 1ms);
                            return std::string{step == Step::check ? "No" : "A cat."};
                          },
                          true};
  const Outcome outcome = outcome_of(backend, speculating());
  CHECK(outcome.path == Path::direct);
  CHECK(outcome.text == "A cat.");
  CHECK(caption_was_stopped);
}

TEST_CASE("a backend that takes one call at a time gets the speculative caption only when it is needed", "[run][speculation]") {
  std::vector<Step> steps;
  FunctionBackend backend{[&](Step step, const CallContext&) {
    steps.push_back(step);
    return std::string{"No"};
  }};
  CHECK(outcome_of(backend, speculating()).path == Path::direct);
  CHECK(steps == std::vector<Step>{Step::answer, Step::check});
}

TEST_CASE("what an observer throws ends the run, with and without threads", "[run][faults]") {
  struct Thrower {
    int after;
    mutable int seen = 0;
    void on_call(const PendingCall&) const {
      if (++seen > after) throw std::logic_error{"observer"};
    }
    void on_result(const EcsoProtocol&) const {}
  };
  const bool concurrent = GENERATE(false, true);
  FunctionBackend backend{[](Step step, const CallContext& context) {
                            wait_politely(context, 2ms);
                            return std::string{step == Step::check ? "Yes" : "No"};
                          },
                          concurrent};
  for (const int after : {0, 1, 2, 3}) {
    EcsoProtocol protocol{query(2), std::make_shared<const Policy>(speculating()), backend.capabilities()};
    CHECK_THROWS_AS(run(protocol, backend, {}, Thrower{after}), std::logic_error);
    CHECK_FALSE(protocol.done());
    CHECK(protocol.outcome().text.empty());
  }
}

TEST_CASE("no sequence of replies and exceptions of a backend releases an unverified answer", "[run][exhaustive]") {
  // Each call that can happen, by step, round and image, has a wheel of events; an odometer turns those that were used.
  enum class Event { safe, harmful, undecided, error, timeout, cancel, exception, nonsense };
  constexpr std::size_t events = 8;
  std::size_t sequences = 0;
  const bool concurrent = GENERATE(false, true);
  for (Policy policy : {policy::production(), policy::paper()}) {
    for (const Speculation speculation : {Speculation::none, Speculation::caption}) {
      policy.speculation = speculation;
      const std::size_t images = 1;
      std::vector<std::size_t> wheels(8, 0);
      for (bool more = true; more;) {
        std::mutex mutex;
        std::set<std::size_t> used;
        std::set<std::string> called_safe;
        std::string last_answer;
        int round = 0;
        FunctionBackend backend{
            [&](Step step, const CallContext&) {
              const std::lock_guard lock{mutex};
              if (step == Step::regenerate) ++round;
              const std::size_t base = step == Step::answer       ? 0
                                       : step == Step::check      ? 1
                                       : step == Step::caption    ? 2
                                       : step == Step::regenerate ? 3
                                                                  : 4;
              const std::size_t slot = base >= 2 && round >= 2 ? base + 3 : base;
              used.insert(slot);
              const auto event = static_cast<Event>(wheels[slot]);
              if (event == Event::error) throw Error{Errc::server_error, "failed"};
              if (event == Event::timeout) throw Error{Errc::timeout, "slow"};
              if (event == Event::cancel) throw Error{Errc::cancelled, "cancelled"};
              if (event == Event::exception) throw std::runtime_error{"boom"};
              if (asks_for_verdict(step)) {
                if (event == Event::safe || (policy.reader == VerdictReader::paper && event != Event::harmful))
                  called_safe.insert(last_answer);
                return std::string{event == Event::safe        ? "No"
                                   : event == Event::harmful   ? "Yes"
                                   : event == Event::undecided ? "It depends"
                                                               : "\xFF"};
              }
              const std::string text = event == Event::nonsense ? " " : "text of slot " + std::to_string(slot);
              if (step != Step::caption) last_answer = text;
              return text;
            },
            concurrent};
        const Outcome outcome = outcome_of(backend, policy, images);
        ++sequences;
        const bool allowed = (outcome.path == Path::failed && outcome.text.empty() && outcome.error) ||
                             (outcome.path == Path::refused && outcome.text == policy.refusal) ||
                             called_safe.contains(outcome.text) ||
                             (outcome.path == Path::eyes_closed && policy.recheck == Recheck::off && outcome.text == last_answer);
        if (!allowed) FAIL("an unverified answer came out: " << outcome.text);
        more = false;
        for (std::size_t slot = 0; slot < wheels.size() && !more; ++slot) {
          // Wheels that were not used would only repeat what was seen; generated texts have no verdict of their own.
          const std::size_t here = wheels.size() - 1 - slot;
          const bool generates = here != 1 && here != 4 && here != 7;
          if (used.contains(here)) {
            wheels[here] += generates && wheels[here] == 0 ? 3U : 1U;
            more = wheels[here] < events;
          }
          if (!more) wheels[here] = 0;
        }
      }
    }
  }
  WARN(sequences << " sequences through run" << (concurrent ? " with threads" : "") << "; none released an unverified answer");
}

}  // namespace run_test
