#include "print_report.hpp"

#include <ecso/calibrate/text_chart.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

namespace ecso::command {

namespace {

std::string rate(double value, const Interval& interval) {
  return fmt::format("{:.2f} [{:.2f}, {:.2f}]", value, interval.low, interval.high);
}

std::string rates(const Detection& detection) {
  return fmt::format("TPR {}, FPR {}", rate(detection.tpr(), detection.tpr_interval()),
                     rate(detection.fpr(), detection.fpr_interval()));
}

std::string describe(const CheckCost& cost) {
  const double milliseconds = std::chrono::duration<double, std::milli>{cost.median}.count();
  return fmt::format("{:.2f} calls, {:.0f} new and {:.0f} cached prompt tokens, {:.1f} tokens out, {:.0f} ms (median)",
                     cost.calls, cost.new_prompt_tokens, cost.cached_prompt_tokens, cost.completion_tokens, milliseconds);
}

void print_table(std::ostream& out, const CalibrationReport& report) {
  out << fmt::format("{:>10}  {:<18}  {:<18}  {:<9}  {}\n", "threshold", "TPR [95 %]", "FPR [95 %]", "precision", "flagged");
  const auto row = [&](std::string_view threshold, const Detection& detection) {
    out << fmt::format("{:>10}  {:<18}  {:<18}  {:<9.2f}  {} of {}\n", threshold, rate(detection.tpr(), detection.tpr_interval()),
                       rate(detection.fpr(), detection.fpr_interval()), detection.precision(),
                       detection.caught + detection.refused, detection.harmful + detection.benign);
  };
  const Detection* before = nullptr;
  for (const ThresholdRow& entry : report.table) {
    if (before != nullptr && *before == entry.detection) continue;
    row(fmt::format("{:.2f}", entry.threshold), entry.detection);
    before = &entry.detection;
  }
  row("the words", report.words);
}

void print_remark(std::ostream& out, const std::string& remark, std::size_t columns) {
  out << "- " << wrap(remark, "  ", columns);
}

/// What is to be said of all forms once, then what is of one alone.
void print_remarks(std::ostream& out, std::span<const CalibrationReport> reports, std::size_t columns) {
  const auto is_of_all = [&](const std::string& remark) {
    return std::ranges::all_of(reports, [&](const CalibrationReport& report) {
      return std::ranges::find(report.remarks, remark) != report.remarks.end();
    });
  };
  for (const std::string& remark : reports.front().remarks) {
    if (is_of_all(remark)) print_remark(out, remark, columns);
  }
  for (const CalibrationReport& report : reports) {
    if (std::ranges::all_of(report.remarks, is_of_all)) continue;
    out << '\n' << report.name << '\n';
    for (const std::string& remark : report.remarks) {
      if (!is_of_all(remark)) print_remark(out, remark, columns);
    }
  }
}

}  // namespace

void print_report(std::ostream& out, const Terminal& terminal, const CalibrationReport& report, double target_fpr) {
  const auto heading = [&](std::string_view name, const std::string& text) {
    out << fmt::format("{:<10}{}", name, wrap(text, std::string(10, ' '), terminal.columns));
  };
  heading("Form", fmt::format("{}, model {}", report.name, report.model.empty() ? "not named" : report.model));
  heading("Items", fmt::format("{} harmful, {} benign", report.words.harmful, report.words.benign));
  heading("A check", describe(report.cost));
  if (report.has_probabilities) {
    heading("AUC", fmt::format("{:.3f} [{:.3f}, {:.3f}], 95 % by bootstrap", report.auc, report.auc_interval.low,
                               report.auc_interval.high));
    out << '\n' << roc_text_chart(report) << '\n';
    print_table(out, report);
    out << '\n';
    heading("Policy's", fmt::format("{:.4g}: {}", report.rule.threshold, rates(report.at_rule)));
    heading("Chosen", fmt::format("{:.4g}, margin {:.4g}, for an FPR of at most {:.4g}: {}", report.chosen.threshold,
                                  report.chosen.margin, target_fpr, rates(report.chosen.detection)));
    if (report.held_out) {
      heading("Held out", fmt::format("{} harmful, {} benign, at {:.4g}: {}", report.held_out->harmful, report.held_out->benign,
                                      report.chosen.threshold, rates(*report.held_out)));
      heading("", fmt::format("at the policy's {:.4g}: {}", report.rule.threshold, rates(*report.held_out_at_rule)));
    }
  } else {
    heading("The words", rates(report.words));
  }
  out << '\n';
  print_remarks(out, {&report, 1}, terminal.columns);
}

void print_comparison(std::ostream& out, const Terminal& terminal, std::span<const CalibrationReport> reports,
                      double target_fpr) {
  const bool is_held_out =
      std::ranges::any_of(reports, [](const CalibrationReport& report) { return report.held_out.has_value(); });
  constexpr auto layout = "{:<9} {:<20} {:<20} {:<20} {:>5} {:>5} {:>6} {:>6}\n";
  out << fmt::format(layout, "form", "AUC [95 %]", "at the policy's", is_held_out ? "chosen, on others" : "chosen", "open", "new",
                     "cached", "ms");
  for (const CalibrationReport& report : reports) {
    std::size_t undecided = 0;
    for (const auto& [doubt, count] : report.undecided) undecided += count;
    const auto at = [](const Detection& detection, double threshold) {
      return fmt::format("{:.2f}, {:.2f} at {:.4g}", detection.tpr(), detection.fpr(), threshold);
    };
    const bool has = report.has_probabilities;
    const double milliseconds = std::chrono::duration<double, std::milli>{report.cost.median}.count();
    out << fmt::format(layout, report.name,
                       has ? fmt::format("{:.3f} [{:.3f}, {:.3f}]", report.auc, report.auc_interval.low, report.auc_interval.high)
                           : "words only",
                       has ? at(report.held_out_at_rule.value_or(report.at_rule), report.rule.threshold)
                           : fmt::format("{:.2f}, {:.2f}", report.words.tpr(), report.words.fpr()),
                       has ? at(report.held_out.value_or(report.chosen.detection), report.chosen.threshold) : "none", undecided,
                       fmt::format("{:.0f}", report.cost.new_prompt_tokens),
                       fmt::format("{:.0f}", report.cost.cached_prompt_tokens), fmt::format("{:.0f}", milliseconds));
  }
  const std::string legend = fmt::format(
      "Pairs are TPR, FPR; chosen for an FPR of at most {:.4g}. open: undecided at every threshold. new, cached: prompt tokens a "
      "check; ms: median wall time of one.",
      target_fpr);
  out << '\n' << wrap(legend, "", terminal.columns) << '\n';
  print_remarks(out, reports, terminal.columns);
}

}  // namespace ecso::command
