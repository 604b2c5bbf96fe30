#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_calls.hpp>
#include <ecso/gateway/openai_choice.hpp>
#include <ecso/gateway/openai_logprobs.hpp>
#include <ecso/gateway/openai_said.hpp>
#include <ecso/gateway/readable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::gateway {

/// What a choice of a streamed chat completion has said, put together from its deltas.
class OpenAiStreamedChoice {
 public:
  /// Takes a chunk's choice. @throws Error (bad_reply) if no check could read it.
  void take(detail::JsonValue choice) {
    if (const FinishReason reason = openai_finish_reason(choice["finish_reason"]); reason != FinishReason::unknown) {
      finish_reason_ = reason;
    }
    piece_.reset();
    std::string other;
    const detail::JsonValue delta = choice["delta"];
    if (delta && !delta.is_null()) has_begun_ = true;
    if (delta.is_object()) {
      take_delta(delta);
    } else {
      append_unknown({}, delta, other);
    }
    append_other_choice(choice, "delta", other);
    const ToldTokens told = openai_told_tokens(choice["logprobs"]);
    append_line(other, told.other);
    say(Said::other, 0, other);
    follow(told.text);
    auto logprobs = openai_logprobs(choice);
    std::ranges::move(logprobs, std::back_inserter(logprobs_));
  }

  /// There is no more: calls that can be read better as a whole stand once more at the end, and so do tokens that are not those
  /// of the text.
  void finish() {
    if (kind_ == Said::arguments) everything_ += ')';
    kind_ = Said::nothing;
    for (const auto& [number, call] : calls_) {
      const std::string arguments = with_escapes_read(call.arguments);
      if (arguments != call.arguments) append_line(everything_, call.name + "(" + arguments + ")");
    }
    if (everything_.find(tokens_) == everything_.npos) append_line(everything_, tokens_);
  }

  /// Whether a delta of it has come.
  [[nodiscard]] bool has_begun() const noexcept { return has_begun_; }
  [[nodiscard]] bool has_ended() const noexcept { return finish_reason_ != FinishReason::unknown; }
  /// Whether it has begun to call a tool or a function.
  [[nodiscard]] bool has_call() const noexcept { return has_call_; }
  /// Whether its tokens are other than those of its text, as far as both have come.
  [[nodiscard]] bool has_other_tokens() const noexcept { return has_other_tokens_; }

  /// In the order in which it came.
  [[nodiscard]] const std::string& everything() const noexcept { return everything_; }

  /// How many bytes of the text what came so far tells of: tokens may run ahead of it.
  [[nodiscard]] std::size_t told_bytes() const noexcept {
    constexpr std::size_t between_pieces = 2;
    if (tokens_.empty()) return everything_.size();
    return std::max(everything_.size(), tokens_begin_.value_or(everything_.size() + between_pieces) + tokens_.size());
  }

  /// How many bytes of the text are thoughts.
  [[nodiscard]] std::size_t thought_bytes() const noexcept { return thought_bytes_; }

  /// Without the usage and the model.
  [[nodiscard]] Reply reply(AnswerText which) const {
    const std::string& content = content_.empty() ? refusal_ : content_;
    return {.text = which == AnswerText::content ? content : everything_, .finish_reason = finish_reason_, .logprobs = logprobs_};
  }

 private:
  enum class Said { nothing, content, refusal, reasoning, name, arguments, other };

  struct Call {
    std::string id = {};
    std::string name = {};
    std::string arguments = {};
  };

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
    if (!piece_) piece_ = everything_.size();
    everything_ += piece;
  }

  void take_delta(detail::JsonValue delta) {
    const std::string content = openai_content(delta["content"]);
    const std::string refusal = delta["refusal"].text();
    const std::string reasoning = openai_reasoning(delta);
    say(Said::reasoning, 0, reasoning);
    say(Said::content, 0, content);
    say(Said::refusal, 0, refusal);
    content_ += content;
    refusal_ += refusal;
    thought_bytes_ += reasoning.size();

    std::string other;
    append_other_members(delta, reasoning, other);
    say(Said::other, 0, other);
    std::size_t place = 0;
    for (const detail::JsonValue call : delta["tool_calls"].items()) take_call(call, place++);
    const detail::JsonValue function = delta["function_call"];
    if (function.is_object()) take_function(function, "arguments", static_cast<std::size_t>(-1));
    has_call_ = has_call_ || has_words(delta["tool_calls"]) || has_words(function);
  }

  void take_call(detail::JsonValue call, std::size_t place) {
    std::string other;
    if (!call.is_object()) {
      append_unknown({}, call, other);
      return say(Said::other, 0, other);
    }
    const std::int64_t index = call["index"].integer().value_or(static_cast<std::int64_t>(place));
    const auto number = static_cast<std::size_t>(index);
    append_other_call(call, other);
    // Some servers repeat its id with every piece, which would cut the arguments to pieces.
    if (std::string& id = calls_[number].id; !other.empty() && id != other) {
      id = other;
      say(Said::other, 0, other);
    }
    take_function(call["function"], "arguments", number);
    take_function(call["custom"], "input", number);
  }

  void take_function(detail::JsonValue function, std::string_view arguments, std::size_t number) {
    std::string other;
    const detail::JsonValue name = function["name"];
    const detail::JsonValue given = function[arguments];
    if (!function.is_object() || (name && !name.is_string() && !name.is_null())) {
      append_unknown({}, function, other);
      return say(Said::other, 0, other);
    }
    append_others(function, {"name", arguments}, {}, other);
    say(Said::other, 0, other);
    Call& call = calls_[number];
    const std::string piece = given.is_string() || given.is_null() ? given.text() : readable_json(given);
    call.name += name.text();
    call.arguments += piece;
    say(Said::name, number, name.text());
    say(Said::arguments, number, piece);
  }

  /// Compares more tokens with the text, which may run ahead of them or they of it.
  void follow(std::string_view tokens) {
    tokens_ += tokens;
    if (tokens_.empty()) return;
    if (!tokens_begin_) tokens_begin_ = piece_;
    if (!tokens_begin_) return;
    const std::size_t both = std::min(tokens_.size(), everything_.size() - *tokens_begin_);
    const std::string_view told = std::string_view{tokens_}.substr(followed_, both - followed_);
    if (std::string_view{everything_}.substr(*tokens_begin_ + followed_, told.size()) != told) has_other_tokens_ = true;
    followed_ = both;
  }

  bool has_begun_ = false;
  bool has_call_ = false;
  bool has_other_tokens_ = false;
  FinishReason finish_reason_ = FinishReason::unknown;
  std::string everything_;
  std::string content_;
  std::string refusal_;
  std::map<std::size_t, Call> calls_;  ///< By their numbers.
  std::vector<TokenLogprobs> logprobs_;
  std::string tokens_;                       ///< Of the log-probabilities.
  std::optional<std::size_t> tokens_begin_;  ///< Where in the text they begin.
  std::size_t followed_ = 0;                 ///< How many of their bytes have been compared with it.
  std::size_t thought_bytes_ = 0;
  std::optional<std::size_t> piece_;  ///< Where in the text the first piece of the last chunk begins.
  Said kind_ = Said::nothing;
  std::size_t call_ = 0;
};

}  // namespace ecso::gateway
