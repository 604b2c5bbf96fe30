#include <ecso/calibrate/stratified.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "support/catch.hpp"

namespace stratified_test {

namespace {

using namespace ecso;

std::vector<bool> labels(std::size_t harmful, std::size_t benign) {
  std::vector<bool> all(harmful, true);
  all.resize(harmful + benign, false);
  return all;
}

}  // namespace

TEST_CASE("half of each kind is held out, the same for the same seed", "[calibrate]") {
  const auto harmful = labels(11, 20);
  const auto held_out = held_out_half(harmful, 1);
  CHECK(std::count(held_out.begin(), held_out.begin() + 11, true) == 5);
  CHECK(std::count(held_out.begin() + 11, held_out.end(), true) == 10);
  CHECK(held_out == held_out_half(harmful, 1));
  CHECK(held_out != held_out_half(harmful, 2));
  CHECK_THROWS_AS(held_out_half(labels(1, 20), 1), Error);
  CHECK_THROWS_AS(held_out_half(labels(20, 1), 1), Error);
}

TEST_CASE("a draw keeps the share of each kind, and one of each at least", "[calibrate]") {
  const auto harmful = labels(30, 70);
  const auto drawn = drawn_items(harmful, 20, 1);
  REQUIRE(drawn.size() == 20);
  CHECK(std::ranges::is_sorted(drawn));
  CHECK(std::ranges::count_if(drawn, [&](std::size_t i) { return harmful[i]; }) == 6);
  CHECK(drawn == drawn_items(harmful, 20, 1));
  CHECK(drawn_items(harmful, 1000, 1).size() == 100);
  const auto rare = labels(1, 999);
  CHECK(drawn_items(rare, 10, 1).front() == 0);
  CHECK(drawn_items(rare, 10, 1).size() == 10);
}

}  // namespace stratified_test
