#pragma once

#include <ecso/core/trace.hpp>
#include <ecso/detail/json.hpp>

#include <cstddef>
#include <fstream>
#include <ostream>
#include <string>
#include <unordered_set>

namespace ecso::command {

/// Where a batch's outcomes go, one line each: standard output or a file.
class BatchOutput {
 public:
  /// @param file empty for standard output.
  /// @param resume goes on behind the whole lines of the file, and knows their ids.
  /// @throws UsageError if the file has something in it and is not to be resumed; WriteError if it cannot be written; Error if it
  /// holds no outcomes.
  BatchOutput(const std::string& file, bool resume);

  /// True if a line of the resumed file has an outcome for this id, or for this line where the id is null. One that failed is
  /// none: it is tried again, and the last line of an id counts.
  [[nodiscard]] bool is_done(const detail::Json& id, std::size_t line) const { return done_.contains(key_of(id, line)); }

  /// Writes and flushes a line: the id, the line's number, and the outcome.
  /// @throws WriteError
  void write(const detail::Json& id, std::size_t line, const Outcome& outcome);

 private:
  void read_done(const std::string& file);
  static std::string key_of(const detail::Json& id, std::size_t line);

  std::string name_;
  std::ofstream file_;
  std::ostream* out_;
  std::unordered_set<std::string> done_;
};

}  // namespace ecso::command
