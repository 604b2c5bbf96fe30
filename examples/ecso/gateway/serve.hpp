#pragma once

#include "serve_settings.hpp"

namespace ecso::command {

/// Says on standard output what `serve` would do with these flags.
/// @return the exit code
/// @throws UsageError if it could not.
[[nodiscard]] int check_serve(const ServeFlags& flags);

/// Runs the gateway until SIGTERM or SIGINT, which let requests under way end; a second one does not. SIGHUP reads the
/// configuration again and opens log and audit again; a configuration that cannot be used changes nothing.
/// @return the exit code
/// @throws UsageError for the configuration, UnavailableError or WriteError if it cannot begin.
[[nodiscard]] int serve(const ServeFlags& flags);

}  // namespace ecso::command
