#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/gateway/readable.hpp>

#include <string>
#include <string_view>

namespace ecso::gateway {

/// The arguments of a call, which are a text, JSON as a rule, or any JSON.
[[nodiscard]] inline std::string openai_arguments(detail::JsonValue given) {
  return given.is_string() ? with_escapes_read(given.text()) : readable_json(given);
}

/// Adds a call of a tool or function, as it stands in requests and replies alike, as text: "name(arguments)"; nothing of what is
/// none.
/// @param arguments the member that has them.
inline void append_function(detail::JsonValue function, std::string_view arguments, std::string& out) {
  const detail::JsonValue given = function[arguments];
  if (!function["name"] && !given) return;
  append_line(out, function["name"].text() + "(" + openai_arguments(given) + ")");
}

}  // namespace ecso::gateway
