#pragma once

#include <ecso/backend/openai_reply.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text_stream.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_turns.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What whole and streamed chat completions have in common: reading a choice, and JSON for what leaves in its place.
namespace ecso::gateway {

/// Members of a choice whose texts are no part of the answer, at any depth. Whatever else has a text may be one.
inline constexpr std::string_view openai_unsaid[] = {"content_filter_results",
                                                     "finish_reason",
                                                     "id",
                                                     "index",
                                                     "logprobs",
                                                     "native_finish_reason",
                                                     "role",
                                                     "signature",
                                                     "stop_reason",
                                                     "thought_signature",
                                                     "type"};

/// Members of a completion that say nothing of what a choice says.
inline constexpr std::string_view openai_head[] = {"id",           "object",
                                                   "created",      "model",
                                                   "provider",     "usage",
                                                   "service_tier", "system_fingerprint",
                                                   "metadata",     "prompt_filter_results"};

/// Whether a member of a completion may leave when the choices do not all leave as they came: some servers repeat them beside.
/// Never those that the gateway writes itself.
[[nodiscard]] inline bool is_beside_choices(std::string_view name, detail::JsonValue value) {
  if (name == "choices" || name == "ecso") return false;
  return std::ranges::find(openai_head, name) != std::ranges::end(openai_head) || !has_text(value);
}

/// Adds the texts of a completion that stand beside its choices, which may repeat what these say. Tells whether there are any.
inline bool append_beside_choices(detail::JsonValue root, std::string& out) {
  bool has_any = false;
  for (const detail::JsonMember& member : root.members()) {
    const std::string name = member.key.text();
    if (name == "choices" || name == "ecso" || is_beside_choices(name, member.value)) continue;
    append_texts(member.value, openai_unsaid, out);
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

/// Adds the texts of an object's members but for those named, and for what is no part of an answer.
inline void append_other_texts(detail::JsonValue object, std::initializer_list<std::string_view> known, std::string& out) {
  std::string storage;
  const auto is_among = [](std::span<const std::string_view> names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
  };
  for (const detail::JsonMember& member : object.members()) {
    const std::string_view name = member.key.text(storage);
    if (!is_among({known.begin(), known.size()}, name) && !is_among(openai_unsaid, name))
      append_texts(member.value, openai_unsaid, out);
  }
}

/// What the parts of a content say beside their texts.
inline void append_other_content(detail::JsonValue content, std::string& out) {
  if (content.is_object()) append_other_texts(content, {}, out);
  for (const detail::JsonValue part : content.items()) {
    if (part.is_array()) append_texts(part, openai_unsaid, out);
    if (part["text"].is_string()) {
      append_other_texts(part, {"text"}, out);
    } else {
      append_other_texts(part, {}, out);
    }
  }
}

/// All that the call of a tool says: "name(arguments)", then what else there is.
inline void append_all_of_call(detail::JsonValue call, std::string& out) {
  if (!call.is_object()) return append_texts(call, openai_unsaid, out);
  const auto append = [&](detail::JsonValue function, std::string_view arguments) {
    if (!function["name"].is_string()) return append_texts(function, openai_unsaid, out);
    append_function(function, arguments, out);
    append_other_texts(function, {"name", arguments}, out);
  };
  append(call["function"], "arguments");
  append(call["custom"], "input");
  append_other_texts(call, {"function", "custom"}, out);
}

[[nodiscard]] inline FinishReason openai_finish_reason(detail::JsonValue value) {
  return detail::finish_reason_of(detail::Json(value.text()));
}

[[nodiscard]] inline Usage openai_usage(detail::JsonValue root) {
  const detail::JsonValue usage = root["usage"];
  const detail::JsonValue cached = usage["prompt_tokens_details"]["cached_tokens"];
  return {.prompt_tokens = count_of(usage["prompt_tokens"]),
          .cached_tokens = count_of(cached.is_number() ? cached : root["timings"]["cache_n"]),
          .completion_tokens = count_of(usage["completion_tokens"])};
}

/// The value of a member "usage" with the numbers of `usage` where it has any.
[[nodiscard]] inline std::string with_usage(detail::JsonValue value, const Usage& usage) {
  JsonEdits edits{value.raw()};
  edits.set_number(value["prompt_tokens"], usage.prompt_tokens);
  edits.set_number(value["completion_tokens"], usage.completion_tokens);
  edits.set_number(value["total_tokens"], usage.prompt_tokens + usage.completion_tokens);
  edits.set_number(value["prompt_tokens_details"]["cached_tokens"], usage.cached_tokens);
  return edits.text();
}

[[nodiscard]] inline std::vector<TokenLogprobs> openai_logprobs(detail::JsonValue choice) {
  constexpr double impossible = -9999.0;  // As the OpenAI API has it.
  std::vector<TokenLogprobs> tokens;
  for (const detail::JsonValue item : choice["logprobs"]["content"].items()) {
    TokenLogprobs token{item["token"].text(), item["logprob"].number().value_or(impossible), {}};
    for (const detail::JsonValue other : item["top_logprobs"].items()) {
      token.top.push_back({other["token"].text(), other["logprob"].number().value_or(impossible)});
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// The number of a choice: its index, or its place where it has none.
/// @throws Error (bad_reply) if that is not below `choices`, or the choice is no object.
[[nodiscard]] inline std::size_t openai_choice_number(detail::JsonValue choice, std::size_t place, std::size_t choices) {
  if (!choice.is_object()) throw Error{Errc::bad_reply, "a choice that is no object"};
  const detail::JsonValue index = choice["index"];
  if (!index || index.is_null()) return place;
  const auto number = index.integer();
  if (!number || *number < 0 || std::cmp_greater_equal(*number, choices)) {
    throw Error{Errc::bad_reply, "a choice has the index " + one_line(index.raw()) + " of " + std::to_string(choices)};
  }
  return static_cast<std::size_t>(*number);
}

/// The choice as it is, but that its index is `number`.
[[nodiscard]] inline std::string numbered_choice(detail::JsonValue choice, std::size_t number) {
  JsonEdits edits{choice.raw()};
  if (choice["index"].integer() != static_cast<std::int64_t>(number)) edits.set(choice, "index", std::to_string(number));
  return edits.text();
}

/// Whether all choices leave as they came. @throws Error (internal) if the releases are none for that many choices.
[[nodiscard]] inline bool is_all_direct(std::span<const Release> releases, std::size_t choices) {
  if (releases.size() != choices) throw Error{Errc::internal, "releases do not fit the choices"};
  for (const Release& release : releases) {
    const bool is_known = release.path == Path::direct || release.path == Path::refused ||
                          (release.path == Path::eyes_closed && release.regenerated != nullptr);
    if (!is_known) throw Error{Errc::internal, "a choice cannot leave that did not end well"};
  }
  return std::ranges::all_of(releases, [](const Release& release) { return release.path == Path::direct; });
}

/// A string of JSON, its quotes included. What is not UTF-8 becomes U+FFFD.
[[nodiscard]] inline std::string openai_string(std::string_view text) {
  std::string json;
  detail::JsonOut{json}.string(detail::to_valid_utf8(text));
  return json;
}

[[nodiscard]] inline std::string openai_error_body(std::string_view code, std::string_view message) {
  constexpr std::size_t max_characters = 2000;
  const std::string line = detail::one_line(message, {}, max_characters);
  return R"({"error":{"message":)" + openai_string(line) + R"(,"type":)" + openai_string(one_line(code)) +
         R"(,"param":null,"code":)" + openai_string(one_line(code)) + "}}";
}

}  // namespace ecso::gateway
