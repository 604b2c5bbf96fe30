#pragma once

#include <ecso/core/request_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/error.hpp>

#include <cstddef>
#include <string>

/// The form of a cassette, which `RecordBackend` writes and `ReplayBackend` reads. JSON, one line a call, after a line that says
/// what the model could do:
///
///     {"schema": 1, "capabilities": {"vision": true, "logprobs": false, "forced_choice": false, "concurrent": false,
///      "streaming": false, "slots": 0}}
///     {"schema": 1, "key": "<SHA-256 of request>", "request": {…}, "reply": {…}}
///     {"schema": 1, "key": "…", "request": {…}, "error": {…}}
namespace ecso::detail {

inline constexpr int cassette_schema = 1;

/// Longest line of a cassette that is read.
inline constexpr std::size_t max_cassette_line_bytes = std::size_t{64} * 1024 * 1024;

/// By what a request is found again. Equal requests have equal keys.
[[nodiscard]] inline std::string cassette_key(const Json& request) { return sha256_hex(dump_json(request)); }

}  // namespace ecso::detail
