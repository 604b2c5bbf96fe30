#pragma once

#include <ecso/core/trace_json.hpp>
#include <ecso/detail/gateway/connection.hpp>
#include <ecso/detail/gateway/exchange.hpp>
#include <ecso/detail/gateway/model_list.hpp>
#include <ecso/detail/gateway/note.hpp>
#include <ecso/detail/gateway/worker.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/gateway/anthropic_chat.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_chat.hpp>
#include <ecso/gateway/page.hpp>
#include <ecso/gateway/request_record.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// Serves a client's connection, one request after the other: what is asked for, whether it may be, and what is said. Of one
/// thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Worker& worker, std::shared_ptr<Connection> connection) : worker_{worker}, connection_{std::move(connection)} {}

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
  using Endpoint = ecso::gateway::Endpoint;

  // --- A request ---

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

  [[nodiscard]] const ecso::gateway::Options& options() const noexcept { return *config_->options; }
  [[nodiscard]] const ecso::gateway::Bounds* bounds() const noexcept { return &config_->options->bounds; }
  [[nodiscard]] const RequestHead& head() const noexcept { return connection_->head(); }
  void count(ecso::gateway::Rejection reason) { worker_.shared->metrics->count(reason); }

  [[nodiscard]] const std::string& id() {
    if (!id_.empty()) return id_;
    static const std::uint64_t start = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32;
    id_ = fmt::format("{:08x}{:08x}", start & 0xFFFFFFFF,
                      worker_.shared->requests.fetch_add(1, std::memory_order_relaxed) & 0xFFFFFFFF);
    return id_;
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

  [[nodiscard]] static std::string retry_after(std::chrono::milliseconds wait) {
    return fmt::format("retry-after: {}\r\n", std::max<long long>(1, (wait.count() + 999) / 1000));
  }

  // --- Small answers ---

  [[nodiscard]] static std::string printable(std::string_view text) {
    std::string shown{text.substr(0, 100)};
    std::ranges::replace_if(shown, [](char c) { return c < ' ' || c > '~'; }, '?');
    return shown;
  }

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

  // --- Models ---

  Task<bool> models() {
    std::vector<std::string> bodies;
    std::optional<UpstreamResponse> failed;
    for (const auto& upstream : worker_.upstreams) {
      std::string body;
      auto call = std::make_shared<UpstreamCall>(worker_.sweeper, upstream);
      std::optional<Error> error;
      try {
        UpstreamRequest request{.method = "GET", .target = head().path.substr(3), .headers = upstream_headers(*upstream)};
        ResponseSink sink{.on_body = [&body](std::string_view bytes) { body += bytes; }};
        auto response = co_await call->send(call, std::move(request), std::move(sink));
        if (response.status < 300) {
          bodies.push_back(std::move(body));
        } else if (!failed) {
          failed = std::move(response);
        }
      } catch (const Error& thrown) {
        error = thrown;
      } catch (const std::exception& thrown) {
        error = Error{Errc::internal, thrown.what()};
      }
      if (error) error_ = error->what();
    }
    if (!bodies.empty()) {
      auto goes_on = co_await answer(200, "application/json", merged_model_lists(std::move(bodies)));
      co_return goes_on;
    }
    if (failed) {
      auto goes_on = co_await answer(failed->status, failed->content_type, failed->body);
      co_return goes_on;
    }
    auto goes_on = co_await fail(503, "overloaded_error", "no upstream can be reached: " + error_);
    co_return goes_on;
  }

  /// The upstream's key, or the client's where the gateway has none of its own to check.
  [[nodiscard]] std::string upstream_headers(const Upstream& upstream) const {
    std::string lines = head().forwarded;
    const Secret& key = upstream.options().key;
    const bool is_anthropic = endpoint_ == Endpoint::messages;
    if (!key.empty()) {
      lines += fmt::format("authorization: Bearer {}\r\n", key.reveal());
      if (is_anthropic) lines += fmt::format("x-api-key: {}\r\n", key.reveal());
    } else if (config_->keys.empty()) {
      if (!head().authorization.empty()) lines += fmt::format("authorization: {}\r\n", head().authorization);
      if (!head().api_key.empty()) lines += fmt::format("x-api-key: {}\r\n", head().api_key);
    }
    return lines;
  }

  // --- Chats ---

  Task<bool> chat() {
    auto body = std::make_shared<Body>();
    auto fault = co_await connection_->read_body(bounds(), worker_.shared->bodies, worker_.shared->body_memory, body.get());
    if (fault) {
      if (fault->status == 413) count(ecso::gateway::Rejection::too_large);
      if (fault->status == 503) extra_headers_ = "retry-after: 1\r\n";
      auto goes_on = co_await fail(fault->status, fault->status == 503 ? "overloaded_error" : "invalid_request_error",
                                   std::string{fault->message});
      co_return goes_on;
    }
    is_body_read_ = true;
    request_bytes_ = body->size;
    std::string problem;
    try {
      make_exchange(body);
    } catch (const Error& error) {
      problem = error.message();
    }
    body.reset();
    if (!problem.empty()) {
      auto goes_on = co_await fail(400, "invalid_request_error", std::move(problem));
      co_return goes_on;
    }

    ecso::gateway::Gate::Lease place;
    connection_->watch([exchange = std::weak_ptr{exchange_}, self = std::weak_ptr{shared_from_this()}] {
      if (const auto held = exchange.lock()) held->give_up(Error{Errc::cancelled, "the client went away"});
      if (const auto held = self.lock()) held->connection_->wake();
    });
    connection_->expire_after(bounds()->queue_timeout);
    auto is_in = co_await connection_->wait_for(worker_.shared->in_flight, 1, &place);
    connection_->expire_never();
    if (!is_in) {
      connection_->unwatch();
      if (connection_->is_gone()) {
        auto goes_on = co_await gone();
        co_return goes_on;
      }
      count(ecso::gateway::Rejection::queue);
      extra_headers_ = "retry-after: 1\r\n";
      auto goes_on = co_await fail(429, "rate_limit_error", "too many requests are under way; try again in a moment");
      co_return goes_on;
    }
    try {
      exchange_->begin(watcher());
    } catch (const Error& error) {
      problem = error.message();
    }
    if (!problem.empty()) {
      connection_->unwatch();
      auto goes_on = co_await fail(400, "invalid_request_error", std::move(problem));
      co_return goes_on;
    }
    auto goes_on = co_await finish_chat();
    connection_->unwatch();
    co_return goes_on&& keeps_alive_;
  }

  /// @throws Error (bad_input)
  void make_exchange(const std::shared_ptr<Body>& body) {
    const std::string_view text = body->view();
    std::unique_ptr<ecso::gateway::ClientChat> chat;
    if (endpoint_ == Endpoint::messages) {
      chat = std::make_unique<ecso::gateway::AnthropicChat>(body, text, options().chat);
    } else {
      chat = std::make_unique<ecso::gateway::OpenAiChat>(body, text, options().chat);
    }
    model_ = chat->model();
    const ecso::gateway::Route* const route = config_->route_of(model_);
    if (route == nullptr && !options().routes.empty())
      throw Error{Errc::bad_input, "model: there is no route for \"" + printable(model_) + "\""};
    ExchangeSetup setup{.options = config_->options, .metrics = worker_.shared->metrics};
    setup.upstreams = route == nullptr ? worker_.upstreams : worker_.upstreams_named(route->upstreams);
    setup.policy = route != nullptr && route->policy ? route->policy : options().policy;
    setup.stream = options().stream;
    setup.query = head().query;
    if (options().overrides.policy && !head().policy.empty()) {
      setup.policy = config_->policy_named(head().policy);
      if (!setup.policy) throw Error{Errc::bad_input, "x-ecso-policy: there is no policy \"" + printable(head().policy) + "\""};
    }
    if (options().overrides.stream_mode && !head().stream_mode.empty()) {
      const bool is_window = head().stream_mode == "window";
      if (!is_window && head().stream_mode != "hold")
        throw Error{Errc::bad_input, "x-ecso-stream: it is neither hold nor window"};
      setup.stream = is_window ? ecso::gateway::StreamMode::window : ecso::gateway::StreamMode::hold;
    }
    // Weak, as the session holds the exchange that holds this.
    setup.headers = [session = weak_from_this()](const Upstream& upstream) {
      const auto self = session.lock();
      return self ? self->upstream_headers(upstream) : std::string{};
    };
    setup.is_trace = endpoint_ == Endpoint::protect;
    exchange_ = std::make_shared<Exchange>(worker_.sweeper, connection_->wire().socket().get_executor(), std::move(setup),
                                           std::move(chat));
  }

  Task<bool> finish_chat() {
    if (endpoint_ == Endpoint::protect) {
      return exchange_->chat().stream() ? stream_steps() : whole_outcome();
    }
    return exchange_->chat().stream() ? stream_chat() : whole_chat();
  }

  Task<void> wait_until_done() {
    while (!exchange_->is_done()) co_await exchange_->changed().wait();
  }

  Task<bool> whole_chat() {
    co_await wait_until_done();
    if (connection_->is_gone()) {
      auto goes_on = co_await gone();
      co_return goes_on;
    }
    std::string body;
    auto failure = release_into(body);
    if (failure) {
      auto goes_on = co_await fail_exchange(std::move(*failure));
      co_return goes_on;
    }
    extra_headers_ = verdict_headers();
    auto goes_on = co_await answer(200, "application/json", std::move(body));
    co_return goes_on;
  }

  /// What leaves of the exchange, or why nothing does.
  [[nodiscard]] std::optional<ExchangeFailure> release_into(std::string& body) {
    if (auto failure = exchange_->failure()) return failure;
    try {
      body = exchange_->release();
      return std::nullopt;
    } catch (const std::exception&) {
      // Its message may quote what was not verified.
      return ExchangeFailure{.status = 502, .code = "bad_reply", .message = "the upstream's reply cannot be passed on"};
    }
  }

  [[nodiscard]] std::string verdict_headers() const {
    std::string paths;
    std::string verdicts;
    for (const Outcome* outcome : exchange_->outcomes()) {
      paths.append(paths.empty() ? "" : ", ").append(to_string(outcome->path));
      verdicts.append(verdicts.empty() ? "" : ", ").append(first_verdict(*outcome));
    }
    return fmt::format("x-ecso-path: {}\r\nx-ecso-verdict: {}\r\n", paths, verdicts);
  }

  Task<bool> fail_exchange(ExchangeFailure failure) {
    error_ = failure.message;
    if (failure.retry_after) extra_headers_ += retry_after(*failure.retry_after);
    if (failure.upstream) {
      Response response;
      response.status = failure.upstream->status;
      response.content_type = failure.upstream->content_type.empty() ? "text/plain" : failure.upstream->content_type;
      response.body = std::move(failure.upstream->body);
      return send(std::move(response));
    }
    return answer(failure.status, "application/json",
                  exchange_->chat().error_body(failure.status, "ecso_unverified", failure.message));
  }

  [[nodiscard]] Response stream_head() {
    Response response;
    response.content_type = "text/event-stream";
    response.headers = fmt::format("cache-control: no-cache\r\nx-accel-buffering: no\r\nx-request-id: {}\r\n", id());
    response.headers += cors_headers();
    status_ = 200;
    return response;
  }

  /// A stream: comments while it is held, then what was verified.
  Task<bool> stream_chat() {
    while (!exchange_->is_done() && !exchange_->has_head()) co_await exchange_->changed().wait();
    if (exchange_->is_done() && exchange_->failure() && !connection_->is_gone()) {
      auto goes_on = co_await fail_exchange(*exchange_->failure());
      co_return goes_on;
    }
    auto is_taken = co_await connection_->begin_stream(stream_head(), keeps_alive_, bounds());
    while (is_taken && !exchange_->is_done()) {
      std::string events = exchange_->take_events();
      if (events.empty()) {
        const auto until = Clock::now() + options().keep_alive;
        co_await exchange_->changed().wait(until);
        events = exchange_->take_events();
        if (events.empty() && Clock::now() >= until) events = ": ecso\n\n";
      }
      is_taken = co_await connection_->write_stream(std::move(events), false, bounds());
    }
    if (!is_taken || connection_->is_gone()) {
      exchange_->give_up(Error{Errc::cancelled, "the client went away"});
      auto goes_on = co_await gone();
      co_return goes_on;
    }
    std::string rest;
    auto failure = release_into(rest);
    if (failure) {
      error_ = failure->message;
      rest = exchange_->chat().error_event(failure->status, "ecso_unverified", failure->message);
    }
    std::string events = exchange_->take_events();
    events += rest;
    is_taken = co_await connection_->write_stream(std::move(events), true, bounds());
    if (is_taken) co_return true;
    auto goes_on = co_await gone();
    co_return goes_on;
  }

  // --- The full trace ---

  [[nodiscard]] StepWatcher watcher() {
    steps_.clear();
    if (endpoint_ != Endpoint::protect || !exchange_->chat().stream()) return {};
    return {.on_start =
                [this](const PendingCall& call) {
                  steps_ +=
                      fmt::format("event: step\ndata: {{\"state\":\"started\",\"step\":\"{}\",\"round\":{},\"image\":{}}}\n\n",
                                  to_string(call.step()), call.round, call.image);
                  exchange_->changed().signal();
                },
            .on_end =
                [this](const StepRecord& record) {
                  nlohmann::ordered_json shown{{"state", "finished"}};
                  shown.update(to_json(record));
                  const bool is_answer = record.step == Step::answer || record.step == Step::regenerate;
                  if (is_answer) shown.erase("reply");
                  if (is_answer) shown.erase("prompt");
                  steps_ += "event: step\ndata: " + dump_json(shown) + "\n\n";
                  exchange_->changed().signal();
                }};
  }

  [[nodiscard]] std::string outcome_json() const {
    nlohmann::ordered_json json = to_json(*exchange_->outcomes().front());
    if (options().simulated) json["simulated"] = true;
    return dump_json(json);
  }

  Task<bool> whole_outcome() {
    co_await wait_until_done();
    if (connection_->is_gone()) {
      auto goes_on = co_await gone();
      co_return goes_on;
    }
    if (exchange_->failure()) {
      auto goes_on = co_await fail_exchange(*exchange_->failure());
      co_return goes_on;
    }
    auto goes_on = co_await answer(200, "application/json", outcome_json());
    co_return goes_on;
  }

  Task<bool> stream_steps() {
    auto is_taken = co_await connection_->begin_stream(stream_head(), keeps_alive_, bounds());
    while (is_taken && (!exchange_->is_done() || !steps_.empty())) {
      if (steps_.empty()) {
        const auto until = Clock::now() + options().keep_alive;
        co_await exchange_->changed().wait(until);
        if (steps_.empty() && Clock::now() >= until) steps_ = ": ecso\n\n";
      }
      std::string events = std::exchange(steps_, {});
      is_taken = co_await connection_->write_stream(std::move(events), false, bounds());
    }
    if (!is_taken || connection_->is_gone()) {
      exchange_->give_up(Error{Errc::cancelled, "the client went away"});
      auto goes_on = co_await gone();
      co_return goes_on;
    }
    std::string last;
    if (const auto failure = exchange_->failure()) {
      error_ = failure->message;
      last = fmt::format("event: error\ndata: {}\n\n",
                         exchange_->chat().error_body(failure->status, "ecso_unverified", failure->message));
    } else {
      last = "event: outcome\ndata: " + outcome_json() + "\n\n";
    }
    is_taken = co_await connection_->write_stream(std::move(last), true, bounds());
    if (is_taken) co_return true;
    auto goes_on = co_await gone();
    co_return goes_on;
  }

  // --- What was ---

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

  Worker& worker_;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<const Config> config_;
  std::shared_ptr<Exchange> exchange_;
  Endpoint endpoint_ = Endpoint::other;
  std::string id_;
  std::string client_;
  std::string model_;
  std::string error_;
  std::string extra_headers_;
  std::string steps_;
  std::size_t request_bytes_ = 0;
  int status_ = 0;
  bool keeps_alive_ = false;
  bool is_body_read_ = false;
};

}  // namespace ecso::detail::gateway
