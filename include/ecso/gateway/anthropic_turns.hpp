#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_context.hpp>
#include <ecso/gateway/client_images.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/json_path.hpp>
#include <ecso/gateway/readable.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::gateway {

/// Reads the turns of a request of the Messages API. A block whose content could not be shown to a check is refused. Source:
/// Anthropic API reference, "Messages". Not thread safe.
class AnthropicTurns {
 public:
  /// @param images takes those of the turns, `context` what else their messages say; both must outlive this.
  AnthropicTurns(ClientImages& images, ClientContext& context) noexcept : images_{images}, context_{context} {}

  /// The turn that `system` makes. @throws Error (bad_input) that names the place; so does `turn`.
  [[nodiscard]] Message system(detail::JsonValue content, const JsonPath& path) {
    Message turn{Role::system, {}};
    read_content(content, path, turn);
    return turn;
  }

  /// The turn of one of the `messages`.
  [[nodiscard]] Message turn(detail::JsonValue message, const JsonPath& path) {
    if (!message.is_object()) path.refuse("must be an object");
    require_exact_names(message, {"role", "content"}, path);
    const JsonPath role_path = path / "role";
    const std::string role = required_text(message["role"], role_path);
    if (role != "user" && role != "assistant") role_path.refuse("must be user or assistant");
    Message turn{role == "user" ? Role::user : Role::assistant, {}};
    read_content(message["content"], path / "content", turn);
    context_.add_others(message, {"role", "content"}, path);
    return turn;
  }

 private:
  static void add(Message& turn, std::string text) {
    if (!text.empty()) turn.parts.emplace_back(std::move(text));
  }

  [[nodiscard]] static std::string required_text(detail::JsonValue value, const JsonPath& path) {
    if (!value.is_string()) path.refuse(value ? "must be a string" : "is missing");
    return value.text();
  }

  [[noreturn]] static void refuse_type(std::string_view type, std::string_view where, const JsonPath& path) {
    (path / "type").refuse("\"" + one_line(type) + "\" is not supported in " + std::string{where});
  }

  void read_content(detail::JsonValue content, const JsonPath& path, Message& turn) {
    if (content.is_string()) return add(turn, content.text());
    if (!content.is_array()) path.refuse(content ? "must be a string or an array of blocks" : "is missing");
    std::size_t index = 0;
    for (const detail::JsonValue block : content.items()) read_block(block, path / index++, turn);
  }

  /// The block's type. A server that is lax about names must not read another.
  [[nodiscard]] static std::string type_of(detail::JsonValue block, const JsonPath& path) {
    if (!block.is_object()) path.refuse("must be an object");
    require_exact_names(block, {"type", "text", "source", "content", "name", "input", "thinking"}, path);
    return required_text(block["type"], path / "type");
  }

  void read_block(detail::JsonValue block, const JsonPath& path, Message& turn) {
    const std::string type = type_of(block, path);
    const bool is_user = turn.role == Role::user;
    const bool is_assistant = turn.role == Role::assistant;
    if (type == "text") {
      add_text(block, path, turn);
    } else if (type == "image" && is_user) {
      add_image(block, path, turn);
    } else if (type == "tool_result" && is_user) {
      if (const auto content = block["content"]; content && !content.is_null()) read_result(content, path / "content", turn);
      context_.add_others(block, {"type", "content"}, path);
    } else if (type == "tool_use" && is_assistant) {
      add(turn, required_text(block["name"], path / "name") + "(" + readable_json(block["input"]) + ")");
      context_.add_others(block, {"type", "name", "input"}, path);
    } else if (type == "thinking" && is_assistant) {
      add(turn, required_text(block["thinking"], path / "thinking"));
      context_.add_others(block, {"type", "thinking", is_opaque(block["signature"]) ? "signature" : "type"}, path);
    } else if (type == "redacted_thinking" && is_assistant) {
      context_.add_others(block, {"type", is_opaque(block["data"]) ? "data" : "type"}, path);
    } else {
      refuse_type(type, turn.role == Role::system ? "a system prompt" : is_user ? "a user turn" : "an assistant turn", path);
    }
  }

  void read_result(detail::JsonValue content, const JsonPath& path, Message& turn) {
    if (content.is_string()) return add(turn, content.text());
    if (!content.is_array()) path.refuse("must be a string or an array of blocks");
    std::size_t index = 0;
    for (const detail::JsonValue block : content.items()) {
      const JsonPath place = path / index++;
      const std::string type = type_of(block, place);
      if (type == "text") {
        add_text(block, place, turn);
      } else if (type == "image") {
        add_image(block, place, turn);
      } else {
        refuse_type(type, "a tool's result", place);
      }
    }
  }

  void add_text(detail::JsonValue block, const JsonPath& path, Message& turn) {
    ClientContext::require_bare(block, {"type", "text", "citations"}, path);
    context_.add("citations", block["citations"], path / "citations");
    add(turn, required_text(block["text"], path / "text"));
  }

  void add_image(detail::JsonValue block, const JsonPath& path, Message& turn) {
    ClientContext::require_bare(block, {"type", "source"}, path);
    const detail::JsonValue source = block["source"];
    const JsonPath source_path = path / "source";
    if (!source.is_object()) source_path.refuse(source ? "must be an object" : "is missing");
    require_exact_names(source, {"type", "data", "url", "media_type"}, source_path);
    const std::string type = required_text(source["type"], source_path / "type");
    if (type == "base64") {
      require_media_type(source["media_type"], source_path / "media_type");
      ClientContext::require_bare(source, {"type", "media_type", "data"}, source_path);
      turn.parts.emplace_back(images_.add_base64(source["data"], block.raw(), source_path / "data"));
    } else if (type == "url") {
      ClientContext::require_bare(source, {"type", "url"}, source_path);
      turn.parts.emplace_back(images_.add_url(source["url"], block.raw(), source_path / "url"));
    } else {
      refuse_type(type, "an image's source", source_path);
    }
  }

  /// Servers write it before the data, in a URI that must not become another.
  static void require_media_type(detail::JsonValue value, const JsonPath& path) {
    const auto is_sign = [](char c) {
      return detail::is_letter(c) || (c >= '0' && c <= '9') || c == '/' || c == '+' || c == '-';
    };
    if (value && !value.is_null() && !std::ranges::all_of(value.plain().value_or(" "), is_sign)) path.refuse("is no media type");
  }

  ClientImages& images_;
  ClientContext& context_;
};

}  // namespace ecso::gateway
