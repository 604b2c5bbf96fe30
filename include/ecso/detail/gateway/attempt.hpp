#pragma once

#include <ecso/backend/server_error.hpp>
#include <ecso/core/step.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/detail/gateway/upstream_call.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/call_queue.hpp>
#include <ecso/gateway/concurrency.hpp>
#include <ecso/gateway/metrics.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace ecso::detail::gateway {

/// Counts the calls of one exchange, and the time while at least one was under way. Of one thread.
class CallBook {
 public:
  explicit CallBook(std::shared_ptr<ecso::gateway::Metrics> metrics) : metrics_{std::move(metrics)} {}

  void begin() {
    if (under_way_++ == 0) busy_since_ = Clock::now();
  }
  void end(std::string_view upstream, Step step, const std::optional<Error>& error, std::chrono::nanoseconds duration) {
    if (--under_way_ == 0) busy_time_ += Clock::now() - busy_since_;
    const auto failure = error ? std::optional{error->code()} : std::nullopt;
    metrics_->count_call(upstream, step, failure, duration);
  }

  [[nodiscard]] std::chrono::nanoseconds busy_time() const noexcept { return busy_time_; }

 private:
  std::shared_ptr<ecso::gateway::Metrics> metrics_;
  std::size_t under_way_ = 0;
  Clock::time_point busy_since_{};
  std::chrono::nanoseconds busy_time_{0};
};

/// How a call of an upstream for a step went.
struct Attempt {
  std::optional<Error> error;
  std::optional<UpstreamResponse> refusal;  ///< What the upstream said, if that was no success.
  std::chrono::nanoseconds duration{0};
};

/// Whether a server says that it has no room for a call now.
[[nodiscard]] inline bool is_turned_away(const Error& error) {
  const int status = error.context().http_status;
  return status == 429 || status == 503 || status == 529;
}

/// Whether another upstream may do what this one did not. A request that a server may have begun to work on is not made again
/// after a timeout, and after a broken connection only if `may_resend`: if it was the request that broke the server, it would
/// break them all.
[[nodiscard]] inline bool may_try_another(const Error& error, const UpstreamCall& call, bool may_resend) {
  if (error.code() == Errc::cancelled) return false;
  const int status = error.context().http_status;
  if (is_turned_away(error) || status == 502 || status == 504) return true;
  if (call.has_response()) return false;
  const bool is_out_of_reach = error.code() == Errc::unavailable || error.code() == Errc::tls;
  if (call.is_sent()) return is_out_of_reach && may_resend;
  return is_out_of_reach || error.code() == Errc::timeout;
}

/// Tells the upstream's queue how a call went that had its turn. Nothing is learned from calls that were given up or never came
/// to an answer: how long they took is not what the server needs.
inline void note_call(const Upstream& upstream, Step step, const std::optional<Error>& error, Clock::time_point began) {
  using Went = ecso::gateway::ConcurrencyFinder::Went;
  const bool has_no_room = error && is_turned_away(*error);
  if (error && !has_no_room) return;
  upstream.calls()->note(step, has_no_room ? Went::turned_away : Went::well, began, Clock::now());
}

/// Makes one call when its turn has come, and notes what that tells of the upstream's health and of its room.
/// @param turn as `UpstreamCall::take_turn` has it; afterwards the call's own.
/// @param take_whole is called after a whole success; what it throws is the call's failure.
inline Task<Attempt> attempt(std::shared_ptr<UpstreamCall> call, std::shared_ptr<Upstream> upstream, Step step,
                             ecso::gateway::Caller caller, ecso::gateway::CallQueue::Lease* turn, UpstreamRequest request,
                             ResponseSink sink, std::function<void()> take_whole, CallBook* book) {
  Attempt made;
  auto since = Clock::now();
  book->begin();
  try {
    co_await call->take_turn(call, caller, turn);
    if (!*turn) throw call->cancelled();
    since = Clock::now();
    auto response = co_await call->send(call, std::move(request), std::move(sink));
    if (response.status >= 300) {
      made.error = server_error(response.status, response.body, response.retry_after, upstream->options().url);
      made.refusal = std::move(response);
    } else {
      take_whole();
    }
  } catch (const Error& error) {
    made.error = error;
  } catch (const std::exception& error) {
    made.error = Error{Errc::internal, error.what()};
  }
  made.duration = Clock::now() - since;
  if (*turn) note_call(*upstream, step, made.error, since);
  book->end(upstream->options().name, step, made.error, made.duration);
  const bool is_out_of_reach =
      made.error && !call->has_response() && (made.error->code() == Errc::unavailable || made.error->code() == Errc::tls);
  if (is_out_of_reach) upstream->mark_down();
  if (!made.error) upstream->mark_up();
  co_return made;
}

}  // namespace ecso::detail::gateway
