#pragma once

#include <ecso/core/trace_json.hpp>
#include <ecso/detail/gateway/exchange.hpp>
#include <ecso/detail/gateway/note.hpp>
#include <ecso/detail/gateway/responder.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/gateway/anthropic_chat.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_chat.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::detail::gateway {

/// Answers a chat, whole, streamed, or as its trace: reads the body, waits for a place, runs the exchange, and says what it lets
/// out. Of one thread.
class ChatResponder : public Responder {
 protected:
  using Responder::Responder;

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
    connection_->watch([exchange = std::weak_ptr{exchange_}, connection = std::weak_ptr{connection_}] {
      if (const auto held = exchange.lock()) held->give_up(Error{Errc::cancelled, "the client went away"});
      if (const auto held = connection.lock()) held->wake();
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

  [[nodiscard]] std::weak_ptr<ChatResponder> weak_self() { return std::static_pointer_cast<ChatResponder>(shared_from_this()); }

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
    setup.headers = [session = weak_self()](const Upstream& upstream) {
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

  std::shared_ptr<Exchange> exchange_;
  std::string model_;
  std::string steps_;
  std::size_t request_bytes_ = 0;
};

}  // namespace ecso::detail::gateway
