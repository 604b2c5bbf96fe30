#pragma once

#include "../printing.hpp"

#include <ecso/calibrate/item_check.hpp>

#include <chrono>
#include <cstddef>
#include <ostream>
#include <string>

namespace ecso::command {

/// Shows how far a calibration has come: on a terminal in one line that is written over, elsewhere every ten seconds.
class CalibrationProgress {
 public:
  /// @param name of the form. @param total of checks.
  CalibrationProgress(std::ostream& out, const Terminal& terminal, std::string name, std::size_t total)
      : out_{out}, terminal_{terminal}, name_{std::move(name)}, total_{total} {}

  /// Counts an item that a run before this one has done.
  void skip() { ++skipped_; }
  void add(const CheckFinding& finding);
  /// Takes away the line on a terminal.
  void clear();
  /// Says what was done.
  void write_summary();

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] std::string counts() const;

  std::ostream& out_;
  Terminal terminal_;
  std::string name_;
  std::size_t total_;
  std::size_t skipped_ = 0;
  std::size_t done_ = 0;
  std::size_t undecided_ = 0;
  std::size_t failed_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = Clock::now();
  bool is_line_open_ = false;
};

}  // namespace ecso::command
