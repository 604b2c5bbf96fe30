#pragma once

#include <ecso/core/protocol.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ecso {

/// Who makes the calls of an `AsyncRun`: an event loop's side of it. `start` begins a call and returns at once; the call is valid
/// only meanwhile, and its end comes back by `resume` or `fail` of the run, never from within `start`. What `start` throws is the
/// call's failure. `cancel` gives up a call that is not needed any more and must not throw; nothing need come back of it, and
/// what comes is ignored.
template <typename T>
concept AsyncCalls = requires(T& calls, const PendingCall& call, CallId id) {
  calls.start(call);
  calls.cancel(id);
};

/// Runs a flow under an event loop: starts what is pending, hands back what comes, cancels what the flow dropped. No threads, no
/// waiting, and no allocation but its lists. Not thread safe: one loop, or one strand. The flow and the calls must outlive it; it
/// cancels nothing when it ends itself.
///
///     ecso::AsyncRun run{protocol, calls};
///     run.begin();
///     // … as each call ends: run.resume(id, reply) or run.fail(id, error); then, if run.done(): protocol.outcome()
template <ModelFlow Flow, AsyncCalls Calls>
class AsyncRun {
 public:
  /// @param max_parallel most calls at once, at least 1.
  AsyncRun(Flow& flow, Calls& calls, std::size_t max_parallel = 8)
      : flow_{flow}, calls_{calls}, max_parallel_{std::max<std::size_t>(max_parallel, 1)} {}
  AsyncRun(const AsyncRun&) = delete;
  AsyncRun& operator=(const AsyncRun&) = delete;

  /// Starts the first calls. @throws Error (internal) if the flow is not done and has nothing pending; so do the others.
  void begin() { go_on(); }

  /// A call has its reply.
  void resume(CallId id, Reply reply) {
    if (!forget(id)) return;
    flow_.resume(id, std::move(reply));
    go_on();
  }

  /// A call has failed.
  void fail(CallId id, const Error& error) {
    if (!forget(id)) return;
    flow_.fail(id, error);
    go_on();
  }

  /// What there is of the text of a call, where the flow asked for it.
  void progress(CallId id, std::string text)
    requires ProgressFlow<Flow>
  {
    if (!is_under_way(id)) return;
    flow_.progress(id, std::move(text));
    go_on();
  }

  /// Ends the flow: every pending call fails with `error`, those under way are cancelled.
  void give_up(const Error& error) {
    while (!flow_.done()) {
      const auto pending = flow_.pending();
      if (pending.empty()) throw Error{Errc::internal, "a flow that is not done has no pending call"};
      flow_.fail(pending.front().id, error);
    }
    go_on();
  }

  [[nodiscard]] bool done() const { return flow_.done(); }

 private:
  [[nodiscard]] bool is_under_way(CallId id) const { return std::ranges::find(under_way_, id) != under_way_.end(); }

  [[nodiscard]] bool forget(CallId id) { return std::erase(under_way_, id) != 0; }

  [[nodiscard]] bool is_pending(CallId id) const {
    return !flow_.done() && std::ranges::any_of(flow_.pending(), [&](const PendingCall& call) { return call.id == id; });
  }

  void go_on() {
    cancel_dropped();
    while (!flow_.done()) {
      const std::span<const PendingCall> pending = flow_.pending();
      if (pending.empty()) throw Error{Errc::internal, "a flow that is not done has no pending call"};
      const auto next = std::ranges::find_if(pending, [&](const PendingCall& call) { return !is_under_way(call.id); });
      if (next == pending.end() || under_way_.size() >= max_parallel_) return;
      const CallId id = next->id;
      under_way_.push_back(id);
      const std::optional<Error> failure = start(*next);
      if (failure && forget(id)) {
        flow_.fail(id, *failure);
        cancel_dropped();
      }
    }
  }

  void cancel_dropped() {
    std::vector<CallId> dropped;
    std::ranges::copy_if(under_way_, std::back_inserter(dropped), [&](CallId id) { return !is_pending(id); });
    for (const CallId id : dropped) {
      if (forget(id)) calls_.cancel(id);
    }
  }

  [[nodiscard]] std::optional<Error> start(const PendingCall& call) {
    try {
      calls_.start(call);
      return std::nullopt;
    } catch (const Error& error) {
      return error;
    } catch (const std::exception& error) {
      return Error{Errc::internal, std::string{"starting the call threw: "} + error.what()};
    } catch (...) {
      return Error{Errc::internal, "starting the call threw something that is no std::exception"};
    }
  }

  Flow& flow_;
  Calls& calls_;
  std::size_t max_parallel_;
  std::vector<CallId> under_way_;
};

}  // namespace ecso
