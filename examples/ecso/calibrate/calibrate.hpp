#pragma once

#include "../settings.hpp"
#include "options.hpp"

namespace ecso::command {

/// Calibrates the check's threshold on labelled items: progress to standard error, the report to standard output, and what else
/// was asked for to files.
/// @return the exit code
[[nodiscard]] int calibrate(const CalibrateOptions& options, const Settings& settings);

}  // namespace ecso::command
