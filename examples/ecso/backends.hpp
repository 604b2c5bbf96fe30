#pragma once

#include "settings.hpp"

#include <ecso/core/backend.hpp>

#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace ecso::command {

/// A backend with its decorators.
class BackendStack {
 public:
  explicit BackendStack(std::unique_ptr<MllmBackend> backend) { layers_.push_back(std::move(backend)); }

  /// Puts a decorator around what there is.
  template <typename Decorator, typename... Options>
  void wrap(Options&&... options) {
    layers_.push_back(std::make_unique<Decorator>(model(), std::forward<Options>(options)...));
  }

  /// Has checks made by another.
  void check_by(BackendStack checker);

  /// What calls go to.
  [[nodiscard]] MllmBackend& model() const noexcept { return *layers_.back(); }

 private:
  std::vector<std::unique_ptr<MllmBackend>> layers_;  // each around the one before it; the first goes last
};

/// The chosen backend, with another for checks where one is chosen. An OpenAI-compatible server whose dialect was not chosen is
/// asked what it is.
/// @throws UsageError if there is no such backend, Error if the server cannot be asked.
[[nodiscard]] BackendStack make_backend(const Settings& settings, const std::stop_token& stop = {});

struct BackendsOptions {
  std::string probe;
  bool json = false;
};

/// Lists the backends, or prints what the server at a URL is and can do. Gives the exit code.
[[nodiscard]] int backends(const BackendsOptions& options, const Settings& settings);

}  // namespace ecso::command
