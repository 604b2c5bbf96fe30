#pragma once

// What the tests of the HTTP client have in common.

#include <ecso/core/backend.hpp>
#include <ecso/error.hpp>
#include <ecso/http/options.hpp>

#include <chrono>

namespace ecso::test {

/// Not through a proxy of the machine that runs the tests.
[[nodiscard]] inline HttpOptions direct() { return {.proxy = ""}; }

[[nodiscard]] inline CallContext until(std::chrono::milliseconds time) {
  return {.deadline = std::chrono::steady_clock::now() + time};
}

[[nodiscard]] inline std::chrono::milliseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

/// The error that ends `call`.
template <typename Call>
[[nodiscard]] Error error_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    return error;
  }
  return Error{Errc::internal, "the call did not fail"};
}

}  // namespace ecso::test
