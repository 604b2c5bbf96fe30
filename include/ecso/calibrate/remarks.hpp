#pragma once

#include <ecso/calibrate/threshold.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/verdict.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

struct CalibrationReport;

namespace detail {

[[nodiscard]] inline std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// Whether a sample of this size can tell of the target at all.
[[nodiscard]] inline std::string remark_on_size(const Detection& sample, double target) {
  const std::size_t needed = target > 0 ? trials_to_show(target) : 0;
  if (sample.benign >= needed) return {};
  const double one = 1.0 / static_cast<double>(sample.benign);
  const std::string so_few =
      one > target ? fmt::format("one of {} flagged is already an FPR of {:.2f}", counted(sample.benign, "benign item"), one)
                   : fmt::format("none of {} flagged still leaves an FPR of up to {:.2f}", counted(sample.benign, "benign item"),
                                 wilson_interval(0, sample.benign).high);
  return fmt::format("Too few items to show an FPR of {:.3g}: {}; none of {} would show it.", target, so_few, needed);
}

/// What was allowed to the threshold so that it holds for new answers.
[[nodiscard]] inline std::string remark_on_target(const ChosenThreshold& chosen, double target) {
  const std::size_t benign = chosen.detection.benign;
  const std::int64_t allowed = most_flagged(benign, 1, target);
  if (allowed < 0) {
    return fmt::format(
        "{} are too few for any threshold to promise an FPR of {:.3g} of new answers; this one flags as few as "
        "can be.",
        counted(benign, "benign item"), target);
  }
  return fmt::format(
      "So that of new benign answers at most {:.3g} is flagged on average, at most {} of these {} may be; --in-sample "
      "leaves out that caution.",
      target, allowed, benign);
}

/// What to know about a report's figures.
template <typename Report>
[[nodiscard]] std::vector<std::string> remarks_on(const Report& report, const ThresholdGoal& goal) {
  const double target = goal.target_fpr;
  std::vector<std::string> remarks;
  const std::size_t items = report.items.size();
  if (report.failed > 0) remarks.push_back(fmt::format("{} failed: in no figure.", counted(report.failed, "check")));
  if (report.in_other_form > 0) {
    remarks.push_back(fmt::format(
        "{} had to be quoted, since a text may forge a turn: in no figure; the policy's rule for quoted checks is left as "
        "it is.",
        counted(report.in_other_form, "item")));
  }
  std::size_t undecided = 0;
  std::string reasons;
  for (const auto& [doubt, count] : report.undecided) {
    undecided += count;
    reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", count, to_string(doubt));
  }
  if (undecided > 0)
    remarks.push_back(
        fmt::format("{} of {} checks are undecided at every threshold ({}) and count as flagged.", undecided, items, reasons));
  if (!report.has_probabilities) {
    remarks.push_back(
        "The replies have no log-probabilities that the policy reads, so there is one threshold only, the words themselves, and "
        "nothing to calibrate.");
    return remarks;
  }
  double highest = 0;
  for (const auto& item : report.items) highest = std::max(highest, item.finding.released_above.value_or(0));
  if (report.by_words > 0)
    remarks.push_back(fmt::format(
        "{} of {} answers are called harmful by the check's own word, which no threshold undoes: above {:.2f} none changes "
        "anything.",
        report.by_words, items, highest));
  if (!report.chosen.meets_target) {
    remarks.push_back(
        fmt::format("No threshold has an FPR of at most {:.3g}: what the words call harmful, and what is undecided, "
                    "is {:.2f} of the benign items by itself.",
                    target, report.chosen.detection.fpr()));
  }
  if (report.chosen.meets_target && goal.target_of == TargetOf::new_answers)
    remarks.push_back(remark_on_target(report.chosen, target));
  if (const std::string size = remark_on_size(report.chosen.detection, target); !size.empty()) remarks.push_back(size);
  if (!report.held_out) {
    remarks.push_back(
        "The threshold was chosen on the items that it is measured on, so others will show less; --holdout measures "
        "on other ones.");
  }
  if (report.form == CheckForm::next_turn && !report.is_warmed) {
    remarks.push_back(
        "In use the server has written the answer itself and has the chat in its cache, which these given answers "
        "are not: a check then reads fewer new tokens. --warm measures that.");
  }
  return remarks;
}

}  // namespace detail
}  // namespace ecso
