#pragma once

#include <ecso/calibrate/item_check.hpp>
#include <ecso/calibrate/labelled_item.hpp>

#include <cstddef>
#include <fstream>
#include <string>
#include <unordered_map>

namespace ecso::command {

/// The findings of a calibration on file, one line each, so that one that was stopped can go on.
class FindingsFile {
 public:
  /// @param file empty for none: nothing is kept.
  /// @param resume goes on behind the whole lines of the file, and knows their findings.
  /// @throws UsageError if the file has something in it and is not to be resumed; WriteError if it cannot be written; Error if it
  /// holds no findings.
  FindingsFile(const std::string& file, bool resume);

  /// What a line of the resumed file says under this key; null if there is none. A check that failed has none: it is tried again.
  [[nodiscard]] const CheckFinding* find(const std::string& key) const;

  /// Findings of the resumed file.
  [[nodiscard]] std::size_t size() const noexcept { return done_.size(); }

  /// Writes and flushes a line.
  /// @throws WriteError
  void write(const std::string& key, const LabelledItem& item, const CheckFinding& finding);

 private:
  void read_done();

  std::string name_;
  std::ofstream out_;
  std::unordered_map<std::string, CheckFinding> done_;
};

}  // namespace ecso::command
