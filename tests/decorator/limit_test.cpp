#include <ecso/decorator/limit.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace limit_test {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using ecso::Errc;
using ecso::Error;

ecso::TextRequest text_request(const std::string& query = "q") { return {ecso::close_eyes(ecso::ask({}, query), {}), {}}; }

/// Every call waits until it is let go; notes the order in which calls came.
class Gate final : public ecso::MllmBackend {
 public:
  explicit Gate(ecso::Capabilities able = {.concurrent = true}) : able_{able} {}

  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext&) override {
    return pass(ecso::query_of(request.conversation));
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext&) override {
    return pass(request.conversation.messages().back().text);
  }
  ecso::Capabilities capabilities() const override { return able_; }

  void let_go(std::size_t calls) {
    const std::lock_guard lock{mutex_};
    allowed_ += calls;
    changed_.notify_all();
  }

  void wait_for_calls(std::size_t count) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return came_.size() >= count; });
  }

  std::vector<std::string> came() const {
    const std::lock_guard lock{mutex_};
    return came_;
  }
  std::size_t most_at_once() const {
    const std::lock_guard lock{mutex_};
    return most_;
  }

 private:
  ecso::Reply pass(std::string query) {
    std::unique_lock lock{mutex_};
    came_.push_back(query);
    most_ = std::max(most_, ++inside_);
    changed_.notify_all();
    changed_.wait(lock, [&] { return allowed_ > 0; });
    --allowed_;
    --inside_;
    if (query == "throw") throw std::runtime_error{"broken"};
    return {.text = std::move(query)};
  }

  ecso::Capabilities able_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> came_;
  std::size_t allowed_ = 0;
  std::size_t inside_ = 0;
  std::size_t most_ = 0;
};

void wait_until_waiting(const ecso::LimitBackend& limited, std::size_t count) {
  while (limited.waiting() != count) std::this_thread::sleep_for(1ms);
}

/// A call in a thread of its own.
std::future<std::string> start(ecso::LimitBackend& limited, std::string query, ecso::CallContext context = {}) {
  return std::async(std::launch::async, [&limited, query = std::move(query), context = std::move(context)] {
    return limited.generate(text_request(query), context).text;
  });
}

Errc code_of(std::future<std::string>& call) {
  try {
    (void)call.get();
  } catch (const Error& error) {
    return error.code();
  }
  throw std::logic_error{"the call did not fail"};
}

TEST_CASE("calls wait in the order in which they came", "[limit]") {
  Gate model;
  ecso::LimitBackend limited{model, {.max_in_flight = 1}};
  std::vector<std::future<std::string>> calls;
  std::vector<std::string> order;
  for (std::size_t i = 0; i < 12; ++i) {
    order.push_back(std::to_string(i));
    calls.push_back(start(limited, order.back()));
    if (i == 0) model.wait_for_calls(1);
    wait_until_waiting(limited, i);
  }
  // A permit goes to whoever waits longest, even if somebody new asks at that very moment.
  for (std::size_t i = 12; i < 20; ++i) {
    model.let_go(1);
    model.wait_for_calls(i - 10);
    order.push_back(std::to_string(i));
    calls.push_back(start(limited, order.back()));
    wait_until_waiting(limited, 11);
  }
  model.let_go(100);
  for (std::size_t i = 0; i < calls.size(); ++i) CHECK(calls[i].get() == order[i]);
  CHECK(model.came() == order);
  CHECK(model.most_at_once() == 1);
  CHECK(limited.waiting() == 0);
}

TEST_CASE("how many calls go at once", "[limit]") {
  const auto most = [](ecso::Capabilities able, ecso::LimitOptions options) {
    Gate model{able};
    ecso::LimitBackend limited{model, options};
    std::vector<std::future<std::string>> calls;
    for (int i = 0; i < 10; ++i) calls.push_back(start(limited, "q"));
    while (model.came().size() + limited.waiting() != 10) std::this_thread::sleep_for(1ms);
    model.let_go(10);
    for (auto& call : calls) CHECK(call.get() == "q");
    return model.most_at_once();
  };
  CHECK(most({.concurrent = true}, {}) == 4);
  CHECK(most({.concurrent = true, .slots = 6}, {}) == 6);
  CHECK(most({.concurrent = true, .slots = 6}, {.max_in_flight = 3}) == 3);
  CHECK(most({.concurrent = false, .slots = 6}, {.max_in_flight = 3}) == 1);
}

TEST_CASE("a limited backend is concurrent whatever is behind it", "[limit]") {
  ecso::ScriptedBackend model{{.capabilities = {.vision = false, .logprobs = true, .concurrent = false, .slots = 2}}};
  ecso::LimitBackend limited{model};
  ecso::Capabilities expected = model.capabilities();
  expected.concurrent = true;
  CHECK(limited.capabilities() == expected);
  model.expect().reply("A cat.");
  CHECK(limited.generate(ecso::VisionRequest{ecso::ask({}, "q"), {}}, {}).text == "A cat.");
  CHECK_THROWS_WITH(ecso::LimitBackend(model, {.max_in_flight = -1}), Catch::Matchers::ContainsSubstring("max_in_flight"));
}

TEST_CASE("a waiter that is cancelled or too late leaves the queue to those behind", "[limit]") {
  Gate model;
  ecso::LimitBackend limited{model, {.max_in_flight = 1}};
  auto first = start(limited, "first");
  model.wait_for_calls(1);
  std::stop_source source;
  auto cancelled = start(limited, "cancelled", {.stop = source.get_token()});
  wait_until_waiting(limited, 1);
  auto second = start(limited, "second");
  wait_until_waiting(limited, 2);
  auto late = start(limited, "late", {.deadline = Clock::now() + 20ms});
  CHECK(code_of(late) == Errc::timeout);
  auto third = start(limited, "third", {.stop = source.get_token(), .deadline = Clock::now() + 1h});
  wait_until_waiting(limited, 3);
  source.request_stop();
  CHECK(code_of(cancelled) == Errc::cancelled);
  CHECK(code_of(third) == Errc::cancelled);
  CHECK(limited.waiting() == 1);
  model.let_go(2);
  CHECK(first.get() == "first");
  CHECK(second.get() == "second");
  CHECK(model.came() == std::vector<std::string>{"first", "second"});
}

TEST_CASE("a call that comes stopped or too late does not wait", "[limit]") {
  Gate model;
  ecso::LimitBackend limited{model, {.max_in_flight = 1}};
  auto first = start(limited, "first");
  model.wait_for_calls(1);
  std::stop_source source;
  source.request_stop();
  auto stopped = start(limited, "stopped", {.stop = source.get_token()});
  CHECK(code_of(stopped) == Errc::cancelled);
  auto late = start(limited, "late", {.deadline = Clock::now() - 1s});
  CHECK(code_of(late) == Errc::timeout);
  model.let_go(1);
  CHECK(first.get() == "first");
}

TEST_CASE("a stop ends the wait for a turn within 50 ms", "[limit]") {
  Gate model;
  ecso::LimitBackend limited{model, {.max_in_flight = 1}};
  auto first = start(limited, "first");
  model.wait_for_calls(1);
  auto shortest = std::chrono::nanoseconds::max();
  // The best of many: a busy machine is late now and then, a wait that does not listen always.
  for (int i = 0; i < 50 && shortest >= 50ms; ++i) {
    std::stop_source source;
    auto call = start(limited, "q", {.stop = source.get_token()});
    wait_until_waiting(limited, 1);
    const auto stopped = Clock::now();
    source.request_stop();
    CHECK(code_of(call) == Errc::cancelled);
    shortest = std::min(shortest, std::chrono::nanoseconds{Clock::now() - stopped});
  }
  CHECK(shortest < 50ms);
  model.let_go(1);
  CHECK(first.get() == "first");
}

TEST_CASE("a full queue refuses at once", "[limit]") {
  Gate model;
  ecso::LimitBackend limited{model, {.max_in_flight = 1, .max_waiting = 2}};
  std::vector<std::future<std::string>> calls;
  calls.push_back(start(limited, "q"));
  model.wait_for_calls(1);
  for (std::size_t i = 1; i <= 2; ++i) {
    calls.push_back(start(limited, "q"));
    wait_until_waiting(limited, i);
  }
  CHECK_THROWS_WITH(limited.generate(text_request(), {}), "the queue is full: 2 calls wait already");
  auto refused = start(limited, "q");
  CHECK(code_of(refused) == Errc::rate_limited);
  model.let_go(10);
  for (auto& call : calls) CHECK(call.get() == "q");

  Gate other;
  ecso::LimitBackend no_queue{other, {.max_in_flight = 1, .max_waiting = 0}};
  other.let_go(1);
  CHECK(no_queue.generate(text_request(), {}).text == "q");
}

TEST_CASE("a call that throws gives its permit back", "[limit]") {
  Gate model;
  model.let_go(100);
  ecso::LimitBackend limited{model, {.max_in_flight = 1}};
  for (int i = 0; i < 3; ++i) CHECK_THROWS_WITH(limited.generate(text_request("throw"), {}), "broken");
  CHECK(limited.generate(text_request("ok"), {}).text == "ok");
}

TEST_CASE("eight threads, some of which give up, lose no permit", "[limit]") {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> refused{0};
  std::atomic<int> answered{0};
  ecso::ScriptedBackend model{{.capabilities = {.concurrent = true}}};
  model.expect().times(100'000).run([&](const ecso::ModelRequest&, const ecso::CallContext&) -> ecso::Reply {
    const int now = ++inside;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
    std::this_thread::sleep_for(50us);
    --inside;
    return {.text = "ok"};
  });
  ecso::LimitBackend limited{model, {.max_in_flight = 2}};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          std::stop_source source;
          ecso::CallContext context{.stop = source.get_token()};
          if (t % 2 == 0) context.deadline = Clock::now() + std::chrono::microseconds{i * 3};
          if (t % 4 == 1 && i % 3 == 0) source.request_stop();
          try {
            if (limited.generate(text_request(), context).text == "ok") ++answered;
          } catch (const Error& error) {
            if (error.code() == Errc::timeout || error.code() == Errc::cancelled) ++refused;
          }
        }
      });
    }
  }
  CHECK(answered + refused == 1600);
  CHECK(answered > 0);
  CHECK(refused > 0);
  CHECK(most <= 2);
  CHECK(limited.waiting() == 0);
  CHECK(limited.generate(text_request(), {.deadline = Clock::now() + 1min}).text == "ok");
}

/// A model that cannot do with two calls at once.
class OneAtATime final : public ecso::MllmBackend {
 public:
  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext&) override {
    return say(request.options.step);
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext&) override { return say(request.options.step); }

 private:
  ecso::Reply say(ecso::Step step) {
    if (is_busy_.exchange(true)) throw Error{Errc::internal, "called twice at once"};
    std::this_thread::sleep_for(2ms);
    is_busy_ = false;
    if (step == ecso::Step::check) return {.text = "yes"};
    return {.text = step == ecso::Step::recheck ? "no" : "text"};
  }

  std::atomic<bool> is_busy_{false};
};

TEST_CASE("queries side by side, with speculation, share a backend that takes one call at a time", "[limit]") {
  OneAtATime model;
  ecso::LimitBackend limited{model};
  ecso::Policy policy = ecso::policy::production();
  policy.speculation = ecso::Speculation::caption;
  const ecso::EcsoPipeline<ecso::MllmBackend> pipeline{limited, policy};
  const auto image = ecso::Image::from_bytes(ecso::test::png_bytes(3, 2));
  std::vector<std::future<ecso::Outcome>> outcomes;
  for (int i = 0; i < 4; ++i) {
    outcomes.push_back(std::async(std::launch::async, [&] { return pipeline.run(image, "q"); }));
  }
  for (auto& outcome : outcomes) CHECK(outcome.get().path == ecso::Path::eyes_closed);
}

}  // namespace

}  // namespace limit_test
