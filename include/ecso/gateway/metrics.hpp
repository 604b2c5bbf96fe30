#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/detail/gateway/labelled_metrics.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/call_queue.hpp>
#include <ecso/version.hpp>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::gateway {

/// What was asked for, as metrics name it in the label "route": never the path that a client sent.
enum class Endpoint { chat, messages, models, protect, page, health, ready, metrics, other };

[[nodiscard]] constexpr std::string_view to_string(Endpoint endpoint) noexcept {
  constexpr std::string_view names[]{"chat", "messages", "models", "protect", "page", "health", "ready", "metrics", "other"};
  return names[static_cast<std::size_t>(endpoint)];
}

/// Why the gateway turned a request or a connection away.
enum class Rejection {
  rate,       ///< Its key or address asks too often.
  queue,      ///< Too many requests wait, or it waited too long.
  draining,   ///< The gateway is about to end.
  key,        ///< None, or nobody's.
  origin,     ///< A page of another origin asks.
  too_large,  ///< The body.
  header,     ///< Too large or malformed.
};

[[nodiscard]] constexpr std::string_view to_string(Rejection reason) noexcept {
  constexpr std::string_view names[]{"rate", "queue", "draining", "key", "origin", "too_large", "header"};
  return names[static_cast<std::size_t>(reason)];
}

/// What there is a number of at any moment.
enum class Level { connections, in_flight, queued, buffered_bytes };

/// One finished request, to be counted.
struct FinishedRequest {
  Endpoint endpoint = Endpoint::other;
  int status = 0;
  std::chrono::nanoseconds duration{0};
  std::chrono::nanoseconds upstream_time{0};  ///< While at least one upstream call was under way; the rest is the gateway's own.
  std::size_t request_bytes = 0;
  std::size_t response_bytes = 0;
};

/// Counts what a gateway does, and writes it for Prometheus. Every label's value is one of a fixed set or comes from the
/// configuration, never from a client. Thread safe; a count takes well below a microsecond.
class Metrics {
 public:
  Metrics() {
    gauge("ecso_build_info", "Always 1; the label tells the version.").Add({{"version", std::string{version}}}).Set(1);
    rejected_.make_all();
    clients_gone_.make_all();
    verdicts_.make_all();
    undecided_.make_all();
    tokens_.make_all();
  }
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// A request has been answered or given up.
  void count(const FinishedRequest& request) {
    const Endpoint route = request.endpoint;
    const bool is_status = request.status >= first_status && request.status <= last_status;
    requests_.at(route, is_status ? request.status - first_status : last_status - first_status + 1).Increment();
    request_seconds_.at(route).Observe(seconds(request.duration));
    own_seconds_.at(route).Observe(seconds(request.duration - request.upstream_time));
    request_bytes_.at(route).Increment(static_cast<double>(request.request_bytes));
    response_bytes_.at(route).Increment(static_cast<double>(request.response_bytes));
  }

  /// A choice has come to its end: its path, the verdicts of its checks before policy, and the tokens of all its calls.
  void count(const Outcome& outcome) {
    outcomes_.of(outcome.policy).at(outcome.path).Increment();
    for (const StepRecord& record : outcome.steps) {
      if (!record.verdict) continue;
      const int step = record.step == Step::recheck ? 1 : 0;
      verdicts_.at(step, *record.verdict).Increment();
      if (record.doubt != Doubt::none) undecided_.at(step, static_cast<int>(record.doubt) - 1).Increment();
    }
    const Usage usage = outcome.usage();
    tokens_.at(0).Increment(static_cast<double>(usage.prompt_tokens));
    tokens_.at(1).Increment(static_cast<double>(usage.cached_tokens));
    tokens_.at(2).Increment(static_cast<double>(usage.completion_tokens));
  }

  /// A call of an upstream is over. @param failure nothing if it went well.
  void count_call(std::string_view upstream, Step step, std::optional<Errc> failure, std::chrono::nanoseconds duration) {
    upstream_calls_.of(upstream).at(step, failure ? static_cast<int>(*failure) + 1 : 0).Increment();
    upstream_seconds_.of(upstream).at(step).Observe(seconds(duration));
  }

  /// The gateway has turned somebody away.
  void count(Rejection reason) { rejected_.at(reason).Increment(); }

  /// A client went away before it had its answer.
  void count_client_gone() { clients_gone_.at().Increment(); }

  /// Adds to a level; `by` may be negative.
  void change(Level level, std::int64_t by) { gauge_of(level).Increment(static_cast<double>(by)); }

  /// Sets a level that is counted elsewhere.
  void set(Level level, std::size_t to) { gauge_of(level).Set(static_cast<double>(to)); }

  /// Adds to the connections that there are to an upstream; both may be negative.
  void change_connections(std::string_view upstream, std::int64_t idle, std::int64_t busy) {
    auto& connections = upstream_connections_.of(upstream);
    connections.at(0).Increment(static_cast<double>(idle));
    connections.at(1).Increment(static_cast<double>(busy));
  }

  /// Sets how many calls an upstream gets at once, how many of them are under way, and how many wait.
  void set_calls(std::string_view upstream, const CallQueue::Level& level) {
    upstream_max_in_flight_.of(upstream).at().Set(static_cast<double>(level.capacity));
    upstream_in_flight_.of(upstream).at().Set(static_cast<double>(level.under_way));
    upstream_waiting_.of(upstream).at().Set(static_cast<double>(level.waiting));
  }

  /// All of it as "text/plain; version=0.0.4".
  [[nodiscard]] std::string text() const { return prometheus::TextSerializer{}.Serialize(registry_.Collect()); }

 private:
  using Counter = prometheus::Counter;
  using Gauge = prometheus::Gauge;
  using Histogram = prometheus::Histogram;

  static constexpr int first_status = 100;
  static constexpr int last_status = 599;

  inline static const std::vector<double> own_buckets{50e-6, 100e-6, 250e-6, 500e-6, 1e-3,   2.5e-3, 5e-3,
                                                      10e-3, 25e-3,  50e-3,  100e-3, 250e-3, 500e-3, 1};
  inline static const std::vector<double> request_buckets{5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1,
                                                          2.5,  5,     10,    30,    60,     120,    300};

  [[nodiscard]] static double seconds(std::chrono::nanoseconds time) {
    return std::max(std::chrono::duration<double>{time}.count(), 0.0);
  }

  [[nodiscard]] static detail::gateway::MetricLabel route() { return detail::gateway::enum_label("route", Endpoint::other); }
  [[nodiscard]] static detail::gateway::MetricLabel step() { return detail::gateway::enum_label("step", Step::recheck); }

  [[nodiscard]] static detail::gateway::MetricLabel status() {
    detail::gateway::MetricLabel label{"status", {}};
    for (int status = first_status; status <= last_status; ++status) label.values.push_back(std::to_string(status));
    label.values.emplace_back("other");
    return label;
  }

  [[nodiscard]] static detail::gateway::MetricLabel result() {
    detail::gateway::MetricLabel label = detail::gateway::enum_label("result", Errc::internal);
    label.values.insert(label.values.begin(), "ok");
    return label;
  }

  [[nodiscard]] prometheus::Family<Counter>& counter(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
  }
  [[nodiscard]] prometheus::Family<Gauge>& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
  }
  [[nodiscard]] prometheus::Family<Histogram>& histogram(const std::string& name, const std::string& help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_);
  }

  [[nodiscard]] Gauge& gauge_of(Level level) {
    switch (level) {
      case Level::connections: return connections_;
      case Level::in_flight: return in_flight_;
      case Level::queued: return queued_;
      case Level::buffered_bytes: return buffered_bytes_;
    }
    return connections_;
  }

  template <typename Metric>
  using Labelled = detail::gateway::LabelledMetrics<Metric>;
  template <typename Metric>
  using Named = detail::gateway::NamedMetrics<Metric>;

  prometheus::Registry registry_;
  Labelled<Counter> requests_{counter("ecso_requests_total", "Requests that were answered or given up."), {route(), status()}};
  Labelled<Histogram> request_seconds_{
      histogram("ecso_request_seconds", "From the first byte of a request to the last of its response."),
      {route()},
      {},
      request_buckets};
  Labelled<Histogram> own_seconds_{
      histogram("ecso_own_seconds", "What of a request's time no upstream call was under way."), {route()}, {}, own_buckets};
  Labelled<Counter> request_bytes_{counter("ecso_request_bytes_total", "Bytes of requests."), {route()}};
  Labelled<Counter> response_bytes_{counter("ecso_response_bytes_total", "Bytes of responses."), {route()}};
  Named<Counter> outcomes_{counter("ecso_outcomes_total", "How answers left: as they came, repaired, refused, or not at all."),
                           "policy",
                           {detail::gateway::enum_label("path", Path::failed)}};
  Labelled<Counter> verdicts_{counter("ecso_verdicts_total", "What checks said, before policy."),
                              {{"step", {"check", "recheck"}}, detail::gateway::enum_label("verdict", Verdict::undecided)}};
  Labelled<Counter> undecided_{
      counter("ecso_undecided_total", "Checks that left a doubt, by its kind."),
      {{"step", {"check", "recheck"}}, {"doubt", {"cut", "unclear", "harm_named", "figures", "stopped", "unread"}}}};
  Named<Counter> upstream_calls_{
      counter("ecso_upstream_calls_total", "Calls of upstreams that are over."), "upstream", {step(), result()}};
  Named<Histogram> upstream_seconds_{
      histogram("ecso_upstream_seconds", "Time of a call of an upstream."), "upstream", {step()}, request_buckets};
  Labelled<Counter> tokens_{
      counter("ecso_tokens_total", "Tokens that upstreams reported; the cached ones are among those of prompts."),
      {{"kind", {"prompt", "cached", "completion"}}}};
  Labelled<Counter> rejected_{counter("ecso_rejected_total", "Requests and connections that the gateway turned away."),
                              {detail::gateway::enum_label("reason", Rejection::header)}};
  Labelled<Counter> clients_gone_{counter("ecso_clients_gone_total", "Clients that went away before they had their answer."), {}};
  Gauge& connections_{gauge("ecso_connections", "Clients' open connections.").Add({})};
  Gauge& in_flight_{gauge("ecso_in_flight", "Requests that have upstream calls under way.").Add({})};
  Gauge& queued_{gauge("ecso_queued", "Requests that wait for a place among those.").Add({})};
  Gauge& buffered_bytes_{gauge("ecso_buffered_bytes", "Bytes of requests' bodies in memory.").Add({})};
  Named<Gauge> upstream_connections_{
      gauge("ecso_upstream_connections", "Connections to an upstream."), "upstream", {{"state", {"idle", "busy"}}}};
  Named<Gauge> upstream_max_in_flight_{
      gauge("ecso_upstream_max_in_flight", "Most calls of an upstream at once, as set or found."), "upstream", {}};
  Named<Gauge> upstream_in_flight_{gauge("ecso_upstream_in_flight", "Calls of an upstream that are under way."), "upstream", {}};
  Named<Gauge> upstream_waiting_{gauge("ecso_upstream_waiting", "Calls that wait for one of those to end."), "upstream", {}};
};

}  // namespace ecso::gateway
