#pragma once

#include "printing.hpp"

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/secret.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace ecso::command {

/// The server that settings are for: those of the one that checks have "check_" before their names.
enum class ServerRole { chat, check };

/// What may be set by a flag, by an environment variable, or in the configuration file, in that order: the setting
/// `max_in_flight` by `--max-in-flight`, `ECSO_MAX_IN_FLIGHT`, or `max_in_flight = 4`.
class Settings {
 public:
  /// Values of flags by the name of their setting.
  using Flags = std::map<std::string, std::string, std::less<>>;

  struct Value {
    std::string text;
    std::string source;  ///< The flag, variable or file it comes from, for errors.
  };

  /// Reads the configuration file: `--config`, `ECSO_CONFIG`, or else `ecso/config.toml` under `XDG_CONFIG_HOME` or `~/.config`
  /// if it is there.
  /// @throws Error (bad_input) if the file cannot be used.
  explicit Settings(Flags flags);

  [[nodiscard]] ColorMode color() const;
  [[nodiscard]] std::size_t max_in_flight() const;
  /// The chosen policy, with the chosen deadline and model of checks.
  [[nodiscard]] Policy policy() const;
  /// What an OpenAI-compatible server understands; none if it is to be asked.
  [[nodiscard]] std::optional<OpenAiDialect> dialect(ServerRole role = ServerRole::chat) const;
  /// Calls to make of one that fails in passing, the first included.
  [[nodiscard]] int attempts() const;
  /// Empty if there is none. No server gets the other's.
  [[nodiscard]] Secret key(ServerRole role = ServerRole::chat) const;

  /// A setting as it was given.
  [[nodiscard]] std::optional<Value> find(std::string_view name) const;
  /// A setting of a server.
  [[nodiscard]] std::optional<Value> find(ServerRole role, std::string_view name) const;

 private:
  [[nodiscard]] std::optional<Value> find_flag(std::string_view name) const;
  [[nodiscard]] static std::optional<Value> find_variable(std::string_view name);
  [[nodiscard]] std::size_t number(std::string_view name, std::size_t otherwise, std::size_t most) const;
  void read_file();

  Flags flags_;
  std::string file_name_;
  Flags file_;
};

/// The policy of that name, or that of a TOML or JSON file.
/// @throws Error (bad_input) that names file and key.
[[nodiscard]] Policy load_policy(const std::string& name_or_file);

}  // namespace ecso::command
