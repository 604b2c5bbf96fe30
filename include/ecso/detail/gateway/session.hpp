#pragma once

#include <ecso/detail/gateway/chat_responder.hpp>
#include <ecso/detail/gateway/model_list.hpp>
#include <ecso/detail/gateway/upstream_call.hpp>
#include <ecso/gateway/page.hpp>
#include <ecso/gateway/request_record.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
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
    if (self->worker_.config->tls) {
      connection.expire_after(self->worker_.config->options->bounds.header_timeout);
      auto error = co_await connection.wire().accept_tls(self->worker_.config->tls);
      if (error) co_return;
    }
    for (;;) {
      self->begin_request();
      auto head = co_await connection.read_head(self->bounds());
      if (head.none == Connection::NoRequest::closed) co_return;
      self->config_ = self->worker_.config;
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
    config_ = worker_.config;
    status_ = 0;
    endpoint_ = Endpoint::other;
    client_ = {};
    error_ = {};
    model_ = {};
    exchange_.reset();
    request_bytes_ = 0;
    keeps_alive_ = false;
    id_.clear();
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
    if (route == nullptr ||
        (!config_->serves_page && (route->endpoint == Endpoint::page || route->endpoint == Endpoint::protect))) {
      return fail(404, "not_found_error", fmt::format("there is nothing at {}", printable(head().path)));
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

  [[nodiscard]] static const Known* route_of(std::string_view path) {
    if (path.starts_with("/v1/models/")) path = "/v1/models";
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
    if (!config_->keys.empty()) {
      const auto presented = ecso::gateway::presented_key(head().authorization, head().api_key);
      const auto* key = presented ? config_->keys.find(*presented) : nullptr;
      if (key == nullptr) {
        count(ecso::gateway::Rejection::key);
        extra_headers_ = "www-authenticate: Bearer\r\n";
        return fail(401, "authentication_error",
                    presented ? "the API key is not known here" : "an API key is needed: Authorization: Bearer KEY");
      }
      client_ = key->name;
    }
    const auto wait = config_->rate.take(client_.empty() ? std::string_view{connection_->address()} : client_, Clock::now());
    if (!wait) return std::nullopt;
    count(ecso::gateway::Rejection::rate);
    extra_headers_ = retry_after(*wait);
    return fail(429, "rate_limit_error", "too many requests; wait as long as Retry-After says");
  }

  Task<bool> ready() {
    if (worker_.shared->is_draining) return answer(503, "text/plain", "draining\n");
    return ready_if_reachable();
  }

  Task<bool> ready_if_reachable() {
    bool is_reachable = false;
    for (const auto& upstream : worker_.upstreams) {
      auto reached = co_await reach(upstream);
      is_reachable = is_reachable || reached;
      if (is_reachable) break;
    }
    std::string body = is_reachable ? "ready\n" : "no upstream can be reached\n";
    auto goes_on = co_await answer(is_reachable ? 200 : 503, "text/plain", std::move(body));
    co_return goes_on;
  }

  /// Whether a connection can be had.
  Task<bool> reach(std::shared_ptr<Upstream> upstream) {
    error_code error;
    auto endpoints = co_await upstream->resolve(&error);
    for (const tcp::endpoint& endpoint : endpoints) {
      Probe probe{worker_.sweeper, Socket{upstream->executor()}};
      probe.expire_after(std::chrono::seconds{2});
      auto result = co_await probe.socket().async_connect(endpoint, awaited);
      if (!std::get<0>(result)) co_return true;
    }
    co_return false;
  }

  Task<bool> metrics() {
    auto& metrics = *worker_.shared->metrics;
    metrics.set(ecso::gateway::Level::connections, worker_.shared->connections);
    metrics.set(ecso::gateway::Level::in_flight, worker_.shared->in_flight->taken());
    metrics.set(ecso::gateway::Level::queued, worker_.shared->in_flight->waiting());
    metrics.set(ecso::gateway::Level::buffered_bytes, worker_.shared->bodies->taken());
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

  // --- Models ---

  Task<bool> models() {
    std::vector<std::string> bodies;
    std::optional<UpstreamResponse> failed;
    for (const auto& upstream : worker_.upstreams) {
      std::string body;
      auto call = std::make_shared<UpstreamCall>(worker_.sweeper, upstream);
      try {
        UpstreamRequest request{.method = "GET", .target = head().path.substr(3), .headers = upstream_headers(*upstream)};
        ResponseSink sink{.on_body = [&body](std::string_view bytes) { body += bytes; }};
        auto response = co_await call->send(call, std::move(request), std::move(sink));
        if (response.status < 300) {
          bodies.push_back(std::move(body));
        } else if (!failed) {
          failed = std::move(response);
        }
      } catch (const std::exception& thrown) {
        error_ = thrown.what();
      }
    }
    if (!bodies.empty()) {
      auto goes_on = co_await answer(200, "application/json", merged_model_lists(std::move(bodies)));
      co_return goes_on;
    }
    if (failed) {
      auto goes_on = co_await answer(failed->status, failed->content_type, failed->body);
      co_return goes_on;
    }
    auto goes_on = co_await fail(503, "overloaded_error", "no upstream can be reached");
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
        record.outcomes = exchange_->outcomes();
        record.conversation = &exchange_->chat().conversation();
      }
      worker_.shared->on_request(record);
    }
    exchange_.reset();
  }
};

}  // namespace ecso::detail::gateway
