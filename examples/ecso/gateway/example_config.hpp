#pragma once

#include <string_view>

namespace ecso::command {

/// examples/deploy/ecso.toml: every setting of `ecso serve` with what it is, at its default.
[[nodiscard]] std::string_view example_config() noexcept;

}  // namespace ecso::command
