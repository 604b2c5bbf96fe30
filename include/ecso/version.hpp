#pragma once

#include <string_view>

/// The parts of the version, by the rules of Semantic Versioning 2.0.0. The build system reads them here.
#define ECSO_VERSION_MAJOR 0
#define ECSO_VERSION_MINOR 1
#define ECSO_VERSION_PATCH 0

#define ECSO_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch
#define ECSO_VERSION_TEXT(major, minor, patch) ECSO_VERSION_TEXT_(major, minor, patch)

namespace ecso {

/// The version of these headers, for example "0.1.0".
inline constexpr std::string_view version = ECSO_VERSION_TEXT(ECSO_VERSION_MAJOR, ECSO_VERSION_MINOR, ECSO_VERSION_PATCH);

}  // namespace ecso

#undef ECSO_VERSION_TEXT
#undef ECSO_VERSION_TEXT_
