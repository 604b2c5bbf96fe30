#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/detail/call.hpp>
#include <ecso/detail/call_pool.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace ecso::detail {

/// The moment `time` from now; none for 0.
[[nodiscard]] inline std::optional<std::chrono::steady_clock::time_point> deadline_after(std::chrono::milliseconds time) {
  if (time.count() == 0) return std::nullopt;
  constexpr std::chrono::milliseconds longest = std::chrono::hours{24 * 365};  // More would overflow the clock.
  return std::chrono::steady_clock::now() + std::min(time, longest);
}

/// A flow under way. `Holder` owns or points to it.
template <typename Holder>
struct ActiveFlow {
  ActiveFlow(Holder held, const std::stop_token& caller, std::optional<std::chrono::steady_clock::time_point> until)
      : flow{std::move(held)}, deadline{until}, chain{caller, [this] { stop.request_stop(); }} {}
  ActiveFlow(const ActiveFlow&) = delete;
  ActiveFlow& operator=(const ActiveFlow&) = delete;
  ~ActiveFlow() { stop.request_stop(); }

  Holder flow;
  std::stop_source stop;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::vector<CallId> started;
  std::stop_callback<std::function<void()>> chain;
};

/// Runs flows with at most `max_calls` calls under way at once, for a `host` that has, all called in the caller's thread:
/// `next()`, a holder of the next flow, or an empty one at the end; `deadline()` of a flow that starts now; `on_call(call)`
/// before a call goes out; `on_result(flow)` after a result was given to its flow; `on_done(index, holder)`, which takes a flow
/// that is done.
template <ModelBackend Backend, typename Host>
void drive_flows(Backend& backend, std::size_t max_calls, const std::stop_token& stop, Host& host) {
  using Holder = decltype(host.next());
  CallPool<Backend> pool{backend};
  std::map<std::size_t, ActiveFlow<Holder>> active;
  std::size_t in_flight = 0;
  std::size_t next_index = 0;
  bool more = true;

  const auto retire_if_done = [&](auto entry) {
    if (!(*entry->second.flow).done()) return;
    Holder holder = std::move(entry->second.flow);
    const std::size_t index = entry->first;
    active.erase(entry);
    host.on_done(index, std::move(holder));
  };

  while (true) {
    while (more && active.size() < max_calls && !stop.stop_requested()) {
      Holder holder = host.next();
      more = static_cast<bool>(holder);
      if (more) retire_if_done(active.try_emplace(next_index++, std::move(holder), stop, host.deadline()).first);
    }
    for (auto& [index, flow] : active) {
      for (const PendingCall& call : (*flow.flow).pending()) {
        if (in_flight == max_calls) break;
        if (std::ranges::find(flow.started, call.id) != flow.started.end()) continue;
        host.on_call(call);
        flow.started.push_back(call.id);
        pool.submit({index, call.id, call.request, {flow.stop.get_token(), flow.deadline}});
        ++in_flight;
      }
    }
    if (in_flight == 0 && !active.empty()) throw Error{Errc::internal, "a flow that is not done has no pending call"};
    if (in_flight == 0) return;
    auto ended = pool.wait();
    --in_flight;
    const auto entry = active.find(ended.flow);
    if (entry == active.end()) continue;
    deliver(*entry->second.flow, ended.id, std::move(ended.result));
    host.on_result(*entry->second.flow);
    retire_if_done(entry);
  }
}

}  // namespace ecso::detail
