#pragma once

#include <ecso/detail/gateway/body_memory.hpp>
#include <ecso/detail/gateway/config.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/gateway/gate.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/request_record.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

class Connection;

/// What all threads of a gateway share.
struct Shared {
  explicit Shared(const ecso::gateway::Options& options, ecso::gateway::OnRequest on_request_)
      : on_request{std::move(on_request_)},
        in_flight{std::make_shared<ecso::gateway::Gate>(
            ecso::gateway::Gate::Options{options.bounds.max_in_flight, options.bounds.max_queued})},
        bodies{
            std::make_shared<ecso::gateway::Gate>(ecso::gateway::Gate::Options{.capacity = options.bounds.max_buffered_bytes})} {}

  std::shared_ptr<ecso::gateway::Metrics> metrics = std::make_shared<ecso::gateway::Metrics>();
  ecso::gateway::OnRequest on_request;
  std::shared_ptr<ecso::gateway::Gate> in_flight;
  std::shared_ptr<ecso::gateway::Gate> bodies;
  std::shared_ptr<BodyMemory> body_memory = std::make_shared<BodyMemory>();
  std::atomic<bool> is_draining{false};
  std::atomic<std::size_t> connections{0};
  std::atomic<std::uint64_t> requests{0};
};

/// A thread's own world: its event loop, its view of the configuration, its upstream connections, its clients.
struct Worker {
  explicit Worker(std::shared_ptr<Shared> shared_) : shared{std::move(shared_)} {}

  // What its coroutines leave when they are destroyed with the loop goes after it, what needs the loop before it.
  std::shared_ptr<Shared> shared;
  Sweeper sweeper;
  std::unordered_set<Connection*> connections;
  std::atomic<std::size_t> load{0};  ///< Connections given to it.
  asio::io_context context{1};
  std::shared_ptr<const Config> config;
  std::vector<std::shared_ptr<Upstream>> upstreams;

  /// Requests from now on see these options.
  void apply(std::shared_ptr<const Config> next, std::size_t workers) {
    std::vector<std::shared_ptr<Upstream>> made;
    for (const auto& options : next->options->upstreams) {
      const std::size_t share = (options.max_connections + workers - 1) / workers;
      made.push_back(std::make_shared<Upstream>(context, options, share));
    }
    for (const auto& upstream : upstreams) upstream->report(*shared->metrics, true);
    upstreams = std::move(made);
    config = std::move(next);
  }

  [[nodiscard]] std::vector<std::shared_ptr<Upstream>> upstreams_named(const std::vector<std::string>& names) const {
    if (names.empty()) return upstreams;
    std::vector<std::shared_ptr<Upstream>> chosen;
    for (const std::string& name : names) {
      const auto is_it = [&](const auto& upstream) { return upstream->options().name == name; };
      const auto found = std::ranges::find_if(upstreams, is_it);
      if (found != upstreams.end()) chosen.push_back(*found);
    }
    return chosen;
  }
};

}  // namespace ecso::detail::gateway
