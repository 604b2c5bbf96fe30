#pragma once

#include <ecso/detail/gateway/connection.hpp>
#include <ecso/detail/gateway/origin.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/detail/gateway/worker.hpp>
#include <ecso/gateway/anthropic_parts.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/openai_choice.hpp>
#include <ecso/gateway/options.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::detail::gateway {

/// What answering any request takes: who asks on which connection, and how responses and errors are said. Of one thread.
class Responder : public std::enable_shared_from_this<Responder> {
 public:
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;
  virtual ~Responder() = default;

 protected:
  using Endpoint = ecso::gateway::Endpoint;

  Responder(Worker& worker, std::shared_ptr<Connection> connection)
      : worker_{worker}, connection_{std::move(connection)}, view_{worker_.view} {}

  [[nodiscard]] const ecso::gateway::Options& options() const noexcept { return view_->options(); }
  [[nodiscard]] const ecso::gateway::Bounds* bounds() const noexcept { return &options().bounds; }
  [[nodiscard]] const RequestHead& head() const noexcept { return connection_->head(); }
  void count(ecso::gateway::Rejection reason) { worker_.shared->metrics->count(reason); }

  [[nodiscard]] const std::string& id() {
    if (!id_.empty()) return id_;
    static const std::uint64_t start = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32;
    id_ = fmt::format("{:08x}{:08x}", start & 0xFFFFFFFF,
                      worker_.shared->requests.fetch_add(1, std::memory_order_relaxed) & 0xFFFFFFFF);
    return id_;
  }

  [[nodiscard]] static std::string retry_after(std::chrono::milliseconds wait) {
    return fmt::format("retry-after: {}\r\n", std::max<long long>(1, (wait.count() + 999) / 1000));
  }

  [[nodiscard]] static std::string printable(std::string_view text) {
    std::string shown{text.substr(0, 100)};
    std::ranges::replace_if(shown, [](char c) { return c < ' ' || c > '~'; }, '?');
    return shown;
  }

  // --- Responses ---

  Task<bool> answer(int status, std::string content_type, std::string body) {
    Response response;
    response.status = status;
    response.content_type = std::move(content_type);
    response.body = std::move(body);
    return send(std::move(response));
  }

  /// Nothing follows a request whose body was not read: that body would be taken for the next one.
  Task<bool> send(Response response) {
    status_ = response.status;
    const bool has_unread_body = !is_body_read_ && (head().is_chunked || head().content_length > 0);
    if (has_unread_body || worker_.shared->is_draining) keeps_alive_ = false;
    response.headers += fmt::format("x-request-id: {}\r\n", id());
    response.headers += std::exchange(extra_headers_, {});
    response.headers += cors_headers();
    auto is_taken = co_await connection_->respond(std::move(response), keeps_alive_, bounds());
    if (is_taken) co_return keeps_alive_;
    auto goes_on = co_await gone();
    co_return goes_on;
  }

  /// An error in the words of the API that was asked.
  Task<bool> fail(int status, std::string_view code, std::string message) {
    error_ = std::move(message);
    if (status == 499) return gone();
    const bool is_anthropic = endpoint_ == Endpoint::messages;
    return answer(status, "application/json",
                  is_anthropic ? ecso::gateway::anthropic_error_body(status, code, error_)
                               : ecso::gateway::openai_error_body(code, error_));
  }

  Task<bool> gone() {
    status_ = 499;
    worker_.shared->metrics->count_client_gone();
    co_return false;
  }

  // --- Browsers ---

  [[nodiscard]] std::string cors_headers() const {
    if (head().origin.empty()) return {};
    for (const std::string& allowed : options().allowed_origins) {
      if (allowed != "*" && allowed != head().origin) continue;
      return fmt::format(
          "access-control-allow-origin: {}\r\nvary: origin\r\naccess-control-expose-headers: x-ecso-path, x-ecso-verdict, "
          "x-request-id, retry-after\r\n",
          allowed == "*" ? "*" : head().origin);
    }
    return {};
  }

  Task<bool> preflight(std::string_view method) {
    Response response;
    response.status = 204;
    response.content_type = "text/plain";
    if (!cors_headers().empty()) {
      response.headers = fmt::format(
          "access-control-allow-methods: {}\r\naccess-control-allow-headers: authorization, content-type, "
          "x-api-key, anthropic-version, anthropic-beta, x-ecso-policy, x-ecso-stream\r\n"
          "access-control-max-age: 600\r\n",
          method);
    }
    return send(std::move(response));
  }

  // --- Upstreams ---

  /// The upstream's key, or the client's where the gateway has none of its own to check.
  [[nodiscard]] std::string upstream_headers(const Upstream& upstream) const {
    std::string lines = head().forwarded;
    const Secret& key = upstream.options().key;
    const bool is_anthropic = endpoint_ == Endpoint::messages;
    if (!key.empty()) {
      lines += fmt::format("authorization: Bearer {}\r\n", key.reveal());
      if (is_anthropic) lines += fmt::format("x-api-key: {}\r\n", key.reveal());
    } else if (view_->config().keys.empty()) {
      lines += head().account;
      if (!head().authorization.empty()) lines += fmt::format("authorization: {}\r\n", head().authorization);
      if (!head().api_key.empty()) lines += fmt::format("x-api-key: {}\r\n", head().api_key);
    }
    return lines;
  }

  /// Waits for a place among the requests in flight; meanwhile and until `unwatch`, `on_gone` is called if the client goes away.
  Task<void> take_place(std::function<void()> on_gone, ecso::gateway::Gate::Lease* place) {
    connection_->watch([connection = std::weak_ptr{connection_}, on_gone = std::move(on_gone)] {
      on_gone();
      if (const auto held = connection.lock()) held->wake();
    });
    connection_->expire_after(bounds()->queue_timeout);
    co_await connection_->wait_for(worker_.shared->in_flight, 1, place);
    connection_->expire_never();
    if (!*place) connection_->unwatch();
  }

  /// There is no place.
  Task<bool> fail_without_place() {
    if (connection_->is_gone()) return gone();
    count(ecso::gateway::Rejection::queue);
    extra_headers_ = "retry-after: 1\r\n";
    return fail(429, "rate_limit_error", "too many requests are under way; try again in a moment");
  }

  Worker& worker_;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<const View> view_;  ///< Of the request that is served.
  Endpoint endpoint_ = Endpoint::other;
  std::string id_;
  std::string client_;
  std::string error_;
  std::string extra_headers_;
  int status_ = 0;
  bool keeps_alive_ = false;
  bool is_body_read_ = false;
};

}  // namespace ecso::detail::gateway
