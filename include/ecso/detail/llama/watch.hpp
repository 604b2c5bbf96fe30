#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/error.hpp>

#include <chrono>

namespace ecso::detail {

/// Whether a call shall give up, asked from inside of libllama's computations too.
class LlamaWatch {
 public:
  explicit LlamaWatch(const CallContext& context) : context_{context} {}

  [[nodiscard]] bool is_over() const noexcept {
    return context_.stop.stop_requested() || (context_.deadline && std::chrono::steady_clock::now() >= *context_.deadline);
  }

  /// @throws Error (cancelled, timeout)
  void check() const {
    if (context_.stop.stop_requested()) throw Error{Errc::cancelled, "cancelled"};
    if (is_over()) throw Error{Errc::timeout, "the deadline passed"};
  }

 private:
  const CallContext& context_;
};

}  // namespace ecso::detail
