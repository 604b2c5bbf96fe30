#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/detail/drive_flows.hpp>
#include <ecso/drive/model_flow.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace ecso {

/// How to run many flows.
struct BatchOptions {
  /// Cancels: calls under way give up, no further flow is taken. Flows under way end as their failure says.
  std::stop_token stop = {};
  std::chrono::milliseconds deadline{0};  ///< Time for each flow from its start; 0 sets none.
  std::size_t max_in_flight = 8;  ///< Most calls at once over all flows, at least 1; 1 where the backend is not `concurrent`.
};

/// Runs flows as they come from `next` and gives each to `on_done` when it is done, in order of completion. Both are called from
/// this thread. A flow that fails does not touch the others. Holds no more flows than calls in flight.
/// @param next `std::optional<Flow>()`; an empty one ends the batch.
/// @param on_done `void(std::size_t index, Flow flow)`; the index counts calls of `next` from 0.
template <typename Next, ModelBackend Backend, typename OnDone>
  requires ModelFlow<typename std::invoke_result_t<Next&>::value_type>
void run_batch(Next next, Backend& backend, OnDone on_done, const BatchOptions& options = {}) {
  using Flow = typename std::invoke_result_t<Next&>::value_type;
  struct Host {
    Next& take;
    OnDone& give;
    std::chrono::milliseconds time;

    std::optional<Flow> next() { return take(); }
    auto deadline() const { return detail::deadline_after(time); }
    auto query() const { return std::make_shared<QueryScope>(); }
    void on_call(const PendingCall&) const {}
    void on_result(const Flow&) const {}
    void on_done(std::size_t index, std::optional<Flow>&& flow) { give(index, *std::move(flow)); }
  };
  Host host{next, on_done, options.deadline};
  const std::size_t max_calls = backend.capabilities().concurrent ? std::max<std::size_t>(options.max_in_flight, 1) : 1;
  detail::drive_flows(backend, max_calls, options.stop, host);
}

}  // namespace ecso
