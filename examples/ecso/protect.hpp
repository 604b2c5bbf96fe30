#pragma once

#include "settings.hpp"

#include <string>
#include <vector>

namespace ecso::command {

/// What `ecso protect` was asked for, settings aside.
struct ProtectOptions {
  std::vector<std::string> images;
  std::string query;
  bool json = false;
  bool trace = false;
  bool quiet = false;
  std::string record;
  std::string batch;
  std::string output;
  bool resume = false;
};

/// Answers one query: steps to standard error, the answer or the outcome's JSON to standard output.
/// @return the exit code
[[nodiscard]] int protect(const ProtectOptions& options, const Settings& settings);

/// Answers each line of a JSONL file.
/// @return the exit code
[[nodiscard]] int protect_batch(const ProtectOptions& options, const Settings& settings);

}  // namespace ecso::command
