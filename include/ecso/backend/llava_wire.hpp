#pragma once

#include <ecso/backend/llava_stream.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/error.hpp>
#include <ecso/models/conversation_template.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// The bytes of the LLaVA controller and worker (github.com/haotian-liu/LLaVA, `llava/serve/controller.py` and
/// `model_worker.py`). A controller knows workers: asked for a model (`/get_worker_address`) it names one. A worker takes a
/// prompt that the client has written by the model's template (`/worker_generate_stream`) and answers by a stream, see
/// LlavaStream.
namespace ecso {

/// A prompt for a worker and what goes with it.
struct LlavaPrompt {
  RenderedPrompt rendered;
  std::vector<std::string> stops;     ///< What ends the answer. The first goes to the worker, which can take one, and must.
  int max_tokens = llava_max_tokens;  ///< Most tokens to generate.
};

/// `conversation` as a worker takes it. The answer ends at a stop text of the template or of `sampling`.
/// @param max_tokens used where `sampling` has none.
/// @throws Error (bad_input) as `apply_template` says, and if neither has a stop text, without which the worker fails.
template <typename AnyConversation>
[[nodiscard]] LlavaPrompt llava_prompt(const ConversationTemplate& format, const AnyConversation& conversation,
                                       const Sampling& sampling, int max_tokens) {
  LlavaPrompt prompt{apply_template(format, conversation), {}, sampling.max_tokens.value_or(max_tokens)};
  for (const std::string_view stop : format.stop) prompt.stops.emplace_back(stop);
  prompt.stops.insert(prompt.stops.end(), sampling.stop.begin(), sampling.stop.end());
  std::erase(prompt.stops, "");
  if (prompt.stops.empty())
    throw Error{Errc::bad_input, "a LLaVA worker needs a stop text; neither template nor request has one"};
  return prompt;
}

/// The body of a POST to `/worker_generate_stream`, allocated once, at its size: model, prompt, sampling, stop text, and the
/// images, bare base64 in the order of their tokens in the prompt, if there are any. A seed and forced choices have no place in
/// it.
/// @throws Error (bad_input) if a text is not UTF-8 or a number is not finite.
[[nodiscard]] inline std::string llava_request_body(const LlavaPrompt& prompt, const Sampling& sampling, std::string_view model) {
  return detail::written_json([&](detail::JsonOut& out) {
    out.raw(R"({"model":)").string(model).raw(R"(,"prompt":)").string(prompt.rendered.prompt);
    if (sampling.temperature) out.raw(R"(,"temperature":)").number(*sampling.temperature);
    if (sampling.top_p) out.raw(R"(,"top_p":)").number(*sampling.top_p);
    out.raw(R"(,"max_new_tokens":)").number(prompt.max_tokens);
    out.raw(R"(,"stop":)").string(prompt.stops.front());
    const std::vector<Image>& images = prompt.rendered.images;
    for (const Image& image : images) {
      out.raw(&image == &images.front() ? R"(,"images":[")" : R"(",")").raw(image.base64());
    }
    out.raw(images.empty() ? "}" : "\"]}");
  });
}

/// The body of a POST to `/get_worker_address`. @throws Error (bad_input) if `model` is not UTF-8.
[[nodiscard]] inline std::string llava_address_request_body(std::string_view model) {
  return detail::written_json([&](detail::JsonOut& out) { out.raw(R"({"model":)").string(model).raw("}"); });
}

/// The answer to it: a worker's URL, not checked; empty if there is no worker with the model.
/// @throws Error (bad_reply) if it is anything else.
[[nodiscard]] inline std::string parse_llava_address(std::string_view body) {
  constexpr std::size_t max_address_bytes = 2048;
  const detail::Json json = detail::parse_json(body, "the controller's answer", Errc::bad_reply);
  if (!json.is_object() || !json.contains("address") || !json["address"].is_string()) {
    throw Error{Errc::bad_reply, "the controller's answer has no address"};
  }
  std::string address = json["address"].get<std::string>();
  if (address.size() > max_address_bytes)
    throw Error{Errc::bad_reply, "the controller's answer has an address too long to be one"};
  return address;
}

/// The names in the answer to a POST of nothing to `/list_models`, sorted: the controller has them in no order.
/// @throws Error (bad_reply) if it is anything else.
[[nodiscard]] inline std::vector<std::string> parse_llava_models(std::string_view body) {
  const detail::Json json = detail::parse_json(body, "the controller's list of models", Errc::bad_reply);
  if (!json.is_object() || !json.contains("models") || !json["models"].is_array()) {
    throw Error{Errc::bad_reply, "the controller's list of models is none"};
  }
  std::vector<std::string> names;
  for (const detail::Json& name : json["models"]) {
    if (!name.is_string()) throw Error{Errc::bad_reply, "the controller's list of models has a name that is not a text"};
    names.push_back(name.get<std::string>());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace ecso
