#pragma once

#include <ecso/core/query_scope.hpp>
#include <ecso/core/request.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>

namespace ecso {

/// What a backend can do. The protocol asks for no more than this.
struct Capabilities {
  bool vision = true;          ///< Takes images.
  bool logprobs = false;       ///< Gives log-probabilities.
  bool forced_choice = false;  ///< Can be held to `CallOptions::choices`.
  bool concurrent = false;     ///< `generate` may be called from several threads at once.
  bool streaming = false;      ///< Calls `CallContext::on_text` while it generates.
  bool prefix_cache = false;   ///< Reads only what is new of a prompt that begins like one before.
  /// Checks go to another model than the chat: what is known of one tells nothing of the other (`ByStep`).
  bool checks_elsewhere = false;
  bool check_vision = true;  ///< Whether checks may show images: a checker elsewhere may take text alone.
  int slots = 0;             ///< Queries the server works on at once, for those who schedule them; 0: not known.
  bool may_cut = false;      ///< Its server may cut a prompt that it has no room for without a word.
  int context_tokens = 0;    ///< Room for a call's prompt and answer, in tokens; 0: not known.

  bool operator==(const Capabilities&) const = default;
};

/// The circumstances of one call.
struct CallContext {
  std::stop_token stop = {};  ///< Asks the call to give up soon: throw Error (cancelled).
  /// When the call must be over: throw Error (timeout).
  std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt;
  /// If set, wants each piece of the reply's text as it comes, a token or so at a time, in the thread of the call. The pieces
  /// together are the text of the reply. What it throws breaks the call off. A backend that does not stream never calls it.
  /// The pieces are unverified: they are for whoever decides, never for whoever asked.
  std::function<void(std::string_view)> on_text = {};
  QueryScope* query = nullptr;  ///< The query that the call belongs to, if the driver says; valid while the call runs.
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
