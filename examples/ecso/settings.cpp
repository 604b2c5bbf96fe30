#include "settings.hpp"

#include "exit_code.hpp"
#include "files.hpp"
#include "values.hpp"

#include <ecso/core/policy_json.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace ecso::command {

namespace {

constexpr auto names = std::to_array<std::string_view>({"backend",
                                                        "model",
                                                        "policy",
                                                        "dialect",
                                                        "deadline",
                                                        "max_in_flight",
                                                        "attempts",
                                                        "color",
                                                        "api_key_file",
                                                        "api_version",
                                                        "profile",
                                                        "ca_file",
                                                        "client_certificate_file",
                                                        "client_key_file",
                                                        "unix_socket",
                                                        "check_backend",
                                                        "check_model",
                                                        "check_dialect",
                                                        "check_api_key_file",
                                                        "check_api_version",
                                                        "check_profile",
                                                        "check_ca_file",
                                                        "check_client_certificate_file",
                                                        "check_client_key_file",
                                                        "check_unix_socket"});

std::string name_of(ServerRole role, std::string_view name) {
  return std::string{role == ServerRole::check ? "check_" : ""}.append(name);
}

std::string variable_of(std::string_view name) {
  std::string variable = "ECSO_";
  for (const char c : name) variable += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return variable;
}

std::string flag_of(std::string_view name) {
  std::string flag = "--" + std::string{name};
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::optional<std::filesystem::path> default_config() {
  const auto folder = [](const char* variable) {
    return std::filesystem::path{std::getenv(variable) == nullptr ? "" : std::getenv(variable)};
  };
  std::filesystem::path file = folder("XDG_CONFIG_HOME");
  if (file.empty() && !folder("HOME").empty()) file = folder("HOME") / ".config";
  std::error_code ignored;
  if (file.empty() || !std::filesystem::exists(file /= "ecso/config.toml", ignored)) return std::nullopt;
  return file;
}

}  // namespace

Settings::Settings(Flags flags) : flags_{std::move(flags)} {
  if (const auto given = find("config")) {
    file_name_ = given->text;
  } else if (const auto found = default_config()) {
    file_name_ = found->string();
  }
  if (!file_name_.empty()) read_file();
}

void Settings::read_file() {
  const auto bad = [&](std::string message) { return Error{Errc::bad_input, std::move(message), {.endpoint = file_name_}}; };
  const detail::Json settings = parse_toml(read_settings_file(file_name_), file_name_);
  if (settings.contains("api_key"))
    throw bad("api_key: a key does not belong here; put it in a file of its own and name that by api_key_file");
  if (settings.contains("check_api_key"))
    throw bad("check_api_key: a key does not belong here; put it in a file of its own and name that by check_api_key_file");
  for (const auto& [key, value] : settings.items()) {
    if (std::ranges::find(names, key) == names.end())
      throw bad(fmt::format("{}: unknown setting; known are {}", key, fmt::join(names, ", ")));
    if (value.is_structured() || value.is_boolean()) throw bad(key + ": must be a text or a number");
    file_[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
}

std::optional<Settings::Value> Settings::find_flag(std::string_view name) const {
  const auto found = flags_.find(name);
  if (found == flags_.end()) return std::nullopt;
  return Value{found->second, flag_of(name)};
}

std::optional<Settings::Value> Settings::find_variable(std::string_view name) {
  const std::string variable = variable_of(name);
  const char* value = std::getenv(variable.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return Value{value, variable};
}

std::optional<Settings::Value> Settings::find(std::string_view name) const {
  if (auto flag = find_flag(name)) return flag;
  if (auto variable = find_variable(name)) return variable;
  const auto found = file_.find(name);
  if (found == file_.end()) return std::nullopt;
  return Value{found->second, file_name_ + ": " + found->first};
}

std::optional<Settings::Value> Settings::find(ServerRole role, std::string_view name) const { return find(name_of(role, name)); }

ColorMode Settings::color() const {
  const auto value = find("color");
  if (!value) return ColorMode::automatic;
  return choose<ColorMode>(value->text, value->source,
                           {{"auto", ColorMode::automatic}, {"always", ColorMode::always}, {"never", ColorMode::never}});
}

std::size_t Settings::max_in_flight() const { return number("max_in_flight", 8, 1024); }

std::size_t Settings::number(std::string_view name, std::size_t otherwise, std::size_t most) const {
  const auto value = find(name);
  if (!value) return otherwise;
  return parse_number(value->text, value->source, 1, most);
}

Policy Settings::policy() const {
  const auto value = find("policy");
  Policy policy = value ? load_policy(value->text) : policy::production();
  if (const auto model = find("check_model")) policy.models.check = model->text;
  if (const auto deadline = find("deadline")) policy.deadline = parse_duration(deadline->text, deadline->source);
  return policy;
}

std::optional<OpenAiDialect> Settings::dialect(ServerRole role) const {
  const auto value = find(role, "dialect");
  return value ? parse_dialect(value->text, value->source) : std::nullopt;
}

int Settings::attempts() const { return static_cast<int>(number("attempts", 3, 100)); }

Secret Settings::key(ServerRole role) const {
  const std::string file_setting = name_of(role, "api_key_file");
  const std::string variable = variable_of(name_of(role, "api_key"));
  const char* const key = std::getenv(variable.c_str());
  if (const auto file = find_flag(file_setting)) return Secret::from_file(file->text);
  if (key != nullptr && *key != '\0') return Secret::from_environment(variable);
  if (const auto file = find(file_setting)) return Secret::from_file(file->text);
  return {};
}

Policy load_policy(const std::string& name_or_file) {
  if (name_or_file == "production" || name_or_file == "paper") return policy_named(name_or_file);
  std::error_code ignored;
  if (!std::filesystem::exists(name_or_file, ignored)) {
    throw Error{Errc::bad_input,
                fmt::format("policy \"{}\": no such file, and no policy of that name; there are production and paper",
                            one_line(name_or_file))};
  }
  const std::string text = read_settings_file(name_or_file);
  // A TOML document never starts with a brace.
  const bool is_json = text.find_first_not_of(" \t\r\n") != std::string::npos && text[text.find_first_not_of(" \t\r\n")] == '{';
  try {
    return policy_from_json(is_json ? detail::parse_json(text, "policy") : parse_toml(text, name_or_file));
  } catch (const Error& error) {
    throw Error{error.code(), error.message(), {.endpoint = name_or_file}};
  }
}

}  // namespace ecso::command
