#pragma once

#include <ecso/core/request.hpp>

#include <chrono>
#include <optional>
#include <stop_token>

namespace ecso {

/// What a backend can do. The protocol asks for no more than this.
struct Capabilities {
  bool vision = true;          ///< Takes images.
  bool logprobs = false;       ///< Gives log-probabilities.
  bool forced_choice = false;  ///< Can be held to `CallOptions::choices`.
  bool concurrent = false;     ///< `generate` may be called from several threads at once.
  int slots = 0;               ///< Queries the server works on at once, for those who schedule them; 0: not known.

  bool operator==(const Capabilities&) const = default;
};

/// The circumstances of one call.
struct CallContext {
  std::stop_token stop = {};  ///< Asks the call to give up soon: throw Error (cancelled).
  /// When the call must be over: throw Error (timeout).
  std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt;
};

/// A multimodal model. Two functions to override; see `examples/01_first_backend.cpp`.
/// A call that fails throws `Error`; anything else thrown counts as Errc::internal. The driver calls from one thread at a time
/// unless `capabilities().concurrent`.
class MllmBackend {
 public:
  MllmBackend() = default;
  MllmBackend(const MllmBackend&) = delete;
  MllmBackend& operator=(const MllmBackend&) = delete;
  virtual ~MllmBackend() = default;

  /// Answers with the images.
  [[nodiscard]] virtual Reply generate(const VisionRequest& request, const CallContext& context) = 0;

  /// Answers from text alone.
  [[nodiscard]] virtual Reply generate(const TextRequest& request, const CallContext& context) = 0;

  /// Constant over the backend's life. The default is a model that sees and gives text, one call at a time.
  [[nodiscard]] virtual Capabilities capabilities() const { return {}; }
};

}  // namespace ecso
