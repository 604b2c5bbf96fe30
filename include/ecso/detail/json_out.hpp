#pragma once

#include <ecso/detail/json_string.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace ecso::detail {

/// Writes JSON twice by the same code: first counting, then into a string of just that size. So the one allocation of a request
/// of many megabytes is exact, and an image's base64 is copied once.
class JsonOut {
 public:
  /// Counts.
  JsonOut() = default;
  /// Writes to `text`.
  explicit JsonOut(std::string& text) : text_{&text} {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Finished JSON.
  JsonOut& raw(std::string_view json) {
    size_ += json.size();
    if (text_ != nullptr) text_->append(json);
    return *this;
  }

  /// A string with its quotes. @throws Error (bad_input) if it is not UTF-8.
  JsonOut& string(std::string_view text) { return raw("\"").escaped(text).raw("\""); }

  /// The inside of a string. @throws Error (bad_input) if it is not UTF-8.
  JsonOut& escaped(std::string_view text) {
    if (text_ == nullptr) {
      const std::size_t wrong = find_invalid_utf8(text);
      if (wrong != text.npos) throw Error{Errc::bad_input, "a text is not UTF-8: wrong at byte " + std::to_string(wrong)};
    }
    bool is_ascii = true;
    while (!text.empty()) {
      const char* const stop = json_plain_end(text.data(), text.data() + text.size(), is_ascii);
      const auto plain = static_cast<std::size_t>(stop - text.data());
      raw(text.substr(0, plain));
      if (plain == text.size()) break;
      escape(text[plain]);
      text.remove_prefix(plain + 1);
    }
    return *this;
  }

  /// @throws Error (bad_input) if it is infinite or not a number.
  template <typename Number>
  JsonOut& number(Number value) {
    if constexpr (std::floating_point<Number>) {
      if (!std::isfinite(value)) throw Error{Errc::bad_input, "a sampling option is infinite or not a number"};
    }
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return raw({digits.data(), static_cast<std::size_t>(end - digits.data())});
  }

  JsonOut& strings(std::span<const std::string> texts) {
    raw("[");
    for (const std::string& text : texts) raw(&text == &texts.front() ? "" : ",").string(text);
    return raw("]");
  }

 private:
  void escape(char c) {
    switch (c) {
      case '"': raw("\\\""); return;
      case '\\': raw("\\\\"); return;
      case '\n': raw("\\n"); return;
      case '\r': raw("\\r"); return;
      case '\t': raw("\\t"); return;
      default: break;
    }
    constexpr std::string_view hex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    const std::array<char, 6> code{'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    raw({code.data(), code.size()});
  }

  std::string* text_ = nullptr;
  std::size_t size_ = 0;
};

/// What `write(out)` writes, allocated once.
template <typename Write>
[[nodiscard]] std::string written_json(const Write& write) {
  JsonOut count;
  write(count);
  std::string text;
  text.reserve(count.size());
  JsonOut out{text};
  write(out);
  return text;
}

}  // namespace ecso::detail
