#pragma once

#include "printing.hpp"

#include <chrono>
#include <ostream>
#include <string_view>

namespace ecso::command {

/// Shows how far a long run has come: on a terminal in one line that is written over, elsewhere in a line every ten seconds.
class ProgressLine {
 public:
  ProgressLine(std::ostream& out, const Terminal& terminal) : out_{out}, is_terminal_{terminal.is_terminal} {}

  /// Whether it is time to show how far it is. True makes the next time come later.
  [[nodiscard]] bool is_due();
  void show(std::string_view text);
  /// Takes away the line on a terminal.
  void clear();
  /// Since it was made.
  [[nodiscard]] std::chrono::nanoseconds elapsed() const { return Clock::now() - start_; }

 private:
  using Clock = std::chrono::steady_clock;

  std::ostream& out_;
  bool is_terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = start_;
  bool is_open_ = false;
};

}  // namespace ecso::command
