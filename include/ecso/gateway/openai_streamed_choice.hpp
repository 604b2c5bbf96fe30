#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_choice.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::gateway {

/// What a choice of a streamed chat completion has said, put together from its deltas.
class OpenAiStreamedChoice {
 public:
  /// Takes a chunk's choice.
  void take(detail::JsonValue choice) {
    has_begun_ = true;
    if (const FinishReason reason = openai_finish_reason(choice["finish_reason"]); reason != FinishReason::unknown) {
      finish_reason_ = reason;
    }
    take_delta(choice["delta"]);
    std::string other;
    if (!choice["delta"].is_object()) append_texts(choice["delta"], openai_unsaid, other);
    append_other_texts(choice, {"delta"}, other);
    say(Said::other, 0, other);
    auto logprobs = openai_logprobs(choice);
    for (const TokenLogprobs& token : logprobs) logprob_bytes_ += token.token.size();
    std::ranges::move(logprobs, std::back_inserter(logprobs_));
  }

  /// There is no more.
  void finish() {
    if (kind_ == Said::arguments) everything_ += ')';
    kind_ = Said::nothing;
  }

  [[nodiscard]] bool has_begun() const noexcept { return has_begun_; }
  [[nodiscard]] bool has_ended() const noexcept { return finish_reason_ != FinishReason::unknown; }

  /// In the order in which it came.
  [[nodiscard]] const std::string& everything() const noexcept { return everything_; }

  /// How many bytes of the text what came so far tells of: log-probabilities may run ahead of it.
  [[nodiscard]] std::size_t told_bytes() const noexcept { return std::max(everything_.size(), logprob_bytes_); }

  /// Without the usage and the model.
  [[nodiscard]] Reply reply(AnswerText which) const {
    const std::string& content = content_.empty() ? refusal_ : content_;
    return {.text = which == AnswerText::content ? content : everything_, .finish_reason = finish_reason_, .logprobs = logprobs_};
  }

 private:
  enum class Said { nothing, content, refusal, reasoning, name, arguments, other };

  /// @param call of a name and arguments: which call they are of.
  void say(Said kind, std::size_t call, std::string_view piece) {
    if (piece.empty()) return;
    if (kind != kind_ || call != call_) {
      const bool follows_name = kind_ == Said::name && call == call_ && kind == Said::arguments;
      if (kind_ == Said::arguments) everything_ += ')';
      if (!follows_name && !everything_.empty()) everything_ += '\n';
      if (kind == Said::arguments) everything_ += '(';
      kind_ = kind;
      call_ = call;
    }
    everything_ += piece;
  }

  void take_delta(detail::JsonValue delta) {
    const std::string content = openai_content(delta["content"]);
    const std::string refusal = delta["refusal"].text();
    std::string reasoning = delta["reasoning_content"].text();
    if (reasoning.empty()) reasoning = delta["reasoning"].text();
    say(Said::reasoning, 0, reasoning);
    say(Said::content, 0, content);
    say(Said::refusal, 0, refusal);
    content_ += content;
    refusal_ += refusal;

    std::string other;
    append_other_content(delta["content"], other);
    for (const detail::JsonMember& member : delta.members()) take_other_member(member, reasoning, other);
    say(Said::other, 0, other);
    std::size_t place = 0;
    for (const detail::JsonValue call : delta["tool_calls"].items()) take_call(call, place++);
    take_function(delta["function_call"], "arguments", static_cast<std::size_t>(-1));
  }

  /// Some servers send the same thought under several names.
  static void take_other_member(const detail::JsonMember& member, std::string_view reasoning, std::string& other) {
    const std::string name = member.key.text();
    if (name == "content" || (name == "tool_calls" && member.value.is_array()) || name == "function_call") return;
    if ((name == "refusal" || name == "reasoning_content") && member.value.is_string()) return;
    if (std::ranges::find(openai_unsaid, name) != std::ranges::end(openai_unsaid)) return;
    std::string texts;
    append_texts(member.value, openai_unsaid, texts);
    if (texts != reasoning) append_line(other, texts);
  }

  void take_call(detail::JsonValue call, std::size_t place) {
    const std::int64_t index = call["index"].integer().value_or(static_cast<std::int64_t>(place));
    const auto number = static_cast<std::size_t>(index);
    std::string other;
    if (call.is_object()) {
      append_other_texts(call, {"function", "custom"}, other);
    } else {
      append_texts(call, openai_unsaid, other);
    }
    say(Said::other, 0, other);
    take_function(call["function"], "arguments", number);
    take_function(call["custom"], "input", number);
  }

  void take_function(detail::JsonValue function, std::string_view arguments, std::size_t number) {
    std::string other;
    const detail::JsonValue name = function["name"];
    const detail::JsonValue given = function[arguments];
    if (!function.is_object() || (name && !name.is_string())) {
      append_texts(function, openai_unsaid, other);
      return say(Said::other, 0, other);
    }
    append_other_texts(function, {"name", arguments}, other);
    say(Said::other, 0, other);
    say(Said::name, number, name.text());
    say(Said::arguments, number, given.is_string() || given.is_null() ? given.text() : readable_json(given));
  }

  bool has_begun_ = false;
  FinishReason finish_reason_ = FinishReason::unknown;
  std::string everything_;
  std::string content_;
  std::string refusal_;
  std::vector<TokenLogprobs> logprobs_;
  std::size_t logprob_bytes_ = 0;
  Said kind_ = Said::nothing;
  std::size_t call_ = 0;
};

}  // namespace ecso::gateway
