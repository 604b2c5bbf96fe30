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

void print_remarks(std::ostream& out, const CalibrationReport& report, std::size_t columns) {
  for (const std::string& remark : report.remarks) out << "- " << wrap(remark, "  ", columns);
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
  print_remarks(out, report, terminal.columns);
}

void print_comparison(std::ostream& out, const Terminal& terminal, std::span<const CalibrationReport> reports,
                      double target_fpr) {
  out << fmt::format("{:<10} {:<20} {:<22} {:<30} {:>9}  {:>6} {:>6} {:>8}\n", "form", "AUC [95 %]", "at the policy's", "chosen",
                     "undecided", "new", "cached", "ms");
  for (const CalibrationReport& report : reports) {
    std::size_t undecided = 0;
    for (const auto& [doubt, count] : report.undecided) undecided += count;
    const auto brief = [](const Detection& detection) { return fmt::format("{:.2f}, {:.2f}", detection.tpr(), detection.fpr()); };
    const bool has = report.has_probabilities;
    const Detection& chosen = report.held_out ? *report.held_out : report.chosen.detection;
    out << fmt::format(
        "{:<10} {:<20} {:<22} {:<30} {:>9}  {:>6.0f} {:>6.0f} {:>8.0f}\n", report.name,
        has ? fmt::format("{:.3f} [{:.3f}, {:.3f}]", report.auc, report.auc_interval.low, report.auc_interval.high)
            : "words only",
        has ? fmt::format("{} at {:.4g}", brief(report.at_rule), report.rule.threshold) : brief(report.words),
        has ? fmt::format("{} at {:.4g}{}", brief(chosen), report.chosen.threshold, report.held_out ? ", held out" : "") : "none",
        undecided, report.cost.new_prompt_tokens, report.cost.cached_prompt_tokens,
        std::chrono::duration<double, std::milli>{report.cost.median}.count());
  }
  out << "\n"
      << wrap(fmt::format("Pairs are TPR, FPR; chosen for an FPR of at most {:.4g}. new, cached: prompt tokens a check; ms: "
                          "median wall time of one.",
                          target_fpr),
              "", terminal.columns);
  for (const CalibrationReport& report : reports) {
    out << '\n' << report.name << '\n';
    print_remarks(out, report, terminal.columns);
  }
}

}  // namespace ecso::command
