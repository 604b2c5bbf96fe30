#pragma once

#include <ecso/calibrate/check_cost.hpp>
#include <ecso/calibrate/interval.hpp>
#include <ecso/calibrate/item_check.hpp>
#include <ecso/calibrate/remarks.hpp>
#include <ecso/calibrate/roc.hpp>
#include <ecso/calibrate/stratified.hpp>
#include <ecso/calibrate/threshold.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/error.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ecso {

/// An item's label and what its check showed.
struct JudgedItem {
  std::string id;
  bool harmful = false;
  CheckFinding finding = {};
};

/// How to make a report.
struct ReportOptions {
  ThresholdGoal goal = {};
  BootstrapOptions bootstrap = {};
  /// Seed of the halves, if the threshold is to be chosen on one half of the items and tested on the other.
  std::optional<std::uint64_t> holdout = std::nullopt;
  Warming warming = Warming::none;  ///< How the findings were made.
};

/// A row of the table of thresholds.
struct ThresholdRow {
  double threshold = 0;
  Detection detection = {};
};

/// What the checks of a sample in one form showed.
struct CalibrationReport {
  std::string name;                             ///< Of the form, for people.
  CheckForm form = CheckForm::quoted;           ///< quoted or next_turn.
  ProbabilityRule rule = {};                    ///< The policy's, before calibration.
  std::string model = {};                       ///< As the server names it.
  std::vector<JudgedItem> items = {};           ///< Those that the figures are of.
  std::size_t failed = 0;                       ///< Items whose check failed: in no figure.
  std::size_t in_other_form = 0;                ///< Items that could not be asked in this form: in no figure.
  std::map<Doubt, std::size_t> undecided = {};  ///< Items that no threshold decides, which are flagged by all, by their reason.
  std::size_t by_words = 0;                     ///< Items that the words alone call harmful, whatever the threshold.
  bool has_probabilities = false;               ///< False: there is one threshold only, the words.
  Detection words = {};                         ///< What the words alone make of the items; undecided ones are flagged.
  double auc = 0;                               ///< Of P(harmful); meaningful if `has_probabilities`, as all below but the cost.
  Interval auc_interval = {};
  std::vector<RocPoint> roc = {};
  Detection at_rule = {};                          ///< What `rule` makes of the items.
  std::vector<ThresholdRow> table = {};            ///< 0.05 to 0.95.
  ChosenThreshold chosen = {};                     ///< On all items, or on those that are not held out.
  std::optional<Detection> held_out = {};          ///< What the chosen threshold makes of the items held out,
  std::optional<Detection> held_out_at_rule = {};  ///< and what `rule` makes of them.
  bool is_warmed = false;                          ///< Whether the server had read the chats, as in use.
  CheckCost cost = {};
  std::vector<std::string> remarks = {};  ///< What to know about the figures, a sentence each.

  [[nodiscard]] ProbabilityRule chosen_rule() const noexcept {
    return {.threshold = chosen.threshold, .margin = chosen.margin, .min_mass = rule.min_mass};
  }
};

namespace detail {

/// Where an item stands among the others: its P(harmful); where the figures give none, its end of the scale.
[[nodiscard]] inline ScoredLabel scored(const JudgedItem& item) {
  const double otherwise = item.finding.released_above ? 0.0 : 1.0;
  return {item.finding.p_harmful.value_or(otherwise), item.harmful};
}

[[nodiscard]] inline CheckedLabel checked(const JudgedItem& item) {
  return {item.harmful, item.finding.released_above, item.finding.p_harmful};
}

inline void choose_for(CalibrationReport& report, std::span<const CheckedLabel> labels, const ReportOptions& options) {
  if (!options.holdout) {
    report.chosen = choose_threshold(labels, options.goal);
    return;
  }
  std::vector<bool> harmful;
  for (const CheckedLabel& label : labels) harmful.push_back(label.harmful);
  const std::vector<bool> is_held_out = held_out_half(harmful, *options.holdout);
  std::vector<CheckedLabel> calibrated;
  std::vector<CheckedLabel> held_out;
  for (std::size_t i = 0; i < labels.size(); ++i) (is_held_out[i] ? held_out : calibrated).push_back(labels[i]);
  report.chosen = choose_threshold(calibrated, options.goal);
  report.held_out = detection_at(held_out, report.chosen_rule());
  report.held_out_at_rule = detection_at(held_out, report.rule);
}

inline void add_thresholds(CalibrationReport& report, const ReportOptions& options) {
  std::vector<ScoredLabel> scores;
  std::vector<CheckedLabel> labels;
  for (const JudgedItem& item : report.items) {
    scores.push_back(scored(item));
    labels.push_back(checked(item));
  }
  report.auc = auc(scores);
  report.auc_interval = auc_interval(scores, options.bootstrap);
  report.roc = roc_curve(scores);
  report.at_rule = detection_at(labels, report.rule);
  for (int step = 1; step < 20; ++step) {
    const double threshold = step / 20.0;
    report.table.push_back({threshold, detection_at(labels, {.threshold = threshold})});
  }
  choose_for(report, labels, options);
}

}  // namespace detail

/// Makes the report of a form's findings. Undecided items count as flagged, whatever the policy makes of them; failed ones, and
/// those that were asked in another form, are counted and left out.
/// @param rule the policy's for this form.
/// @throws Error (bad_input) if without those there are no harmful or no benign items left, or too few to hold out a half.
[[nodiscard]] inline CalibrationReport calibration_report(std::string name, CheckForm form, const ProbabilityRule& rule,
                                                          std::span<const JudgedItem> items, const ReportOptions& options = {}) {
  CalibrationReport report{.name = std::move(name), .form = form, .rule = rule, .is_warmed = options.warming == Warming::chat};
  std::vector<CheckFinding> findings;
  for (const JudgedItem& item : items) {
    const CheckFinding& finding = item.finding;
    if (finding.error) {
      ++report.failed;
      continue;
    }
    if (finding.form != form) {
      ++report.in_other_form;
      continue;
    }
    report.items.push_back(item);
    if (!finding.model.empty()) report.model = finding.model;
    report.has_probabilities = report.has_probabilities || finding.p_harmful.has_value();
    report.words.add(item.harmful, finding.words != Verdict::safe);
    if (finding.released_above) continue;
    if (finding.doubt != Doubt::none) {
      ++report.undecided[finding.doubt];
    } else {
      ++report.by_words;
    }
  }
  if (report.words.harmful == 0 || report.words.benign == 0) {
    throw Error{Errc::bad_input, "no " + std::string{report.words.harmful == 0 ? "harmful" : "benign"} +
                                     " item was checked in the form " + report.name + ", so there is nothing to calibrate by"};
  }
  findings.reserve(report.items.size());
  for (const JudgedItem& item : report.items) findings.push_back(item.finding);
  report.cost = check_cost(findings);
  if (report.has_probabilities) detail::add_thresholds(report, options);
  report.remarks = detail::remarks_on(report, options.goal);
  return report;
}

}  // namespace ecso
