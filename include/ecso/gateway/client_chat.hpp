#pragma once

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/spliced.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::gateway {

/// What a client may put into a chat.
struct ChatLimits {
  std::size_t max_images = 16;
  ImageLimits image = {};
  std::size_t max_choices = 8;  ///< Most of `n`.
  std::size_t max_depth = 64;   ///< Most levels of JSON.
  /// Hosts whose image URLs go on to the upstream, which fetches them; empty: none do. The gateway itself fetches nothing.
  std::vector<std::string> image_hosts = {};
};

/// Which of an answer's texts is meant.
enum class AnswerText {
  content,     ///< What it says: for a verdict or a caption.
  everything,  ///< All that the client would be given, thoughts and the arguments of tool calls included: for a check.
};

/// What leaves of one choice of an answer.
struct Release {
  Path path = Path::failed;  ///< direct: the choice as it came. eyes_closed: `regenerated`'s first. refused: `refusal`.
  const class UpstreamAnswer* regenerated = nullptr;
  std::string_view refusal = {};
};

/// What is told beside an answer.
struct ReleaseNote {
  std::string_view ecso = {};  ///< The JSON value of the member "ecso"; empty: none.
  Usage usage = {};            ///< Of all calls; stands in place of the answer's own.
  bool replace_usage = true;
};

/// A reply of the upstream, whole or streamed, kept as it came. Pure. Use: `feed` its body as it comes, `finish`, read the texts,
/// then `release` what may leave.
class UpstreamAnswer {
 public:
  UpstreamAnswer() = default;
  UpstreamAnswer(const UpstreamAnswer&) = delete;
  UpstreamAnswer& operator=(const UpstreamAnswer&) = delete;
  virtual ~UpstreamAnswer() = default;

  /// Takes more of the body. @throws Error (bad_reply, server_error) if it cannot become an answer.
  virtual void feed(std::string_view bytes) = 0;

  /// The body is over. @throws Error (bad_reply) if it is not a whole answer: cut, without an end mark, no choice, a member
  /// twice, choices that are not numbered 0, 1, ….
  virtual void finish() = 0;

  /// Choices of a finished answer.
  [[nodiscard]] virtual std::size_t choices() const = 0;

  /// A choice of a finished answer; the usage stands in choice 0 alone.
  [[nodiscard]] virtual Reply reply(std::size_t choice, AnswerText which) const = 0;

  /// Of a streamed answer under way: everything that choice 0 has said so far. Empty of one that is not streamed.
  [[nodiscard]] virtual std::string_view text_so_far() const { return {}; }

  /// The body for the client, or what is left of it after `release_some`: `releases` has one entry a choice. Of a streamed
  /// answer all events, the end mark included.
  [[nodiscard]] virtual std::string release(std::span<const Release> releases, const ReleaseNote& note) = 0;

  /// Of a streamed answer with one choice under way: the events not given out yet whose text lies within the first
  /// `verified_bytes` bytes of `text_so_far()`. Events stay that end the answer, and all from the first on that calls a tool or
  /// tells what is not text.
  [[nodiscard]] virtual std::string release_some(std::size_t verified_bytes) {
    static_cast<void>(verified_bytes);
    return {};
  }

  /// How many of the first bytes of `text_so_far()` the events tell that `release_some` has given out.
  [[nodiscard]] virtual std::size_t released_bytes() const { return 0; }

  /// Of a streamed answer of which something has been given out: the events that end it as one that a filter cut (OpenAI:
  /// finish_reason "content_filter"; Anthropic: stop_reason "refusal"), after `last_words`, which may be empty.
  [[nodiscard]] virtual std::string release_end(std::string_view last_words, const ReleaseNote& note) {
    static_cast<void>(last_words);
    static_cast<void>(note);
    return {};
  }
};

/// Whether a stream tells at its end how many tokens there were.
enum class TokenReport {
  as_asked,  ///< If the client asks for it.
  always,    ///< By them the check of the answer is seen to have been read whole. What the client did not ask for stays.
};

/// A client's chat request, whatever API it speaks: what the protocol needs to know, and the upstream's requests, made of the
/// client's own bytes. Pure.
class ClientChat {
 public:
  ClientChat() = default;
  ClientChat(const ClientChat&) = delete;
  ClientChat& operator=(const ClientChat&) = delete;
  virtual ~ClientChat() = default;

  /// The turns up to the last user's, for the protocol. Images refer to the client's bytes.
  [[nodiscard]] virtual const Conversation& conversation() const noexcept = 0;
  [[nodiscard]] virtual std::string_view model() const noexcept = 0;  ///< Empty if none is named.
  [[nodiscard]] virtual bool stream() const noexcept = 0;
  [[nodiscard]] virtual std::size_t choices() const noexcept = 0;
  /// What the client has already put into the assistant's mouth, to stand before the answer when that is checked.
  [[nodiscard]] virtual std::string_view prefill() const noexcept = 0;
  /// Path of the API after the upstream's base URL: "/chat/completions" or "/messages".
  [[nodiscard]] virtual std::string_view path() const noexcept = 0;

  /// (1) The client's own request. It means exactly what the client sent, except for `stream` if it is given, and for the tokens
  /// that a stream is to tell if they are wanted (`tells_tokens`).
  [[nodiscard]] virtual detail::Spliced answer(std::optional<bool> stream, TokenReport tokens) const = 0;
  /// The same, with tokens as the client asks for them.
  [[nodiscard]] detail::Spliced answer(std::optional<bool> stream) const { return answer(stream, TokenReport::as_asked); }
  /// Whether `answer` would tell the tokens of a stream whatever is wanted.
  [[nodiscard]] virtual bool tells_tokens() const noexcept = 0;
  /// (4) The client's request with the messages of `request`: every field goes on but `stream`, `stream_options` and `n`; no
  /// image does.
  [[nodiscard]] virtual detail::Spliced regenerate(const TextRequest& request) const = 0;
  /// A check, recheck or caption, by the API that `own_calls_of` names.
  [[nodiscard]] virtual detail::Spliced ask(const ModelRequest& request, const OpenAiDialect& dialect) const = 0;
  /// The same for a server of chat completions that is not the client's: names the model that `request` names, or none.
  [[nodiscard]] virtual detail::Spliced ask_elsewhere(const ModelRequest& request, const OpenAiDialect& dialect) const = 0;

  /// Reads the answer to `answer(stream)`; `regenerate` and `ask` are answered whole.
  [[nodiscard]] virtual std::unique_ptr<UpstreamAnswer> reader(bool stream) const = 0;

  /// What an upstream might have answered that says nothing: the frame of a refusal where no upstream answered.
  [[nodiscard]] virtual std::string blank_answer(bool stream) const = 0;

  /// An error body as this API has them. `type` is one of its type names.
  [[nodiscard]] virtual std::string error_body(int status, std::string_view code, std::string_view message) const = 0;
  /// The same as the last event of a stream.
  [[nodiscard]] virtual std::string error_event(int status, std::string_view code, std::string_view message) const = 0;
};

}  // namespace ecso::gateway
