#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace ecso::detail {

[[nodiscard]] constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Characters of the JSON number (RFC 8259 section 6) that `text` begins with; 0 if there is none.
[[nodiscard]] constexpr std::size_t json_number_size(std::string_view text) noexcept {
  std::size_t at = 0;
  const auto next = [&] { return at < text.size() ? text[at] : '\0'; };
  const auto skip_digits = [&] {
    const std::size_t begin = at;
    while (is_digit(next())) ++at;
    return at != begin;
  };
  if (next() == '-') ++at;
  if (next() == '0') {
    ++at;
  } else if (!skip_digits()) {
    return 0;
  }
  if (next() == '.') {
    ++at;
    if (!skip_digits()) return 0;
  }
  if (next() == 'e' || next() == 'E') {
    ++at;
    if (next() == '+' || next() == '-') ++at;
    if (!skip_digits()) return 0;
  }
  return at;
}

/// Whether a JSON number is less than 1, by where its first digit stands that is not zero.
[[nodiscard]] constexpr bool json_number_is_small(std::string_view number) noexcept {
  const std::size_t exponent_at = std::min(number.find_first_of("eE"), number.size());
  const std::string_view digits = number.substr(0, exponent_at);
  const auto point = static_cast<std::int64_t>(std::min(digits.find('.'), digits.size()));
  const auto first = static_cast<std::int64_t>(std::min(digits.find_first_of("123456789"), digits.size()));
  std::int64_t exponent = 0;
  for (const char c : number.substr(exponent_at)) {
    // No text is so long that its digits could make up for this.
    if (is_digit(c)) exponent = std::min<std::int64_t>(exponent * 10 + (c - '0'), std::int64_t{1} << 40);
  }
  if (number.substr(exponent_at).find('-') != std::string_view::npos) exponent = -exponent;
  return (first < point ? point - first : point - first + 1) + exponent <= 0;
}

/// The nearest double of a JSON number, of one that is too small zero; nothing if it is too large.
[[nodiscard]] inline std::optional<double> json_double(std::string_view number) noexcept {
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error == std::errc::result_out_of_range) {
    if (!json_number_is_small(number)) return std::nullopt;
    return number.starts_with('-') ? -0.0 : 0.0;
  }
  if (error != std::errc{} || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// Whether a JSON number is in the range of a double: what lies beyond is infinite to one reader and an error to the next.
[[nodiscard]] inline bool json_number_fits(std::string_view number) noexcept {
  constexpr std::size_t always_fits = 300;
  const bool may_be_large = number.size() > always_fits || number.find_first_of("eE") != std::string_view::npos;
  return !may_be_large || json_double(number).has_value();
}

}  // namespace ecso::detail
