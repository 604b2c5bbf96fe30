#include <ecso/calibrate/threshold.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace threshold_test {

namespace {

using namespace ecso;
using Catch::Approx;

constexpr double never = -1;

std::vector<CheckedLabel> sample_of(const std::vector<double>& harmful, const std::vector<double>& benign) {
  std::vector<CheckedLabel> items;
  const auto add = [&](bool is_harmful, double score) {
    items.push_back({is_harmful, score == never ? std::nullopt : std::optional{score}, std::nullopt});
  };
  for (const double score : harmful) add(true, score);
  for (const double score : benign) add(false, score);
  return items;
}

ChosenThreshold choose(const std::vector<CheckedLabel>& items, double target, double margin = 0) {
  return choose_threshold(items, {.target_fpr = target, .max_margin = margin, .target_of = TargetOf::sample});
}

}  // namespace

TEST_CASE("a rule flags what the reader would not release", "[calibrate][threshold]") {
  const CheckedLabel item{.harmful = true, .released_above = 0.3};
  CHECK_FALSE(is_flagged(item, {.threshold = 0.31}));
  CHECK(is_flagged(item, {.threshold = 0.3}));
  CHECK_FALSE(is_flagged(item, {.threshold = 0.5, .margin = 0.2}));
  CHECK(is_flagged(item, {.threshold = 0.45, .margin = 0.2}));
  CHECK(is_flagged({.harmful = true}, {.threshold = 1}));
}

TEST_CASE("detections count each kind, and their rates follow", "[calibrate][threshold]") {
  const auto items = sample_of({0.9, 0.6, 0.2, never}, {0.1, 0.2, 0.7, 0.05, 0.3});
  const Detection detection = detection_at(items, {.threshold = 0.5});
  CHECK(detection == Detection{.harmful = 4, .benign = 5, .caught = 3, .refused = 1});
  CHECK(detection.tpr() == 0.75);
  CHECK(detection.fpr() == 0.2);
  CHECK(detection.precision() == 0.75);
  CHECK(Detection{}.precision() == 1);
  CHECK(Detection{}.tpr() == 0);
}

TEST_CASE("the threshold with most harm found is chosen, in the middle of its gap", "[calibrate][threshold]") {
  // At most one of five benign items: down to below .4, above which lie .4 (harmful) and .7; the next below is .3 (benign).
  const auto items = sample_of({0.9, 0.6, 0.4}, {0.7, 0.3, 0.2, 0.1, 0.05});
  const ChosenThreshold chosen = choose(items, 0.2);
  CHECK(chosen.meets_target);
  CHECK(chosen.threshold == 0.35);
  CHECK(chosen.detection == Detection{.harmful = 3, .benign = 5, .caught = 3, .refused = 1});
  CHECK(choose(items, 0.19).threshold == 0.8);
  CHECK(choose(items, 0.19).detection.tpr() == Approx(1.0 / 3));
}

TEST_CASE("of thresholds that find the same harm the one that refuses least is chosen", "[calibrate][threshold]") {
  const ChosenThreshold chosen = choose(sample_of({0.9, 0.8}, {0.5, 0.4, 0.3, 0.2}), 0.5);
  CHECK(chosen.detection.refused == 0);
  CHECK(chosen.threshold == 0.65);
}

TEST_CASE("the margin is half of the gap, at most what is asked for, and flags nothing more of the sample",
          "[calibrate][threshold]") {
  const auto items = sample_of({0.9, 0.6}, {0.2, 0.1});
  for (const double most : {0.0, 0.02, 0.5}) {
    const ChosenThreshold chosen = choose(items, 0, most);
    CHECK(chosen.threshold == 0.4);
    CHECK(chosen.margin == Approx(std::min(most, 0.2)).margin(1.5e-4));
    CHECK(detection_at(items, {.threshold = chosen.threshold, .margin = chosen.margin}) == chosen.detection);
  }
}

TEST_CASE("a target that no threshold meets is said, and the least is taken", "[calibrate][threshold]") {
  const ChosenThreshold chosen = choose(sample_of({never, 0.6}, {never, 0.2, 0.1}), 0.1);
  CHECK_FALSE(chosen.meets_target);
  CHECK(chosen.detection == Detection{.harmful = 2, .benign = 3, .caught = 2, .refused = 1});
}

TEST_CASE("a threshold above all that is released stays below what the words call harmful", "[calibrate][threshold]") {
  std::vector<CheckedLabel> items = sample_of({0.48}, {0.3, 0.48});
  items.push_back({true, std::nullopt, 0.52});
  items.push_back({true, std::nullopt, 0.4});
  CHECK(choose(items, 0).threshold == 0.5);
}

TEST_CASE("a target of new answers allows for the choice, and says where the items are too few", "[calibrate][threshold]") {
  std::vector<double> benign;
  for (int i = 0; i < 19; ++i) benign.push_back(0.01 * i);
  const auto items = sample_of({0.9, 0.165, 0.175}, benign);
  const auto anew = [&](double target) { return choose_threshold(items, {.target_fpr = target, .max_margin = 0}); };
  // 1 of 19 may be flagged: 2 of 20 is a tenth.
  CHECK(anew(0.1).detection.refused == 1);
  CHECK(anew(0.1).detection.caught == 2);
  CHECK(anew(0.1).meets_target_anew);
  CHECK(anew(0.0999).detection.refused == 0);
  CHECK(anew(0.05).meets_target_anew);
  // None of 19 is one of 20: more than this target, which none of them flagged meets in itself.
  CHECK(anew(0.0499).detection.refused == 0);
  CHECK(anew(0.0499).meets_target);
  CHECK_FALSE(anew(0.0499).meets_target_anew);
  CHECK(anew(0.11).detection.refused <= choose(items, 0.11).detection.refused);
}

TEST_CASE("a target of new answers holds on average for what was not seen", "[calibrate][threshold]") {
  std::mt19937 engine{11};
  std::normal_distribution<double> noise;
  const auto draw = [&](std::size_t count) {
    std::vector<CheckedLabel> items;
    for (std::size_t i = 0; i < 2 * count; ++i) {
      const bool is_harmful = i < count;
      items.push_back({is_harmful, 1 / (1 + std::exp(-noise(engine) - (is_harmful ? 1 : -1))), std::nullopt});
    }
    return items;
  };
  double fpr = 0;
  double fpr_in_sample = 0;
  constexpr int rounds = 1000;
  for (int round = 0; round < rounds; ++round) {
    const auto items = draw(30);
    const auto others = draw(60);
    for (const TargetOf target : {TargetOf::new_answers, TargetOf::sample}) {
      const auto chosen = choose_threshold(items, {.target_fpr = 0.1, .max_margin = 0, .target_of = target});
      (target == TargetOf::sample ? fpr_in_sample : fpr) += detection_at(others, {.threshold = chosen.threshold}).fpr() / rounds;
    }
  }
  CHECK(fpr < 0.1);
  CHECK(fpr_in_sample > fpr);
}

TEST_CASE("scores at the ends of the scale have a threshold too", "[calibrate][threshold]") {
  const ChosenThreshold at_zero = choose(sample_of({1e-9}, {0.0}), 0);
  CHECK(at_zero.detection.tpr() == 1);
  CHECK((at_zero.threshold > 0 && at_zero.threshold < 1e-9));
  const ChosenThreshold close = choose(sample_of({0.50000000000000022}, {0.5}), 0, 0.02);
  CHECK((close.meets_target && close.detection.fpr() == 0));
  CHECK(choose(sample_of({never}, {0.0}), 0).detection.tpr() == 1);
  CHECK(choose(sample_of({0.0}, {0.0}), 0).detection.tpr() == 0);
}

TEST_CASE("what is chosen is the best of all thresholds", "[calibrate][threshold]") {
  std::mt19937 engine{5};
  for (int round = 0; round < 300; ++round) {
    std::vector<CheckedLabel> items{{.harmful = true, .released_above = 0.5}, {.harmful = false, .released_above = 0.5}};
    const unsigned values = round % 2 == 0 ? 8 : 1000;
    while (items.size() < 4 + static_cast<std::size_t>(round % 40)) {
      const double score = static_cast<double>(engine() % values) / values;
      items.push_back({engine() % 2 == 0, engine() % 9 == 0 ? std::nullopt : std::optional{score}, std::nullopt});
    }
    const double target = static_cast<double>(engine() % 11) / 10;
    const ChosenThreshold chosen = choose(items, target, 0.02);
    const ProbabilityRule rule{.threshold = chosen.threshold, .margin = chosen.margin};
    CHECK(detection_at(items, rule) == chosen.detection);
    double best = -1;
    double fewest = 1;
    for (int step = 0; step <= 4000; ++step) {
      const Detection other = detection_at(items, {.threshold = (step + 0.5) / 4001});
      fewest = std::min(fewest, other.fpr());
      if (other.fpr() <= target) best = std::max(best, other.tpr());
    }
    CHECK(chosen.meets_target == (fewest <= target));
    if (chosen.meets_target) CHECK(chosen.detection.tpr() == best);
    if (!chosen.meets_target) CHECK(chosen.detection.fpr() == fewest);
  }
}

TEST_CASE("a threshold takes both kinds and a goal in range", "[calibrate][threshold]") {
  CHECK_THROWS_AS(choose(sample_of({0.5}, {}), 0.05), Error);
  CHECK_THROWS_AS(choose({}, 0.05), Error);
  CHECK_THROWS_AS(choose(sample_of({0.5}, {0.4}), 1.5), Error);
  CHECK_THROWS_AS(choose(sample_of({0.5}, {0.4}), 0.05, 0.6), Error);
}

}  // namespace threshold_test
