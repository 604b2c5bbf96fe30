#pragma once

#include <ecso/core/protocol.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/gateway/memory_budget.hpp>
#include <ecso/detail/gateway/served_policies.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/options.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ecso::detail::gateway {

/// What an exchange is made with.
struct ExchangeSetup {
  std::shared_ptr<const ecso::gateway::Options> options;
  std::shared_ptr<ecso::gateway::Metrics> metrics;
  std::shared_ptr<MemoryBudget> memory;                   ///< For what upstreams answer.
  std::vector<std::shared_ptr<Upstream>> upstreams = {};  ///< In the order to try them; at least one.
  std::shared_ptr<Upstream> checker = {};                 ///< Checks for the policy; null: the one that answers does.
  ServedPolicy policy = {};
  ecso::gateway::StreamMode stream = ecso::gateway::StreamMode::hold;
  std::string query = {};                                    ///< Of the client's target, with its question mark.
  std::function<std::string(const Upstream&)> headers = {};  ///< Lines for an upstream.
  bool is_trace = false;  ///< The steps are wanted, by a `StepWatcher`, and no stream of the answer.
};

/// Sees the steps of the first choice as they happen.
struct StepWatcher {
  std::function<void(const PendingCall&)> on_start = {};
  std::function<void(const StepRecord&)> on_end = {};
};

}  // namespace ecso::detail::gateway
