#pragma once

#include <ecso/detail/json.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::command {

/// A table of a settings file. Reading a key that is not there leaves the value as it is; `finish` finds keys that nobody read.
/// Every error is a UsageError that names file and key.
class SettingsTable {
 public:
  /// @param json outlives this.
  SettingsTable(const detail::Json& json, std::string file, std::string path = {});

  void read(std::string_view key, std::string& out);
  void read(std::string_view key, bool& out);
  void read(std::string_view key, double& out, double least, double most);
  void read(std::string_view key, std::vector<std::string>& out);
  /// A whole number.
  void read(std::string_view key, std::size_t& out, std::size_t least, std::size_t most);
  /// The same, or "auto" for 0.
  void read_or_auto(std::string_view key, std::size_t& out, std::size_t most);
  /// A time: "30s", or a number of seconds.
  void read(std::string_view key, std::chrono::milliseconds& out);
  /// A size: "64MiB", or a number of bytes.
  void read_size(std::string_view key, std::size_t& out);

  /// The table of that key, an empty one if it is not there.
  [[nodiscard]] SettingsTable table(std::string_view key);
  /// The tables of an array of that key.
  [[nodiscard]] std::vector<SettingsTable> tables(std::string_view key);

  /// A value as it stands; null if it is not there.
  [[nodiscard]] const detail::Json* find(std::string_view key);
  /// The keys that there are.
  [[nodiscard]] std::vector<std::string> keys() const;
  /// "ecso.toml: bounds.max_connections", for errors.
  [[nodiscard]] std::string at(std::string_view key) const;
  /// @throws UsageError that names a key that was not asked for, and those that were.
  void finish() const;

 private:
  [[noreturn]] void fail(std::string_view key, std::string_view what) const;
  /// A text, or a number as one.
  [[nodiscard]] const detail::Json* find_number_or_text(std::string_view key, std::string& text);

  const detail::Json* json_;
  std::string file_;
  std::string path_;
  std::vector<std::string> known_;
};

}  // namespace ecso::command
