#pragma once

#include <ecso/backend/framing.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// Most tokens that a LLaVA worker generates, whatever it is asked for.
inline constexpr int llava_max_tokens = 1024;

/// Reads what a LLaVA worker streams, from bytes cut anywhere: JSON texts that end with a zero byte,
/// `{"text": "prompt and all of the answer so far", "error_code": 0}`. Not thread safe.
///
/// The protocol has no mark for the end and no reason for it. The finish reason is `stop` if a stop text was seen, `length` if
/// there were more messages than the token limit (the worker sends one for each token and one at the end, so an answer of just
/// that size counts as cut), and else `unknown`: the model's context may have been full. Tokens are not counted.
///
/// The worker takes the stop text off wherever the text happens to end with it, so an answer may shrink by what could have become
/// one. What could is held back.
class LlavaStream {
 public:
  /// @param prompt what the worker was sent. Every message must repeat it.
  /// @param stops what ends the answer, none of them empty; the worker was sent the first.
  /// @param max_tokens what the worker was sent.
  LlavaStream(std::string prompt, std::vector<std::string> stops, int max_tokens)
      : prompt_{std::move(prompt)}, stops_{std::move(stops)}, max_tokens_{std::min(max_tokens, llava_max_tokens)} {}

  /// Calls `on_text(piece)` for each piece of the answer that can no more change.
  /// @throws Error `bad_reply` for a message that is not JSON, does not repeat the prompt or takes back what was passed on;
  /// `bad_request` if the prompt was too long; `server_error`, `not_found` or `unavailable` for an error code; and what `on_text`
  /// throws.
  template <typename OnText>
  void feed(std::string_view bytes, const OnText& on_text) {
    framing_.feed(bytes, [&](std::string_view message) { take(message, on_text); });
  }

  /// True once a stop text was seen: what comes after does not matter.
  [[nodiscard]] bool is_complete() const noexcept { return is_complete_; }

  /// The reply, at the end of the stream, with what was held back.
  /// @throws Error (bad_reply) if the stream ended inside a message, before the first, or without an answer.
  [[nodiscard]] Reply finish() && {
    framing_.finish([&](std::string_view) {
      if (!is_complete_) throw Error{Errc::bad_reply, "the stream ended inside a message"};
    });
    if (messages_ == 0) throw Error{Errc::bad_reply, "the stream ended before its first message"};
    if (!is_complete_ && messages_ > max_tokens_) reply_.finish_reason = FinishReason::length;
    return detail::require_text(std::move(reply_));
  }

 private:
  template <typename OnText>
  void take(std::string_view message, const OnText& on_text) {
    if (is_complete_) return;
    const detail::Json json = detail::parse_server_json(message, {});
    const detail::Json& error_code = detail::member(json, "error_code");
    const std::string_view text = detail::text_of(detail::member(json, "text"));
    if (!error_code.is_number_integer()) fail("a message of the stream has no error code", message);
    if (error_code.get<std::int64_t>() != 0) throw_error(error_code.get<std::int64_t>(), text);
    if (!text.starts_with(prompt_)) fail("a message of the stream does not repeat the prompt", message);
    const std::string_view answer = text.substr(prompt_.size());
    if (messages_++ == 0) check_first(answer);
    take_answer(answer, on_text);
  }

  template <typename OnText>
  void take_answer(std::string_view answer, const OnText& on_text) {
    std::string& former = reply_.text;
    if (!answer.starts_with(std::string_view{former}.substr(0, given_))) {
      throw Error{Errc::bad_reply, "the stream takes back a part of the answer that it gave"};
    }
    // What began as the stop text is gone: it was one.
    bool has_stopped =
        answer.size() < former.size() && stops_.front().starts_with(std::string_view{former}.substr(answer.size()));
    for (const std::string& stop : stops_) {
      const std::size_t at = answer.find(stop, given_);
      if (at == answer.npos) continue;
      answer = answer.substr(0, at);
      has_stopped = true;
    }
    former = answer;
    const std::size_t certain = has_stopped ? answer.size() : certain_size();
    if (certain > given_) {
      const std::size_t from = std::exchange(given_, certain);
      on_text(std::string_view{former}.substr(from, certain - from));
    }
    if (!has_stopped) return;
    reply_.finish_reason = FinishReason::stop;
    is_complete_ = true;
  }

  /// How much of the answer can no more change.
  [[nodiscard]] std::size_t certain_size() const {
    std::string_view certain = reply_.text;
    std::size_t held = 0;
    for (const std::string_view stop : stops_) {
      for (std::size_t size = std::min(stop.size() - 1, certain.size()); size > held; --size) {
        if (certain.ends_with(stop.substr(0, size))) held = size;
      }
    }
    certain.remove_suffix(held);
    return std::max(certain.size(), given_);
  }

  /// The worker says so as if it were the model's answer. A model begins with a token, not with a sentence.
  static void check_first(std::string_view answer) {
    if (answer.starts_with("Exceeds max token length")) {
      throw Error{Errc::bad_request, "the worker has no room for an answer: prompt and images fill the model's context"};
    }
  }

  [[noreturn]] static void throw_error(std::int64_t error_code, std::string_view text) {
    constexpr std::int64_t no_worker = 2;  // these two are of a controller that was asked as if it were a worker
    constexpr std::int64_t worker_silent = 3;
    const Errc code = error_code == no_worker       ? Errc::not_found
                      : error_code == worker_silent ? Errc::unavailable
                                                    : Errc::server_error;
    const std::string_view meaning = error_code == no_worker       ? "the controller has no worker with the model"
                                     : error_code == worker_silent ? "the controller lost its worker"
                                                                   : "the worker failed; its log says why";
    throw Error{code,
                std::string{meaning} + " (error code " + std::to_string(error_code) + ": " + detail::excerpt_of(text, {}) + ")"};
  }

  [[noreturn]] static void fail(std::string_view what, std::string_view message) {
    throw Error{Errc::bad_reply, std::string{what}.append(": ").append(detail::excerpt_of(message, {}))};
  }

  std::string prompt_;
  std::vector<std::string> stops_;
  int max_tokens_;
  NulFraming framing_;
  Reply reply_;
  std::size_t given_ = 0;  ///< So much of the answer was passed on.
  std::int64_t messages_ = 0;
  bool is_complete_ = false;
};

}  // namespace ecso
