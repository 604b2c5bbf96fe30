#pragma once

#include "../interrupt.hpp"
#include "../query.hpp"
#include "findings_file.hpp"
#include "items_file.hpp"
#include "progress.hpp"

#include <ecso/calibrate/item_check.hpp>
#include <ecso/calibrate/report.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/policy.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ecso::command {

/// A form of the check to try.
struct FormToTry {
  std::string name;
  Policy policy;                       ///< With its prompt; its rules stand beside the calibrated one in the report.
  CheckForm form = CheckForm::quoted;  ///< quoted or next_turn.
};

/// Runs checks against a backend.
struct Collector {
  MllmBackend& backend;
  std::string backend_name;  ///< Part of a finding's key, as is the model's name.
  std::string model_name;
  std::size_t max_in_flight = 8;
  Warming warming = Warming::none;
  Interrupt& interrupt;
  FindingsFile& findings;

  /// What the checks of the chosen items showed, in their order. Where it was interrupted, the others are missing.
  /// @param progress none to show nothing.
  /// @throws the error of a server that fails three checks at the beginning, or ten in a row later on, which is not tried
  /// further.
  [[nodiscard]] std::vector<JudgedItem> collect(const FormToTry& form, const ItemsFile& items,
                                                const std::vector<std::size_t>& chosen, CalibrationProgress* progress,
                                                SimulationNotice* notice) const;
};

}  // namespace ecso::command
