// Requests of the Messages API: what goes upstream means what the client sent, no image goes along with eyes closed, and every
// string of the request is put before the check.

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/anthropic_chat.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/json_mutator.hpp"
#include "support/shown_fuzz.hpp"

namespace {

using ecso::gateway::AnthropicChat;
using ecso::test::require;
using nlohmann::json;

/// Whether it may stand in a log.
bool is_one_line(std::string_view text) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; };
  return !text.empty() && ecso::detail::is_valid_utf8(text) && std::ranges::none_of(text, is_control);
}

json parsed(const ecso::detail::Spliced& spliced) {
  const std::string text = spliced.text();
  require(text.size() == spliced.size());
  return json::parse(text);
}

/// The image blocks of a client's messages, in order, but for those of the turns at the end that are the assistant's.
std::vector<json> image_blocks(const json& messages) {
  std::vector<json> blocks;
  const auto collect = [&](const auto& self, const json& content) -> void {
    if (!content.is_array()) return;
    for (const json& block : content) {
      if (block["type"] == "image") blocks.push_back(block);
      if (block["type"] == "tool_result" && block.contains("content")) self(self, block["content"]);
    }
  };
  for (const json& message : messages) collect(collect, message["content"]);
  return blocks;
}

void check_answer(const AnthropicChat& chat, std::string_view body, const json& client) {
  require(chat.answer(std::nullopt).text() == body);
  for (const bool stream : {false, true}) {
    json expected = client;
    const bool is_same = stream == chat.stream();
    if (!is_same) expected["stream"] = stream;
    require(parsed(chat.answer(stream)) == expected);
  }
}

void check_regenerate(const AnthropicChat& chat, const json& client) {
  const std::vector<ecso::Image> images = images_of(chat.conversation());
  const std::vector<std::string> captions(images.size(), "a caption");
  const ecso::TextRequest request{ecso::close_eyes(chat.conversation(), captions), {}};
  json sent = parsed(chat.regenerate(request));
  require(image_blocks(sent["messages"]).empty());
  require(sent["messages"].size() <= client["messages"].size() && sent["messages"].back()["role"] == "user");
  const json& last = sent["messages"].back()["content"];
  const std::string& query = request.conversation.messages().back().text;
  require(last == query || last.back()["text"] == query);
  for (std::size_t i = 0; i + 1 < sent["messages"].size(); ++i) {
    const json& before = client["messages"][i];
    require(sent["messages"][i]["role"] == before["role"]);
    if (image_blocks(json::array({before})).empty()) require(sent["messages"][i] == before);
  }
  json others = client;
  for (json* object : {&sent, &others}) {
    object->erase("messages");
    object->erase("stream");
  }
  require(sent == others);
}

void check_ask(const AnthropicChat& chat, const json& client) {
  const std::vector<ecso::Image> images = images_of(chat.conversation());
  const ecso::VisionRequest request{ask_about(chat.conversation(), images, "Is it?"), {.sampling = {.max_tokens = 3}}};
  const json sent = parsed(chat.ask(request, {}));
  require(sent["max_tokens"] == 3 && sent["messages"].size() == 1);
  json content = sent["messages"][0]["content"];
  require(content.back()["text"] == "Is it?");
  content.erase(content.size() - 1);
  require(content.get<std::vector<json>>() == image_blocks(client["messages"]));
  require(sent.value("model", "") == chat.model());
}

void check_content_shown(std::string_view shown, const json& content) {
  if (!content.is_array()) return ecso::test::require_shown(shown, content);
  for (const json& block : content) {
    const std::string type = block["type"];
    for (const auto& [name, value] : block.items()) {
      const bool is_read = name == "type" || (type == "image" && name == "source");
      const bool is_secret = (type == "thinking" && name == "signature") || (type == "redacted_thinking" && name == "data");
      if (is_read || (is_secret && value.is_string() && ecso::test::is_opaque(value.get<std::string>()))) continue;
      const bool is_text = type == "text" || type == "image";
      if (type == "tool_result" && name == "content") {
        check_content_shown(shown, value);
      } else if (is_text && name != "text" && name != "citations") {
        require(!ecso::test::has_number_list(value));
        require(!ecso::test::has_string(value) || name == "cache_control" || name == "detail");
      } else if (name == "text" || name == "thinking" || (type == "tool_use" && (name == "input" || name == "name"))) {
        ecso::test::require_shown(shown, value);
      } else {
        ecso::test::require_request_shown(shown, name, value);
      }
    }
  }
}

void check_shown(const AnthropicChat& chat, const json& client) {
  std::string storage;
  std::string shown{transcript_of(chat.conversation(), storage, {.system_turns = true, .context = true})};
  shown.append("\n").append(chat.prefill());
  ecso::test::require_options_shown(shown, client, {"messages", "stream", "system"});
  if (client.contains("system")) check_content_shown(shown, client["system"]);
  for (const json& message : client["messages"]) {
    for (const auto& [name, value] : message.items()) {
      if (name == "content") {
        check_content_shown(shown, value);
      } else if (name != "role") {
        ecso::test::require_request_shown(shown, name, value);
      }
    }
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return ecso::test::mutate_json(data, size, max_size, seed, 0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body{reinterpret_cast<const char*>(data), size};
  static const ecso::gateway::ChatLimits limits{.max_images = 3, .image_hosts = {"images.example"}};
  std::optional<AnthropicChat> chat;
  try {
    chat.emplace(nullptr, body, limits);
  } catch (const ecso::Error& error) {
    require(error.code() == ecso::Errc::bad_input);
    require(is_one_line(error.message()));
    return 0;
  }
  const json client = json::parse(body);
  require(!chat->conversation().messages.empty());
  require(chat->conversation().messages.back().role == ecso::Role::user);
  require(!query_of(chat->conversation()).empty());
  require(chat->stream() == (client.contains("stream") && client["stream"] == true));
  check_answer(*chat, body, client);
  check_regenerate(*chat, client);
  check_ask(*chat, client);
  check_shown(*chat, client);
  return 0;
}
