// A chat completions request of any shape, with nlohmann as the oracle: what goes to the upstream means what the client sent, the
// eyes-closed request has every field of the client's and no image, and a check shows the client's own image parts.

#include <ecso/core/policy.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/openai_chat.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace ecso;
using Json = nlohmann::json;

void require(bool condition) {
  if (!condition) std::abort();
}

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

}  // namespace

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
  return 0;
}
