#pragma once

#include <ecso/core/image_header.hpp>
#include <ecso/core/media_type.hpp>
#include <ecso/detail/base64.hpp>
#include <ecso/detail/base64_range.hpp>
#include <ecso/detail/image/peek.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace ecso {

/// A checked image: one of the known formats, whole, within its limits. Immutable and cheap to copy: copies share one
/// state. Thread safe. The views it returns live as long as any copy.
///
///     const auto image = ecso::Image::from_file("shot.jpg");
///     fmt::print("{} {}x{}\n", ecso::to_string(image.media_type()), image.width(), image.height());
///     // image/jpeg 640x480
class Image {
 public:
  /// Takes the file content of an image; move it in, and nothing is copied.
  /// @throws Error `bad_input` if it is not an image, not whole, or over a limit; so do all the others.
  [[nodiscard]] static Image from_bytes(std::string bytes, ImageLimits limits = {}) {
    return Image{std::move(bytes), {}, {}, limits, "image"};
  }

  /// Reads a regular file; a device, pipe or folder is refused, and so is, unread, a file over the limit.
  /// @throws Error `bad_input` that names the file.
  [[nodiscard]] static Image from_file(const std::filesystem::path& path, ImageLimits limits = {}) {
    const std::string name = printable(path.string());
    return Image{read_file(path, name, limits), {}, {}, limits, name};
  }

  /// Decodes base64 (RFC 4648): standard or URL-safe, padded or not, ASCII white space anywhere.
  /// @throws Error `bad_input` that names the offset of the first wrong character.
  [[nodiscard]] static Image from_base64(std::string_view text, ImageLimits limits = {}) {
    return Image{decode(text, 0, limits), {}, {}, limits, base64_name};
  }

  /// The same for a string moved in: if it is padded standard base64, `base64()` returns it and nothing is encoded.
  template <std::same_as<std::string> String>
  [[nodiscard]] static Image from_base64(String&& text, ImageLimits limits = {}) {
    return from_text(std::forward<String>(text), 0, limits, base64_name);
  }

  /// Decodes a base64 data URI (RFC 2397), `data:image/png;base64,...`. The declared media type is ignored in favour of
  /// the bytes. A URI of another kind is refused; the core never fetches anything.
  /// @throws Error `bad_input` that names the offset of the first wrong character.
  [[nodiscard]] static Image from_data_uri(std::string_view uri, ImageLimits limits = {}) {
    return Image{decode(uri, data_uri_payload(uri), limits), {}, {}, limits, data_uri_name};
  }

  /// The same for a string moved in: if it holds padded standard base64, `base64()` returns that part of it.
  template <std::same_as<std::string> String>
  [[nodiscard]] static Image from_data_uri(String&& uri, ImageLimits limits = {}) {
    const std::size_t payload = data_uri_payload(uri);
    return from_text(std::forward<String>(uri), payload, limits, data_uri_name);
  }

  /// Refers to padded standard base64 inside somebody's bytes, which `owner` keeps alive and nobody changes; `owner` may be empty
  /// if they outlive every copy. Checks all of it, but decodes only what tells type and size: unlike with the other factories,
  /// the image may be cut short or broken behind that. `base64` gives the range itself; what needs the bytes decodes them once.
  /// @param known_tail how many characters before the padding the caller has seen to be letters of standard base64; they are
  ///                   not looked at again.
  /// @throws Error `bad_input` that names the offset of the first wrong character; white space is one, and so are `-` and `_`.
  [[nodiscard]] static Image from_base64_range(std::shared_ptr<const void> owner, std::string_view base64,
                                               ImageLimits limits = {}, std::size_t known_tail = 0) {
    const detail::Base64Decoded checked = detail::check_base64(base64, known_tail);
    if (checked.error_offset != std::string_view::npos) {
      fail_base64(base64, checked.error_offset, base64_name, "canonical base64");
    }
    if (checked.size > limits.max_bytes) {
      fail(base64_name, fmt::format("{} bytes; the limit is {}", checked.size, limits.max_bytes));
    }
    Image image{std::make_shared<State>()};
    image.state_->header = detail::peek_image_header(detail::Base64Range{base64}, limits.max_pixels, base64_name);
    image.state_->base64 = base64;
    image.state_->owner = std::move(owner);
    image.state_->is_range = true;
    return image;
  }

  // Declared, so that there is no move: a moved-from image would be the only one without a state.
  Image(const Image&) noexcept = default;
  Image& operator=(const Image&) noexcept = default;
  ~Image() = default;

  /// The file content; of a range, decoded by the first call for all copies.
  [[nodiscard]] std::string_view bytes() const {
    State& state = *state_;
    if (state.is_range) {
      std::call_once(state.bytes_once, [&state] { state.bytes = decode(state.base64, 0, no_limits); });
    }
    return state.bytes;
  }
  /// What the bytes are, whatever a name or a URI said.
  [[nodiscard]] MediaType media_type() const noexcept { return state_->header.media_type; }
  /// In pixels, at least 1; of an animation, the canvas.
  [[nodiscard]] std::uint32_t width() const noexcept { return state_->header.width; }
  /// In pixels, at least 1; of an animation, the canvas.
  [[nodiscard]] std::uint32_t height() const noexcept { return state_->header.height; }
  /// The first PNG text "Description", JPEG comment or GIF comment; UTF-8, at most 4096 bytes, often empty.
  /// @throws Error `bad_input` if it is a range and the image turns out not to be whole.
  [[nodiscard]] std::string description() const {
    State& state = *state_;
    if (state.is_range) {
      const std::string_view whole = bytes();
      // Nothing is thrown out of call_once: not every pthread_once lives through that.
      std::call_once(state.description_once, [&state, whole] {
        try {
          state.header.description = read_image_header(whole, no_limits, base64_name).description;
        } catch (const Error& error) {
          state.not_whole = error;
        }
      });
      if (state.not_whole) throw Error{*state.not_whole};
    }
    return state.header.description;
  }

  /// The bytes as padded standard base64, made by the first call for all copies.
  [[nodiscard]] std::string_view base64() const {
    State& state = *state_;
    std::call_once(state.base64_once, [&state] {
      if (!state.base64.empty()) return;
      const std::size_t size = detail::base64_encoded_size(state.bytes.size());
      // Not a string: that would write all of it once more, with zeros, before.
      state.encoded = std::make_unique_for_overwrite<char[]>(size);
      detail::base64_encode_to(state.bytes, state.encoded.get());
      state.base64 = {state.encoded.get(), size};
    });
    return state.base64;
  }

  /// SHA-256 of the bytes in lowercase hexadecimal, made by the first call for all copies.
  [[nodiscard]] std::string_view sha256() const {
    State& state = *state_;
    const std::string_view whole = bytes();
    std::call_once(state.sha256_once, [&state, whole] { state.sha256 = detail::sha256_hex(whole); });
    return state.sha256;
  }

  /// The same for copies, different for images made apart, even of the same bytes; good as long as any copy lives.
  [[nodiscard]] const void* identity() const noexcept { return state_.get(); }

  /// Whether the bytes are the same; no matter where they came from.
  friend bool operator==(const Image& a, const Image& b) {
    if (a.state_ == b.state_) return true;
    if (a.state_->is_range && b.state_->is_range) return a.state_->base64 == b.state_->base64;
    return a.bytes() == b.bytes();
  }

 private:
  struct State {
    std::string bytes;
    ImageHeader header;
    std::string source;
    std::string_view base64;
    std::unique_ptr<char[]> encoded;
    std::string sha256;
    std::shared_ptr<const void> owner;
    bool is_range = false;
    std::optional<Error> not_whole;
    std::once_flag bytes_once;
    std::once_flag description_once;
    std::once_flag base64_once;
    std::once_flag sha256_once;
  };

  static constexpr std::string_view base64_name = "base64 image";
  static constexpr std::string_view data_uri_name = "data URI";
  static constexpr ImageLimits no_limits{std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::uint64_t>::max()};

  explicit Image(std::shared_ptr<State> state) noexcept : state_{std::move(state)} {}

  /// If `base64_size` is not 0, the last that many characters of `source` are the canonical base64 of `bytes`.
  Image(std::string bytes, std::string source, std::size_t base64_size, const ImageLimits& limits, std::string_view name)
      : state_{std::make_shared<State>()} {
    state_->header = read_image_header(bytes, limits, name);
    state_->bytes = std::move(bytes);
    state_->source = std::move(source);
    state_->base64 = std::string_view{state_->source}.substr(state_->source.size() - base64_size);
  }

  [[noreturn]] static void fail(std::string_view name, std::string_view what) {
    throw Error(Errc::bad_input, fmt::format("{}: {}", name, what));
  }

  /// `text` is not what was wanted from `offset` on.
  [[noreturn]] static void fail_base64(std::string_view text, std::size_t offset, std::string_view name,
                                       std::string_view wanted) {
    if (offset >= text.size()) fail(name, fmt::format("base64 ends inside a group, at offset {}", text.size()));
    fail(name, fmt::format("not {}: byte 0x{:02x} at offset {}", wanted, static_cast<unsigned char>(text[offset]), offset));
  }

  /// A file may be called anything; an error is one line.
  static std::string printable(std::string name) {
    std::ranges::replace_if(name, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
    return name;
  }

  static std::string read_file(const std::filesystem::path& path, std::string_view name, const ImageLimits& limits) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (status.type() == std::filesystem::file_type::not_found) fail(name, "no such file");
    if (error) fail(name, error.message());
    if (std::filesystem::is_directory(status)) fail(name, "a folder, not an image file");
    // Opening a pipe could wait for ever, and a device need not end.
    if (!std::filesystem::is_regular_file(status)) fail(name, "not a regular file");
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    if (error) fail(name, error.message());
    if (size > limits.max_bytes) fail(name, fmt::format("{} bytes; the limit is {}", size, limits.max_bytes));
    std::ifstream file{path, std::ios::binary};
    if (!file) fail(name, "cannot be opened for reading");
    std::string bytes(static_cast<std::size_t>(size), '\0');
    if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) fail(name, "cannot be read to its end");
    return bytes;
  }

  /// Offset of the base64 in a data URI.
  static std::size_t data_uri_payload(std::string_view uri) {
    using detail::equal_ignoring_case;
    constexpr std::string_view scheme = "data:";
    if (!equal_ignoring_case(uri.substr(0, scheme.size()), scheme)) {
      for (const std::string_view web : {"http://", "https://"}) {
        if (!equal_ignoring_case(uri.substr(0, web.size()), web)) continue;
        fail("image URL", fmt::format("{} is never fetched; download the image and pass its file or bytes", web));
      }
      fail(data_uri_name, "does not start with \"data:\"");
    }
    const std::size_t comma = uri.find(',');
    if (comma == std::string_view::npos) fail(data_uri_name, "no comma before the data");
    constexpr std::string_view marker = ";base64";
    const std::string_view head = uri.substr(0, comma);
    if (head.size() < marker.size() || !equal_ignoring_case(head.substr(head.size() - marker.size()), marker)) {
      fail(data_uri_name, "not base64: no \";base64\" before the comma");
    }
    return comma + 1;
  }

  /// The bytes of the base64 in `text` from `payload` on.
  static std::string decode(std::string_view text, std::size_t payload, const ImageLimits& limits) {
    const std::string_view name = payload == 0 ? base64_name : data_uri_name;
    const std::string_view base64 = text.substr(payload);
    if (base64.size() / 4 * 3 > limits.max_bytes) {
      // Before anything of that size is allocated; by counting, as white space is free.
      const auto is_free = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '='; };
      const auto letters = base64.size() - static_cast<std::size_t>(std::ranges::count_if(base64, is_free));
      const std::size_t size = letters / 4 * 3 + letters % 4 * 3 / 4;
      if (size > limits.max_bytes) fail(name, fmt::format("{} bytes; the limit is {}", size, limits.max_bytes));
    }
    std::string bytes(detail::base64_decoded_capacity(base64.size()), '\0');
    const detail::Base64Decoded decoded = detail::base64_decode_to(base64, bytes.data());
    if (decoded.error_offset != std::string_view::npos) fail_base64(text, payload + decoded.error_offset, name, "base64");
    bytes.resize(decoded.size);
    return bytes;
  }

  /// Keeps `text` if `base64()` could not say it otherwise.
  static Image from_text(std::string text, std::size_t payload, const ImageLimits& limits, std::string_view name) {
    std::string bytes = decode(text, payload, limits);
    const std::string_view base64 = std::string_view{text}.substr(payload);
    if (!is_canonical(base64, bytes)) return Image{std::move(bytes), {}, 0, limits, name};
    const std::size_t base64_size = base64.size();
    return Image{std::move(bytes), std::move(text), base64_size, limits, name};
  }

  /// Whether `base64`, which decodes to `bytes`, is what encoding them gives. With no URL-safe character, the right
  /// length and the right last group (so no padding left out), there is no room for white space.
  static bool is_canonical(std::string_view base64, std::string_view bytes) noexcept {
    if (bytes.empty() || base64.size() != detail::base64_encoded_size(bytes.size())) return false;
    char last_group[4];
    detail::base64_encode_to(bytes.substr((bytes.size() - 1) / 3 * 3), last_group);
    return base64.ends_with(std::string_view{last_group, 4}) && base64.find('-') == std::string_view::npos &&
           base64.find('_') == std::string_view::npos;
  }

  std::shared_ptr<State> state_;
};

}  // namespace ecso
