#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/detail/call.hpp>
#include <ecso/detail/drive_flows.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/error.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <utility>

namespace ecso {

/// How to run one flow.
struct RunOptions {
  std::stop_token stop = {};              ///< Cancels: the calls under way are asked to give up, no other starts.
  std::chrono::milliseconds deadline{0};  ///< Time for all calls together; 0 sets none.
  std::size_t max_parallel = 8;  ///< Most calls of the flow at once; more than one only where the backend is `concurrent`.
};

/// An observer that looks away. An observer sees, in the thread that called `run`, each call before it goes out and the flow
/// after each result; what it throws ends the run with that exception.
struct NoObserver {
  void on_call(const PendingCall& /*call*/) const noexcept {}
  template <ModelFlow Flow>
  void on_result(const Flow& /*flow*/) const noexcept {}
};

/// Runs a flow to its end in this thread; calls that may go out together do, on threads of their own. A backend's exception
/// becomes the failure of its step. Calls that turn out not to be needed are cancelled, and `run` returns when they have given
/// up.
/// @throws Error (internal) if the flow is not done and has nothing pending, or if no thread can be had.
template <ModelFlow Flow, ModelBackend Backend, typename Observer = NoObserver>
void run(Flow& flow, Backend& backend, const RunOptions& options = {}, const Observer& observer = {}) {
  QueryScope query;
  const CallContext context{options.stop, detail::deadline_after(options.deadline), {}, &query};
  const bool parallel = options.max_parallel > 1 && backend.capabilities().concurrent;
  while (!flow.done()) {
    const std::span<const PendingCall> pending = flow.pending();
    if (pending.empty()) throw Error{Errc::internal, "a flow that is not done has no pending call"};
    const PendingCall& call = pending.front();
    if (parallel && (pending.size() > 1 || detail::wants_progress(flow, call.id))) break;
    observer.on_call(call);
    detail::deliver(flow, call.id, detail::call(backend, call.request, context));
    observer.on_result(flow);
  }
  if (flow.done()) return;

  struct Host {
    Flow* waiting;
    std::optional<std::chrono::steady_clock::time_point> until;
    QueryScope* scope;
    const Observer& observer;

    Flow* next() { return std::exchange(waiting, nullptr); }
    auto deadline() const { return until; }
    // Not its owner: the scope of these calls is that of the ones before them.
    auto query() const { return std::shared_ptr<QueryScope>{std::shared_ptr<void>{}, scope}; }
    void on_call(const PendingCall& call) const { observer.on_call(call); }
    void on_result(const Flow& seen) const { observer.on_result(seen); }
    void on_done(std::size_t, Flow*) const {}
  };
  Host host{&flow, context.deadline, &query, observer};
  detail::drive_flows(backend, options.max_parallel, options.stop, host);
}

}  // namespace ecso
