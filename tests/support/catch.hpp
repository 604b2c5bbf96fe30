#pragma once

// Catch2 2 (one header) or 3 (many), whichever is there; what they spell differently is given the spelling of 3.
#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_all.hpp>

#else

#include <string>

#include <catch2/catch.hpp>

namespace Catch {

using Detail::Approx;

}  // namespace Catch

namespace Catch::Matchers {

inline auto ContainsSubstring(const std::string& text, CaseSensitive::Choice choice = CaseSensitive::Yes) {
  return Contains(text, choice);
}

}  // namespace Catch::Matchers

#endif
