#pragma once

#include <string_view>

namespace ecso::command {

/// The file examples/ecso/calibrate/items.jsonl; compiled in by embed.cmake.
[[nodiscard]] std::string_view own_items() noexcept;

}  // namespace ecso::command
