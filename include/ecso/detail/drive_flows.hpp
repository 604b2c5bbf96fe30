#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/detail/call.hpp>
#include <ecso/detail/call_pool.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::detail {

/// The moment `time` from now; none for 0.
[[nodiscard]] inline std::optional<std::chrono::steady_clock::time_point> deadline_after(std::chrono::milliseconds time) {
  if (time.count() == 0) return std::nullopt;
  constexpr std::chrono::milliseconds longest = std::chrono::hours{24 * 365};  // More would overflow the clock.
  return std::chrono::steady_clock::now() + std::min(time, longest);
}

/// A call under way, stopped with its flow or alone.
struct StartedCall {
  StartedCall(CallId number, const std::stop_token& flow) : id{number}, chain{flow, [this] { stop.request_stop(); }} {}
  StartedCall(const StartedCall&) = delete;
  StartedCall& operator=(const StartedCall&) = delete;
  ~StartedCall() { stop.request_stop(); }

  CallId id;
  std::stop_source stop;
  std::stop_callback<std::function<void()>> chain;
};

/// A flow under way. `Holder` owns or points to it.
template <typename Holder>
struct ActiveFlow {
  ActiveFlow(Holder held, std::stop_token caller, std::optional<std::chrono::steady_clock::time_point> until,
             std::shared_ptr<QueryScope> scope)
      : flow{std::move(held)}, stop{std::move(caller)}, deadline{until}, query{std::move(scope)} {}

  /// Stops the calls that the flow does not wait for any more, and forgets them.
  void stop_dropped_calls() {
    const auto is_dropped = [&](const StartedCall& call) {
      return std::ranges::none_of((*flow).pending(), [&](const PendingCall& pending) { return pending.id == call.id; });
    };
    started.remove_if(is_dropped);
  }

  [[nodiscard]] bool has_started(CallId id) const {
    return std::ranges::any_of(started, [id](const StartedCall& call) { return call.id == id; });
  }

  Holder flow;
  std::stop_token stop;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::shared_ptr<QueryScope> query;
  std::list<StartedCall> started;
  std::size_t in_flight = 0;  // with those that were dropped and have not given up yet
};

/// Counts the tokens of a stream, as its pieces or as four bytes each, whichever are more, and calls `report(text)` at each of
/// `marks`.
template <typename Report>
class TokenMarks {
 public:
  TokenMarks(std::span<const int> marks, Report report) : marks_{marks.begin(), marks.end()}, report_{std::move(report)} {}

  void operator()(std::string_view piece) {
    text_ += piece;
    const std::size_t tokens = std::max(++pieces_, text_.size() / 4);
    bool is_reached = false;
    for (; next_ < marks_.size() && tokens >= static_cast<std::size_t>(marks_[next_]); ++next_) is_reached = true;
    if (is_reached) report_(text_);
  }

 private:
  std::vector<int> marks_;
  Report report_;
  std::string text_;
  std::size_t pieces_ = 0;
  std::size_t next_ = 0;
};

/// Whether a flow wants to know how a call gets on.
template <ModelFlow Flow>
[[nodiscard]] bool wants_progress(const Flow& flow, CallId id) {
  if constexpr (ProgressFlow<Flow>) return !flow.report_at(id).empty();
  return false;
}

/// Has the calls of a flow that wants to know of their progress report it.
template <typename Pool, typename Flow>
void report_progress(Pool& pool, const Flow& flow, typename Pool::Job& job) {
  if constexpr (ProgressFlow<Flow>) {
    const std::span<const int> marks = flow.report_at(job.id);
    if (marks.empty()) return;
    const auto report = [&pool, index = job.flow, id = job.id](const std::string& text) {
      pool.report({index, id, typename Pool::Progress{text}});
    };
    job.context.on_text = TokenMarks{marks, report};
  }
}

/// Runs flows with at most `max_calls` calls under way at once, for a `host` that has, all called in the caller's thread:
/// `next()`, a holder of the next flow, or an empty one at the end; `deadline()` and `query()`, the scope, of a flow that starts
/// now; `on_call(call)` before a call goes out; `on_result(flow)` after a result was given to its flow; `on_done(index, holder)`,
/// which takes a flow that is done.
///
/// No more flows are under way than the backend has slots, and each can always make one call, whatever the others do: so a flow
/// that holds a slot never waits for one that waits for a slot.
template <ModelBackend Backend, typename Host>
void drive_flows(Backend& backend, std::size_t max_calls, const std::stop_token& stop, Host& host) {
  using Holder = decltype(host.next());
  using Pool = CallPool<Backend>;
  Pool pool{backend};
  std::map<std::size_t, ActiveFlow<Holder>> active;
  std::map<std::size_t, std::size_t> dropped;  // calls of flows that are done
  std::size_t next_index = 0;
  bool more = true;
  const int slots = backend.capabilities().slots;
  const std::size_t max_flows = slots > 0 ? std::min(max_calls, static_cast<std::size_t>(slots)) : max_calls;

  const auto retire_if_done = [&](auto entry) {
    if (!(*entry->second.flow).done()) return;
    auto done = active.extract(entry);
    if (done.mapped().in_flight > 0) dropped.emplace(done.key(), done.mapped().in_flight);
    host.on_done(done.key(), std::move(done.mapped().flow));
  };

  // Every active flow is counted with one call at least: it may make one at any time.
  const auto count_calls = [&] {
    std::size_t calls = 0;
    for (const auto& [index, left] : dropped) calls += left;
    for (const auto& [index, flow] : active) calls += std::max<std::size_t>(flow.in_flight, 1);
    return calls;
  };

  while (true) {
    while (more && active.size() < max_flows && count_calls() < max_calls && !stop.stop_requested()) {
      Holder holder = host.next();
      more = static_cast<bool>(holder);
      if (more) retire_if_done(active.try_emplace(next_index++, std::move(holder), stop, host.deadline(), host.query()).first);
    }
    std::size_t taken = count_calls();
    bool is_anything_under_way = !dropped.empty();
    for (auto& [index, flow] : active) {
      for (const PendingCall& call : (*flow.flow).pending()) {
        if (flow.has_started(call.id)) continue;
        if (flow.in_flight > 0 && taken >= max_calls) break;
        if (flow.in_flight > 0) ++taken;
        host.on_call(call);
        StartedCall& started = flow.started.emplace_back(call.id, flow.stop);
        ++flow.in_flight;
        typename Pool::Job job{
            index, call.id, call.request, {started.stop.get_token(), flow.deadline, {}, flow.query.get()}, flow.query};
        report_progress(pool, *flow.flow, job);
        pool.submit(std::move(job));
      }
      if (flow.in_flight > 0) is_anything_under_way = true;
    }
    if (!is_anything_under_way && !active.empty()) throw Error{Errc::internal, "a flow that is not done has no pending call"};
    if (!is_anything_under_way) return;

    auto news = pool.wait();
    const auto entry = active.find(news.flow);
    const bool has_ended = std::holds_alternative<CallResult>(news.what);
    if (entry == active.end()) {
      const auto left = dropped.find(news.flow);
      if (has_ended && --left->second == 0) dropped.erase(left);
      continue;
    }
    ActiveFlow<Holder>& flow = entry->second;
    if (has_ended) {
      --flow.in_flight;
      deliver(*flow.flow, news.id, std::get<CallResult>(std::move(news.what)));
      host.on_result(*flow.flow);
    } else if constexpr (ProgressFlow<std::remove_cvref_t<decltype(*flow.flow)>>) {
      flow.flow->progress(news.id, std::get<typename Pool::Progress>(std::move(news.what)).text);
    }
    flow.stop_dropped_calls();
    retire_if_done(entry);
  }
}

}  // namespace ecso::detail
