#pragma once

#include <string_view>

namespace ecso::command {

/// The file examples/ecso/calibrate/items.jsonl; compiled in by own_items.cmake.
[[nodiscard]] std::string_view own_items() noexcept;

}  // namespace ecso::command
