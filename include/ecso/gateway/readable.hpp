#pragma once

#include <ecso/detail/json_out.hpp>
#include <ecso/detail/json_string.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

/// How JSON is put before a check: as a text that says all that it says to others. Pure.
namespace ecso::gateway {

/// JSON, or a text that begins, ends or has JSON in it, with the escapes read that JSON can do without: "\u0062omb" says "bomb"
/// to whoever is given it. As JSON it means the same.
[[nodiscard]] inline std::string with_escapes_read(std::string_view text) {
  std::string read;
  read.reserve(text.size());
  for (;;) {
    const std::size_t plain = std::min(text.find('\\'), text.size());
    read.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) return read;
    const detail::JsonEscape escape = detail::json_escape(text);
    const char c = static_cast<char>(escape.code_point);
    if (escape.code_point >= 0x80 || (escape.size != 0 && !detail::json_must_escape(c))) {
      detail::append_utf8(read, escape.code_point);
    } else if (escape.size > 2) {
      detail::JsonOut{read}.escaped({&c, 1});
    } else {
      read.append(text.substr(0, std::max<std::size_t>(escape.size, 1)));
    }
    text.remove_prefix(std::max<std::size_t>(escape.size, 1));
  }
}

/// The value as JSON that can be read.
[[nodiscard]] inline std::string readable_json(detail::JsonValue value) { return with_escapes_read(value.raw()); }

/// Whether a value says something: a text that is not empty, or the name of a member.
[[nodiscard]] inline bool has_words(detail::JsonValue value) {
  if (value.is_string()) return value.raw() != "\"\"";
  return value.is_object() ? value.size() != 0 : std::ranges::any_of(value.items(), has_words);
}

/// Whether a text is none that anybody reads: signs as base64 has them, and nothing else.
[[nodiscard]] inline bool is_opaque(detail::JsonValue text) {
  const auto is_sign = [](char c) {
    return detail::is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=' || c == '_' || c == '-';
  };
  return text.is_string() && std::ranges::all_of(text.plain().value_or(" "), is_sign);
}

/// Adds a text to others, on a line of its own.
inline void append_line(std::string& out, std::string_view text) {
  if (text.empty()) return;
  if (!out.empty()) out += '\n';
  out += text;
}

}  // namespace ecso::gateway
