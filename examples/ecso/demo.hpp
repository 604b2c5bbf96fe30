#pragma once

#include "settings.hpp"

namespace ecso::command {

struct DemoOptions {
  bool trace = false;
};

/// Takes a harmful and a benign example through the method and shows each step on standard output.
/// @return the exit code
[[nodiscard]] int demo(const DemoOptions& options, const Settings& settings);

}  // namespace ecso::command
