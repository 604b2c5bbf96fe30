#pragma once

#include "../printing.hpp"

#include <ecso/calibrate/report.hpp>

#include <ostream>
#include <span>

namespace ecso::command {

/// Writes a form's figures, chart and table of thresholds for a person.
void print_report(std::ostream& out, const Terminal& terminal, const CalibrationReport& report, double target_fpr);

/// Writes several forms side by side.
void print_comparison(std::ostream& out, const Terminal& terminal, std::span<const CalibrationReport> reports, double target_fpr);

}  // namespace ecso::command
