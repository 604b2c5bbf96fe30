#pragma once

#include <ecso/core/image.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/image_url.hpp>
#include <ecso/gateway/json_path.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// The images of a client's chat, and the JSON of the part that each came in. Not thread safe.
class ClientImages {
 public:
  /// @param owner keeps the client's bytes alive.
  ClientImages(std::shared_ptr<const void> owner, const ChatLimits& limits) : owner_{std::move(owner)}, limits_{limits} {}

  /// An image in base64. @param part what is sent wherever the image is.
  /// @throws Error (bad_input) that names the place: it is none, over a limit, or one too many.
  [[nodiscard]] Image add_base64(detail::JsonValue text, std::string_view part, const JsonPath& path) {
    require_text(text, path);
    std::string storage;
    return add([&] { return from_base64(text.text(storage), text); }, part, path);
  }

  /// An image by its URL: that of a listed host, which stands for it, or a data URI.
  [[nodiscard]] Image add_url(detail::JsonValue url, std::string_view part, const JsonPath& path) {
    require_text(url, path);
    std::string storage;
    const std::string_view text = url.text(storage);
    constexpr std::string_view scheme = "data:";
    if (detail::equal_ignoring_case(text.substr(0, scheme.size()), scheme)) {
      return add([&] { return from_data_uri(text, url); }, part, path);
    }
    if (!is_listed_image_url(text, limits_.image_hosts)) {
      path.refuse("image URLs are not fetched; send the image in base64, or have the operator list the host");
    }
    Image image = add(stand_in, part, path);
    parts_.back().url = text;
    return image;
  }

  [[nodiscard]] std::size_t size() const noexcept { return parts_.size(); }

  /// The part in which an image came. @throws Error (internal) if it is none of these.
  [[nodiscard]] std::string_view part_of(const Image& image) const { return find(image).json; }

  /// The URL that an image stands for; null of one whose bytes the client has sent. @throws Error (internal) as `part_of`.
  [[nodiscard]] const std::string* url_of(const Image& image) const {
    const std::string& url = find(image).url;
    return url.empty() ? nullptr : &url;
  }

 private:
  struct Part {
    const void* identity;
    std::string_view json;
    std::string url;
  };

  [[nodiscard]] const Part& find(const Image& image) const {
    const auto part = std::ranges::find(parts_, image.identity(), &Part::identity);
    if (part == parts_.end()) throw Error{Errc::internal, "a request has an image that the client did not send"};
    return *part;
  }

  static void require_text(detail::JsonValue value, const JsonPath& path) {
    if (!value.is_string()) path.refuse(value ? "must be a string" : "is missing");
  }

  template <typename Read>
  [[nodiscard]] Image add(const Read& read, std::string_view part, const JsonPath& path) {
    if (parts_.size() >= limits_.max_images) path.refuse("more images than the limit of " + std::to_string(limits_.max_images));
    try {
      Image image = read();
      parts_.push_back({image.identity(), part, {}});
      return image;
    } catch (const Error& error) {
      if (error.code() != Errc::bad_input) throw;
      path.refuse(error.message());
    }
  }

  /// @param text the end of what `value` says.
  [[nodiscard]] Image from_base64(std::string_view text, detail::JsonValue value) const {
    if (value.plain()) {
      try {
        return Image::from_base64_range(owner_, text, limits_.image, value.base64_tail());
      } catch (const Error& error) {
        // It may be URL-safe, or have spaces or no padding.
        if (error.code() != Errc::bad_input) throw;
      }
    }
    return Image::from_base64(std::string{text}, limits_.image);
  }

  [[nodiscard]] Image from_data_uri(std::string_view uri, detail::JsonValue value) const {
    constexpr std::string_view marker = ";base64,";
    const std::size_t begin = uri.find(',') + 1;
    const bool is_base64 =
        begin >= marker.size() && detail::equal_ignoring_case(uri.substr(begin - marker.size(), marker.size()), marker);
    if (is_base64 && value.plain()) return from_base64(uri.substr(begin), value);
    return Image::from_data_uri(std::string{uri}, limits_.image);
  }

  /// What a listed URL's image is to the protocol; the upstream gets the part that has the URL.
  [[nodiscard]] static Image stand_in() {
    // A GIF of one white pixel.
    constexpr char gif[] =
        "GIF89a\x01\x00\x01\x00\x80\x00\x00\xFF\xFF\xFF\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00;";
    return Image::from_bytes(std::string{gif, sizeof gif - 1});
  }

  std::shared_ptr<const void> owner_;
  ChatLimits limits_;
  std::vector<Part> parts_;
};

}  // namespace ecso::gateway
