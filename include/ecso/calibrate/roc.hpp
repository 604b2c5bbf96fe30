#pragma once

#include <ecso/calibrate/interval.hpp>
#include <ecso/detail/seeded_draw.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ecso {

/// A score and what it should have told.
struct ScoredLabel {
  double score = 0;  ///< Higher means more harmful; never NaN.
  bool harmful = false;
};

/// What share of each kind has a score of at least a threshold.
struct RocPoint {
  double threshold = 0;
  double fpr = 0;  ///< Of the benign.
  double tpr = 0;  ///< Of the harmful.

  bool operator==(const RocPoint&) const = default;
};

/// How to draw the samples of a bootstrap.
struct BootstrapOptions {
  std::size_t resamples = 2000;
  std::uint64_t seed = 1;  ///< The same seed gives the same interval, on every machine.
};

namespace detail {

/// Scores by their distinct values, ascending, with how many items of each kind have each.
struct TiedScores {
  struct Tie {
    double score;
    std::size_t harmful = 0;
    std::size_t benign = 0;
  };
  std::vector<Tie> ties;
  std::size_t harmful = 0;
  std::size_t benign = 0;
};

/// @throws Error (bad_input) if a kind is missing or a score is no number.
[[nodiscard]] inline TiedScores tied_scores(std::span<const ScoredLabel> items) {
  std::vector<ScoredLabel> sorted{items.begin(), items.end()};
  if (std::ranges::any_of(sorted, [](const ScoredLabel& item) { return std::isnan(item.score); }))
    throw Error{Errc::bad_input, "a score is no number"};
  std::ranges::sort(sorted, {}, &ScoredLabel::score);
  TiedScores scores;
  for (const ScoredLabel& item : sorted) {
    if (scores.ties.empty() || scores.ties.back().score != item.score) scores.ties.push_back({item.score});
    ++(item.harmful ? scores.ties.back().harmful : scores.ties.back().benign);
    ++(item.harmful ? scores.harmful : scores.benign);
  }
  if (scores.harmful == 0 || scores.benign == 0)
    throw Error{Errc::bad_input, "a ROC needs harmful and benign items, and there are none of one kind"};
  return scores;
}

/// Mann and Whitney: in how many pairs the harmful one has the higher score, a tie counting half.
[[nodiscard]] inline double auc_of(const TiedScores& scores) {
  double pairs = 0;
  double benign_below = 0;
  for (const TiedScores::Tie& tie : scores.ties) {
    const auto benign = static_cast<double>(tie.benign);
    pairs += static_cast<double>(tie.harmful) * (benign_below + benign / 2);
    benign_below += benign;
  }
  return pairs / (static_cast<double>(scores.harmful) * benign_below);
}

}  // namespace detail

/// The ROC curve from (0, 0) to (1, 1): a point for each distinct score, the highest first.
/// @throws Error (bad_input) if a kind is missing or a score is no number.
[[nodiscard]] inline std::vector<RocPoint> roc_curve(std::span<const ScoredLabel> items) {
  const detail::TiedScores scores = detail::tied_scores(items);
  std::vector<RocPoint> curve{{std::nextafter(scores.ties.back().score, HUGE_VAL), 0, 0}};
  std::size_t harmful = 0;
  std::size_t benign = 0;
  for (auto tie = scores.ties.rbegin(); tie != scores.ties.rend(); ++tie) {
    harmful += tie->harmful;
    benign += tie->benign;
    curve.push_back({tie->score, static_cast<double>(benign) / static_cast<double>(scores.benign),
                     static_cast<double>(harmful) / static_cast<double>(scores.harmful)});
  }
  return curve;
}

/// The area under the curve: how probable it is that a harmful item has a higher score than a benign one, a tie counting half.
/// @throws Error (bad_input) as `roc_curve`.
[[nodiscard]] inline double auc(std::span<const ScoredLabel> items) { return detail::auc_of(detail::tied_scores(items)); }

/// The 95 % interval of `auc` by a bootstrap that draws each kind by itself, so that no sample lacks one (percentiles).
/// @throws Error (bad_input) as `roc_curve`, or without resamples.
[[nodiscard]] inline Interval auc_interval(std::span<const ScoredLabel> items, const BootstrapOptions& options = {}) {
  if (options.resamples == 0) throw Error{Errc::bad_input, "bootstrap: it needs a resample"};
  detail::TiedScores scores = detail::tied_scores(items);
  std::vector<std::size_t> harmful;
  std::vector<std::size_t> benign;
  for (std::size_t tie = 0; tie < scores.ties.size(); ++tie) {
    harmful.insert(harmful.end(), scores.ties[tie].harmful, tie);
    benign.insert(benign.end(), scores.ties[tie].benign, tie);
  }
  detail::SeededDraw draw{options.seed};
  std::vector<double> areas;
  areas.reserve(options.resamples);
  for (std::size_t sample = 0; sample < options.resamples; ++sample) {
    for (auto& tie : scores.ties) tie.harmful = tie.benign = 0;
    for (std::size_t i = 0; i < harmful.size(); ++i) ++scores.ties[harmful[draw.below(harmful.size())]].harmful;
    for (std::size_t i = 0; i < benign.size(); ++i) ++scores.ties[benign[draw.below(benign.size())]].benign;
    areas.push_back(detail::auc_of(scores));
  }
  std::ranges::sort(areas);
  const auto at = [&](double share) {
    return areas[static_cast<std::size_t>(std::lround(share * static_cast<double>(areas.size() - 1)))];
  };
  return {at(0.025), at(0.975)};
}

}  // namespace ecso
