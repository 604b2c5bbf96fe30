#pragma once

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

}  // namespace ecso
