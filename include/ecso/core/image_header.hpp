#pragma once

#include <ecso/core/media_type.hpp>
#include <ecso/detail/image/bmp.hpp>
#include <ecso/detail/image/gif.hpp>
#include <ecso/detail/image/jpeg.hpp>
#include <ecso/detail/image/png.hpp>
#include <ecso/detail/image/reader.hpp>
#include <ecso/detail/image/webp.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ecso {

/// How large an image may be.
struct ImageLimits {
  /// Of the image itself, not of its base64.
  std::size_t max_bytes = std::size_t{20} << 20;
  /// Width times height, against small files that decode to huge pictures.
  std::uint64_t max_pixels = 50'000'000;
};

/// What an image says of itself.
struct ImageHeader {
  MediaType media_type{};
  /// In pixels, at least 1; of an animation, the canvas.
  std::uint32_t width = 0;
  /// In pixels, at least 1; of an animation, the canvas.
  std::uint32_t height = 0;
  /// The first PNG text "Description", JPEG comment or GIF comment; UTF-8, at most 4096 bytes, often empty.
  std::string description;
};

/// The media type that the first bytes show; nothing if they show none that ecso knows.
[[nodiscard]] inline std::optional<MediaType> sniff_media_type(std::string_view bytes) noexcept {
  if (bytes.starts_with(detail::png_signature)) return MediaType::png;
  if (bytes.starts_with("\xFF\xD8\xFF")) return MediaType::jpeg;
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a")) return MediaType::gif;
  if (bytes.starts_with("RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") return MediaType::webp;
  if (bytes.starts_with("BM")) return MediaType::bmp;
  return std::nullopt;
}

/// Checks an image and reads its header without decoding a pixel: the format's own structure is walked to its end mark,
/// so a truncated file is refused. `name` says which image in errors.
/// @throws Error `bad_input` if it is empty, too large, of no known format, truncated or malformed.
[[nodiscard]] inline ImageHeader read_image_header(std::string_view bytes, const ImageLimits& limits = {},
                                                   std::string_view name = "image") {
  const auto fail = [&](const std::string& what) { throw Error(Errc::bad_input, fmt::format("{}: {}", name, what)); };
  if (bytes.empty()) fail("0 bytes: not an image");
  if (bytes.size() > limits.max_bytes) fail(fmt::format("{} bytes; the limit is {}", bytes.size(), limits.max_bytes));
  const std::optional<MediaType> type = sniff_media_type(bytes);
  if (!type) {
    std::string start;
    for (const char c : bytes.substr(0, 4)) start += fmt::format(" {:02x}", static_cast<unsigned char>(c));
    fail(fmt::format("not a PNG, JPEG, WebP, GIF or BMP (it starts with{})", start));
  }
  const auto walk = [&](void (*walker)(detail::ImageReader&), std::string_view format, std::string_view end_mark) {
    detail::ImageReader in{bytes, name, limits.max_pixels, format, end_mark};
    walker(in);
    return ImageHeader{*type, in.width(), in.height(), in.description()};
  };
  switch (*type) {
    case MediaType::png: return walk(detail::read_png, "PNG", "IEND chunk");
    case MediaType::jpeg: return walk(detail::read_jpeg, "JPEG", "end-of-image marker");
    case MediaType::webp: return walk(detail::read_webp, "WebP", "complete RIFF data");
    case MediaType::gif: return walk(detail::read_gif, "GIF", "trailer");
    case MediaType::bmp: break;
  }
  return walk(detail::read_bmp, "BMP", "complete pixels");
}

}  // namespace ecso
