#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/readable.hpp>

#include <algorithm>
#include <string>
#include <string_view>

/// What no check can read, in requests and in answers. Pure.
namespace ecso::gateway {

/// Members, and types of parts, by which servers take or give images, sound and files.
inline constexpr std::string_view media_names[] = {
    "attachments",     "audio",        "audio_url",    "audio_urls",   "audios",
    "b64_json",        "base64",       "file",         "file_data",    "file_url",
    "files",           "image",        "image_data",   "image_file",   "image_pil",
    "image_url",       "image_urls",   "images",       "input_audio",  "input_file",
    "input_image",     "input_video",  "media",        "mm_data",      "multi_modal_data",
    "multimodal_data", "output_audio", "output_image", "pixel_values", "video",
    "video_data",      "video_url",    "video_urls",   "videos"};

/// Whether a name is one of those in any case, or that of vectors that stand for them.
[[nodiscard]] inline bool is_media_name(std::string_view name) {
  std::string storage;
  const std::string_view folded = folded_name(name, storage);
  return is_among(media_names, folded) || folded.ends_with("_embeds") || folded.ends_with("_embedding") ||
         folded.ends_with("_embeddings");
}

/// Whether a text is a data URI: an image, or what else there is, in letters.
[[nodiscard]] inline bool is_data_uri(std::string_view text) noexcept {
  constexpr std::string_view scheme = "data:";
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (!detail::equal_ignoring_case(text.substr(0, scheme.size()), scheme)) return false;
  const std::string_view head = text.substr(0, text.find(','));
  return head.size() < text.size() && head.find_first_of(" \n") == head.npos;
}

/// The same of any text in a value.
[[nodiscard]] inline bool has_data_uri(detail::JsonValue value) {
  std::string storage;
  if (value.is_string()) return is_data_uri(value.text(storage));
  const auto member_has = [](const detail::JsonMember& member) { return has_data_uri(member.value); };
  return std::ranges::any_of(value.items(), has_data_uri) || std::ranges::any_of(value.members(), member_has);
}

/// Whether a member is a medium, or has one, by its name, its type or a data URI.
[[nodiscard]] inline bool has_media(std::string_view name, detail::JsonValue value) {
  std::string storage;
  if (!has_words(value)) return false;
  if (is_media_name(name) || is_data_uri(value.text(storage))) return true;
  const auto member_has = [](const detail::JsonMember& member) {
    const std::string key = member.key.text();
    return (key == "type" && is_media_name(member.value.text())) || has_media(key, member.value);
  };
  return std::ranges::any_of(value.items(), [](detail::JsonValue item) { return has_media({}, item); }) ||
         std::ranges::any_of(value.members(), member_has);
}

/// Whether there is an array with a number in it, as tokens and vectors are written.
[[nodiscard]] inline bool has_number_list(detail::JsonValue value) {
  const auto item_is = [](detail::JsonValue item) { return item.is_number() || has_number_list(item); };
  const auto member_has = [](const detail::JsonMember& member) { return has_number_list(member.value); };
  return std::ranges::any_of(value.items(), item_is) || std::ranges::any_of(value.members(), member_has);
}

}  // namespace ecso::gateway
