#pragma once

#include <string_view>

namespace ecso::command {

/// The files examples/images/harmful.png and benign.png; compiled in by embed.cmake.
[[nodiscard]] std::string_view harmful_png() noexcept;
[[nodiscard]] std::string_view benign_png() noexcept;

}  // namespace ecso::command
