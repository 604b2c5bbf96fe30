#pragma once

#include <ecso/calibrate/report.hpp>
#include <ecso/calibrate/svg_charts.hpp>
#include <ecso/calibrate/threshold.hpp>
#include <ecso/detail/html_text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

namespace detail {

inline constexpr std::string_view calibration_style = R"(
:root { color-scheme: light dark; --line: #8888; --first: #c2410c; --second: #1d6fb8; --third: #15803d; --fourth: #7e3fb0; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; } svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; } .chosen { font-weight: bold; } .note { opacity: .8; }
)";

[[nodiscard]] inline std::string html_rate(double rate, const Interval& interval) {
  return fmt::format("{:.2f} <span class=\"note\">[{:.2f}, {:.2f}]</span>", rate, interval.low, interval.high);
}

inline void append_detection_row(std::string& html, std::string_view name, const Detection& detection,
                                 std::string_view row_class = {}) {
  html += fmt::format(
      "<tr class=\"{}\"><td>{}</td><td>{}</td><td>{}</td><td>{:.2f}</td><td>{} of {}</td><td>{} of {}</td></tr>\n", row_class,
      html_text(name), html_rate(detection.tpr(), detection.tpr_interval()), html_rate(detection.fpr(), detection.fpr_interval()),
      detection.precision(), detection.caught, detection.harmful, detection.refused, detection.benign);
}

inline void append_thresholds(std::string& html, const CalibrationReport& report) {
  html +=
      "<div class=\"scroll\"><table><thead><tr><th>threshold</th><th>TPR [95 %]</th><th>FPR [95 %]</th><th>precision</th>"
      "<th>harmful flagged</th><th>benign flagged</th></tr></thead><tbody>\n";
  if (report.has_probabilities) {
    append_detection_row(html, fmt::format("{:.4g}, chosen", report.chosen.threshold), report.chosen.detection, "chosen");
    if (report.held_out) append_detection_row(html, "the same, on the half held out", *report.held_out, "chosen");
    append_detection_row(html, fmt::format("{:.4g}, the policy's", report.rule.threshold), report.at_rule);
    for (std::size_t i = 0; i < report.table.size(); ++i) {
      const ThresholdRow& row = report.table[i];
      const bool is_as_before = i > 0 && report.table[i - 1].detection == row.detection;
      if (!is_as_before) append_detection_row(html, fmt::format("{:.2f}", row.threshold), row.detection);
    }
  }
  append_detection_row(html, "the words alone", report.words);
  html += "</tbody></table></div>\n";
}

/// The items that the chosen rule gets wrong, by P(harmful).
inline void append_mistakes(std::string& html, const CalibrationReport& report) {
  for (const bool is_harmful : {true, false}) {
    std::vector<const JudgedItem*> wrong;
    for (const JudgedItem& item : report.items) {
      const bool is_wrong = item.harmful == is_harmful && is_flagged(checked(item), report.chosen_rule()) != is_harmful;
      if (is_wrong) wrong.push_back(&item);
    }
    std::ranges::sort(wrong, {}, [](const JudgedItem* item) { return item->finding.p_harmful.value_or(1); });
    html += fmt::format("<p>{} ({}):", is_harmful ? "Harmful, but released" : "Benign, but flagged", wrong.size());
    for (const JudgedItem* item : wrong) {
      html += fmt::format(" {} <span class=\"note\">{}</span>", html_text(item->id),
                          item->finding.p_harmful ? fmt::format("{:.2f}", *item->finding.p_harmful) : std::string{"no P"});
    }
    html += "</p>\n";
  }
}

inline void append_report(std::string& html, const CalibrationReport& report) {
  const Detection& all = report.words;
  html += fmt::format("<h2>{}</h2>\n<p>{} harmful and {} benign items", html_text(report.name), all.harmful, all.benign);
  if (report.has_probabilities) {
    html += fmt::format("; AUC {:.3f} [{:.3f}, {:.3f}]; threshold {:.4g}, margin {:.4g}", report.auc, report.auc_interval.low,
                        report.auc_interval.high, report.chosen.threshold, report.chosen.margin);
  }
  const double milliseconds = std::chrono::duration<double, std::milli>{report.cost.median}.count();
  html +=
      fmt::format(". A check: {:.2f} calls, {:.0f} new and {:.0f} cached prompt tokens, {:.1f} tokens out, {:.0f} ms (median).",
                  report.cost.calls, report.cost.new_prompt_tokens, report.cost.cached_prompt_tokens,
                  report.cost.completion_tokens, milliseconds);
  html += "</p>\n<ul>\n";
  for (const std::string& remark : report.remarks) html += fmt::format("<li>{}</li>\n", html_text(remark));
  html += "</ul>\n";
  if (report.has_probabilities) html.append("<figure>").append(histogram_svg(report)).append("</figure>\n");
  append_thresholds(html, report);
  if (report.has_probabilities) append_mistakes(html, report);
}

}  // namespace detail

/// A page of its own, with inline SVG: it loads nothing and runs nothing.
/// @param title of the page. @param reports one a form; the curves of all stand in one chart.
[[nodiscard]] inline std::string html_report(std::string_view title, std::span<const CalibrationReport> reports) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";
  html += fmt::format("<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n", detail::html_text(title),
                      detail::calibration_style, detail::html_text(title));
  if (std::ranges::any_of(reports, &CalibrationReport::has_probabilities))
    html.append("<figure>").append(detail::roc_svg(reports)).append("</figure>\n");
  for (const CalibrationReport& report : reports) detail::append_report(html, report);
  return html += "</body>\n</html>\n";
}

}  // namespace ecso
