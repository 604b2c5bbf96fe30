#pragma once

#include <ecso/detail/gateway/body_memory.hpp>
#include <ecso/detail/gateway/config.hpp>
#include <ecso/detail/gateway/memory_budget.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/gateway/call_queue.hpp>
#include <ecso/gateway/gate.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/rate_limit.hpp>
#include <ecso/gateway/request_record.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

class Connection;

/// What all threads of a gateway share.
struct Shared {
  explicit Shared(ecso::gateway::OnRequest on_request_) : on_request{std::move(on_request_)} {}

  std::shared_ptr<ecso::gateway::Metrics> metrics = std::make_shared<ecso::gateway::Metrics>();
  ecso::gateway::OnRequest on_request;
  std::shared_ptr<ecso::gateway::Gate> in_flight = std::make_shared<ecso::gateway::Gate>(ecso::gateway::Gate::Options{});
  std::shared_ptr<ecso::gateway::Gate> bodies = std::make_shared<ecso::gateway::Gate>(ecso::gateway::Gate::Options{});
  std::shared_ptr<MemoryBudget> answers = std::make_shared<MemoryBudget>(0);
  std::shared_ptr<BodyMemory> body_memory = std::make_shared<BodyMemory>();
  std::atomic<bool> is_draining{false};
  std::atomic<std::size_t> connections{0};
  std::atomic<std::uint64_t> requests{0};
};

/// A configuration with what outlives the next one where that has the same: the clients' rates, the places of upstreams.
struct Served {
  std::shared_ptr<const Config> config;
  std::shared_ptr<ecso::gateway::RateLimit> rate;
  std::vector<std::shared_ptr<ecso::gateway::Gate>> places;  ///< One an upstream; the same for
  std::vector<std::shared_ptr<ecso::gateway::CallQueue>> calls;
  std::vector<std::shared_ptr<Upstream::Learned>> learned;

  /// @param before may be null.
  [[nodiscard]] static std::shared_ptr<const Served> make(std::shared_ptr<const Config> config, const Served* before) {
    auto made = std::make_shared<Served>();
    const ecso::gateway::Bounds& bounds = config->options->bounds;
    const auto is_rate_of = [&](const ecso::gateway::Bounds& other) {
      return other.requests_per_second == bounds.requests_per_second && other.burst == bounds.burst;
    };
    made->rate = before != nullptr && is_rate_of(before->config->options->bounds)
                     ? before->rate
                     : std::make_shared<ecso::gateway::RateLimit>(bounds.requests_per_second, bounds.burst);
    for (const auto& upstream : config->options->upstreams) {
      const ecso::gateway::Gate::Options room{.capacity = upstream.max_connections};
      auto places = before == nullptr ? nullptr : before->places_of(upstream.name);
      if (places) places->resize(room);
      made->places.push_back(places ? std::move(places) : std::make_shared<ecso::gateway::Gate>(room));
      const auto turns = call_room(upstream, bounds);
      auto calls = before == nullptr ? nullptr : before->calls_of(upstream.name);
      if (calls) calls->use(turns);
      made->calls.push_back(calls ? std::move(calls) : std::make_shared<ecso::gateway::CallQueue>(turns));
      auto learned = before == nullptr ? nullptr : before->learned_of(upstream);
      made->learned.push_back(learned ? std::move(learned) : std::make_shared<Upstream::Learned>(upstream.dialect));
    }
    made->config = std::move(config);
    return made;
  }

 private:
  /// How many calls an upstream gets at once.
  [[nodiscard]] static ecso::gateway::CallQueue::Options call_room(const ecso::gateway::UpstreamOptions& upstream,
                                                                   const ecso::gateway::Bounds& bounds) {
    std::size_t fixed = upstream.max_in_flight;
    if (fixed == 0 && bounds.max_in_flight != 0) fixed = upstream.max_connections;
    if (fixed == 0) fixed = upstream.slots;
    if (fixed != 0) return {.capacity = std::min(fixed, upstream.max_connections)};
    return {.finding =
                ecso::gateway::ConcurrencyFinder::Options{.first = upstream.first_in_flight, .most = upstream.max_connections}};
  }

  [[nodiscard]] std::size_t place_of(const std::string& name) const {
    const auto& upstreams = config->options->upstreams;
    const auto found = std::ranges::find(upstreams, name, &ecso::gateway::UpstreamOptions::name);
    return static_cast<std::size_t>(found - upstreams.begin());
  }
  [[nodiscard]] std::shared_ptr<ecso::gateway::Gate> places_of(const std::string& name) const {
    const std::size_t place = place_of(name);
    return place == places.size() ? nullptr : places[place];
  }
  [[nodiscard]] std::shared_ptr<ecso::gateway::CallQueue> calls_of(const std::string& name) const {
    const std::size_t place = place_of(name);
    return place == calls.size() ? nullptr : calls[place];
  }

  /// Of an upstream of which nothing has changed.
  [[nodiscard]] std::shared_ptr<Upstream::Learned> learned_of(const ecso::gateway::UpstreamOptions& upstream) const {
    const auto& upstreams = config->options->upstreams;
    const auto found = std::ranges::find(upstreams, upstream);
    return found == upstreams.end() ? nullptr : learned[static_cast<std::size_t>(found - upstreams.begin())];
  }
};

/// What a request is served with from its head to its end, whatever is configured meanwhile. Of one thread.
struct View {
  std::shared_ptr<const Served> served;
  std::vector<std::shared_ptr<Upstream>> upstreams;

  [[nodiscard]] const Config& config() const noexcept { return *served->config; }
  [[nodiscard]] const ecso::gateway::Options& options() const noexcept { return *served->config->options; }

  /// @param names empty: all but those that check.
  [[nodiscard]] std::vector<std::shared_ptr<Upstream>> upstreams_named(const std::vector<std::string>& names) const {
    std::vector<std::shared_ptr<Upstream>> chosen;
    if (names.empty()) {
      std::ranges::copy_if(upstreams, std::back_inserter(chosen),
                           [&](const auto& upstream) { return !config().checkers.contains(upstream->options().name); });
    }
    for (const std::string& name : names) {
      if (auto found = upstream_named(name)) chosen.push_back(std::move(found));
    }
    return chosen;
  }

  /// Null if there is none of that name.
  [[nodiscard]] std::shared_ptr<Upstream> upstream_named(std::string_view name) const {
    const auto is_it = [&](const auto& upstream) { return upstream->options().name == name; };
    const auto found = std::ranges::find_if(upstreams, is_it);
    return found == upstreams.end() ? nullptr : *found;
  }

  /// Those that answer clients.
  [[nodiscard]] std::vector<std::shared_ptr<Upstream>> answering() const {
    std::vector<std::shared_ptr<Upstream>> chosen;
    std::ranges::copy_if(upstreams, std::back_inserter(chosen),
                         [&](const auto& upstream) { return config().answers(upstream->options().name); });
    return chosen;
  }

  /// Those that check for a policy that may be asked for, each once.
  [[nodiscard]] std::vector<std::shared_ptr<Upstream>> checking() const {
    std::vector<std::shared_ptr<Upstream>> chosen;
    for (const auto& policy : config().policies_in_use()) {
      auto checker = policy->check_upstream.empty() ? nullptr : upstream_named(policy->check_upstream);
      if (checker && std::ranges::find(chosen, checker) == chosen.end()) chosen.push_back(std::move(checker));
    }
    return chosen;
  }
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
  std::shared_ptr<const View> view;
  std::string not_ready;               ///< Why not, when somebody last asked; empty: all that it takes could be reached.
  Clock::time_point ready_asked_at{};  ///< and when that was.

  /// Requests from now on see this. An upstream of which nothing has changed keeps its connections and what was learned of it.
  void apply(std::shared_ptr<const Served> next) {
    auto made = std::make_shared<View>();
    const auto& options = next->config->options->upstreams;
    for (std::size_t i = 0; i < options.size(); ++i) {
      auto upstream = view ? same_as(options[i]) : nullptr;
      if (!upstream) {
        upstream = std::make_shared<Upstream>(context, options[i], next->config->upstream_urls[i], next->config->upstream_tls[i],
                                              next->places[i], next->calls[i], next->learned[i]);
      } else {
        upstream->renew_tls(next->config->upstream_tls[i]);
      }
      made->upstreams.push_back(std::move(upstream));
    }
    if (view) {
      for (const auto& old : view->upstreams) {
        if (std::ranges::find(made->upstreams, old) == made->upstreams.end()) old->report(*shared->metrics, true);
      }
    }
    made->served = std::move(next);
    view = std::move(made);
    ready_asked_at = {};
  }

 private:
  [[nodiscard]] std::shared_ptr<Upstream> same_as(const ecso::gateway::UpstreamOptions& options) const {
    const auto is_same = [&](const auto& upstream) { return upstream->options() == options; };
    const auto found = std::ranges::find_if(view->upstreams, is_same);
    return found == view->upstreams.end() ? nullptr : *found;
  }
};

}  // namespace ecso::detail::gateway
