#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text_stream.hpp>
#include <ecso/gateway/chat_parts.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

/// What whole and streamed answers of the Messages API have in common beside what they say. Pure.
namespace ecso::gateway {

[[nodiscard]] inline FinishReason anthropic_finish_reason(std::string_view name) noexcept {
  if (name.empty()) return FinishReason::unknown;
  if (name == "end_turn" || name == "stop_sequence") return FinishReason::stop;
  if (name == "max_tokens" || name == "model_context_window_exceeded") return FinishReason::length;
  if (name == "refusal") return FinishReason::content_filter;
  return FinishReason::other;
}

/// The token counts of an answer. A stream gives some at its start and some at its end, which replace those before.
class AnthropicTokens {
 public:
  void take(detail::JsonValue usage) {
    take(usage["input_tokens"], input_);
    take(usage["cache_read_input_tokens"], read_);
    take(usage["cache_creation_input_tokens"], created_);
    take(usage["output_tokens"], output_);
  }

  /// @param has_thoughts whether the message has any: what they cost is not told apart, and what is told may be a summary.
  [[nodiscard]] TokenCounts counts(bool has_thoughts) const noexcept {
    return {.prompt = usage().prompt_tokens, .text = has_thoughts ? 0 : output_};
  }

  [[nodiscard]] Usage usage() const noexcept {
    return {.prompt_tokens = input_ + read_ + created_, .cached_tokens = read_, .completion_tokens = output_};
  }

  /// The members of a usage object that say the tokens of several calls: those written to the cache are this answer's, those of
  /// the other calls count as read anew. What `own` has beside them stays.
  [[nodiscard]] std::string sum_json(const Usage& sum, detail::JsonValue own) const {
    const std::int64_t input = std::max<std::int64_t>(sum.prompt_tokens - sum.cached_tokens - created_, 0);
    std::string json = R"({"input_tokens":)" + std::to_string(input);
    if (created_ != 0) json += R"(,"cache_creation_input_tokens":)" + std::to_string(created_);
    if (sum.cached_tokens != 0) json += R"(,"cache_read_input_tokens":)" + std::to_string(sum.cached_tokens);
    json += R"(,"output_tokens":)" + std::to_string(sum.completion_tokens);
    std::string storage;
    for (const detail::JsonMember& member : own.members()) {
      const std::string_view name = member.key.text(storage);
      if (name == "input_tokens" || name == "output_tokens") continue;
      if (name == "cache_creation_input_tokens" && created_ != 0) continue;
      if (name == "cache_read_input_tokens" && sum.cached_tokens != 0) continue;
      json.append(",").append(member.key.raw()).append(":").append(member.value.raw());
    }
    return json + "}";
  }

 private:
  static void take(detail::JsonValue count, std::int64_t& value) {
    if (count.is_number()) value = count_of(count);
  }

  std::int64_t input_ = 0;
  std::int64_t read_ = 0;
  std::int64_t created_ = 0;
  std::int64_t output_ = 0;
};

/// A string of JSON, its quotes included. What is not UTF-8 becomes U+FFFD.
[[nodiscard]] inline std::string json_string(std::string_view text) {
  std::string json;
  detail::JsonOut{json}.string(detail::to_valid_utf8(text));
  return json;
}

/// A text as the one block of an answer.
[[nodiscard]] inline std::string anthropic_text_block(std::string_view text) {
  return R"({"type":"text","text":)" + json_string(text) + "}";
}

/// The JSON, or `otherwise` where there is none.
[[nodiscard]] inline std::string raw_or(detail::JsonValue value, std::string_view otherwise) {
  return std::string{value ? value.raw() : otherwise};
}

/// The body of an error as the Messages API has them. `code`, where there is one, stands beside its type.
[[nodiscard]] inline std::string anthropic_error_body(int status, std::string_view code, std::string_view message) {
  const auto type = [&]() -> std::string_view {
    switch (status) {
      case 401: return "authentication_error";
      case 403: return "permission_error";
      case 404: return "not_found_error";
      case 413: return "request_too_large";
      case 429: return "rate_limit_error";
      case 408:
      case 504: return "timeout_error";
      case 503:
      case 529: return "overloaded_error";
      default: return status >= 500 ? "api_error" : "invalid_request_error";
    }
  };
  std::string body = R"({"type":"error","error":{"type":")";
  body.append(type()).append(R"(","message":)").append(json_string(message));
  if (!code.empty()) body.append(R"(,"code":)").append(json_string(code));
  return body + "}}";
}

}  // namespace ecso::gateway
