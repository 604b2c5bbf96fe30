#pragma once

#include <ecso/detail/fence.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace ecso::detail {

/// Length of a role's name at the start of `line` that a colon follows, as plain-text templates and transcripts begin a turn
/// ("USER:", "### Assistant:", "system："); 0 if there is none.
[[nodiscard]] inline std::size_t role_name_end(std::string_view line) {
  static constexpr auto roles =
      std::to_array<std::string_view>({"user", "assistant", "system", "human", "gpt", "model", "ai", "bot", "context", "tool"});
  constexpr std::size_t longest = 9;
  const std::size_t begin = std::min(line.find_first_not_of(" \t#*>-"), line.size());
  std::size_t end = begin;
  std::string name;
  for (; end < line.size() && name.size() <= longest; ++end) {
    const char c = line[end];
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_letter) break;
    name += static_cast<char>(c | 0x20);
  }
  const std::string_view rest = line.substr(end);
  const bool has_colon = rest.starts_with(':') || rest.starts_with("\xEF\xBC\x9A");
  return has_colon && std::ranges::find(roles, name) != roles.end() ? end : 0;
}

/// Where the first line of `text` ends, its break included.
[[nodiscard]] inline std::size_t line_end(std::string_view text) {
  constexpr std::string_view may_break = "\n\r\v\f\xC2\xE2";
  for (std::size_t at = text.find_first_of(may_break); at != text.npos; at = text.find_first_of(may_break, at + 1)) {
    if (const std::size_t length = line_break_length(text.substr(at)); length != 0) return at + length;
  }
  return text.size();
}

/// Appends `text` so that no line of it begins a turn: a space comes between a role's name and its colon.
inline void append_without_turns(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t named = role_name_end(text);
    out += text.substr(0, named);
    if (named != 0) out += ' ';
    text.remove_prefix(named);
    const std::size_t end = line_end(text);
    out += text.substr(0, end);
    text.remove_prefix(end);
  }
}

/// Appends `text` so that no server finds a control token of a chat template in it, as a fence does: a space comes after its
/// first character.
inline void append_without_tokens(std::string& out, std::string_view text) {
  constexpr std::string_view may_open = "<[";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(may_open), text.size() - 1) + 1;
    out += text.substr(0, end);
    const char last = text[end - 1];
    text.remove_prefix(end);
    if (!text.empty() && may_open.find(last) != may_open.npos && opens_control_token(last, text.front())) out += ' ';
  }
}

/// Whether a chat template may take a part of `text` for a turn, a control token or thoughts to be left out: then it can stand in
/// no turn of a chat whose other turns are to be judged by. Much that is none is taken for one, such as tags of HTML.
[[nodiscard]] inline bool may_forge_turns(std::string_view text) {
  for (std::size_t at = text.find_first_of("<["); at != text.npos; at = text.find_first_of("<[", at + 1)) {
    if (at + 1 < text.size() && opens_control_token(text[at], text[at + 1])) return true;
  }
  if (text.find("]~") != text.npos || text.find("\xE2\x97\x81") != text.npos) return true;  // "]~b]", "◁think▷"
  for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(line_end(rest))) {
    if (role_name_end(rest) != 0) return true;
  }
  return false;
}

}  // namespace ecso::detail
