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
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::detail::gateway {

/// Answers a chat, whole, streamed, or as its trace: reads the body, waits for a place, runs the exchange, and says what it lets
/// out. Of one thread.
class ChatResponder : public Responder {
 public:
  ChatResponder(const ChatResponder&) = delete;
  ChatResponder& operator=(const ChatResponder&) = delete;
  ~ChatResponder() override {
    if (exchange_) exchange_->abandon();
  }

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
    const std::function<void()> on_gone = [exchange = std::weak_ptr{exchange_}] {
      if (const auto held = exchange.lock()) held->give_up(Error{Errc::cancelled, "the client went away"});
    };
    co_await take_place(on_gone, &place_);
    if (!place_) {
      auto goes_on = co_await fail_without_place();
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
    if (!goes_on) co_return false;
    co_return keeps_alive_;
  }

  /// After a request, whatever came of it.
  void end_chat() {
    place_ = {};
    exchange_.reset();
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
    const ecso::gateway::Route* const route = view_->config().route_of(model_);
    if (route == nullptr && !options().routes.empty())
      throw Error{Errc::bad_input, "model: there is no route for \"" + printable(model_) + "\""};
    ExchangeSetup setup{
        .options = view_->config().options, .metrics = worker_.shared->metrics, .memory = worker_.shared->answers};
    setup.upstreams = view_->upstreams_named(route == nullptr ? std::vector<std::string>{} : route->upstreams);
    const std::shared_ptr<const Policy> policy = policy_for(route);
    setup.policy = view_->config().policies.of(policy);
    // That API goes on with an answer that stands last.
    if (policy->check_form == CheckForm::guard && policy->check_upstream.empty() && endpoint_ == Endpoint::messages) {
      throw Error{Errc::bad_input, "the policy " + policy->name +
                                       " asks a guard model in its own form, which the Messages API does not carry; the operator "
                                       "may name an upstream of chat completions by check.upstream"};
    }
    if (!policy->check_upstream.empty()) {
      setup.checker = view_->upstream_named(policy->check_upstream);
      if (!setup.checker) throw Error{Errc::internal, "a policy names no upstream for its checks"};
    }
    setup.stream = stream_mode();
    setup.query = head().query;
    // Weak, as the session holds the exchange that holds this.
    setup.headers = [session = weak_self()](const Upstream& upstream) {
      const auto self = session.lock();
      return self ? self->upstream_headers(upstream) : std::string{};
    };
    setup.is_trace = endpoint_ == Endpoint::protect;
    exchange_ = std::make_shared<Exchange>(worker_.sweeper, connection_->wire().socket().get_executor(), std::move(setup),
                                           std::move(chat));
  }

  [[nodiscard]] std::shared_ptr<const Policy> policy_for(const ecso::gateway::Route* route) const {
    if (!options().overrides.policy || head().policy.empty()) {
      return route != nullptr && route->policy ? route->policy : options().policy;
    }
    auto named = view_->config().policy_named(head().policy);
    if (!named) throw Error{Errc::bad_input, "x-ecso-policy: there is no policy \"" + printable(head().policy) + "\""};
    return named;
  }

  [[nodiscard]] ecso::gateway::StreamMode stream_mode() const {
    if (!options().overrides.stream_mode || head().stream_mode.empty()) return options().stream;
    const bool is_window = head().stream_mode == "window";
    if (!is_window && head().stream_mode != "hold") throw Error{Errc::bad_input, "x-ecso-stream: it is neither hold nor window"};
    return is_window ? ecso::gateway::StreamMode::window : ecso::gateway::StreamMode::hold;
  }

  Task<bool> finish_chat() {
    if (endpoint_ == Endpoint::protect) {
      return exchange_->chat().stream() ? stream_steps() : whole_outcome();
    }
    return exchange_->chat().stream() ? stream_chat() : whole_chat();
  }

  Task<void> wait_until_done() {
    while (!exchange_->is_done()) co_await exchange_->changed().wait();
    place_ = {};  // Whoever reads slowly keeps nobody else waiting.
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
    const auto begins_at = options().begin_after.count() > 0 ? Clock::now() + options().begin_after : Clock::time_point::max();
    while (!exchange_->is_done() && !exchange_->has_head() && Clock::now() < begins_at) {
      co_await exchange_->changed().wait(begins_at);
    }
    if (exchange_->is_done() && exchange_->failure() && !connection_->is_gone()) {
      place_ = {};
      auto goes_on = co_await fail_exchange(*exchange_->failure());
      co_return goes_on;
    }
    auto is_taken = co_await begin_stream();
    while (is_taken && !exchange_->is_done()) {
      std::string events = exchange_->take_events();
      if (events.empty()) {
        const auto until = Clock::now() + options().keep_alive;
        co_await exchange_->changed().wait(until);
        events = exchange_->take_events();
        if (events.empty() && Clock::now() >= until) events = keep_alive_comment;
      }
      is_taken = co_await connection_->write_stream(std::move(events), false, bounds());
    }
    place_ = {};
    if (!is_taken || connection_->is_gone()) {
      auto goes_on = co_await leave_stream();
      co_return goes_on;
    }
    std::string rest;
    auto failure = release_into(rest);
    if (failure) {
      error_ = failure->message;
      rest = exchange_->chat().error_event(failure->status, "ecso_unverified", failure->message);
    }
    auto goes_on = co_await end_stream(exchange_->take_events() + rest);
    co_return goes_on;
  }

  Task<bool> begin_stream() {
    if (head().is_http_10) keeps_alive_ = false;  // its end is that of the connection
    auto is_taken = co_await connection_->begin_stream(stream_head(), keeps_alive_, bounds());
    co_return is_taken;
  }

  Task<bool> end_stream(std::string events) {
    auto is_taken = co_await connection_->write_stream(std::move(events), true, bounds());
    if (is_taken) co_return true;
    auto goes_on = co_await gone();
    co_return goes_on;
  }

  /// The client takes no more of it.
  Task<bool> leave_stream() {
    exchange_->give_up(Error{Errc::cancelled, "the client went away"});
    return gone();
  }

  // --- The full trace ---

  /// A step as it is shown while others may still follow: nothing of an answer, nor of a prompt that quotes one.
  [[nodiscard]] static std::string shown_step(const StepRecord& record) {
    nlohmann::ordered_json shown{{"state", "finished"}};
    shown.update(to_json(record));
    if (record.step == Step::answer || record.step == Step::regenerate) shown.erase("reply");
    if (record.step != Step::caption) shown.erase("prompt");
    return "event: step\ndata: " + dump_json(shown) + "\n\n";
  }

  [[nodiscard]] StepWatcher watcher() {
    steps_.clear();
    if (endpoint_ != Endpoint::protect || !exchange_->chat().stream()) return {};
    const auto show = [session = weak_self()](std::string_view event) {
      const auto self = session.lock();
      if (!self || !self->exchange_) return;
      self->steps_ += event;
      self->exchange_->changed().signal();
    };
    return {.on_start =
                [show](const PendingCall& call) {
                  show(fmt::format("event: step\ndata: {{\"state\":\"started\",\"step\":\"{}\",\"round\":{},\"image\":{}}}\n\n",
                                   to_string(call.step()), call.round, call.image));
                },
            .on_end = [show](const StepRecord& record) { show(shown_step(record)); }};
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
    auto is_taken = co_await begin_stream();
    while (is_taken && (!exchange_->is_done() || !steps_.empty())) {
      if (steps_.empty()) {
        const auto until = Clock::now() + options().keep_alive;
        co_await exchange_->changed().wait(until);
        if (steps_.empty() && Clock::now() >= until) steps_ = keep_alive_comment;
      }
      std::string events = std::exchange(steps_, {});
      is_taken = co_await connection_->write_stream(std::move(events), false, bounds());
    }
    place_ = {};
    if (!is_taken || connection_->is_gone()) {
      auto goes_on = co_await leave_stream();
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
    auto goes_on = co_await end_stream(std::move(last));
    co_return goes_on;
  }

  static constexpr std::string_view keep_alive_comment = ": ecso\n\n";

  ecso::gateway::Gate::Lease place_;  ///< Among the requests in flight.
  std::shared_ptr<Exchange> exchange_;
  std::string model_;
  std::string steps_;
  std::size_t request_bytes_ = 0;
};

}  // namespace ecso::detail::gateway
