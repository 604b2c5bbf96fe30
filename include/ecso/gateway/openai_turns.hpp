#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_images.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/json_path.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// A call as text, "name(arguments)"; nothing of what is none. What stands in the member `arguments` is a text or any JSON.
inline void append_function(detail::JsonValue function, std::string_view arguments, std::string& out) {
  const detail::JsonValue given = function[arguments];
  if (!function["name"] && !given) return;
  append_line(out, function["name"].text() + "(" + (given.is_string() ? given.text() : readable_json(given)) + ")");
}

/// The call of a tool, as it stands in requests and replies alike, as text.
inline void append_tool_call(detail::JsonValue call, std::string& out) {
  append_function(call["function"], "arguments", out);
  append_function(call["custom"], "input", out);
}

/// Reads the messages of a chat completions request. What could not be shown to a check is refused. Source: OpenAI API reference,
/// "Create chat completion". Not thread safe.
class OpenAiTurns {
 public:
  /// @param images takes those of the turns.
  explicit OpenAiTurns(ClientImages& images) : images_{images} {}

  /// The turn that a message makes; a tool's result is the user's.
  /// @throws Error (bad_input) that names the JSON path.
  [[nodiscard]] Message turn(detail::JsonValue message, const JsonPath& path) {
    if (!message.is_object()) path.refuse("must be an object");
    require_exact_names(message, {"role", "content", "refusal", "tool_calls", "function_call"}, path);
    Message turn{role_of(message["role"], path / "role"), {}};
    refuse_media(message, path);
    const detail::JsonValue content = message["content"];
    const JsonPath content_path = path / "content";
    if (content.is_array()) {
      std::size_t index = 0;
      for (const detail::JsonValue part : content.items()) read_part(part, content_path / index++, turn);
    } else if (content.is_string()) {
      add(turn, content.text());
    } else if (turn.role != Role::assistant || (content && !content.is_null())) {
      content_path.refuse(content ? "must be a string or an array of parts" : "is missing");
    }
    if (turn.role == Role::assistant) add(turn, said_beside_content(message));
    return turn;
  }

  /// Members by which servers take images or sound elsewhere than in a part, which no check would see.
  /// @throws Error (bad_input) if `object` has one that is not null.
  static void refuse_media(detail::JsonValue object, const JsonPath& path) {
    constexpr std::array<std::string_view, 17> names{
        "attachments", "audio",           "audio_url",        "file",       "files",       "image",
        "image_data",  "image_embeds",    "image_url",        "image_urls", "input_audio", "images",
        "media",       "multimodal_data", "multi_modal_data", "video",      "videos"};
    std::string storage;
    for (const detail::JsonMember& member : object.members()) {
      const std::string_view name = member.key.text(storage);
      if (!member.value.is_null() && std::ranges::find(names, folded_name(name)) != names.end()) {
        (path / name).refuse("cannot be checked here; images go into parts of the type image_url");
      }
    }
  }

 private:
  static void add(Message& turn, std::string text) {
    if (!text.empty()) turn.parts.emplace_back(std::move(text));
  }

  [[nodiscard]] static Role role_of(detail::JsonValue value, const JsonPath& path) {
    if (!value.is_string()) path.refuse(value ? "must be a string" : "is missing");
    const std::string role = value.text();
    if (role == "system" || role == "developer") return Role::system;
    if (role == "user" || role == "tool" || role == "function") return Role::user;
    if (role == "assistant") return Role::assistant;
    path.refuse("\"" + one_line(role) + "\" is none of system, developer, user, assistant, tool, function");
  }

  [[nodiscard]] static std::string said_beside_content(detail::JsonValue message) {
    std::string said;
    std::string storage;
    append_line(said, message["refusal"].text(storage));
    for (const detail::JsonValue call : message["tool_calls"].items()) append_tool_call(call, said);
    append_function(message["function_call"], "arguments", said);
    return said;
  }

  static std::string text_member(detail::JsonValue object, std::string_view name, const JsonPath& path) {
    const detail::JsonValue value = object[name];
    if (!value.is_string()) (path / name).refuse(value ? "must be a string" : "is missing");
    return value.text();
  }

  void read_part(detail::JsonValue part, const JsonPath& path, Message& turn) {
    if (part.is_string()) return add(turn, part.text());
    if (!part.is_object()) path.refuse("must be an object");
    require_exact_names(part, {"type", "text", "refusal", "image_url"}, path);
    const std::string type = text_member(part, "type", path);
    if (type == "text" || type == "refusal") {
      refuse_media(part, path);
      add(turn, text_member(part, type, path));
    } else if (type == "image_url") {
      turn.parts.emplace_back(image_of(part, path));
    } else {
      (path / "type").refuse("\"" + one_line(type) + "\" cannot be checked; known are text, refusal and image_url");
    }
  }

  [[nodiscard]] Image image_of(detail::JsonValue part, const JsonPath& path) {
    const detail::JsonValue image = part["image_url"];
    const JsonPath image_path = path / "image_url";
    // Some servers take the URL without the object around it.
    if (!image.is_object()) return images_.add_url(image, part.raw(), image_path);
    require_exact_names(image, {"url"}, image_path);
    return images_.add_url(image["url"], part.raw(), image_path / "url");
  }

  ClientImages& images_;
};

}  // namespace ecso::gateway
