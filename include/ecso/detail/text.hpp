#pragma once

#include <string_view>

namespace ecso::detail {

/// True if `text` has nothing but ASCII white space.
[[nodiscard]] constexpr bool is_blank(std::string_view text) noexcept {
  return text.find_first_not_of(" \t\n\r\v\f") == std::string_view::npos;
}

}  // namespace ecso::detail
