#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/openai_calls.hpp>
#include <ecso/gateway/readable.hpp>

#include <string>
#include <string_view>

/// What whole and streamed chat completions say: all that a client would be given is put before the check. All of it throws
/// Error (bad_reply) where no check could read it.
namespace ecso::gateway {

/// Members of a choice, a message or a delta with a word of the API's or the text that ended the answer. Whatever else has a text
/// may be a part of the answer.
inline constexpr std::string_view openai_own[] = {"finish_reason", "id",   "matched_stop", "native_finish_reason",
                                                  "object",        "role", "stop_reason",  "type"};

/// Members of a completion that say nothing of what a choice says.
inline constexpr std::string_view openai_head[] = {"id",
                                                   "object",
                                                   "created",
                                                   "model",
                                                   "obfuscation",
                                                   "provider",
                                                   "usage",
                                                   "prompt_progress",
                                                   "timings",
                                                   "service_tier",
                                                   "system_fingerprint",
                                                   "metadata",
                                                   "prompt_filter_results"};

/// Whether a member of a completion may leave when the choices do not all leave as they came: some servers repeat them beside.
[[nodiscard]] inline bool is_beside_choices(std::string_view name, detail::JsonValue value) {
  return name != "choices" && (is_among(openai_head, name) || !has_words(value));
}

/// Adds what a completion says beside its choices, which may repeat what these say. Tells whether there is anything.
inline bool append_beside_choices(detail::JsonValue root, std::string& out) {
  bool has_any = false;
  std::string storage;
  for (const detail::JsonMember& member : root.members()) {
    const std::string_view name = member.key.text(storage);
    if (name == "choices") continue;
    if (is_beside_choices(name, member.value)) {
      require_no_numbers(member.value);
      continue;
    }
    append_unknown(name, member.value, out);
    has_any = true;
  }
  return has_any;
}

/// A content as it stands in messages and deltas: a text, or the texts of an array of parts.
[[nodiscard]] inline std::string openai_content(detail::JsonValue content) {
  std::string text = content.text();
  for (const detail::JsonValue part : content.items()) text += part.is_string() ? part.text() : part["text"].text();
  return text;
}

/// What the model thought before it answered; some servers say it under both names.
[[nodiscard]] inline std::string openai_reasoning(detail::JsonValue message) {
  std::string text = message["reasoning_content"].text();
  return text.empty() ? message["reasoning"].text() : text;
}

/// Adds what a content says beside its texts.
inline void append_other_content(detail::JsonValue content, std::string& out) {
  if (content.is_object()) return append_unknown({}, content, out);
  for (const detail::JsonValue part : content.items()) {
    if (part.is_string()) continue;
    const bool is_text = part["text"].is_string() && is_among({"", "text", "output_text"}, part["type"].text());
    if (is_text) {
      append_others(part, {"text", "type"}, {}, out);
    } else {
      append_unknown({}, part, out);
    }
  }
}

/// Adds the thoughts that an OpenRouter server repeats, but for those that are said already.
inline void append_reasoning_details(detail::JsonValue details, std::string_view reasoning, std::string& out) {
  if (!details.is_array()) return append_unknown({}, details, out);
  constexpr std::string_view own[] = {"format", "id", "type"};
  for (const detail::JsonValue item : details.items()) {
    if (!item.is_object()) {
      append_unknown({}, item, out);
      continue;
    }
    const std::string text = item["text"].text();
    if (text != reasoning) append_line(out, text);
    append_others(item, {item["text"].is_string() ? "text" : "index"}, own, out);
  }
}

/// Adds what a message or a delta says beside its content, its thoughts, its refusal and its calls.
/// @param reasoning its thoughts.
inline void append_other_members(detail::JsonValue message, std::string_view reasoning, std::string& out) {
  std::string storage;
  std::string text_storage;
  for (const detail::JsonMember& member : message.members()) {
    const std::string_view name = member.key.text(storage);
    const detail::JsonValue value = member.value;
    if (name == "content") {
      append_other_content(value, out);
    } else if (value.is_string() && (name == "reasoning" || name == "reasoning_content")) {
      const std::string_view text = value.text(text_storage);
      if (text != reasoning) append_line(out, text);
    } else if (name == "reasoning_details") {
      append_reasoning_details(value, reasoning, out);
    } else if ((name == "refusal" && value.is_string()) || (name == "tool_calls" && value.is_array()) ||
               (name == "function_call" && value.is_object())) {
      continue;
    } else if (value.is_array() || value.is_object() || !is_among(openai_own, name)) {
      append_unknown(name, value, out);
    }
  }
}

/// Adds what a choice says beside its message or delta and its log-probabilities.
/// @param message "message" or "delta".
inline void append_other_choice(detail::JsonValue choice, std::string_view message, std::string& out) {
  require_no_numbers(choice["content_filter_results"]);
  append_others(choice, {message, "content_filter_results", "logprobs"}, openai_own, out);
}

/// Adds what a call says beside its function. Its id counts: to make one, some servers take the model's own words.
inline void append_other_call(detail::JsonValue call, std::string& out) {
  const bool is_known = is_among({"function", "custom"}, call["type"].text());
  append_others(call, {"function", "custom", is_known ? "type" : "function"}, {}, out);
}

/// Adds a function with its arguments, and what else it has.
inline void append_whole_function(detail::JsonValue function, std::string_view arguments, std::string& out) {
  if (!function["name"].is_string()) return append_unknown({}, function, out);
  append_function(function, arguments, out);
  append_others(function, {"name", arguments}, {}, out);
}

/// All that a choice says but for its log-probabilities.
[[nodiscard]] inline std::string openai_everything(detail::JsonValue choice) {
  const detail::JsonValue message = choice["message"];
  const std::string reasoning = openai_reasoning(message);
  std::string said = openai_content(message["content"]);
  append_line(said, reasoning);
  append_line(said, message["refusal"].text());
  append_other_members(message, reasoning, said);
  for (const detail::JsonValue call : message["tool_calls"].items()) {
    if (!call.is_object()) {
      append_unknown({}, call, said);
      continue;
    }
    append_whole_function(call["function"], "arguments", said);
    append_whole_function(call["custom"], "input", said);
    append_other_call(call, said);
  }
  if (message["function_call"].is_object()) append_whole_function(message["function_call"], "arguments", said);
  append_other_choice(choice, "message", said);
  return said;
}

}  // namespace ecso::gateway
