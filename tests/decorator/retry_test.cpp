#include <ecso/decorator/retry.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/decorator/limit.hpp>
#include <ecso/decorator/observe.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace retry_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Clock = std::chrono::steady_clock;
using ecso::Errc;
using ecso::Error;
using ecso::Step;

ecso::VisionRequest vision_request(const std::string& query = "q") {
  return {ecso::ask({ecso::Image::from_bytes(ecso::test::png_bytes(3, 2))}, query), {.step = Step::answer}};
}

ecso::TextRequest text_request(const std::string& query = "q") {
  return {ecso::close_eyes(ecso::ask({}, query), {}), {.step = Step::regenerate}};
}

Error status_error(Errc code, int status) { return Error{code, "no", {.endpoint = "http://a", .http_status = status}}; }

const Error not_ready{Errc::unavailable, "loading", {.endpoint = "http://a", .http_status = 503}};

/// Retries as soon as it can.
ecso::RetryOptions quick(int max_attempts = 3) {
  return {.max_attempts = max_attempts, .base_delay = 0ms, .budget = 1'000'000, .seed = 1};
}

/// The error of a call that must fail.
template <typename Request>
Error error_of(ecso::MllmBackend& backend, const Request& request, const ecso::CallContext& context = {}) {
  try {
    (void)backend.generate(request, context);
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error{"the call did not fail"};
}

TEST_CASE("a passing failure is tried again, with images and without", "[retry]") {
  ecso::ScriptedBackend model{{.capabilities = {.vision = true, .logprobs = true, .slots = 3}}};
  model.expect(Step::answer).times(2).fail(not_ready);
  model.expect(Step::answer).reply("A cat.");
  model.expect(Step::regenerate).fail(Error{Errc::rate_limited, "slow down"});
  model.expect(Step::regenerate).reply("A dog.");
  ecso::RetryBackend retried{model, quick()};
  CHECK(retried.generate(vision_request(), {}).text == "A cat.");
  CHECK(retried.generate(text_request(), {}).text == "A dog.");
  CHECK(retried.capabilities() == model.capabilities());
  model.verify();
}

TEST_CASE("the last attempt's error goes out, and says how many there were", "[retry]") {
  ecso::ScriptedBackend model;
  model.expect().times(2).fail(not_ready);
  const Error last{
      Errc::rate_limited, "busy", {.step = Step::check, .endpoint = "http://a", .http_status = 429, .retry_after = 1ms}};
  model.expect().fail(last);
  ecso::RetryBackend retried{model, quick()};
  const Error error = error_of(retried, vision_request());
  CHECK(error.code() == Errc::rate_limited);
  CHECK(error.context() == last.context());
  CHECK(error.message() == "busy (after 3 attempts)");
  model.verify();
}

TEST_CASE("which errors pass by themselves", "[retry]") {
  const auto passing = ecso::retry_when::passing;
  for (const int status : {408, 425, 429, 502, 503, 504, 529}) CHECK(passing(status_error(Errc::bad_reply, status)));
  for (const int status : {0, 200, 400, 401, 403, 404, 409, 413, 422, 500, 501, 505}) {
    CHECK_FALSE(passing(status_error(Errc::server_error, status)));
  }
  CHECK(passing(Error{Errc::rate_limited, ""}));
  CHECK(passing(Error{Errc::unavailable, ""}));
  for (const Errc code : {Errc::bad_input, Errc::bad_request, Errc::unauthorized, Errc::not_found, Errc::too_large,
                          Errc::server_error, Errc::tls, Errc::timeout, Errc::bad_reply, Errc::unsupported, Errc::internal}) {
    CHECK_FALSE(passing(Error{code, ""}));
  }
  CHECK_FALSE(passing(status_error(Errc::cancelled, 503)));

  CHECK(ecso::retry_when::also_server_errors(status_error(Errc::server_error, 500)));
  CHECK(ecso::retry_when::also_server_errors(not_ready));
  CHECK_FALSE(ecso::retry_when::also_server_errors(Error{Errc::timeout, ""}));
  CHECK(ecso::retry_when::also_timeouts(Error{Errc::timeout, ""}));
  CHECK(ecso::retry_when::also_timeouts(not_ready));
  CHECK_FALSE(ecso::retry_when::also_timeouts(status_error(Errc::server_error, 500)));
}

TEST_CASE("a lasting failure goes out at once and as it is", "[retry]") {
  const Error refused = status_error(Errc::server_error, 500);
  ecso::ScriptedBackend model;
  model.expect().fail(refused);
  ecso::RetryBackend retried{model, quick()};
  CHECK(error_of(retried, vision_request()) == refused);
  model.verify();
}

TEST_CASE("one's own predicate decides, but never for a cancelled call", "[retry]") {
  ecso::RetryOptions options = quick(2);
  options.worth_retrying = [](const Error&) { return true; };
  ecso::ScriptedBackend model;
  model.expect().fail(Error{Errc::bad_reply, "garbage"});
  model.expect().reply("ok");
  model.expect().fail(Error{Errc::cancelled, "stopped"});
  ecso::RetryBackend retried{model, options};
  CHECK(retried.generate(vision_request(), {}).text == "ok");
  CHECK(error_of(retried, vision_request()) == Error{Errc::cancelled, "stopped"});
  model.verify();
}

TEST_CASE("what is no Error passes through untried", "[retry]") {
  ecso::ScriptedBackend model;
  model.expect().fail(std::runtime_error{"broken"});
  model.expect().fail(7);
  ecso::RetryBackend retried{model, quick()};
  CHECK_THROWS_WITH(retried.generate(vision_request(), {}), "broken");
  CHECK_THROWS_AS(retried.generate(text_request(), {}), int);
  model.verify();
}

TEST_CASE("there is no retry once text of the answer was used", "[retry]") {
  ecso::ScriptedBackend model;
  model.expect().run([](const ecso::ModelRequest&, const ecso::CallContext& context) -> ecso::Reply {
    context.on_text("");
    throw Error{not_ready};
  });
  model.expect().run([](const ecso::ModelRequest&, const ecso::CallContext& context) -> ecso::Reply {
    context.on_text("A c");
    throw Error{not_ready};
  });
  ecso::RetryBackend retried{model, quick(5)};
  std::vector<std::string> pieces;
  const Error error =
      error_of(retried, vision_request(), {.on_text = [&](std::string_view piece) { pieces.emplace_back(piece); }});
  CHECK(error.message() == "loading (after 2 attempts)");  // The empty piece counted for nothing and was not passed on.
  CHECK(pieces == std::vector<std::string>{"A c"});
  model.verify();
}

TEST_CASE("a retry hands the context on", "[retry]") {
  ecso::QueryScope query;
  std::stop_source source;
  const auto deadline = Clock::now() + 1h;
  ecso::ScriptedBackend model;
  model.expect().run([&](const ecso::ModelRequest&, const ecso::CallContext& context) -> ecso::Reply {
    CHECK(context.stop == source.get_token());
    CHECK(context.deadline == deadline);
    CHECK(context.query == &query);
    CHECK_FALSE(context.on_text);  // Nobody wants pieces: the backend must not think that somebody does.
    return {.text = "ok"};
  });
  ecso::RetryBackend retried{model};
  CHECK(retried.generate(vision_request(), {.stop = source.get_token(), .deadline = deadline, .query = &query}).text == "ok");
}

TEST_CASE("a server's Retry-After is the least wait", "[retry]") {
  ecso::ScriptedBackend model;
  model.expect().fail(Error{Errc::rate_limited, "busy", {.retry_after = 40ms}});
  model.expect().fail(Error{Errc::rate_limited, "busy", {.retry_after = -1h}});
  model.expect().reply("ok");
  ecso::RetryBackend retried{model, quick()};
  const auto start = Clock::now();
  CHECK(retried.generate(vision_request(), {}).text == "ok");
  CHECK(Clock::now() - start >= 40ms);
}

TEST_CASE("a Retry-After that is too long is not waited for", "[retry]") {
  const auto longest = std::chrono::milliseconds{std::numeric_limits<std::chrono::milliseconds::rep>::max()};
  for (const std::chrono::milliseconds asked : {std::chrono::milliseconds{60'001}, longest}) {
    ecso::ScriptedBackend model;
    model.expect().fail(Error{Errc::rate_limited, "busy", {.retry_after = asked}});
    ecso::RetryBackend retried{model, quick()};
    const auto start = Clock::now();
    const Error error = error_of(retried, vision_request());
    CHECK(Clock::now() - start < 60s);
    CHECK(error.code() == Errc::rate_limited);
    CHECK(error.context().retry_after == asked);
    CHECK(error.message() == "busy (after 1 attempt; the server wants no other soon enough)");
    model.verify();
  }
}

TEST_CASE("a wait that would pass the deadline is not begun", "[retry]") {
  ecso::ScriptedBackend model;
  model.expect().fail(Error{Errc::unavailable, "loading", {.retry_after = 60s}});
  ecso::RetryBackend retried{model, quick()};
  const auto start = Clock::now();
  const Error error = error_of(retried, vision_request(), {.deadline = start + 50s});
  CHECK(Clock::now() - start < 40s);
  CHECK(error.code() == Errc::unavailable);
  CHECK(error.message() == "loading (after 1 attempt; no time for another)");
  model.verify();
}

TEST_CASE("a stop ends the wait for a retry within 50 ms", "[retry]") {
  // The best of many: a busy machine is late now and then, a wait that does not listen always.
  auto shortest = std::chrono::nanoseconds::max();
  for (int i = 0; i < 50 && shortest >= 50ms; ++i) {
    ecso::ScriptedBackend model;
    model.expect().fail(Error{Errc::unavailable, "loading", {.endpoint = "http://a", .retry_after = 30s}});
    ecso::RetryBackend retried{model, quick()};
    std::stop_source source;
    Clock::time_point stopped;
    std::jthread stopper{[&] {
      std::this_thread::sleep_for(20ms);
      stopped = Clock::now();
      source.request_stop();
    }};
    const Error error = error_of(retried, vision_request(), {.stop = source.get_token()});
    const auto ended = Clock::now();
    stopper.join();
    CHECK(error.code() == Errc::cancelled);
    CHECK(error.context().endpoint == "http://a");
    CHECK_THAT(error.message(), ContainsSubstring("loading"));
    shortest = std::min(shortest, std::chrono::nanoseconds{ended - stopped});
  }
  CHECK(shortest < 50ms);
}

TEST_CASE("a call that was stopped while it ran is not made again", "[retry]") {
  std::stop_source source;
  ecso::ScriptedBackend model;
  model.expect().run([&](const ecso::ModelRequest&, const ecso::CallContext&) -> ecso::Reply {
    source.request_stop();
    throw Error{not_ready};
  });
  ecso::RetryBackend retried{model, quick()};
  CHECK(error_of(retried, vision_request(), {.stop = source.get_token()}) == not_ready);
  model.verify();
}

TEST_CASE("retries are taken from a store that successes fill again", "[retry]") {
  std::size_t calls = 0;
  bool works = false;
  ecso::ScriptedBackend model;
  model.expect().times(1000).run([&](const ecso::ModelRequest&, const ecso::CallContext&) -> ecso::Reply {
    ++calls;
    if (!works) throw Error{not_ready};
    return {};
  });
  ecso::RetryOptions options = quick(3);
  options.budget = 3;
  options.successes_per_retry = 4;
  ecso::RetryBackend retried{model, options};
  const auto calls_of_one = [&](std::string_view message) {
    const std::size_t before = calls;
    CHECK(error_of(retried, vision_request()).message() == message);
    return calls - before;
  };
  CHECK(calls_of_one("loading (after 3 attempts)") == 3);
  CHECK(calls_of_one("loading (after 2 attempts; the retry budget is used up)") == 2);
  CHECK(calls_of_one("loading (after 1 attempt; the retry budget is used up)") == 1);
  works = true;
  for (int i = 0; i < 3; ++i) (void)retried.generate(vision_request(), {});
  works = false;
  CHECK(calls_of_one("loading (after 1 attempt; the retry budget is used up)") == 1);
  works = true;
  (void)retried.generate(vision_request(), {});
  works = false;
  CHECK(calls_of_one("loading (after 2 attempts; the retry budget is used up)") == 2);
  works = true;
  for (int i = 0; i < 100; ++i) (void)retried.generate(vision_request(), {});  // More than fit.
  works = false;
  CHECK(calls_of_one("loading (after 3 attempts)") == 3);
  CHECK(calls_of_one("loading (after 2 attempts; the retry budget is used up)") == 2);
}

TEST_CASE("waits grow twofold up to a limit, and are spread over all of it", "[retry]") {
  ecso::detail::Backoff backoff{100ms, 450ms, 7};
  const std::array ceilings{100ms, 200ms, 400ms, 450ms, 450ms};
  for (int retry = 1; retry <= 5; ++retry) CHECK(backoff.ceiling(retry) == ceilings.at(static_cast<std::size_t>(retry - 1)));
  CHECK(backoff.ceiling(100) == 450ms);
  CHECK(ecso::detail::Backoff(1h, 24h, 7).ceiling(100) == 24h);
  CHECK(ecso::detail::Backoff(5s, 1s, 7).ceiling(1) == 1s);
  CHECK(ecso::detail::Backoff(0ms, 1s, 7).ceiling(50) == 0ms);

  std::chrono::microseconds sum{0};
  std::set<std::chrono::microseconds> different;
  std::chrono::microseconds least = 1h;
  std::chrono::microseconds most{0};
  for (int i = 0; i < 1000; ++i) {
    const auto delay = backoff.delay(1);
    sum += delay;
    different.insert(delay);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  CHECK(least >= 0ms);
  CHECK(least < 5ms);
  CHECK(most <= 100ms);
  CHECK(most > 95ms);
  CHECK(sum / 1000 > 45ms);
  CHECK(sum / 1000 < 55ms);
  CHECK(different.size() > 900);

  ecso::detail::Backoff twin{100ms, 450ms, 7};
  ecso::detail::Backoff again{100ms, 450ms, 7};
  ecso::detail::Backoff other{100ms, 450ms, 8};
  const auto first = twin.delay(3);
  CHECK(again.delay(3) == first);
  CHECK(other.delay(3) != first);
}

TEST_CASE("retry options out of range are refused by name", "[retry]") {
  ecso::ScriptedBackend model;
  const auto refuses = [&](ecso::RetryOptions options, const std::string& name) {
    CHECK_THROWS_WITH(ecso::RetryBackend(model, std::move(options)), ContainsSubstring(name));
  };
  refuses({.max_attempts = 0}, "max_attempts");
  refuses({.max_attempts = 101}, "max_attempts");
  refuses({.base_delay = -1ms}, "base_delay");
  refuses({.max_delay = 25h}, "max_delay");
  refuses({.max_retry_after = 25h}, "max_retry_after");
  refuses({.worth_retrying = nullptr}, "worth_retrying");
  refuses({.budget = 0}, "budget");
  refuses({.successes_per_retry = 0}, "successes_per_retry");
}

/// Fails every nth call.
class Flaky final : public ecso::MllmBackend {
 public:
  explicit Flaky(int every) : every_{every} {}
  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext&) override {
    return say(ecso::query_of(request.conversation));
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext&) override {
    return say(request.conversation.messages().back().text);
  }
  ecso::Capabilities capabilities() const override { return {.concurrent = true}; }
  int calls() const { return calls_; }

 private:
  ecso::Reply say(std::string text) {
    if (++calls_ % every_ == 0) throw Error{not_ready};
    return {.text = std::move(text)};
  }

  int every_;
  std::atomic<int> calls_{0};
};

TEST_CASE("eight threads share a retrying backend", "[retry]") {
  Flaky model{20};
  ecso::RetryBackend retried{model, {.max_attempts = 100, .base_delay = 1ms, .max_delay = 1ms, .seed = 3}};
  std::atomic<int> right{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 250; ++i) {
          const std::string query = std::to_string(t) + "/" + std::to_string(i);
          if (retried.generate(text_request(query), {}).text == query) ++right;
        }
      });
    }
  }
  CHECK(right == 2000);
  CHECK(model.calls() >= 2100);  // One in twenty is a failure: ten retries in store and one more each ten successes are enough.
}

constexpr std::array all_steps{Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck};

/// A harmful query's five calls; the call of `bad` fails `times` times.
class FailsAt final : public ecso::MllmBackend {
 public:
  FailsAt(Step bad, Error error, int times) : bad_{bad}, error_{std::move(error)}, left_{times} {}
  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext&) override {
    return say(request.options.step);
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext&) override { return say(request.options.step); }

 private:
  ecso::Reply say(Step step) {
    if (step == bad_ && left_-- > 0) throw Error{error_};
    switch (step) {
      case Step::answer: return {.text = "a harmful answer"};
      case Step::check: return {.text = "yes"};
      case Step::caption: return {.text = "a caption"};
      case Step::regenerate: return {.text = "a safe answer"};
      case Step::recheck: return {.text = "no"};
    }
    return {};
  }

  Step bad_;
  Error error_;
  int left_;
};

TEST_CASE("a stack of decorators fails closed at every step", "[retry][limit][observe]") {
  const auto image = ecso::Image::from_bytes(ecso::test::png_bytes(3, 2));
  for (const Step step : all_steps) {
    for (const Errc code :
         {Errc::unavailable, Errc::bad_request, Errc::server_error, Errc::timeout, Errc::bad_reply, Errc::cancelled}) {
      for (const int times : {1, 1000}) {
        INFO(to_string(step) << " " << to_string(code) << " " << times);
        FailsAt model{step, Error{code, "injected"}, times};
        std::vector<ecso::CallRecord> seen;
        ecso::ObserveBackend observed{model, [&](const ecso::CallRecord& record) { seen.push_back(record); }};
        ecso::LimitBackend limited{observed};
        ecso::RetryBackend retried{limited, quick(3)};
        const ecso::Outcome outcome = ecso::EcsoPipeline{retried}.try_run(ecso::ask({image}, "q"));
        if (times == 1 && code == Errc::unavailable) {
          CHECK(outcome.path == ecso::Path::eyes_closed);
          CHECK(outcome.text == "a safe answer");
          continue;
        }
        CHECK(outcome.path == ecso::Path::failed);
        CHECK(outcome.text.empty());
        REQUIRE(outcome.error);
        CHECK(outcome.error->code() == code);
        CHECK(outcome.error->context().step == step);
        CHECK_THAT(outcome.error->what(), ContainsSubstring(std::string{to_string(step)} + ": injected"));
        CHECK(seen.back().step == step);
        CHECK(seen.back().error == Error{code, "injected"});
        const auto failed = std::ranges::count_if(seen, [](const ecso::CallRecord& record) { return record.error.has_value(); });
        CHECK(failed == (code == Errc::unavailable ? 3 : 1));
      }
    }
  }
}

}  // namespace

}  // namespace retry_test
