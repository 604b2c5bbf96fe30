#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/readable.hpp>

#include <initializer_list>
#include <string>
#include <string_view>

/// What whole and streamed answers of the Messages API say: all that a client would be given is put before the check. All of it
/// throws Error (bad_reply) where no check could read it.
namespace ecso::gateway {

/// Members of a message, a block or an event with a word of the API's or the text that ended the answer. Whatever else has a text
/// may be a part of the answer; so is the id of a block, as some servers take the model's own words to make one.
inline constexpr std::string_view anthropic_own[] = {"inference_geo", "model",         "role", "service_tier",
                                                     "stop_reason",   "stop_sequence", "type"};

/// Adds what the members of an object say but for those that `are_said` already.
inline void append_beside(detail::JsonValue object, std::initializer_list<std::string_view> are_said, std::string& out) {
  append_others(object, are_said, anthropic_own, out);
}

/// Adds what a message says beside its content.
inline void append_beside_content(detail::JsonValue message, std::string& out) {
  require_no_numbers(message["usage"]);
  append_beside(message, {"content", "usage", message["id"].is_string() ? "id" : "content"}, out);
}

[[nodiscard]] inline bool is_thought(detail::JsonValue block) {
  return is_among({"thinking", "redacted_thinking"}, block["type"].text());
}

/// Whether a block calls a tool.
[[nodiscard]] inline bool is_call(detail::JsonValue block) { return block["input"] && block["name"].is_string(); }

/// Adds everything that a block of an answer says, thoughts and tool calls ("name(input)") included.
inline void append_anthropic_block(detail::JsonValue block, std::string& out) {
  if (!block.is_object()) return append_unknown({}, block, out);
  if (is_media_name(block["type"].text())) refuse_medium();
  std::string storage;
  if (is_call(block)) {
    append_line(out, block["name"].text() + "(" + readable_json(block["input"]) + ")");
    return append_beside(block, {"name", "input"}, out);
  }
  for (const std::string_view name : {"text", "thinking"}) append_line(out, block[name].text(storage));
  append_beside(block, {block["text"].is_string() ? "text" : "type", block["thinking"].is_string() ? "thinking" : "type"}, out);
}

}  // namespace ecso::gateway
