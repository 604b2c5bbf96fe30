#pragma once

#include <CLI/CLI.hpp>

namespace ecso::command {

/// Adds `ecso serve`, `simulate`, `hash-key` and `health`.
void add_gateway_commands(CLI::App& app);

}  // namespace ecso::command
