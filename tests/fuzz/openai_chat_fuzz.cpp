// A chat completions request of any shape, with nlohmann as the oracle: what goes to the upstream means what the client sent, the
// eyes-closed request has every field of the client's and no image, a check shows the client's own image parts, and every string
// of the request is put before it.

#include <ecso/core/policy.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/openai_chat.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/json_mutator.hpp"
#include "support/shown_fuzz.hpp"

namespace {

using namespace ecso;
using ecso::test::require;
using Json = nlohmann::json;

std::size_t count(std::string_view text, std::string_view piece) {
  std::size_t found = 0;
  for (std::size_t at = text.find(piece); at != text.npos; at = text.find(piece, at + 1)) ++found;
  return found;
}

bool is_image(const Json& part) { return part.is_object() && part.contains("type") && part["type"] == "image_url"; }

std::vector<Json> image_parts(const Json& messages) {
  std::vector<Json> parts;
  for (const Json& message : messages) {
    if (!message.contains("content") || !message["content"].is_array()) continue;
    for (const Json& part : message["content"]) {
      if (is_image(part)) parts.push_back(part);
    }
  }
  return parts;
}

void check_answer(const gateway::OpenAiChat& chat, std::string_view body, const Json& sent) {
  require(chat.answer({}).text() == body);
  for (const bool stream : {false, true}) {
    Json expected = sent;
    if (chat.stream() != stream) {
      expected["stream"] = stream;
      if (!stream) expected.erase("stream_options");
    }
    require(Json::parse(chat.answer(stream).text()) == expected);
  }
}

void check_regenerate(const gateway::OpenAiChat& chat, const StepRequests& steps, const Json& sent, std::string_view body) {
  const auto images = images_of(chat.conversation());
  const std::vector<std::string_view> captions(images.size(), "a thing");
  for (const int round : {1, 3}) {
    const ModelRequest request = steps.regenerate(chat.conversation(), captions, round);
    const std::string text = chat.regenerate(std::get<TextRequest>(request)).text();
    Json again = Json::parse(text);
    Json expected = sent;
    require(image_parts(again["messages"]).empty());
    require(again["messages"].size() <= expected["messages"].size());
    for (std::size_t i = 0; i < again["messages"].size(); ++i) {
      Json& kept = again["messages"][i];
      Json& original = expected["messages"][i];
      if (kept["content"] != original["content"]) require(kept["content"].is_string());
      kept.erase("content");
      original.erase("content");
      require(kept == original);
    }
    for (const char* name : {"messages", "n", "stream", "stream_options", "add_generation_prompt", "continue_final_message"}) {
      expected.erase(name);
    }
    again.erase("messages");
    if (round == 3) {
      expected["seed"] = 3;
      expected["temperature"] = 1.0;
    }
    require(again == expected);
    for (const Image& image : images) {
      // A client may say an image's bytes in words as well.
      if (count(body, image.base64()) <= images.size()) require(text.find(image.base64()) == std::string::npos);
    }
  }
}

void check_ask(const gateway::OpenAiChat& chat, const StepRequests& steps, const Json& sent) {
  const auto images = images_of(chat.conversation());
  const Json asked = Json::parse(chat.ask(steps.check(chat.conversation(), "An answer."), llama_server_dialect()).text());
  if (!chat.model().empty()) require(asked["model"] == chat.model());
  std::vector<Json> expected;
  const Json& messages = sent["messages"];
  expected = image_parts(messages);
  const std::vector<Json> shown = image_parts(asked["messages"]);
  require(shown.size() == images.size() && std::ranges::is_permutation(shown, expected));
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Json caption = Json::parse(chat.ask(steps.caption(chat.conversation(), images[i], 1), {}).text());
    require(image_parts(caption["messages"]) == std::vector<Json>{shown[i]});
  }
}

/// The names by which the API has a call and its function are not told.
void check_function_shown(std::string_view shown, const Json& function) {
  if (!function.is_object()) return test::require_shown(shown, function);
  for (const auto& [name, value] : function.items()) {
    if (name == "name" || name == "arguments" || name == "input") {
      test::require_shown(shown, value);
    } else {
      test::require_request_shown(shown, name, value);
    }
  }
}

void check_calls_shown(std::string_view shown, const Json& calls) {
  if (!calls.is_array()) return test::require_shown(shown, calls);
  for (const Json& call : calls) {
    if (!call.is_object()) {
      test::require_shown(shown, call);
      continue;
    }
    for (const auto& [name, value] : call.items()) {
      if (name == "function" || name == "custom") {
        check_function_shown(shown, value);
      } else {
        test::require_request_shown(shown, name, value);
      }
    }
  }
}

void check_content_shown(std::string_view shown, const Json& content) {
  if (!content.is_array()) return test::require_shown(shown, content);
  for (const Json& part : content) {
    if (part.is_string()) test::require_shown(shown, part);
    for (const auto& [name, value] : part.items()) {
      if (!part.is_object() || name == "type" || (name == "image_url" && is_image(part))) continue;
      if (name == "text" || name == "refusal") {
        test::require_shown(shown, value);
      } else {
        require(!test::has_number_list(value));
        require(!test::has_string(value) || name == "cache_control" || name == "detail");
      }
    }
  }
}

void check_shown(const gateway::OpenAiChat& chat, const Json& sent) {
  std::string storage;
  std::string shown{transcript_of(chat.conversation(), storage, {.system_turns = true, .context = true})};
  shown.append("\n").append(chat.prefill());
  test::require_options_shown(shown, sent, {"messages", "modalities", "n", "stream"});
  for (const Json& message : sent["messages"]) {
    for (const auto& [name, value] : message.items()) {
      if (name == "tool_calls") {
        check_calls_shown(shown, value);
      } else if (name == "function_call" && value.is_object()) {
        check_function_shown(shown, value);
      } else if (name == "content") {
        check_content_shown(shown, value);
      } else if (name != "role") {
        test::require_request_shown(shown, name, value);
      }
    }
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return ecso::test::mutate_json(data, size, max_size, seed, 0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Policy policy;
  static const Capabilities capabilities;
  static const std::optional<Sampling> sampling{Sampling{}};
  static const gateway::ChatLimits limits{.max_images = 4, .image_hosts = {"h"}};
  const std::string_view body{reinterpret_cast<const char*>(data), size};
  std::unique_ptr<gateway::OpenAiChat> chat;
  try {
    chat = std::make_unique<gateway::OpenAiChat>(nullptr, body, limits);
  } catch (const Error& error) {
    require(error.code() == Errc::bad_input && !error.message().empty());
    return 0;
  }
  const Json sent = Json::parse(body);
  const StepRequests steps{policy, capabilities, sampling};
  require(chat->choices() >= 1 && chat->choices() <= limits.max_choices);
  require(images_of(chat->conversation()).size() == image_parts(sent["messages"]).size());
  require(chat->conversation().messages.back().role == Role::user);
  check_answer(*chat, body, sent);
  check_regenerate(*chat, steps, sent, body);
  check_ask(*chat, steps, sent);
  check_shown(*chat, sent);
  return 0;
}
