#pragma once

#include <ecso/core/policy.hpp>
#include <ecso/core/policy_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>

namespace ecso {

namespace detail {

/// A basic string of TOML.
[[nodiscard]] inline std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted.append({'\\', c});
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      quoted += fmt::format("\\u{:04X}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted += '"';
}

/// A scalar, or an array of scalars, as TOML.
[[nodiscard]] inline std::string toml_value(const Json& value) {
  if (value.is_string()) return toml_string(value.get_ref<const std::string&>());
  if (!value.is_array()) return value.dump();
  std::string list = "[";
  for (const Json& item : value) list.append(list.size() > 1 ? ", " : "").append(toml_value(item));
  return list += ']';
}

/// Calls `visit("prompts.check", value)` for each value in an object of objects; a null is no value.
template <typename Visit>
void for_each_setting(const Json& object, const std::string& path, Visit& visit) {
  for (const auto& [key, value] : object.items()) {
    std::string name = path;
    name.append(path.empty() ? "" : ".").append(key);
    if (value.is_object()) {
      for_each_setting(value, name, visit);
    } else if (!value.is_null()) {
      visit(name, value);
    }
  }
}

}  // namespace detail

/// A policy as TOML, in dotted keys: it can be a policy file, and stand as it is under a gateway's `[policies.NAME]`, where only
/// a name of its own would have to go; those of the policies that come with ecso are not written. It says all about the check
/// (form, rule, prompt, fence), and of the rest what differs from the policy that comes with ecso.
/// @param comment goes before it, each line behind a "# ".
[[nodiscard]] inline std::string policy_toml(const Policy& policy, std::string_view comment = {}) {
  std::string text;
  while (!comment.empty()) {
    const std::size_t end = std::min(comment.find('\n'), comment.size());
    text += "# ";
    for (const char c : comment.substr(0, end)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    text += '\n';
    comment.remove_prefix(std::min(end + 1, comment.size()));
  }
  const Policy base = policy::production(policy.language);
  const detail::Json all = to_json(policy);
  const detail::Json of_base = to_json(base);
  const std::string rule = policy.check_form == CheckForm::next_turn ? "next_turn_probability" : "probability";
  const std::set<std::string> always{
      "check_form",     rule + ".threshold",
      rule + ".margin", rule + ".min_mass",
      "prompts.fence",  policy.check_form == CheckForm::next_turn ? "prompts.next_turn_check" : "prompts.check"};

  text += "base = \"production\"\n";
  if (policy.language != Language::english) text += fmt::format("language = \"{}\"\n", to_string(policy.language));
  const auto write = [&](const std::string& name, const detail::Json& value) {
    const bool is_name_of_base = name == "name" && (policy.name == "production" || policy.name == "paper");
    if (name == "language" || is_name_of_base) return;
    std::string pointer = "/" + name;
    std::ranges::replace(pointer, '.', '/');
    const detail::Json::json_pointer place{pointer};
    const bool differs = !of_base.contains(place) || of_base.at(place) != value;
    if (differs || always.contains(name)) text += fmt::format("{} = {}\n", name, detail::toml_value(value));
  };
  detail::for_each_setting(all, {}, write);
  return text;
}

}  // namespace ecso
