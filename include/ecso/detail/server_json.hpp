#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What reading replies and reading errors have in common. A server is a stranger: its JSON may be of any depth, size and shape.
namespace ecso::detail {

/// The members that anybody here looks at. The others are not kept.
inline constexpr std::string_view known_members[] = {"blockReason",
                                                     "cache_creation_input_tokens",
                                                     "cache_n",
                                                     "cache_read_input_tokens",
                                                     "cachedContentTokenCount",
                                                     "cached_tokens",
                                                     "candidates",
                                                     "candidatesTokenCount",
                                                     "choices",
                                                     "chosenCandidates",
                                                     "completion_tokens",
                                                     "completion_tokens_details",
                                                     "content",
                                                     "content_block",
                                                     "delta",
                                                     "detail",
                                                     "done",
                                                     "done_reason",
                                                     "error",
                                                     "error_code",
                                                     "eval_count",
                                                     "finishReason",
                                                     "finish_reason",
                                                     "function_call",
                                                     "index",
                                                     "input_tokens",
                                                     "logProbability",
                                                     "loc",
                                                     "logprob",
                                                     "logprobs",
                                                     "logprobsResult",
                                                     "message",
                                                     "model",
                                                     "modelVersion",
                                                     "msg",
                                                     "output_tokens",
                                                     "parts",
                                                     "promptFeedback",
                                                     "promptTokenCount",
                                                     "prompt_eval_count",
                                                     "prompt_tokens",
                                                     "prompt_tokens_details",
                                                     "reasoning",
                                                     "reasoning_content",
                                                     "reasoning_tokens",
                                                     "refusal",
                                                     "response",
                                                     "status",
                                                     "stop_reason",
                                                     "text",
                                                     "thinking",
                                                     "thought",
                                                     "thoughtsTokenCount",
                                                     "timings",
                                                     "token",
                                                     "tool_calls",
                                                     "topCandidates",
                                                     "top_logprobs",
                                                     "type",
                                                     "usage",
                                                     "usageMetadata"};

/// The known members of a JSON text; nothing if it is not JSON.
/// @throws Error (bad_reply) if it nests deeper than any reply does, before it costs memory or stack; and if an object has a
/// known member twice, of which one reader may believe the first and another the last.
[[nodiscard]] inline std::optional<Json> parse_known_members(std::string_view text) {
  static_assert(std::size(known_members) <= 64);
  std::array<std::uint64_t, max_json_depth + 2> seen{};
  const auto keep = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > max_json_depth)
      throw Error{Errc::bad_reply, "the JSON nests deeper than " + std::to_string(max_json_depth) + " levels"};
    const auto level = static_cast<std::size_t>(depth);
    if (event == Json::parse_event_t::object_start) seen[level + 1] = 0;
    if (event != Json::parse_event_t::key) return true;
    const auto name = std::ranges::find(known_members, std::string_view{parsed.get_ref<const std::string&>()});
    if (name == std::ranges::end(known_members)) return false;
    const std::uint64_t bit = std::uint64_t{1} << (name - std::ranges::begin(known_members));
    if ((seen[level] & bit) != 0) throw Error{Errc::bad_reply, "the JSON has \"" + std::string{*name} + "\" twice in an object"};
    seen[level] |= bit;
    return true;
  };
  Json json = Json::parse(text.begin(), text.end(), keep, false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

/// A member; null if there is none, or if `json` is no object.
[[nodiscard]] inline const Json& member(const Json& json, const char* name) {
  static const Json null;
  if (!json.is_object()) return null;
  const auto found = json.find(name);
  return found == json.end() ? null : *found;
}

/// The text of a JSON string; empty for anything else.
[[nodiscard]] inline std::string_view text_of(const Json& json) {
  return json.is_string() ? std::string_view{json.get_ref<const std::string&>()} : std::string_view{};
}

/// A stranger's text as a piece of one line: without `key`, control characters and what is not UTF-8; cut after `max_characters`.
[[nodiscard]] inline std::string one_line(std::string_view text, const Secret& key, std::size_t max_characters) {
  // First, as cutting could leave a part of the key.
  const std::string redacted = key.redact(std::string{text});
  std::string line;
  std::string_view rest = redacted;
  for (std::size_t characters = 0; !rest.empty();) {
    const std::size_t size = utf8_sequence_length(rest);
    const std::string_view character = rest.substr(0, std::max<std::size_t>(size, 1));
    rest.remove_prefix(character.size());
    const bool is_c1_control = size == 2 && character[0] == '\xC2' && static_cast<unsigned char>(character[1]) < 0xA0;
    const bool is_space =
        (size == 1 && (static_cast<unsigned char>(character[0]) <= ' ' || character[0] == '\x7F')) || is_c1_control;
    if (is_space && (line.empty() || line.back() == ' ')) continue;
    if (++characters > max_characters) return line.append("…");
    if (is_space) {
      line += ' ';
    } else {
      line += size == 0 ? std::string_view{"?"} : character;
    }
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

/// A count of tokens; 0 for what is none. No more than 2^40, so that sums of them cannot overflow.
[[nodiscard]] inline std::int64_t count_of(const Json& json) {
  constexpr double most = 1'099'511'627'776.0;
  return json.is_number() ? static_cast<std::int64_t>(std::clamp(json.get<double>(), 0.0, most)) : 0;
}

/// A log-probability. What is no number counts as all but impossible, in the figure that the OpenAI API has for it.
[[nodiscard]] inline double logprob_of(const Json& json) {
  constexpr double impossible = -9999.0;
  return json.is_number() ? json.get<double>() : impossible;
}

/// What a server says is wrong, from the shapes in use; empty if `json` has none of them: {"error":{"message":…}}, {"error":…},
/// {"message":…}, {"detail":…},
/// {"detail":[{"msg":…}]}.
[[nodiscard]] inline std::string server_message(const Json& json) {
  const Json& error = member(json, "error");
  const Json& detail = member(json, "detail");
  for (const Json* place : {&member(error, "message"), &error, &member(json, "message"), &member(json, "detail")}) {
    if (!text_of(*place).empty()) return std::string{text_of(*place)};
  }
  std::string joined;
  if (!detail.is_array()) return joined;
  for (const Json& item : detail) {
    if (text_of(member(item, "msg")).empty()) continue;
    if (!joined.empty()) joined += "; ";
    const Json& place = member(item, "loc");
    if (place.is_array() && !place.empty() && place.back().is_string()) joined.append(text_of(place.back())).append(": ");
    joined.append(text_of(member(item, "msg")));
  }
  return joined;
}

/// The first characters of a stranger's text, for a message.
[[nodiscard]] inline std::string excerpt_of(std::string_view text, const Secret& key) {
  constexpr std::size_t max_characters = 200;
  return one_line(text, key, max_characters);
}

/// The known members of what came with a status of success.
/// @throws Error `bad_reply` if it is not JSON, `server_error` if it is an error all the same.
[[nodiscard]] inline Json parse_server_json(std::string_view text, const Secret& key) {
  constexpr std::size_t max_characters = 1000;
  auto json = parse_known_members(text);
  if (!json) {
    const std::string excerpt = excerpt_of(text, key);
    throw Error{Errc::bad_reply, excerpt.empty() ? "an empty response" : "not JSON: " + excerpt};
  }
  if (!member(*json, "error").is_null()) {
    const std::string message = one_line(server_message(*json), key, max_characters);
    throw Error{Errc::server_error, message.empty() ? "an error without a message" : message};
  }
  return *std::move(json);
}

/// The reply as it is. One that was cut before its first word, in its thoughts, has no text.
/// @throws Error (bad_reply) if it has no text for another reason.
[[nodiscard]] inline Reply require_text(Reply reply) {
  if (reply.text.empty() && reply.finish_reason != FinishReason::length) {
    throw Error{Errc::bad_reply, "empty content (finish reason: " + std::string{to_string(reply.finish_reason)} + ")"};
  }
  return reply;
}

}  // namespace ecso::detail
