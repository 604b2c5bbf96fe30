#pragma once

#include <ecso/backend/framing.hpp>
#include <ecso/backend/openai_reply.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace ecso {

/// Reads a streamed chat completion ("Create chat completion", chunk object) from bytes cut anywhere. Not thread safe.
class OpenAiStream {
 public:
  /// @param key is taken out of what error messages quote.
  explicit OpenAiStream(Secret key = {}) : key_{std::move(key)} {}

  /// Calls `on_text(piece)` for each piece of the text.
  /// @throws Error `bad_reply` for a chunk that is not JSON, `server_error` for an error in mid-stream; and what `on_text`
  /// throws.
  template <typename OnText>
  void feed(std::string_view bytes, const OnText& on_text) {
    framing_.feed(bytes, [&](std::string_view, std::string_view data) { take(data, on_text); });
  }

  /// True once the server has said that the reply is complete: what comes after does not matter.
  [[nodiscard]] bool is_complete() const noexcept { return is_done_; }

  /// The reply, at the end of the stream. A missing `[DONE]` is forgiven where a finish reason came.
  /// @throws Error (bad_reply) if the stream ended before the answer did, or if it is empty.
  [[nodiscard]] Reply finish() && {
    if (!is_done_ && reply_.finish_reason == FinishReason::unknown) {
      throw Error{Errc::bad_reply,
                  "the stream ended before the answer did, after " + std::to_string(reply_.text.size()) + " bytes of its text"};
    }
    if (has_thoughts_) reply_.counts.text = 0;
    if (calls_tool_) reply_.finish_reason = FinishReason::other;
    if (refuses_) reply_.finish_reason = FinishReason::content_filter;
    return detail::require_text(std::move(reply_));
  }

 private:
  template <typename OnText>
  void take(std::string_view data, const OnText& on_text) {
    if (is_done_ || data.empty()) return;
    if (data == "[DONE]") {
      is_done_ = true;
      return;
    }
    const detail::Json json = detail::parse_server_json(data, key_);
    if (reply_.model.empty()) reply_.model = detail::text_of(detail::member(json, "model"));
    // Usage comes with the last chunk, or in each; where a server has none it is null.
    if (const Usage usage = detail::usage_of(json); usage != Usage{}) {
      reply_.usage = usage;
      reply_.counts = detail::counts_of(detail::member(json, "usage"));
    }
    const detail::Json& choices = detail::member(json, "choices");
    if (!choices.is_array() || choices.empty()) return;
    const detail::Json& choice = choices.front();
    const FinishReason reason = detail::finish_reason_of(detail::member(choice, "finish_reason"));
    if (reason != FinishReason::unknown) reply_.finish_reason = reason;
    auto logprobs = detail::logprobs_of(choice);
    std::ranges::move(logprobs, std::back_inserter(reply_.logprobs));
    const detail::Json& delta = detail::member(choice, "delta");
    has_thoughts_ = has_thoughts_ || detail::has_thoughts(delta);
    calls_tool_ = calls_tool_ || detail::calls_tool(delta);
    std::string text = detail::content_text(detail::member(delta, "content"));
    const std::string_view refusal = detail::text_of(detail::member(delta, "refusal"));
    refuses_ = refuses_ || !refusal.empty();
    text += refusal;
    if (text.empty()) return;
    reply_.text += text;
    on_text(std::string_view{text});
  }

  Secret key_;
  SseFraming framing_;
  Reply reply_;
  bool has_thoughts_ = false;
  bool calls_tool_ = false;
  bool refuses_ = false;
  bool is_done_ = false;
};

}  // namespace ecso
