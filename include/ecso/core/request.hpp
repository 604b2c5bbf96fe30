#pragma once

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/step.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

/// How a model draws its answer. What is not set is left to the server.
struct Sampling {
  std::optional<double> temperature = std::nullopt;  ///< 0 takes the likeliest token. Range 0 to 2.
  std::optional<double> top_p = std::nullopt;        ///< Nucleus sampling. Range 0 to 1.
  std::optional<int> max_tokens = std::nullopt;      ///< Most tokens to generate.
  std::optional<std::uint64_t> seed = std::nullopt;  ///< Seed of the sampler, where the server has one.
  std::vector<std::string> stop = {};                ///< Texts that end the answer; they are not part of it.

  bool operator==(const Sampling&) const = default;
};

/// What a call asks for beside its conversation.
struct CallOptions {
  Step step = Step::answer;  ///< Which step of the method the call is for; a backend may route by it.
  std::string model = {};    ///< Model name; empty means the backend's own.
  Sampling sampling = {};    ///< How to draw the answer.
  /// If not empty, the answer shall be one of these (a grammar or guided choice). A backend without it ignores it.
  std::vector<std::string> choices = {};
  /// The conversation begins with the turns of the chat, which a backend may send just as the answer's call has sent them. Those
  /// of a caption are no more, and the last part of the last one is added to the chat's.
  bool continues_chat = false;
  /// Two numbers around what a check quotes, which its reply is to give back; or none.
  std::vector<std::string> marks = {};
  int top_logprobs = 0;  ///< Wish for that many alternatives a token with log-probabilities. Range 0 to 20; 0 asks for none.

  bool operator==(const CallOptions&) const = default;
};

/// A call that shows images.
struct VisionRequest {
  Conversation conversation;
  CallOptions options;

  bool operator==(const VisionRequest&) const = default;
};

/// A call that has no place for an image.
struct TextRequest {
  TextConversation conversation;
  CallOptions options;

  bool operator==(const TextRequest&) const = default;
};

/// Why a model stopped.
enum class FinishReason {
  unknown,         ///< The server did not say.
  stop,            ///< It was done, or met a stop text.
  length,          ///< `max_tokens` or the context was full: the text is cut.
  content_filter,  ///< A filter of the server's own cut in, or the text is a refusal that the server marks as one.
  other,           ///< Another reason, such as a tool call.
};

[[nodiscard]] constexpr std::string_view to_string(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::unknown: return "unknown";
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::content_filter: return "content_filter";
    case FinishReason::other: return "other";
  }
  return "unknown";
}

/// Tokens of a call as the server counts them; 0 where it does not say.
struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;  ///< Those of the prompt that a prefix cache saved.
  std::int64_t completion_tokens = 0;

  Usage& operator+=(const Usage& other) noexcept {
    prompt_tokens += other.prompt_tokens;
    cached_tokens += other.cached_tokens;
    completion_tokens += other.completion_tokens;
    return *this;
  }

  bool operator==(const Usage&) const = default;
};

/// What the model itself read and wrote, which does not depend on what it cost: a kept reply has its counts. 0 where they are not
/// known. By them the protocol sees whether a check has read all of an answer.
struct TokenCounts {
  std::int64_t prompt = 0;  ///< Of the prompt, the cached ones included.
  std::int64_t text = 0;    ///< Of the text, without thoughts that it does not hold.

  bool operator==(const TokenCounts&) const = default;
};

/// A token and the natural logarithm of its probability.
struct TokenLogprob {
  std::string token;
  double logprob = 0;

  bool operator==(const TokenLogprob&) const = default;
};

/// A generated token with the likeliest alternatives at its place.
struct TokenLogprobs {
  std::string token;
  double logprob = 0;
  std::vector<TokenLogprob> top = {};

  bool operator==(const TokenLogprobs&) const = default;
};

/// What a model call gave.
struct Reply {
  std::string text = {};
  FinishReason finish_reason = FinishReason::unknown;
  Usage usage = {};
  std::vector<TokenLogprobs> logprobs = {};  ///< One entry a generated token; empty if not asked for or not had.
  std::string model = {};                    ///< The name the server gives its model.
  TokenCounts counts = {};
  std::chrono::nanoseconds duration{0};  ///< Wall time of the call; the driver fills it where the backend leaves 0.

  bool operator==(const Reply&) const = default;
};

}  // namespace ecso
