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

/// Where a chat template's control token may begin in what an assistant has said: `<|im_end|>`, `<｜User｜>`, `</s>`, `[INST]`,
/// `<start_of_turn>`. Narrower than the fence, as an answer is full of brackets that mean nothing.
[[nodiscard]] inline bool begins_control_token(std::string_view text) {
  static constexpr auto tokens = std::to_array<std::string_view>(
      {"<|", "<\xEF\xBD\x9C", "</s>", "<s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>",
       "<start_of_image>", "<image>", "<bos>", "<eos>", "<__media__>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]"});
  return std::ranges::any_of(tokens, [&](std::string_view token) { return text.starts_with(token); });
}

/// `text` with a space behind the first character of every control token, so that it can stand in a turn of a chat.
[[nodiscard]] inline std::string without_control_tokens(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    out += text[at];
    if ((text[at] == '<' || text[at] == '[') && begins_control_token(text.substr(at))) out += ' ';
  }
  return out;
}

}  // namespace ecso::detail
