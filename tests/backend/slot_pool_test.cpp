#include <ecso/backend/slot_pool.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace slot_pool_test {

namespace {

using namespace ecso;
using namespace std::chrono_literals;

CallContext of(QueryScope& query) { return {.query = &query}; }

}  // namespace

TEST_CASE("the calls of a query use one slot, other queries another", "[backend][slots]") {
  SlotPool pool{2};
  QueryScope a;
  QueryScope b;
  CHECK(pool.use(of(a)).slot() == 0);
  CHECK(pool.use(of(b)).slot() == 1);
  CHECK(pool.use(of(a)).slot() == 0);
  CHECK(pool.use({}).slot() == std::nullopt);
}

TEST_CASE("a query with two calls at once gets a second slot if one is free, and else none", "[backend][slots]") {
  SlotPool pool{2};
  QueryScope a;
  const auto first = pool.use(of(a));
  const auto second = pool.use(of(a));
  CHECK(first.slot() == 0);
  CHECK(second.slot() == 1);
  CHECK(pool.use(of(a)).slot() == std::nullopt);
}

TEST_CASE("a query waits for a slot until another ends, its time is over or it is cancelled", "[backend][slots]") {
  SlotPool pool{1};
  auto a = std::make_unique<QueryScope>();
  CHECK(pool.use(of(*a)).slot() == 0);
  QueryScope b;
  const auto code_of = [&](CallContext context) {
    context.query = &b;
    try {
      (void)pool.use(context);
    } catch (const Error& error) {
      return error.code();
    }
    return Errc::internal;
  };
  CHECK(code_of({.deadline = std::chrono::steady_clock::now() + 20ms}) == Errc::timeout);
  std::stop_source stop;
  std::jthread stopper{[&] {
    std::this_thread::sleep_for(20ms);
    stop.request_stop();
  }};
  CHECK(code_of({.stop = stop.get_token()}) == Errc::cancelled);
  std::jthread ender{[&] {
    std::this_thread::sleep_for(20ms);
    a.reset();
  }};
  CHECK(pool.use(of(b)).slot() == 0);
}

TEST_CASE("never are more queries at work than there are slots", "[backend][slots]") {
  SlotPool pool{3};
  std::mutex mutex;
  std::set<int> in_use;
  std::atomic<int> clashes = 0;
  std::atomic<int> queries = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 16; ++thread) {
      threads.emplace_back([&] {
        for (int query = 0; query < 50; ++query) {
          QueryScope scope;
          for (int call = 0; call < 3; ++call) {
            const auto use = pool.use(of(scope));
            {
              const std::lock_guard lock{mutex};
              if (!use.slot() || !in_use.insert(*use.slot()).second) ++clashes;
            }
            std::this_thread::yield();
            const std::lock_guard lock{mutex};
            in_use.erase(*use.slot());
          }
          ++queries;
        }
      });
    }
  }
  CHECK(clashes == 0);
  CHECK(queries == 800);
}

}  // namespace slot_pool_test
