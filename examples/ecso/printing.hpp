#pragma once

#include <ecso/core/protocol.hpp>
#include <ecso/core/trace.hpp>

#include <chrono>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

namespace ecso::command {

enum class ColorMode { automatic, always, never };

/// What an output can show.
struct Terminal {
  bool is_terminal = false;
  bool color = false;
  std::size_t columns = 100;
};

/// @param fd 1 or 2. Colour also depends on NO_COLOR and TERM.
[[nodiscard]] Terminal terminal_of(int fd, ColorMode mode);

/// `text` without what a terminal would obey: control characters but line breaks and tabs, and bytes that are not UTF-8, become
/// U+FFFD.
[[nodiscard]] std::string printable(std::string_view text);

/// The same on one line.
[[nodiscard]] std::string one_line(std::string_view text);

/// `text`, printable, in lines of at most `columns` that begin with `indent`, the first one's aside; ends with a line break.
[[nodiscard]] std::string wrap(std::string_view text, std::string_view indent, std::size_t columns);

/// "image/png, 640x480, 5.0 KiB".
[[nodiscard]] std::string describe(const Image& image);

/// What a query cost: "5 calls, 1801 tokens in (1152 cached), 92 out, 12 ms".
[[nodiscard]] std::string describe_cost(std::size_t calls, const Usage& usage, std::chrono::nanoseconds time);

enum class Detail {
  summary,  ///< Replies are shortened, and an answer that no check called safe is not shown.
  trace,    ///< Prompts, and all replies whole.
};

/// Writes the steps of a query for a person, as they end.
class StepPrinter {
 public:
  StepPrinter(std::ostream& out, const Terminal& terminal, Detail detail) : out_{out}, terminal_{terminal}, detail_{detail} {}

  /// Shows on a terminal that a call is under way; the next thing that is written takes its place.
  void on_call(const PendingCall& call);
  /// Failed steps are left to whoever reports the query's error.
  void on_step(const StepRecord& record);
  /// How the query ended. The released text is not written.
  void on_end(const Outcome& outcome, std::chrono::nanoseconds time);
  /// Takes away what `on_call` wrote.
  void clear();

  /// `text` in an ANSI style ("1" is bold), if the terminal shows colours.
  [[nodiscard]] std::string styled(std::string_view text, std::string_view style) const;
  /// Writes `text` on lines of its own, wrapped and indented. Its style is that of `styled`.
  void write_block(std::string_view text, std::string_view style = {});

 private:
  void write_verdict(const StepRecord& record);

  std::ostream& out_;
  Terminal terminal_;
  Detail detail_;
  int number_ = 0;
  bool is_line_open_ = false;
};

}  // namespace ecso::command
