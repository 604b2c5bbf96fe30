#pragma once

#include <ecso/calibrate/report.hpp>
#include <ecso/calibrate/roc.hpp>
#include <ecso/calibrate/threshold.hpp>
#include <ecso/detail/html_text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

/// Charts of calibration reports as inline SVG, for the page of `html_report`, whose style has their colours.
namespace ecso::detail {

/// A square plot from 0 to 1 both ways, with its axes.
struct SvgPlot {
  double size = 360;
  double left = 48;
  double top = 16;

  [[nodiscard]] double x(double value) const noexcept { return left + value * size; }
  [[nodiscard]] double y(double value) const noexcept { return top + (1 - value) * size; }

  /// @param label what the picture shows, for those who do not see it.
  [[nodiscard]] std::string begin(std::string_view label, std::string_view x_name, std::string_view y_name) const {
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" "
        "font-size=\"12\" fill=\"currentColor\">\n",
        html_text(label), size + left + 160, size + top + 44, size + left + 160);
    for (int step = 0; step <= 4; ++step) {
      const double at = step / 4.0;
      svg += fmt::format("<path d=\"M{0:.1f} {2:.1f}V{3:.1f}M{4:.1f} {1:.1f}H{5:.1f}\" stroke=\"var(--line)\" fill=\"none\"/>\n",
                         x(at), y(at), y(0), y(1), x(0), x(1));
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.2g}</text>\n", x(at), y(0) + 16, at);
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.2g}</text>\n", x(0) - 6, y(at) + 4, at);
    }
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x(0.5), y(0) + 36, x_name);
    svg += fmt::format("<text x=\"12\" y=\"{:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 12 {:.1f})\">{}</text>\n",
                       y(0.5), y(0.5), y_name);
    return svg;
  }
};

inline constexpr std::array<std::string_view, 4> curve_colours{"var(--first)", "var(--second)", "var(--third)", "var(--fourth)"};

inline void append_legend(std::string& svg, const SvgPlot& plot, std::size_t place, std::string_view colour,
                          std::string_view name) {
  const double y = plot.top + 12 + 18 * static_cast<double>(place);
  svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"10\" height=\"10\" fill=\"{}\"/>", plot.x(1) + 12, y - 9, colour);
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", plot.x(1) + 28, y, html_text(name));
}

/// The ROC curves of all forms; a ring is the chosen threshold, a square the policy's.
[[nodiscard]] inline std::string roc_svg(std::span<const CalibrationReport> reports) {
  const SvgPlot plot;
  std::string svg = plot.begin("ROC: true positive rate over false positive rate", "FPR: benign answers flagged",
                               "TPR: harmful answers flagged");
  svg += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" stroke=\"var(--line)\" stroke-dasharray=\"4\"/>\n", plot.x(0),
                     plot.y(0), plot.x(1), plot.y(1));
  std::size_t place = 0;
  for (const CalibrationReport& report : reports) {
    if (!report.has_probabilities) continue;
    const std::string_view colour = curve_colours[place % curve_colours.size()];
    std::string path;
    for (const RocPoint& point : report.roc)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', plot.x(point.fpr), plot.y(point.tpr));
    svg += fmt::format("<path d=\"{}\" stroke=\"{}\" stroke-width=\"2\" fill=\"none\"/>\n", path, colour);
    const Detection& chosen = report.chosen.detection;
    svg += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\" stroke=\"{}\" stroke-width=\"2\" fill=\"none\"><title>{:.4g}: TPR {:.2f}, "
        "FPR "
        "{:.2f}</title></circle>\n",
        plot.x(chosen.fpr()), plot.y(chosen.tpr()), colour, report.chosen.threshold, chosen.tpr(), chosen.fpr());
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"8\" height=\"8\" fill=\"{}\"><title>the policy's {:.4g}: TPR {:.2f}, FPR "
        "{:.2f}</title></rect>\n",
        plot.x(report.at_rule.fpr()) - 4, plot.y(report.at_rule.tpr()) - 4, colour, report.rule.threshold, report.at_rule.tpr(),
        report.at_rule.fpr());
    append_legend(svg, plot, place, colour, fmt::format("{}, AUC {:.3f}", report.name, report.auc));
    ++place;
  }
  return svg += "</svg>";
}

/// P(harmful) of both kinds in twenty bins, each kind as a share of its own; the line is the chosen threshold.
[[nodiscard]] inline std::string histogram_svg(const CalibrationReport& report) {
  constexpr std::size_t bins = 20;
  std::array<std::array<double, bins>, 2> shares{};
  for (const JudgedItem& item : report.items) {
    const double score = std::clamp(scored(item).score, 0.0, 1.0);
    const std::size_t bin = std::min(static_cast<std::size_t>(score * bins), bins - 1);
    const auto of_kind = static_cast<double>(item.harmful ? report.words.harmful : report.words.benign);
    shares[item.harmful ? 1 : 0][bin] += 1 / of_kind;
  }
  const SvgPlot plot{.size = 300};
  std::string svg = plot.begin("Histogram of P(harmful) of benign and of harmful items", "P(harmful)", "share of the kind");
  for (std::size_t kind = 0; kind < shares.size(); ++kind) {
    for (std::size_t bin = 0; bin < bins; ++bin) {
      const double share = shares[kind][bin];
      if (share <= 0) continue;
      const double width = plot.size / bins / 2 - 1;
      const double x = plot.x(static_cast<double>(bin) / bins) + static_cast<double>(kind) * (width + 1);
      svg += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"><title>{:.2f}</title></rect>\n", x,
          plot.y(share), width, plot.y(0) - plot.y(share), curve_colours[kind == 1 ? 0 : 1], share);
    }
  }
  const double threshold = plot.x(report.chosen.threshold);
  svg += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}\" stroke=\"currentColor\" stroke-dasharray=\"4\"/>\n", threshold,
                     plot.y(0), plot.y(1));
  append_legend(svg, plot, 0, curve_colours[0], "harmful");
  append_legend(svg, plot, 1, curve_colours[1], "benign");
  return svg += "</svg>";
}

}  // namespace ecso::detail
