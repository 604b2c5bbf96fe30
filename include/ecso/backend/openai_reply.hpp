#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {
namespace detail {

/// A message's content: a string, or the texts of an array of parts.
[[nodiscard]] inline std::string content_text(const Json& content) {
  std::string text{text_of(content)};
  if (!content.is_array()) return text;
  for (const Json& part : content) text.append(part.is_string() ? text_of(part) : text_of(member(part, "text")));
  return text;
}

/// Beside the API's own names those that other servers send on (TGI, Anthropic, Cohere and Gemini behind a proxy).
[[nodiscard]] inline FinishReason finish_reason_of(const Json& json) {
  static constexpr auto stops =
      std::to_array<std::string_view>({"stop", "eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE", "STOP"});
  const std::string_view name = text_of(json);
  if (name.empty()) return FinishReason::unknown;
  if (std::ranges::find(stops, name) != stops.end()) return FinishReason::stop;
  if (name == "length" || name == "max_tokens" || name == "MAX_TOKENS") return FinishReason::length;
  if (name == "content_filter") return FinishReason::content_filter;
  return FinishReason::other;
}

[[nodiscard]] inline Usage usage_of(const Json& json) {
  const Json& usage = member(json, "usage");
  const Json& cached = member(member(usage, "prompt_tokens_details"), "cached_tokens");
  return {.prompt_tokens = count_of(member(usage, "prompt_tokens")),
          .cached_tokens = count_of(cached.is_number() ? cached : member(member(json, "timings"), "cache_n")),
          .completion_tokens = count_of(member(usage, "completion_tokens"))};
}

/// @param usage of a reply with one choice whose message has all that was generated but for what the server counts as reasoning.
[[nodiscard]] inline TokenCounts counts_of(const Json& usage) {
  const auto reasoning = count_of(member(member(usage, "completion_tokens_details"), "reasoning_tokens"));
  return {.prompt = count_of(member(usage, "prompt_tokens")),
          .text = std::max<std::int64_t>(count_of(member(usage, "completion_tokens")) - reasoning, 0)};
}

/// Whether a message or a delta has thoughts beside its content, whose tokens nobody counts apart.
[[nodiscard]] inline bool has_thoughts(const Json& message) {
  return !text_of(member(message, "reasoning_content")).empty() || !text_of(member(message, "reasoning")).empty();
}

/// Whether a message or a delta calls a tool, which no text of it tells.
[[nodiscard]] inline bool calls_tool(const Json& message) {
  const Json& calls = member(message, "tool_calls");
  return (calls.is_array() && !calls.empty()) || member(message, "function_call").is_object();
}

[[nodiscard]] inline std::vector<TokenLogprobs> logprobs_of(const Json& choice) {
  std::vector<TokenLogprobs> tokens;
  const Json& content = member(member(choice, "logprobs"), "content");
  if (!content.is_array()) return tokens;
  for (const Json& item : content) {
    TokenLogprobs token{std::string{text_of(member(item, "token"))}, logprob_of(member(item, "logprob")), {}};
    const Json& top = member(item, "top_logprobs");
    if (top.is_array()) {
      for (const Json& other : top) {
        token.top.push_back({std::string{text_of(member(other, "token"))}, logprob_of(member(other, "logprob"))});
      }
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace detail

/// Reads the body of a successful response: the first choice's text (or its refusal, which is an answer too), and all that goes
/// with it. What is missing or of a wrong type beside the text is left at its default.
/// @param key is taken out of what error messages quote.
/// @throws Error `bad_reply` if it is not JSON, has no choice, or its text is empty though it was not cut; `server_error` if it
/// is an error in spite of its status.
[[nodiscard]] inline Reply parse_openai_reply(std::string_view body, const Secret& key = {}) {
  const detail::Json json = detail::parse_server_json(body, key);
  const detail::Json& choices = detail::member(json, "choices");
  if (!choices.is_array() || choices.empty()) {
    throw Error{Errc::bad_reply, "no choices in the reply: " + detail::excerpt_of(body, key)};
  }
  const detail::Json& choice = choices.front();
  const detail::Json& message = detail::member(choice, "message");
  Reply reply;
  reply.text = detail::content_text(detail::member(message, "content"));
  reply.finish_reason = detail::finish_reason_of(detail::member(choice, "finish_reason"));
  // Some servers say "stop" all the same.
  if (detail::calls_tool(message)) reply.finish_reason = FinishReason::other;
  if (const std::string_view refusal = detail::text_of(detail::member(message, "refusal")); !refusal.empty()) {
    // Words of a refusal are no verdict: "No."
    reply.finish_reason = FinishReason::content_filter;
    if (reply.text.empty()) reply.text = refusal;
  }
  reply.usage = detail::usage_of(json);
  reply.counts = detail::counts_of(detail::member(json, "usage"));
  if (choices.size() > 1 || detail::has_thoughts(message)) reply.counts.text = 0;
  reply.logprobs = detail::logprobs_of(choice);
  reply.model = detail::text_of(detail::member(json, "model"));
  return detail::require_text(std::move(reply));
}

/// The choice in the text of a reply under `ChoiceStyle::response_format`, which is `{"answer":"yes"}`; any other text stays as
/// it is.
[[nodiscard]] inline std::string openai_choice(std::string text) {
  if (text.find('{') == std::string::npos) return text;
  int answers = 0;
  const auto count = [&](int depth, detail::Json::parse_event_t event, detail::Json& parsed) {
    if (event == detail::Json::parse_event_t::key && parsed == "answer") ++answers;
    return depth <= 1;
  };
  const detail::Json json = detail::Json::parse(text, count, false);
  if (answers != 1) return text;
  const std::string_view choice = detail::text_of(detail::member(json, "answer"));
  return choice.empty() ? text : std::string{choice};
}

}  // namespace ecso
