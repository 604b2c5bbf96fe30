#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

namespace ecso {

/// The image formats ecso knows.
enum class MediaType { png, jpeg, webp, gif, bmp };

/// The media type as HTTP and data URIs spell it: "image/png".
[[nodiscard]] constexpr std::string_view to_string(MediaType type) noexcept {
  switch (type) {
    case MediaType::png: return "image/png";
    case MediaType::jpeg: return "image/jpeg";
    case MediaType::webp: return "image/webp";
    case MediaType::gif: return "image/gif";
    case MediaType::bmp: return "image/bmp";
  }
  return "application/octet-stream";
}

/// The media type spelled `text`, upper or lower case, without parameters; nothing for any other text.
[[nodiscard]] constexpr std::optional<MediaType> parse_media_type(std::string_view text) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  for (const MediaType type : {MediaType::png, MediaType::jpeg, MediaType::webp, MediaType::gif, MediaType::bmp}) {
    if (std::ranges::equal(text, to_string(type), {}, lower)) return type;
  }
  return std::nullopt;
}

}  // namespace ecso
