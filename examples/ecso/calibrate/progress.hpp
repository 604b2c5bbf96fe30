#pragma once

#include "../printing.hpp"
#include "../progress_line.hpp"

#include <ecso/calibrate/item_check.hpp>

#include <cstddef>
#include <ostream>
#include <string>
#include <utility>

namespace ecso::command {

/// Shows how far a calibration has come.
class CalibrationProgress {
 public:
  /// @param name of the form. @param total of checks.
  CalibrationProgress(std::ostream& out, const Terminal& terminal, std::string name, std::size_t total)
      : out_{out}, line_{out, terminal}, name_{std::move(name)}, total_{total} {}

  /// Counts an item that a run before this one has done.
  void skip() { ++skipped_; }
  void add(const CheckFinding& finding);
  /// Takes away the line on a terminal.
  void clear() { line_.clear(); }
  /// Says what was done.
  void write_summary();

 private:
  [[nodiscard]] std::string counts() const;

  std::ostream& out_;
  ProgressLine line_;
  std::string name_;
  std::size_t total_;
  std::size_t skipped_ = 0;
  std::size_t done_ = 0;
  std::size_t undecided_ = 0;
  std::size_t failed_ = 0;
};

}  // namespace ecso::command
