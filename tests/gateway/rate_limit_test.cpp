#include <ecso/gateway/rate_limit.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace rate_limit_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using namespace std::chrono_literals;

using Wait = std::optional<std::chrono::milliseconds>;

const RateLimit::Clock::time_point start{std::chrono::hours{1000}};

}  // namespace

TEST_CASE("a bucket gives its burst at once and then one token at a time", "[gateway][rate]") {
  RateLimit limit{2, 3};
  for (int i = 0; i < 3; ++i) CHECK(limit.take("ann", start) == std::nullopt);
  CHECK(limit.take("ann", start) == Wait{500ms});
  CHECK(limit.take("ann", start + 300ms) == Wait{200ms});
  CHECK(limit.take("ann", start + 499'999us) == Wait{1ms});
  CHECK(limit.take("ann", start + 500ms) == std::nullopt);
  CHECK(limit.take("ann", start + 500ms) == Wait{500ms});
  SECTION("it fills up again, and no further") {
    for (int i = 0; i < 3; ++i) CHECK(limit.take("ann", start + 1h) == std::nullopt);
    CHECK(limit.take("ann", start + 1h) == Wait{500ms});
  }
  SECTION("who asks in vain does not wait longer for it") {
    for (int i = 0; i < 1000; ++i) CHECK(limit.take("ann", start + 999ms) == Wait{1ms});
    CHECK(limit.take("ann", start + 1s) == std::nullopt);
  }
  SECTION("other names have buckets of their own") { CHECK(limit.take("bob", start) == std::nullopt); }
}

TEST_CASE("to wait as long as told is enough", "[gateway][rate]") {
  const double rate = GENERATE(0.3, 3.0, 7.0, 999.0, 1e6);
  RateLimit limit{rate, 5};
  auto now = start;
  int granted = 0;
  for (int i = 0; i < 2000; ++i) {
    const Wait wait = limit.take("ann", now);
    if (!wait) {
      ++granted;
      continue;
    }
    CHECK(*wait >= 1ms);
    now += *wait;
    CHECK_FALSE(limit.take("ann", now).has_value());
    ++granted;
  }
  const double seconds = std::chrono::duration<double>{now - start}.count();
  CHECK(granted <= 5 + std::ceil(seconds * rate * 1.001));
}

TEST_CASE("the burst is as many as flow in within a second, at least one, if none is given", "[gateway][rate]") {
  RateLimit ten{10};
  for (int i = 0; i < 10; ++i) CHECK_FALSE(ten.take("ann", start).has_value());
  CHECK(ten.take("ann", start) == Wait{100ms});
  RateLimit slow{0.1};
  CHECK_FALSE(slow.take("ann", start).has_value());
  CHECK(slow.take("ann", start) == Wait{10s});
}

TEST_CASE("a rate of 0 limits nothing and remembers nobody", "[gateway][rate]") {
  RateLimit none{0};
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(none.take("ann", start).has_value());
  CHECK(none.size() == 0);
}

TEST_CASE("rates and bursts out of range are refused", "[gateway][rate]") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double rate : {-1.0, nan, infinity, 1e-9, 1e7}) CHECK_THROWS_AS(RateLimit(rate), Error);
  for (const double burst : {-1.0, nan, infinity, 0.5, 1e7}) CHECK_THROWS_AS(RateLimit(1, burst), Error);
  RateLimit slowest{1.0 / 86'400, 1e6};
  CHECK_FALSE(slowest.take("ann", start).has_value());
}

TEST_CASE("a clock that goes back a little gives nothing away", "[gateway][rate]") {
  RateLimit limit{1, 2};
  CHECK_FALSE(limit.take("ann", start).has_value());
  CHECK(limit.take("ann", start - 5ms) == Wait{5ms});
  CHECK_FALSE(limit.take("ann", start).has_value());
  CHECK(limit.take("ann", start - 5ms) == Wait{1005ms});
  CHECK(limit.take("ann", start) == Wait{1000ms});
}

TEST_CASE("no more than 65,536 names are remembered, and full buckets are forgotten", "[gateway][rate]") {
  RateLimit limit{1, 100};
  for (int i = 0; i < 99; ++i) CHECK_FALSE(limit.take("greedy", start + 1ms).has_value());
  for (int i = 0; i < 200'000; ++i) {
    if (limit.take("10.0." + std::to_string(i), start + 1ms)) FAIL("a new name has to wait");
  }
  CHECK(limit.size() <= RateLimit::max_names);
  CHECK(limit.size() > RateLimit::max_names * 9 / 10);
  SECTION("who has taken most is remembered longest") {
    CHECK_FALSE(limit.take("greedy", start + 1ms).has_value());
    CHECK(limit.take("greedy", start + 1ms).has_value());
  }
  SECTION("once they are full they go, two for each new one") {
    for (int i = 0; i < 100'000; ++i) static_cast<void>(limit.take("again " + std::to_string(i), start + 1h + 2s * i));
    CHECK(limit.size() < 100);
  }
}

TEST_CASE("threads share the tokens of a name", "[gateway][rate][threads]") {
  RateLimit limit{1, 500};
  std::atomic<int> granted = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        if (!limit.take("ann", start)) ++granted;
        static_cast<void>(limit.take(std::to_string(t * 500 + i), start + std::chrono::seconds{i}));
        if (i % 100 == 0) static_cast<void>(limit.size());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(granted >= 500);
}

}  // namespace rate_limit_test
