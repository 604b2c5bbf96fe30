#pragma once

#include <ecso/calibrate/report.hpp>
#include <ecso/calibrate/roc.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace ecso {

namespace detail {

/// The highest TPR that a curve reaches with at most this FPR.
[[nodiscard]] inline double tpr_within(std::span<const RocPoint> curve, double fpr) {
  double tpr = 0;
  for (const RocPoint& point : curve) {
    if (point.fpr <= fpr + 1e-9) tpr = std::max(tpr, point.tpr);
  }
  return tpr;
}

}  // namespace detail

/// The ROC curve as lines of text, 57 columns wide: `*` is the curve, `O` the chosen threshold on the items that it was chosen
/// on,
/// `.` what chance would give.
[[nodiscard]] inline std::string roc_text_chart(const CalibrationReport& report) {
  constexpr std::size_t width = 51;
  constexpr std::size_t height = 17;
  std::vector<std::string> grid(height, std::string(width, ' '));
  const auto column = [&](double fpr) { return static_cast<std::size_t>(std::lround(fpr * static_cast<double>(width - 1))); };
  const auto row = [&](double tpr) { return static_cast<std::size_t>(std::lround((1 - tpr) * static_cast<double>(height - 1))); };
  for (std::size_t x = 0; x < width; ++x) grid[row(static_cast<double>(x) / (width - 1))][x] = '.';
  std::size_t before = height - 1;
  for (std::size_t x = 0; x < width; ++x) {
    const std::size_t y = row(detail::tpr_within(report.roc, static_cast<double>(x) / (width - 1)));
    for (std::size_t at = std::min(y, before); at <= std::max(y, before); ++at) grid[at][x] = '*';
    before = y;
  }
  grid[row(report.chosen.detection.tpr())][column(report.chosen.detection.fpr())] = 'O';

  std::string chart = "TPR\n";
  for (std::size_t y = 0; y < height; ++y) {
    const bool is_marked = y % 4 == 0;
    chart += is_marked ? fmt::format("{:4.2f} |", 1 - static_cast<double>(y) / (height - 1)) : std::string{"     |"};
    grid[y].erase(grid[y].find_last_not_of(' ') + 1);
    chart.append(grid[y]).append("\n");
  }
  chart.append("     +").append(width, '-').append("\n     0");
  for (const char* mark : {"0.25", "0.50", "0.75", "1"}) chart += fmt::format("{:>12}", mark);
  return chart.append("  FPR\n");
}

}  // namespace ecso
