#pragma once

#include <ecso/calibrate/interval.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <vector>

namespace ecso {

/// A checked item, as thresholds see it.
struct CheckedLabel {
  bool harmful = false;
  /// The answer is released by every threshold above this one. None: by no threshold, since its check's words say that it is
  /// harmful, or leave it undecided.
  std::optional<double> released_above = std::nullopt;
  std::optional<double> p_harmful = std::nullopt;  ///< Where it is known.
};

/// How a check judged a sample.
struct Detection {
  std::size_t harmful = 0;  ///< Items of each kind,
  std::size_t benign = 0;
  std::size_t caught = 0;  ///< and how many of them were flagged.
  std::size_t refused = 0;

  /// Share of the harmful items that was flagged; 0 of none.
  [[nodiscard]] double tpr() const noexcept { return share(caught, harmful); }
  /// Share of the benign items that was flagged.
  [[nodiscard]] double fpr() const noexcept { return share(refused, benign); }
  /// Share of what was flagged that is harmful; 1 if nothing was.
  [[nodiscard]] double precision() const noexcept { return caught + refused == 0 ? 1.0 : share(caught, caught + refused); }
  [[nodiscard]] Interval tpr_interval() const { return wilson_interval(caught, harmful); }
  [[nodiscard]] Interval fpr_interval() const { return wilson_interval(refused, benign); }

  void add(bool is_harmful, bool is_flagged) noexcept {
    ++(is_harmful ? harmful : benign);
    if (is_flagged) ++(is_harmful ? caught : refused);
  }

  bool operator==(const Detection&) const = default;

 private:
  [[nodiscard]] static double share(std::size_t part, std::size_t whole) noexcept {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  }
};

/// Whether a rule withholds an item's answer: it is harmful, or undecided, which counts as harmful here whatever a policy says.
[[nodiscard]] inline bool is_flagged(const CheckedLabel& item, const ProbabilityRule& rule) noexcept {
  if (!item.released_above) return true;
  const double safe_below = rule.threshold - rule.margin;
  return rule.margin > 0 ? !(*item.released_above <= safe_below) : !(*item.released_above < rule.threshold);
}

/// What a rule makes of a sample.
[[nodiscard]] inline Detection detection_at(std::span<const CheckedLabel> items, const ProbabilityRule& rule) {
  Detection detection;
  for (const CheckedLabel& item : items) detection.add(item.harmful, is_flagged(item, rule));
  return detection;
}

/// Of what answers at most the target may be flagged.
enum class TargetOf {
  /// New ones: of n benign items so many may be flagged, k, that (k + 1) / (n + 1) is at most the target. Then new benign answers
  /// like them are flagged no more often on average, though the threshold was chosen to suit these (split conformal prediction).
  new_answers,
  sample,  ///< The items themselves.
};

/// What to choose a threshold by.
struct ThresholdGoal {
  double target_fpr = 0.05;  ///< Most benign items that may be flagged, as a share. Range 0 to 1.
  double max_margin = 0.02;  ///< Largest margin to choose. Range 0 to 0.5.
  TargetOf target_of = TargetOf::new_answers;
};

/// A threshold and what it makes of the sample that it was chosen on.
struct ChosenThreshold {
  double threshold = 0;
  double margin = 0;
  Detection detection = {};
  bool meets_target = false;  ///< False: no threshold flags so few of these benign items; this one flags the fewest.
  /// Whether new answers are flagged no more often than the target, on average; false also where the items are too few to tell.
  bool meets_target_anew = false;
};

namespace detail {

/// A number with few digits near the middle of a gap, and inside it.
[[nodiscard]] inline double short_middle(double low, double high) {
  const double middle = low + (high - low) / 2;
  double scale = 10;
  for (int digits = 2; digits <= 12; ++digits) {
    scale *= 10;
    const double rounded = std::round(middle * scale) / scale;
    if (std::abs(rounded - middle) <= (high - low) / 8) return rounded;
  }
  return middle;
}

/// A gap between two scores of a sample, in which each threshold flags the same items.
struct ThresholdCut {
  double low;
  double high;
  double middle;
  Detection detection;
};

/// All gaps from 0 to 1 that are wide enough for a threshold, ascending.
[[nodiscard]] inline std::vector<ThresholdCut> threshold_cuts(std::span<const CheckedLabel> items) {
  std::vector<CheckedLabel> released;
  Detection flagged;
  for (const CheckedLabel& item : items) {
    flagged.add(item.harmful, true);
    if (item.released_above) released.push_back(item);
  }
  const auto score = [](const CheckedLabel& item) { return *item.released_above; };
  std::ranges::sort(released, {}, score);
  std::vector<ThresholdCut> cuts;
  // A threshold above the scores that can be released shall still lie below those that the words call harmful.
  const double highest = released.empty() ? 0.0 : *released.back().released_above;
  double top = 1;
  for (const CheckedLabel& item : items) {
    if (!item.released_above && item.p_harmful && *item.p_harmful > highest + 1e-6) top = std::min(top, *item.p_harmful);
  }
  double low = 0;
  auto next = released.begin();
  while (low < top) {
    for (; next != released.end() && *next->released_above <= low; ++next) --(next->harmful ? flagged.caught : flagged.refused);
    const double high = next == released.end() ? top : std::min(*next->released_above, top);
    const double middle = short_middle(low, high);
    if (low < middle && middle < high) cuts.push_back({low, high, middle, flagged});
    low = high;
  }
  return cuts;
}

/// The largest margin, in steps of 0.0001, that keeps the ends of a gap out of the band that is undecided, and that leaves the
/// lower half below a threshold to answers that are released.
[[nodiscard]] inline double margin_within(double low, double threshold, double high, double most) {
  constexpr double steps = 10'000;
  double count = std::floor(std::min({most, threshold - low, high - threshold, threshold / 2}) * steps);
  while (count > 0 && !(low <= threshold - count / steps && high >= threshold + count / steps)) --count;
  return std::max(count, 0.0) / steps;
}

/// How many of `benign` items may be flagged, if the share of them and of `more` that are is to be at most the target.
/// @return -1 if not even none of them.
[[nodiscard]] inline std::int64_t most_flagged(std::size_t benign, std::size_t more, double target) {
  const auto all = static_cast<double>(benign + more);
  auto flagged = static_cast<std::int64_t>(target * all) + 1;
  while (flagged >= 0 && static_cast<double>(flagged) / all > target) --flagged;
  return flagged - static_cast<std::int64_t>(more);
}

}  // namespace detail

/// The threshold with the highest TPR whose FPR is at most the target (see `TargetOf`); among those, the one with the lowest FPR.
/// It lies in the middle between the highest score that it releases and the lowest that it flags. The margin is half of that gap,
/// at most `max_margin`: of an answer that scores where this sample has nothing, it says that it is undecided.
/// @throws Error (bad_input) if a kind is missing or the goal is out of range.
[[nodiscard]] inline ChosenThreshold choose_threshold(std::span<const CheckedLabel> items, const ThresholdGoal& goal) {
  if (!(goal.target_fpr >= 0 && goal.target_fpr <= 1)) throw Error{Errc::bad_input, "the target FPR ranges from 0 to 1"};
  if (!(goal.max_margin >= 0 && goal.max_margin <= 0.5)) throw Error{Errc::bad_input, "the margin ranges from 0 to 0.5"};
  const std::vector<detail::ThresholdCut> cuts = detail::threshold_cuts(items);
  if (cuts.front().detection.harmful == 0 || cuts.front().detection.benign == 0)
    throw Error{Errc::bad_input, "a threshold needs harmful and benign items, and there are none of one kind"};

  const std::size_t benign = cuts.front().detection.benign;
  const auto fewest = static_cast<std::int64_t>(cuts.back().detection.refused);
  const std::int64_t of_sample = detail::most_flagged(benign, 0, goal.target_fpr);
  const std::int64_t of_new = detail::most_flagged(benign, 1, goal.target_fpr);
  const std::int64_t most = std::max(fewest, goal.target_of == TargetOf::sample ? of_sample : of_new);
  auto cut = std::ranges::find_if(
      cuts, [&](const detail::ThresholdCut& c) { return static_cast<std::int64_t>(c.detection.refused) <= most; });
  while (std::next(cut) != cuts.end() && std::next(cut)->detection.caught == cut->detection.caught) ++cut;

  const double margin = detail::margin_within(cut->low, cut->middle, cut->high, goal.max_margin);
  const auto refused = static_cast<std::int64_t>(cut->detection.refused);
  return {cut->middle, margin, cut->detection, refused <= of_sample, refused <= of_new};
}

}  // namespace ecso
