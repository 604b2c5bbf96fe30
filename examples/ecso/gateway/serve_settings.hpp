#pragma once

#include "simulated_server.hpp"

#include <ecso/gateway/options.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::command {

/// What is written to a log.
enum class LogLevel {
  debug,
  info,   ///< Every request, and what the program does.
  warn,   ///< Requests that failed, and whatever somebody should look at.
  error,  ///< Requests that failed on our side.
  off,
};

struct LogSettings {
  std::string file = "-";  ///< "-": standard error.
  LogLevel level = LogLevel::info;
  bool content = false;  ///< Whether queries and answers stand in it.

  bool operator==(const LogSettings&) const = default;
};

struct AuditSettings {
  std::string file = {};  ///< Empty: there is no audit.
  bool content = false;   ///< Whether queries and answers stand in it; else their hashes do.

  bool operator==(const AuditSettings&) const = default;
};

/// What `ecso serve` is to do.
struct ServeSettings {
  gateway::Options gateway = {};  ///< Without upstreams if `gateway.simulated`.
  /// Places in `gateway.upstreams` of those that are to be asked what they understand.
  std::vector<std::size_t> ask_dialect = {};
  SimulatedServerOptions simulated = {};
  LogSettings log = {};
  AuditSettings audit = {};
};

/// Flags of `ecso serve` by the name of their setting: config, upstream, listen, policy, dialect, api_key_file, client_keys,
/// stream, audit, log, log_level.
using ServeFlags = std::map<std::string, std::string, std::less<>>;

/// Where to listen.
struct ListenAddress {
  std::string address;
  std::uint16_t port = 0;
};

/// "127.0.0.1:8800", "[::1]:8800" or "localhost:8800".
/// @throws UsageError that begins with `source`.
[[nodiscard]] ListenAddress parse_listen_address(std::string_view text, std::string_view source);

/// Reads flags, environment variables (ECSO_LISTEN and so on; none for the configuration file) and the configuration file, in
/// that order of preference, with all files that they name but TLS certificates.
/// @throws UsageError that names flag, variable or file and key.
[[nodiscard]] ServeSettings read_serve_settings(const ServeFlags& flags);

/// The settings for a person, a line each thing: where it listens, who answers, by which policy, who may come in, what is logged.
/// No key stands in it.
[[nodiscard]] std::string describe(const ServeSettings& settings);

}  // namespace ecso::command
