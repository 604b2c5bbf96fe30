#include <ecso/gateway/call_queue.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace call_queue_test {

namespace {

using ecso::gateway::Caller;
using ecso::gateway::CallQueue;
using ecso::gateway::CallRank;
using ecso::gateway::ConcurrencyFinder;
using ecso::gateway::EarlyChecks;
using Answer = CallQueue::Answer;

constexpr Caller early{.rank = CallRank::early_check};
constexpr Caller begun{.rank = CallRank::begun};
constexpr Caller fresh{.rank = CallRank::fresh};
constexpr Caller watched{.rank = CallRank::fresh, .early_checks = EarlyChecks::expected};

/// Calls by a letter each, and the order in which they get their turns.
class Calls {
 public:
  explicit Calls(std::size_t capacity) : queue{std::make_shared<CallQueue>(CallQueue::Options{.capacity = capacity})} {}
  ~Calls() { queue->forget_waiting(); }

  Answer ask(char name, const Caller& caller) {
    auto entry = queue->enter(caller, [this, name](CallQueue::Lease lease) { begin(name, std::move(lease)); });
    if (entry.answer == Answer::granted) begin(name, std::move(entry.lease));
    tickets.push_back({name, entry.ticket});
    return entry.answer;
  }

  void end(char name) {
    const auto found = std::ranges::find(under_way, name, &UnderWay::name);
    REQUIRE(found != under_way.end());
    const CallQueue::Lease lease = std::move(found->lease);
    under_way.erase(found);
  }

  /// One exchange's call ends and its next is asked for.
  void go_on(char name, char next, const Caller& caller) {
    const auto found = std::ranges::find(under_way, name, &UnderWay::name);
    REQUIRE(found != under_way.end());
    const CallQueue::Lease before = std::move(found->lease);
    under_way.erase(found);
    ask(next, caller);
  }

  struct UnderWay {
    char name;
    CallQueue::Lease lease;
  };
  struct Ticket {
    char name;
    CallQueue::Ticket ticket;
  };

  std::shared_ptr<CallQueue> queue;
  std::vector<UnderWay> under_way;
  std::vector<Ticket> tickets;
  std::string order;

 private:
  void begin(char name, CallQueue::Lease lease) {
    order += name;
    under_way.push_back({name, std::move(lease)});
  }
};

}  // namespace

TEST_CASE("As many calls are made at once as may, and the others in the order in which they came", "[gateway][calls]") {
  Calls calls{2};
  for (const char name : {'a', 'b', 'c', 'd'}) calls.ask(name, fresh);
  CHECK(calls.order == "ab");
  const auto level = calls.queue->level();
  CHECK(level.capacity == 2);
  CHECK(level.under_way == 2);
  CHECK(level.waiting == 2);
  calls.end('b');
  CHECK(calls.order == "abc");
  calls.end('a');
  calls.end('c');
  CHECK(calls.order == "abcd");
  CHECK(calls.queue->level().under_way == 1);
}

TEST_CASE("Whoever has begun goes before whoever has not, and a check of what streams before both", "[gateway][calls]") {
  Calls calls{1};
  calls.ask('a', fresh);
  calls.ask('f', fresh);
  calls.ask('b', begun);
  calls.ask('g', fresh);
  calls.ask('e', early);
  calls.ask('c', begun);
  while (!calls.under_way.empty()) calls.end(calls.under_way.front().name);
  CHECK(calls.order == "aebcfg");
}

TEST_CASE("An exchange that goes on keeps its place, but for an early check", "[gateway][calls]") {
  Calls calls{1};
  calls.ask('a', fresh);
  calls.ask('f', fresh);
  calls.go_on('a', 'b', begun);
  CHECK(calls.order == "ab");
  calls.ask('e', early);
  calls.go_on('b', 'c', begun);
  CHECK(calls.order == "abe");
  calls.end('e');
  CHECK(calls.order == "abec");
  calls.end('c');
  CHECK(calls.order == "abecf");
}

TEST_CASE("Answers that are checked as they come leave room for their checks", "[gateway][calls]") {
  Calls calls{4};
  for (const char name : {'1', '2', '3', '4'}) calls.ask(name, watched);
  CHECK(calls.order == "123");
  CHECK(calls.ask('e', early) == Answer::granted);
  CHECK(calls.ask('f', early) == Answer::waiting);
  calls.end('e');
  CHECK(calls.order == "123ef");
  calls.end('f');
  CHECK(calls.order == "123ef");
  // The last check of an answer takes the answer's own place.
  calls.go_on('1', 'b', begun);
  CHECK(calls.order == "123efb");
  CHECK(calls.ask('g', early) == Answer::granted);
}

TEST_CASE("Where no answer is checked as it comes, no room is kept", "[gateway][calls]") {
  Calls calls{2};
  calls.ask('1', fresh);
  calls.ask('2', fresh);
  CHECK(calls.order == "12");
  calls.ask('w', watched);
  calls.ask('3', fresh);
  calls.end('1');
  // One place for it and one for its checks.
  CHECK(calls.order == "12");
  calls.end('2');
  CHECK(calls.order == "12w");
  calls.end('w');
  CHECK(calls.order == "12w3");
}

TEST_CASE("A server that takes one call at a time gets one, watched or not", "[gateway][calls]") {
  Calls calls{1};
  CHECK(calls.ask('w', watched) == Answer::granted);
  CHECK(calls.ask('e', early) == Answer::waiting);
  calls.end('w');
  CHECK(calls.order == "we");
}

TEST_CASE("A step that has begun is not overtaken by early checks for ever", "[gateway][calls]") {
  Calls calls{4};
  calls.ask('1', watched);
  calls.ask('2', watched);
  for (const char name : {'d', 'e'}) calls.ask(name, early);
  CHECK(calls.ask('b', begun) == Answer::waiting);
  int checks = 0;
  while (calls.order.find('b') == std::string::npos && checks < 100) {
    calls.ask('c', early);
    calls.end(std::ranges::find_if(calls.under_way, [](const auto& call) { return call.name >= 'c'; })->name);
    ++checks;
  }
  CHECK(checks <= 20);
}

TEST_CASE("Who does not wait any more is passed by", "[gateway][calls]") {
  Calls calls{1};
  calls.ask('a', fresh);
  calls.ask('b', begun);
  calls.ask('c', fresh);
  CHECK(calls.queue->cancel(calls.tickets[1].ticket));
  CHECK_FALSE(calls.queue->cancel(calls.tickets[1].ticket));
  CHECK_FALSE(calls.queue->cancel(0));
  calls.end('a');
  CHECK(calls.order == "ac");
  CHECK(calls.queue->enter(fresh, nullptr).answer == Answer::full);
}

TEST_CASE("A place that waits for room makes none for those behind it when it goes", "[gateway][calls]") {
  Calls calls{2};
  calls.ask('1', fresh);
  calls.ask('w', watched);
  calls.ask('2', fresh);
  CHECK(calls.order == "1");
  CHECK(calls.queue->cancel(calls.tickets[1].ticket));
  CHECK(calls.order == "12");
}

TEST_CASE("Other bounds hold at once", "[gateway][calls]") {
  Calls calls{1};
  for (const char name : {'a', 'b', 'c', 'd'}) calls.ask(name, fresh);
  calls.queue->use({.capacity = 3});
  CHECK(calls.order == "abc");
  calls.queue->use({.capacity = 1});
  calls.end('a');
  calls.end('b');
  CHECK(calls.order == "abc");
  calls.end('c');
  CHECK(calls.order == "abcd");
  calls.queue->use({});
  CHECK(calls.queue->level().capacity == 1);
}

TEST_CASE("What was found stays while it is still to be found", "[gateway][calls]") {
  const CallQueue::Options options{.finding = ConcurrencyFinder::Options{.first = 4, .most = 100}};
  const auto queue = std::make_shared<CallQueue>(options);
  CHECK(queue->level().capacity == 4);
  ConcurrencyFinder::Time now{};
  queue->note(ecso::Step::answer, ConcurrencyFinder::Went::turned_away, now, now);
  const std::size_t fewer = queue->level().capacity;
  CHECK(fewer < 4);
  queue->use(options);
  CHECK(queue->level().capacity == fewer);
  queue->use({.capacity = 7});
  CHECK(queue->level().capacity == 7);
  queue->use(options);
  CHECK(queue->level().capacity == 4);
}

TEST_CASE("A lease keeps its queue, and what a forgotten callback owns may give back", "[gateway][calls]") {
  auto queue = std::make_shared<CallQueue>(CallQueue::Options{.capacity = 1});
  auto held = std::make_shared<CallQueue::Lease>(queue->enter(fresh, nullptr).lease);
  CHECK(queue->enter(fresh, [held](CallQueue::Lease) {}).answer == Answer::waiting);
  held.reset();
  queue->forget_waiting();
  CHECK(queue->level().under_way == 0);
  CallQueue::Lease last = queue->enter(fresh, nullptr).lease;
  queue.reset();
  last = {};
  CHECK_FALSE(last);
}

TEST_CASE("a hundred thousand calls that end as soon as they begin do not fill the stack", "[gateway][calls]") {
  const auto queue = std::make_shared<CallQueue>(CallQueue::Options{.capacity = 1});
  CallQueue::Lease lease = queue->enter(fresh, nullptr).lease;
  int called = 0;
  for (int i = 0; i < 100'000; ++i) static_cast<void>(queue->enter(fresh, [&](CallQueue::Lease) { ++called; }));
  lease = {};
  CHECK(called == 100'000);
}

TEST_CASE("threads never have more calls under way than may be, and each gets its turn or is cancelled",
          "[gateway][calls][threads]") {
  constexpr int capacity = 6;
  const auto queue = std::make_shared<CallQueue>(CallQueue::Options{.capacity = capacity});
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::atomic<int> granted = 0;
  std::atomic<int> cancelled = 0;
  std::mutex mutex;
  std::vector<CallQueue::Lease> kept;
  const auto take = [&](CallQueue::Lease lease) {
    const int now = ++inside;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
    ++granted;
    const std::lock_guard lock{mutex};
    kept.push_back(std::move(lease));
  };
  const auto drop_one = [&] {
    CallQueue::Lease dropped;
    const std::lock_guard lock{mutex};
    if (kept.empty()) return;
    std::swap(dropped, kept.back());
    kept.pop_back();
    --inside;
  };
  constexpr int rounds = 3000;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random{seed};
      const Caller callers[]{early, begun, fresh, watched};
      for (int i = 0; i < rounds; ++i) {
        auto entry = queue->enter(callers[random() % 4], take);
        if (entry.answer == Answer::granted) take(std::move(entry.lease));
        if (entry.answer == Answer::waiting && random() % 4 == 0 && queue->cancel(entry.ticket)) ++cancelled;
        drop_one();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (queue->level().under_way > 0) drop_one();
  CHECK(queue->level().waiting == 0);
  CHECK(most <= capacity);
  CHECK(granted + cancelled == 4 * rounds);
}

}  // namespace call_queue_test
