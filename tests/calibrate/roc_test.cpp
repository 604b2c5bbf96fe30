#include <ecso/calibrate/roc.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace roc_test {

namespace {

using namespace ecso;
using Catch::Approx;

std::vector<ScoredLabel> sample_of(const std::vector<double>& harmful, const std::vector<double>& benign) {
  std::vector<ScoredLabel> items;
  for (const double score : harmful) items.push_back({score, true});
  for (const double score : benign) items.push_back({score, false});
  return items;
}

/// The definition, pair by pair.
double auc_by_pairs(const std::vector<ScoredLabel>& items) {
  double won = 0;
  double pairs = 0;
  for (const ScoredLabel& a : items) {
    for (const ScoredLabel& b : items) {
      if (!a.harmful || b.harmful) continue;
      ++pairs;
      won += a.score > b.score ? 1 : a.score == b.score ? 0.5 : 0;
    }
  }
  return won / pairs;
}

/// The area under the points of a curve, by trapezoids.
double area_under(const std::vector<RocPoint>& curve) {
  double area = 0;
  for (std::size_t i = 1; i < curve.size(); ++i)
    area += (curve[i].fpr - curve[i - 1].fpr) * (curve[i].tpr + curve[i - 1].tpr) / 2;
  return area;
}

std::vector<ScoredLabel> random_sample(unsigned seed, std::size_t size, int values) {
  std::mt19937 engine{seed};
  std::vector<ScoredLabel> items{{0.5, true}, {0.5, false}};
  while (items.size() < size)
    items.push_back({static_cast<double>(engine() % static_cast<unsigned>(values)) / values, engine() % 3 == 0});
  return items;
}

}  // namespace

TEST_CASE("the AUC of small samples is the one computed by hand", "[calibrate][roc]") {
  CHECK(auc(sample_of({0.9, 0.8}, {0.1, 0.2})) == 1.0);
  CHECK(auc(sample_of({0.1, 0.2}, {0.9, 0.8})) == 0.0);
  CHECK(auc(sample_of({0.5}, {0.5})) == 0.5);
  // Pairs: .8 beats .3 and .6; .4 beats .3 alone; .6 beats .3 and ties .6. 2 + 1 + 1.5 of 6.
  CHECK(auc(sample_of({0.8, 0.4, 0.6}, {0.3, 0.6})) == Approx(4.5 / 6));
}

TEST_CASE("the AUC is the share of pairs won, and the area under the curve", "[calibrate][roc]") {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const auto items = random_sample(seed, 3 + seed * 3, seed % 2 == 0 ? 7 : 1000);
    const double area = auc(items);
    CHECK(area == Approx(auc_by_pairs(items)));
    CHECK(area == Approx(area_under(roc_curve(items))));
  }
}

TEST_CASE("a curve goes from nothing flagged to all flagged, a point for each score", "[calibrate][roc]") {
  const auto curve = roc_curve(sample_of({0.8, 0.4, 0.6}, {0.3, 0.6}));
  REQUIRE(curve.size() == 5);
  CHECK(curve[0].threshold > 0.8);
  CHECK((curve[0].fpr == 0 && curve[0].tpr == 0));
  CHECK(curve[1] == RocPoint{0.8, 0, 1.0 / 3});
  CHECK(curve[2] == RocPoint{0.6, 0.5, 2.0 / 3});
  CHECK(curve[3] == RocPoint{0.4, 0.5, 1});
  CHECK(curve[4] == RocPoint{0.3, 1, 1});
}

TEST_CASE("a curve takes both kinds, and numbers", "[calibrate][roc]") {
  CHECK_THROWS_AS(auc(sample_of({0.5}, {})), Error);
  CHECK_THROWS_AS(auc(sample_of({}, {0.5})), Error);
  CHECK_THROWS_AS(roc_curve({}), Error);
  CHECK_THROWS_AS(auc(sample_of({std::numeric_limits<double>::quiet_NaN()}, {0.5})), Error);
}

TEST_CASE("a bootstrap gives the same interval for a seed, around the AUC", "[calibrate][roc]") {
  const auto items = random_sample(3, 120, 1000);
  const Interval interval = auc_interval(items, {.seed = 7});
  CHECK(interval == auc_interval(items, {.seed = 7}));
  CHECK_FALSE(interval == auc_interval(items, {.seed = 8}));
  CHECK(interval.low < auc(items));
  CHECK(auc(items) < interval.high);
  CHECK_THROWS_AS(auc_interval(items, {.resamples = 0}), Error);
}

TEST_CASE("a bootstrap's interval is about that of Hanley and McNeil", "[calibrate][roc]") {
  // Uniform scores, the harmful ones moved up: both intervals are about 3.9 standard errors wide.
  std::vector<double> harmful;
  std::vector<double> benign;
  for (int i = 0; i < 200; ++i) harmful.push_back(0.25 + i / 200.0);
  for (int i = 0; i < 200; ++i) benign.push_back(i / 200.0 + 0.0001);
  const auto items = sample_of(harmful, benign);
  const double a = auc(items);
  const double q1 = a / (2 - a);
  const double q2 = 2 * a * a / (1 + a);
  const double error = std::sqrt((a * (1 - a) + 199 * (q1 - a * a) + 199 * (q2 - a * a)) / (200.0 * 200.0));
  const Interval interval = auc_interval(items);
  CHECK(interval.high - interval.low == Approx(2 * 1.96 * error).epsilon(0.15));
}

TEST_CASE("a sample that is told apart without fault has an interval of one point", "[calibrate][roc]") {
  CHECK(auc_interval(sample_of({0.9, 0.8, 0.7}, {0.1, 0.2})) == Interval{1, 1});
}

}  // namespace roc_test
