#pragma once

#include <CLI/CLI.hpp>

namespace ecso::command {

/// Adds `ecso models [NAME] [--json]`: what is known of models, and how to serve them. Where it is asked for, parsing writes it
/// to standard output and ends in CLI::Success.
/// @throws Error (bad_input) and WriteError while parsing.
void add_models_command(CLI::App& app);

}  // namespace ecso::command
