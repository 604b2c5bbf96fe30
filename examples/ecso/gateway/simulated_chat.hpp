#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/step_requests.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What the simulated server understands and says: requests and responses as text, without sockets.
namespace ecso::command {

/// The name under which the simulated model answers, whatever model it is asked for.
inline constexpr std::string_view simulated_model_name = "ecso-simulated";

/// The APIs that the simulated server speaks: chat completions as OpenAI has them, and Anthropic's messages.
enum class ChatApi { openai, anthropic };

/// A request to the simulated server.
struct SimulatedCall {
  ModelRequest request = {};
  std::size_t choices = 1;
  bool stream = false;
  bool include_usage = false;  ///< Of a stream of `ChatApi::openai`.
};

/// The step that a request belongs to: over HTTP nothing tells it but the prompts, of which this knows ecso's own two sets
/// (`prompts::hardened`, `prompts::paper`) by their fixed words. Everything else, so also a prompt of one's own, is an answer.
/// @param prompt the text of the last turn.
[[nodiscard]] Step simulated_step(std::string_view prompt, bool has_image);

/// Reads a request body. Sampling, tools and unknown members mean nothing to the simulated model; a check can be held to its
/// choices by "structured_outputs" or "guided_choice" and gives log-probabilities if asked.
/// @throws Error (bad_input) that says what is wrong with it.
[[nodiscard]] SimulatedCall read_simulated_call(ChatApi api, std::string_view body);

/// What stands in every response beside its replies.
struct SimulatedResponse {
  std::string id;
  long created = 0;  ///< Seconds since 1970.
};

/// The response body. Marked as simulated by its model name, "system_fingerprint" and "simulated".
/// @param replies one a choice.
[[nodiscard]] std::string simulated_body(ChatApi api, std::span<const Reply> replies, const SimulatedResponse& response);

/// A piece of a streamed response.
struct SimulatedEvent {
  std::string text;      ///< A server-sent event, its blank line included.
  bool is_word = false;  ///< Whether it brings a word of the reply.
};

/// The same streamed, word by word.
[[nodiscard]] std::vector<SimulatedEvent> simulated_events(ChatApi api, const SimulatedCall& call, std::span<const Reply> replies,
                                                           const SimulatedResponse& response);

/// An error body.
[[nodiscard]] std::string simulated_error(ChatApi api, int status, std::string_view message);

/// The body of `GET /v1/models`, marked as simulated in the list and in its entry.
[[nodiscard]] std::string simulated_models();

}  // namespace ecso::command
