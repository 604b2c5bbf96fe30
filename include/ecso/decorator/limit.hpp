#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/fair_semaphore.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <cstddef>

namespace ecso {

/// How many calls a backend gets at once.
struct LimitOptions {
  /// Most calls at once; 0: as many as the backend has slots, or 4 if that is not known. Always 1 for a backend that is not
  /// `concurrent`. Range 0 to 1'000'000.
  int max_in_flight = 0;
  std::size_t max_waiting = 1000;  ///< Most calls that wait; one more is refused at once.
};

/// A backend that gets no more than so many calls at once; the others wait in the order in which they came. Thread safe, and
/// `concurrent`, whatever the backend is: this is how several queries share a backend that takes one call at a time. The backend
/// must outlive it.
///
///     ecso::LimitBackend model{server, {.max_in_flight = 2}};
class LimitBackend final : public MllmBackend {
 public:
  /// @throws Error (bad_input) for an option out of its range.
  explicit LimitBackend(MllmBackend& backend, LimitOptions options = {})
      : backend_{backend}, options_{options}, permits_{permits_for(backend.capabilities(), options), options.max_waiting} {}

  /// @throws Error `rate_limited` if too many wait already; `cancelled` or `timeout` if stop or deadline come before its turn;
  /// and what the backend throws.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request, context);
  }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  /// The backend's, but always `concurrent`.
  [[nodiscard]] Capabilities capabilities() const override {
    Capabilities able = backend_.capabilities();
    able.concurrent = true;
    return able;
  }

  /// Calls that wait for their turn now.
  [[nodiscard]] std::size_t waiting() const { return permits_.waiting(); }

 private:
  [[nodiscard]] static std::size_t permits_for(const Capabilities& able, const LimitOptions& options) {
    if (options.max_in_flight < 0 || options.max_in_flight > 1'000'000)
      throw Error{Errc::bad_input, "limit options: max_in_flight must be 0 to 1000000"};
    if (!able.concurrent) return 1;
    constexpr int slots_if_unknown = 4;
    const int slots = able.slots > 0 ? able.slots : slots_if_unknown;
    return static_cast<std::size_t>(options.max_in_flight > 0 ? options.max_in_flight : slots);
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    using Taken = detail::FairSemaphore::Taken;
    switch (permits_.take(context.stop, context.deadline)) {
      case Taken::yes: break;
      case Taken::queue_full:
        throw Error{Errc::rate_limited, fmt::format("the queue is full: {} calls wait already", options_.max_waiting)};
      case Taken::stopped: throw Error{Errc::cancelled, "cancelled while the call waited for its turn"};
      case Taken::too_late: throw Error{Errc::timeout, "the deadline passed while the call waited for its turn"};
    }
    struct Permit {
      detail::FairSemaphore& permits;
      ~Permit() { permits.release(); }
    };
    const Permit permit{permits_};
    return backend_.generate(request, context);
  }

  MllmBackend& backend_;
  LimitOptions options_;
  detail::FairSemaphore permits_;
};

}  // namespace ecso
