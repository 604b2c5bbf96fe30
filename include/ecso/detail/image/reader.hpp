#pragma once

#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ecso::detail {

/// What one format's walker works with: reads that never leave the bytes, errors that name the image, and a place for
/// what was found. A size goes in as soon as it is known, so a bomb is refused for its size and not for what follows.
class ImageReader {
 public:
  /// `name` says which image in errors; `format` ("PNG") what it looks like, `end_mark` what a truncated one lacks.
  ImageReader(std::string_view bytes, std::string_view name, std::uint64_t max_pixels, std::string_view format,
              std::string_view end_mark) noexcept
      : bytes_{bytes}, name_{name}, format_{format}, end_mark_{end_mark}, max_pixels_{max_pixels} {}

  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

  /// `count` bytes from `offset`. @throws Error "truncated" if they are not there; so do all reads below.
  [[nodiscard]] std::string_view view(std::size_t offset, std::size_t count) const {
    if (offset > size() || count > size() - offset) truncated();
    return bytes_.substr(offset, count);
  }
  [[nodiscard]] std::uint32_t u8(std::size_t offset) const { return little(offset, 1); }
  [[nodiscard]] std::uint32_t le16(std::size_t offset) const { return little(offset, 2); }
  [[nodiscard]] std::uint32_t le24(std::size_t offset) const { return little(offset, 3); }
  [[nodiscard]] std::uint32_t le32(std::size_t offset) const { return little(offset, 4); }
  [[nodiscard]] std::uint32_t be16(std::size_t offset) const { return big(offset, 2); }
  [[nodiscard]] std::uint32_t be32(std::size_t offset) const { return big(offset, 4); }

  [[noreturn]] void truncated() const { fail(fmt::format("truncated {}: no {} in {} bytes", format_, end_mark_, size())); }
  [[noreturn]] void malformed(std::string_view why) const { fail(fmt::format("malformed {}: {}", format_, why)); }

  /// @throws Error if a side is zero or there are more pixels than allowed.
  void set_size(std::uint32_t width, std::uint32_t height) {
    if (width == 0 || height == 0) malformed(fmt::format("size {}x{}: a side is zero", width, height));
    const std::uint64_t pixels = std::uint64_t{width} * height;
    if (pixels > max_pixels_) {
      fail(fmt::format("{}x{} is {} pixels; the limit is {}", width, height, pixels, max_pixels_));
    }
    width_ = width;
    height_ = height;
  }
  [[nodiscard]] std::uint32_t width() const noexcept { return width_; }
  [[nodiscard]] std::uint32_t height() const noexcept { return height_; }

  /// Keeps the first description of an image, cut to 4096 bytes; text that is not UTF-8 is taken for Latin-1.
  void add_description(std::string_view text) {
    constexpr std::size_t max_size = 4096;
    if (!description_.empty()) return;
    text = text.substr(0, text.find('\0'));
    std::string_view start = text.substr(0, max_size);
    const std::size_t invalid = find_invalid_utf8(start);
    const bool cut_inside_character = text.size() > max_size && invalid < max_size && invalid > max_size - 4;
    if (cut_inside_character) start = start.substr(0, invalid);
    if (cut_inside_character || invalid == std::string_view::npos) {
      description_ = start;
      return;
    }
    for (const char c : start) {
      const auto byte = static_cast<unsigned char>(c);
      if (description_.size() + 2 > max_size) return;
      if (byte < 0x80) {
        description_ += c;
      } else {
        description_ += static_cast<char>(0xC0 | byte >> 6);
        description_ += static_cast<char>(0x80 | (byte & 0x3F));
      }
    }
  }
  [[nodiscard]] const std::string& description() const noexcept { return description_; }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(Errc::bad_input, fmt::format("{}: {}", name_, what)); }
  [[nodiscard]] std::uint32_t little(std::size_t offset, std::size_t count) const {
    const std::string_view from = view(offset, count);
    std::uint32_t value = 0;
    for (std::size_t i = count; i > 0; --i) value = value << 8 | static_cast<unsigned char>(from[i - 1]);
    return value;
  }
  [[nodiscard]] std::uint32_t big(std::size_t offset, std::size_t count) const {
    std::uint32_t value = 0;
    for (const char c : view(offset, count)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

  std::string_view bytes_;
  std::string_view name_;
  std::string_view format_;
  std::string_view end_mark_;
  std::uint64_t max_pixels_;
  std::uint32_t width_ = 0;
  std::uint32_t height_ = 0;
  std::string description_;
};

}  // namespace ecso::detail
