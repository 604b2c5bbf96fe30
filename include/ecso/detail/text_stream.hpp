#pragma once

#include <ecso/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail {

/// Makes text of a model's tokens, which may end inside a character: gives out only whole ones (U+FFFD for each byte that is
/// part of none), and nothing that a stop text may yet take away.
class TextStream {
 public:
  /// @param stops end the text; an empty one is ignored.
  explicit TextStream(std::span<const std::string> stops) {
    std::ranges::copy_if(stops, std::back_inserter(stops_), [](const std::string& stop) { return !stop.empty(); });
    for (const std::string& stop : stops_) longest_stop_ = std::max(longest_stop_, stop.size());
  }

  /// Takes the bytes of a token and returns the text that has become certain, valid until the next call.
  [[nodiscard]] std::string_view append(std::string_view bytes) {
    if (stopped_) return {};
    bytes_ += bytes;
    take_characters(false);
    if (cut_at_stop()) return release(text_.size());
    return release(text_.size() - possible_stop_size());
  }

  /// No token follows: the rest of the text.
  [[nodiscard]] std::string_view finish() {
    if (!stopped_) {
      take_characters(true);
      cut_at_stop();
    }
    return release(text_.size());
  }

  /// Whether a stop text has ended the text.
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

  /// All text so far, with what may yet be taken away.
  [[nodiscard]] const std::string& text() const& noexcept { return text_; }
  [[nodiscard]] std::string text() && noexcept { return std::move(text_); }

 private:
  static constexpr std::string_view replacement = "\xEF\xBF\xBD";

  /// Whether more bytes may make `bytes`, which is not well-formed, a character.
  [[nodiscard]] static bool is_beginning(std::string_view bytes) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const std::size_t size = byte(0) < 0xC2 ? 1 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : byte(0) < 0xF5 ? 4 : 1;
    if (bytes.size() >= size) return false;
    return std::ranges::all_of(bytes.substr(1), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; });
  }

  void take_characters(bool is_end) {
    std::string_view rest = bytes_;
    while (!rest.empty()) {
      const std::size_t size = utf8_sequence_length(rest);
      if (size == 0 && !is_end && is_beginning(rest)) break;
      text_ += size == 0 ? replacement : rest.substr(0, size);
      rest.remove_prefix(std::max<std::size_t>(size, 1));
    }
    bytes_.erase(0, bytes_.size() - rest.size());
  }

  bool cut_at_stop() {
    const std::size_t from = searched_ - std::min(searched_, longest_stop_);
    std::size_t first = std::string::npos;
    for (const std::string& stop : stops_) first = std::min(first, text_.find(stop, from));
    searched_ = text_.size();
    if (first == std::string::npos) return false;
    text_.resize(first);
    stopped_ = true;
    return true;
  }

  /// Size of the longest end of the text that a stop text begins with.
  [[nodiscard]] std::size_t possible_stop_size() const {
    const std::string_view held = std::string_view{text_}.substr(released_);
    for (std::size_t size = std::min(held.size(), longest_stop_); size > 0; --size) {
      const std::string_view end = held.substr(held.size() - size);
      if (std::ranges::any_of(stops_, [&](const std::string& stop) { return stop.starts_with(end); })) return size;
    }
    return 0;
  }

  [[nodiscard]] std::string_view release(std::size_t until) noexcept {
    const std::string_view piece = std::string_view{text_}.substr(released_, until - released_);
    released_ = until;
    return piece;
  }

  std::vector<std::string> stops_;
  std::size_t longest_stop_ = 0;
  std::string bytes_;  // the beginning of a character
  std::string text_;
  std::size_t searched_ = 0;
  std::size_t released_ = 0;
  bool stopped_ = false;
};

/// `bytes` as UTF-8, with U+FFFD for each byte that is part of no character.
[[nodiscard]] inline std::string to_valid_utf8(std::string_view bytes) {
  TextStream stream{{}};
  static_cast<void>(stream.append(bytes));
  static_cast<void>(stream.finish());
  return std::move(stream).text();
}

}  // namespace ecso::detail
