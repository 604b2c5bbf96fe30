#include <ecso/decorator/latency_histogram.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace latency_histogram_test {

namespace {

using namespace std::chrono_literals;

TEST_CASE("an empty histogram has zeros", "[histogram]") {
  const ecso::LatencyHistogram empty;
  CHECK(empty.count() == 0);
  CHECK(empty.max() == 0ns);
  CHECK(empty.quantile(0.5) == 0ns);
}

TEST_CASE("quantiles are never too short and at most an eighth too long", "[histogram]") {
  std::mt19937_64 random{5};
  for (const std::int64_t longest_us : {5LL, 100LL, 50'000LL, 100'000'000LL, 60'000'000'000LL}) {
    ecso::LatencyHistogram histogram;
    std::vector<std::chrono::nanoseconds> all;
    for (int i = 0; i < 999; ++i) {
      // Many short ones and few long ones, as calls are.
      const double share = std::pow(std::uniform_real_distribution<double>{0, 1}(random), 3);
      all.emplace_back(static_cast<std::int64_t>(share * 1000.0 * static_cast<double>(longest_us)));
      histogram.add(all.back());
    }
    std::ranges::sort(all);
    for (const double q : {0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 1.0}) {
      const auto rank = std::max(static_cast<std::size_t>(std::ceil(q * 999.0)), std::size_t{1});
      const auto exact = all[rank - 1];
      INFO(longest_us << " " << q);
      CHECK(histogram.quantile(q) >= exact);
      CHECK(histogram.quantile(q) <= exact + exact / 8 + 1us);
    }
    CHECK(histogram.max() == all.back());
    CHECK(histogram.quantile(1) == all.back());
    CHECK(histogram.quantile(7) == all.back());
    CHECK(histogram.quantile(-7) == histogram.quantile(0));
    CHECK(histogram.count() == 999);
  }
}

TEST_CASE("durations beyond all bounds are counted", "[histogram]") {
  ecso::LatencyHistogram histogram;
  histogram.add(-1s);
  CHECK(histogram.max() == 0ns);
  histogram.add(std::chrono::nanoseconds::max());
  histogram.add(20h);
  CHECK(histogram.count() == 3);
  CHECK(histogram.max() == std::chrono::nanoseconds::max());
  CHECK(histogram.quantile(0.1) == 1us);
  CHECK(histogram.quantile(0.9) == std::chrono::nanoseconds::max());
}

}  // namespace

}  // namespace latency_histogram_test
