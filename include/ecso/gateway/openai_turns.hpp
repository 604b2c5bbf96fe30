#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/image_url.hpp>
#include <ecso/gateway/json_path.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
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
  /// An image of the request, and the part that it came in.
  struct ImagePart {
    const void* identity;  ///< `Image::identity()`.
    std::string_view raw;
  };

  /// @param owner keeps the request's bytes alive.
  OpenAiTurns(std::shared_ptr<const void> owner, ChatLimits limits) : owner_{std::move(owner)}, limits_{std::move(limits)} {}

  /// The turn that a message makes; a tool's result is the user's.
  /// @throws Error (bad_input) that names the JSON path.
  [[nodiscard]] Message turn(detail::JsonValue message, const JsonPath& path) {
    if (!message.is_object()) path.refuse("must be an object");
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

  /// Of all turns read so far, in order.
  [[nodiscard]] const std::vector<ImagePart>& images() const noexcept { return images_; }

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
      if (!member.value.is_null() && std::ranges::find(names, name) != names.end()) {
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
    const std::string type = text_member(part, "type", path);
    if (type == "text" || type == "refusal") {
      refuse_media(part, path);
      add(turn, text_member(part, type, path));
    } else if (type == "image_url") {
      turn.parts.emplace_back(image_of(part, path));
      images_.push_back({std::get<Image>(turn.parts.back()).identity(), part.raw()});
    } else {
      (path / "type").refuse("\"" + one_line(type) + "\" cannot be checked; known are text, refusal and image_url");
    }
  }

  /// Nothing if the base64 must be read another way: URL-safe, without padding, with spaces; or if it is none at all.
  [[nodiscard]] std::optional<Image> image_in_place(std::string_view base64) const {
    if (base64.empty()) return std::nullopt;
    try {
      return Image::from_base64_range(owner_, base64, limits_.image);
    } catch (const Error& error) {
      if (error.code() != Errc::bad_input) throw;
      return std::nullopt;
    }
  }

  /// Of a data URI; empty if it is none of base64.
  [[nodiscard]] static std::string_view base64_of(std::string_view uri) {
    constexpr std::string_view marker = ";base64,";
    const std::size_t end = uri.find(',') + 1;
    if (end < marker.size() || !detail::equal_ignoring_case(uri.substr(end - marker.size(), marker.size()), marker)) return {};
    return uri.substr(end);
  }

  [[nodiscard]] Image image_of(detail::JsonValue part, const JsonPath& path) const {
    if (images_.size() >= limits_.max_images) {
      path.refuse("more images than the limit of " + std::to_string(limits_.max_images));
    }
    const detail::JsonValue image = part["image_url"];
    const JsonPath image_path = path / "image_url";
    if (!image.is_object()) return image_from(image, image_path);
    return image_from(image["url"], image_path / "url");
  }

  [[nodiscard]] Image image_from(detail::JsonValue uri, const JsonPath& path) const {
    if (!uri.is_string()) path.refuse(uri ? "must be a string" : "is missing");
    constexpr std::string_view scheme = "data:";
    std::string storage;
    const std::string_view text = uri.text(storage);
    if (!detail::equal_ignoring_case(text.substr(0, scheme.size()), scheme)) {
      if (is_listed_image_url(text, limits_.image_hosts)) return stand_in();
      path.refuse("image URLs are not fetched; send a data: URI, or have the operator list the host");
    }
    try {
      const std::string_view payload = uri.plain() ? base64_of(text) : std::string_view{};
      if (auto image = image_in_place(payload)) return *image;
      return Image::from_data_uri(std::string{text}, limits_.image);
    } catch (const Error& error) {
      if (error.code() != Errc::bad_input) throw;
      path.refuse(error.message());
    }
  }

  /// What `listed_url` images are to the protocol; the upstream gets the part that has the URL.
  [[nodiscard]] static Image stand_in() {
    // A GIF of one white pixel.
    constexpr char gif[] =
        "GIF89a\x01\x00\x01\x00\x80\x00\x00\xFF\xFF\xFF\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00;";
    return Image::from_bytes(std::string{gif, sizeof gif - 1});
  }

  std::shared_ptr<const void> owner_;
  ChatLimits limits_;
  std::vector<ImagePart> images_;
};

}  // namespace ecso::gateway
