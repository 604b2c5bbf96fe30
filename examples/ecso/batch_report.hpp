#pragma once

#include "printing.hpp"
#include "progress_line.hpp"

#include <ecso/core/trace.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <ostream>
#include <string>

namespace ecso::command {

/// Counts a batch's outcomes and reports on them while it runs and at its end.
class BatchReport {
 public:
  /// @param input_bytes size of the batch file, 0 if it is not known.
  BatchReport(std::ostream& out, const Terminal& terminal, std::size_t input_bytes)
      : out_{out}, line_{out, terminal}, input_bytes_{input_bytes} {}

  void skip() { ++skipped_; }
  /// @param bytes_read of the batch file so far.
  void add(std::size_t line, const Outcome& outcome, std::size_t bytes_read);
  /// Takes away the line on a terminal.
  void clear() { line_.clear(); }
  void write_summary();

  [[nodiscard]] std::size_t done() const noexcept { return done_; }
  /// 0 if nothing failed, else the largest exit code that a failed line would have by itself.
  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

 private:
  [[nodiscard]] std::string counts() const;

  std::ostream& out_;
  ProgressLine line_;
  std::size_t input_bytes_;
  std::map<Path, std::size_t> paths_;
  std::size_t done_ = 0;
  std::size_t skipped_ = 0;
  std::size_t calls_ = 0;
  Usage usage_;
  std::map<std::string, std::size_t> errors_;
  std::optional<std::string> first_error_;
  int exit_code_ = 0;
};

}  // namespace ecso::command
