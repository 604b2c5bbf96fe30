#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_context.hpp>
#include <ecso/gateway/client_images.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/json_path.hpp>
#include <ecso/gateway/openai_calls.hpp>
#include <ecso/gateway/readable.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// Reads the messages of a chat completions request. What could not be shown to a check is refused. Source: OpenAI API reference,
/// "Create chat completion". Not thread safe.
class OpenAiTurns {
 public:
  /// @param images takes those of the turns, `context` what else their messages say; both must outlive this.
  OpenAiTurns(ClientImages& images, ClientContext& context) : images_{images}, context_{context} {}

  /// The turn that a message makes; a tool's result is the user's.
  /// @throws Error (bad_input) that names the JSON path.
  [[nodiscard]] Message turn(detail::JsonValue message, const JsonPath& path) {
    if (!message.is_object()) path.refuse("must be an object");
    require_exact_names(message, {"role", "content", "refusal", "tool_calls", "function_call"}, path);
    Message turn{role_of(message["role"], path / "role"), {}};
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
    std::string said;
    std::string storage;
    for (const detail::JsonMember& member : message.members()) {
      const std::string_view name = member.key.text(storage);
      if (name == "role" || name == "content") continue;
      if (turn.role != Role::assistant || !read_said(name, member.value, path / name, said))
        context_.add(name, member.value, path / name);
    }
    add(turn, std::move(said));
    return turn;
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

  /// Adds what an assistant has said beside the content. False if the member is nothing of the kind.
  [[nodiscard]] bool read_said(std::string_view name, detail::JsonValue value, const JsonPath& path, std::string& said) {
    if (name == "refusal" && value.is_string()) {
      append_line(said, value.text());
    } else if (name == "tool_calls" && value.is_array()) {
      std::size_t index = 0;
      for (const detail::JsonValue call : value.items()) read_call(call, path / index++, said);
    } else if (name == "function_call" && value.is_object()) {
      read_function(value, "arguments", path, said);
    } else {
      return false;
    }
    return true;
  }

  void read_call(detail::JsonValue call, const JsonPath& path, std::string& said) {
    if (!call.is_object()) return context_.add({}, call, path);
    require_exact_names(call, {"id", "type", "index", "function", "custom"}, path);
    read_function(call["function"], "arguments", path / "function", said);
    read_function(call["custom"], "input", path / "custom", said);
    context_.add_others(call, {"function", "custom"}, path);
  }

  void read_function(detail::JsonValue function, std::string_view arguments, const JsonPath& path, std::string& said) {
    if (!function.is_object()) return context_.add({}, function, path);
    require_exact_names(function, {"name", arguments}, path);
    append_function(function, arguments, said);
    // A name that is no text is not said.
    context_.add_others(function, {arguments, function["name"].is_string() ? "name" : arguments}, path);
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
      ClientContext::require_bare(part, {"type", type}, path);
      add(turn, text_member(part, type, path));
    } else if (type == "image_url") {
      ClientContext::require_bare(part, {"type", type}, path);
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
    ClientContext::require_bare(image, {"url"}, image_path);
    return images_.add_url(image["url"], part.raw(), image_path / "url");
  }

  ClientImages& images_;
  ClientContext& context_;
};

}  // namespace ecso::gateway
