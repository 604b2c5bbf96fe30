#pragma once

#include <ecso/detail/gateway/chat_responder.hpp>
#include <ecso/detail/gateway/connection.hpp>
#include <ecso/detail/gateway/model_query.hpp>
#include <ecso/detail/gateway/origin.hpp>
#include <ecso/detail/gateway/probe.hpp>
#include <ecso/gateway/page.hpp>
#include <ecso/gateway/request_record.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// Serves a client's connection, one request after the other: what is asked for, and whether it may be. Of one thread.
class Session final : public ChatResponder {
 public:
  Session(Worker& worker, std::shared_ptr<Connection> connection) : ChatResponder{worker, std::move(connection)} {}

  /// To the end of the connection.
  static Task<void> run(std::shared_ptr<Session> self) {
    Connection& connection = *self->connection_;
    if (const TlsContext tls = self->worker_.view->config().tls) {
      connection.expire_after(self->bounds()->header_timeout);
      auto error = co_await connection.wire().accept_tls(tls);
      if (error) co_return;
    }
    for (bool is_first = true;; is_first = false) {
      self->begin_request();
      auto head = co_await connection.read_head(self->bounds(), self->idle_time(is_first));
      if (head.none == Connection::NoRequest::closed) co_return;
      self->view_ = self->worker_.view;
      if (head.none) {
        self->count(ecso::gateway::Rejection::header);
        auto ignored = co_await self->fail(head.fault.status, "invalid_request_error", std::string{head.fault.message});
        static_cast<void>(ignored);
        self->finish_request();
        break;
      }
      auto goes_on = co_await self->serve();
      self->finish_request();
      if (!goes_on || self->worker_.shared->is_draining) break;
    }
    if (!connection.is_gone()) co_await connection.close_gently();
  }

 private:
  void begin_request() {
    view_ = worker_.view;
    status_ = 0;
    endpoint_ = Endpoint::other;
    client_ = {};
    error_ = {};
    model_ = {};
    request_bytes_ = 0;
    keeps_alive_ = false;
    id_.clear();
  }

  /// How long a client may wait before it asks.
  [[nodiscard]] std::chrono::milliseconds idle_time(bool is_first) const {
    // One that was let in at the last moment.
    if (worker_.shared->is_draining) return std::chrono::milliseconds{500};
    return is_first ? bounds()->header_timeout : bounds()->idle_timeout;
  }

  struct Known {
    std::string_view method;
    std::string_view path;
    Endpoint endpoint;
  };
  static constexpr std::array<Known, 8> known{{{"POST", "/v1/chat/completions", Endpoint::chat},
                                               {"POST", "/v1/messages", Endpoint::messages},
                                               {"POST", "/v1/ecso/protect", Endpoint::protect},
                                               {"GET", "/v1/models", Endpoint::models},
                                               {"GET", "/healthz", Endpoint::health},
                                               {"GET", "/readyz", Endpoint::ready},
                                               {"GET", "/metrics", Endpoint::metrics},
                                               {"GET", "/", Endpoint::page}}};

  /// Whether the connection may be used for another request.
  Task<bool> serve() {
    keeps_alive_ = head().keeps_alive && !worker_.shared->is_draining;
    const Known* const route = route_of(head().path);
    const bool is_page = route != nullptr && (route->endpoint == Endpoint::page || route->endpoint == Endpoint::protect);
    if (route == nullptr || (is_page && options().page == false)) {
      return fail(404, "not_found_error", fmt::format("there is nothing at {}", printable(head().path)));
    }
    if (is_page && !serves_page()) {
      return fail(
          404, "not_found_error",
          fmt::format("{} is served on a loopback address alone, to requests that name one as their host and that no proxy "
                      "has passed on; the operator may serve it to all by [page] enabled = true",
                      route->path));
    }
    endpoint_ = route->endpoint;
    const bool is_preflight = head().method == "OPTIONS" && !head().origin.empty();
    if (is_preflight) return preflight(route->method);
    const bool fits = head().method == route->method || (head().method == "HEAD" && route->method == "GET");
    if (!fits) {
      extra_headers_ = fmt::format("allow: {}\r\n", route->method == "GET" ? "GET, HEAD" : "POST");
      return fail(405, "invalid_request_error", fmt::format("{} takes {} alone", route->path, route->method));
    }
    switch (endpoint_) {
      case Endpoint::health: return answer(200, "text/plain", "ok\n");
      case Endpoint::ready: return ready();
      case Endpoint::metrics: return metrics();
      case Endpoint::page: return page();
      default: break;
    }
    if (auto refusal = refuse_client()) return std::move(*refusal);
    if (endpoint_ == Endpoint::models) return models();
    return chat();
  }

  /// To strangers' pages and through proxies only if the configuration says so.
  [[nodiscard]] bool serves_page() const {
    if (!view_->config().serves_page || options().page.has_value()) return view_->config().serves_page;
    return is_loopback_host(head().host) && !head().is_forwarded;
  }

  [[nodiscard]] static const Known* route_of(std::string_view path) {
    const auto found = std::ranges::find(known, path, &Known::path);
    return found == known.end() ? nullptr : &*found;
  }

  /// Why the client may not ask, if so.
  [[nodiscard]] std::optional<Task<bool>> refuse_client() {
    if (worker_.shared->is_draining) {
      count(ecso::gateway::Rejection::draining);
      extra_headers_ = "retry-after: 1\r\n";
      return fail(503, "overloaded_error", "this gateway is about to end; ask another one");
    }
    if (!head().origin.empty() && !is_allowed_origin(head().origin, head().host, options().allowed_origins)) {
      count(ecso::gateway::Rejection::origin);
      return fail(403, "permission_error",
                  "pages of other origins are not served; the operator may list them under [cors] origins");
    }
    const ecso::gateway::ClientKeys& keys = view_->config().keys;
    if (!keys.empty()) {
      const auto presented = ecso::gateway::presented_key(head().authorization, head().api_key);
      const auto* key = presented ? keys.find(*presented) : nullptr;
      if (key == nullptr) {
        count(ecso::gateway::Rejection::key);
        extra_headers_ = "www-authenticate: Bearer\r\n";
        return fail(401, "authentication_error",
                    presented ? "the API key is not known here" : "an API key is needed: Authorization: Bearer KEY");
      }
      client_ = key->name;
    }
    const auto wait =
        view_->served->rate->take(client_.empty() ? std::string_view{connection_->rate_name()} : client_, Clock::now());
    if (!wait) return std::nullopt;
    count(ecso::gateway::Rejection::rate);
    extra_headers_ = retry_after(*wait);
    return fail(429, "rate_limit_error", "too many requests; wait as long as Retry-After says");
  }

  Task<bool> ready() {
    if (worker_.shared->is_draining) return answer(503, "text/plain", "draining\n");
    return ready_if_reachable();
  }

  /// Asks the upstreams at most once a second.
  Task<bool> ready_if_reachable() {
    constexpr std::chrono::seconds good_for{1};
    if (Clock::now() - worker_.ready_asked_at >= good_for) {
      std::string why_not;
      const auto answering = view_->answering();
      auto is_reachable = co_await reach_any(worker_.sweeper, answering);
      if (!is_reachable) why_not = "no upstream can be reached\n";
      const auto checkers = view_->checking();
      for (std::size_t i = 0; i < checkers.size() && why_not.empty(); ++i) {
        const std::vector<std::shared_ptr<Upstream>> checker{checkers[i]};
        auto is_checker_reachable = co_await reach_any(worker_.sweeper, checker);
        if (!is_checker_reachable)
          why_not = fmt::format("the upstream {}, which checks, cannot be reached\n", checkers[i]->options().name);
      }
      worker_.not_ready = std::move(why_not);
      worker_.ready_asked_at = Clock::now();
    }
    const bool is_ready = worker_.not_ready.empty();
    std::string body = is_ready ? "ready\n" : worker_.not_ready;
    auto goes_on = co_await answer(is_ready ? 200 : 503, "text/plain", std::move(body));
    co_return goes_on;
  }

  Task<bool> metrics() {
    auto& metrics = *worker_.shared->metrics;
    metrics.set(ecso::gateway::Level::connections, worker_.shared->connections);
    metrics.set(ecso::gateway::Level::in_flight, worker_.shared->in_flight->taken());
    metrics.set(ecso::gateway::Level::queued, worker_.shared->in_flight->waiting());
    metrics.set(ecso::gateway::Level::buffered_bytes, worker_.shared->bodies->taken());
    for (const auto& upstream : view_->upstreams) metrics.set_calls(upstream->options().name, upstream->calls()->level());
    return answer(200, "text/plain; version=0.0.4", metrics.text());
  }

  Task<bool> page() {
    Response response;
    for (const auto& [name, value] : ecso::gateway::page_security_headers()) {
      if (is_equal_ignoring_case(name, "content-type")) {
        response.content_type = value;
      } else {
        response.headers += fmt::format("{}: {}\r\n", name, value);
      }
    }
    response.body = ecso::gateway::page_html;
    return send(std::move(response));
  }

  Task<bool> models() {
    auto query = std::make_shared<ModelQuery>(worker_.sweeper, connection_->wire().socket().get_executor(), view_->answering());
    const std::function<void()> on_gone = [query] { query->give_up(); };
    ecso::gateway::Gate::Lease place;
    co_await take_place(on_gone, &place);
    if (!place) {
      auto goes_on = co_await fail_without_place();
      co_return goes_on;
    }
    const std::function<std::string(const Upstream&)> headers = [this](const Upstream& upstream) {
      return upstream_headers(upstream);
    };
    co_await query->run(query, headers);
    connection_->unwatch();
    place = {};
    if (connection_->is_gone()) {
      auto goes_on = co_await gone();
      co_return goes_on;
    }
    if (auto list = query->list()) {
      auto goes_on = co_await answer(200, "application/json", std::move(*list));
      co_return goes_on;
    }
    const UpstreamResponse* const refusal = query->refusal();
    const int status = refusal == nullptr ? 503 : refusal->status;
    const std::string_view code = refusal == nullptr ? "overloaded_error" : "upstream_error";
    auto goes_on =
        co_await fail(status, code, refusal == nullptr ? "no upstream can be reached" : "the upstream does not list its models");
    co_return goes_on;
  }

  void finish_request() {
    is_body_read_ = false;
    extra_headers_.clear();
    const auto duration = Clock::now() - connection_->began();
    const auto upstream_time = exchange_ ? exchange_->upstream_time() : std::chrono::nanoseconds{0};
    worker_.shared->metrics->count(ecso::gateway::FinishedRequest{.endpoint = endpoint_,
                                                                  .status = status_,
                                                                  .duration = duration,
                                                                  .upstream_time = upstream_time,
                                                                  .request_bytes = request_bytes_,
                                                                  .response_bytes = connection_->sent_bytes()});
    if (worker_.shared->on_request) {
      ecso::gateway::RequestRecord record;
      record.id = id();
      record.client = client_;
      record.address = connection_->address();
      record.method = head().method;
      record.target = head().path;
      record.model = model_;
      record.status = status_;
      record.request_bytes = request_bytes_;
      record.response_bytes = connection_->sent_bytes();
      record.duration = duration;
      record.upstream_time = upstream_time;
      record.error = error_;
      if (exchange_ && exchange_->is_done()) {
        record.upstream = exchange_->upstream_name();
        record.checker = exchange_->checker_name();
        record.outcomes = exchange_->outcomes();
        record.conversation = &exchange_->chat().conversation();
      }
      worker_.shared->on_request(record);
    }
    end_chat();
  }
};

}  // namespace ecso::detail::gateway
