#include <ecso/detail/seeded_draw.hpp>

#include <algorithm>
#include <cstddef>
#include <random>
#include <span>
#include <vector>

#include "support/catch.hpp"

namespace seeded_draw_test {

using ecso::detail::SeededDraw;

TEST_CASE("what a seed draws is the same on every machine", "[draw]") {
  SeededDraw draw{1};
  // The standard fixes the engine's numbers.
  std::mt19937_64 engine{1};
  for (int i = 0; i < 100; ++i) CHECK(draw.below(100) == engine() % 100);
}

TEST_CASE("all numbers below a bound are drawn about as often", "[draw]") {
  SeededDraw draw{7};
  std::vector<int> counts(7);
  for (int i = 0; i < 70'000; ++i) ++counts[draw.below(7)];
  for (const int count : counts) CHECK((count > 9'600 && count < 10'400));
  CHECK(draw.below(1) == 0);
}

TEST_CASE("a shuffle keeps all values, and is the seed's", "[draw]") {
  std::vector<int> values{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<int> sorted = values;
  SeededDraw{3}.shuffle(std::span{values});
  CHECK(values != sorted);
  std::vector<int> again = sorted;
  SeededDraw{3}.shuffle(std::span{again});
  CHECK(again == values);
  std::ranges::sort(again);
  CHECK(again == sorted);
}

}  // namespace seeded_draw_test
