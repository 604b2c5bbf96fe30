#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/backoff.hpp>
#include <ecso/detail/watch_text.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ecso {

/// Which errors a retry may cure.
namespace retry_when {

/// The server is busy, starting or not there: `rate_limited`, `unavailable`, and HTTP 408, 425, 429, 502, 503, 504 and 529
/// (Anthropic's "overloaded"). Not a call that ran out of its time, which would take as long again while many a server still
/// works on the first. Not HTTP 500: llama-server's are about the request and come again.
[[nodiscard]] inline bool passing(const Error& error) {
  if (error.code() == Errc::cancelled) return false;
  if (error.code() == Errc::rate_limited || error.code() == Errc::unavailable) return true;
  switch (error.context().http_status) {
    case 408:
    case 425:
    case 429:
    case 502:
    case 503:
    case 504:
    case 529: return true;
    default: return false;
  }
}

/// `passing`, and `server_error`: for servers whose HTTP 500 passes, such as the OpenAI API.
[[nodiscard]] inline bool also_server_errors(const Error& error) { return passing(error) || error.code() == Errc::server_error; }

/// `passing`, and `timeout`: for servers that give up the work of a call whose client has gone.
[[nodiscard]] inline bool also_timeouts(const Error& error) { return passing(error) || error.code() == Errc::timeout; }

}  // namespace retry_when

/// When and how often a call is made again.
struct RetryOptions {
  int max_attempts = 3;  ///< Calls, the first included. Range 1 to 100.
  /// The first retry waits for anything up to this; each further one for up to twice as long. Up to a day.
  std::chrono::milliseconds base_delay{200};
  std::chrono::milliseconds max_delay{10'000};  ///< Where the doubling ends. Up to a day.
  /// A server that wants to be left alone (Retry-After) for longer is not asked again. Up to a day.
  std::chrono::milliseconds max_retry_after{60'000};
  /// Which errors are worth another attempt; `cancelled` never is. Called by several threads at once.
  std::function<bool(const Error&)> worth_retrying = retry_when::passing;
  /// Retries in store, for all calls together, so that a server in trouble is not asked three times as much. 1 to 1'000'000.
  int budget = 10;
  int successes_per_retry = 10;  ///< So many calls that went well put one retry into the store. 1 to 1'000'000.
  std::optional<std::uint64_t> seed = std::nullopt;  ///< Of the waiting times; not set: another one each time.
};

/// A backend whose passing failures are tried again: exponential backoff with full jitter, not before the server's Retry-After.
/// Never past the deadline of the call, never after text of an answer went to `CallContext::on_text` (empty pieces do not go
/// there), never after a stop. As thread safe as the backend, which must outlive it.
///
///     ecso::RetryBackend model{server, {.max_attempts = 5}};
class RetryBackend final : public MllmBackend {
 public:
  /// @throws Error (bad_input) for an option out of its range.
  explicit RetryBackend(MllmBackend& backend, RetryOptions options = {})
      : backend_{backend},
        options_{checked(std::move(options))},
        backoff_{options_.base_delay, options_.max_delay, options_.seed},
        store_{full_store()} {}

  /// @throws the last call's error, with the number of calls in its message if there were several; Error (cancelled) if stopped
  /// while it waits; what the backend throws and is no Error, at once.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request, context);
  }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  [[nodiscard]] Capabilities capabilities() const override { return backend_.capabilities(); }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] static RetryOptions checked(RetryOptions options) {
    const auto is_delay = [](std::chrono::milliseconds delay) { return delay.count() >= 0 && delay <= std::chrono::hours{24}; };
    const auto is_count = [](int count, int most) { return count >= 1 && count <= most; };
    const auto require = [](bool holds, std::string_view what) {
      if (!holds) throw Error{Errc::bad_input, fmt::format("retry options: {}", what)};
    };
    require(is_count(options.max_attempts, 100), "max_attempts must be 1 to 100");
    require(is_delay(options.base_delay), "base_delay must be 0 to 24 h");
    require(is_delay(options.max_delay), "max_delay must be 0 to 24 h");
    require(is_delay(options.max_retry_after), "max_retry_after must be 0 to 24 h");
    require(is_count(options.budget, 1'000'000), "budget must be 1 to 1000000");
    require(is_count(options.successes_per_retry, 1'000'000), "successes_per_retry must be 1 to 1000000");
    require(static_cast<bool>(options.worth_retrying), "worth_retrying must be set");
    return options;
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    for (int attempt = 1;; ++attempt) {
      bool has_text = false;
      try {
        Reply reply = backend_.generate(request, detail::watch_text(context, [&has_text] { has_text = true; }));
        note_success();
        return reply;
      } catch (const Error& error) {
        const bool is_final = has_text || context.stop.stop_requested() || error.code() == Errc::cancelled;
        if (is_final || !options_.worth_retrying(error)) give_up(error, attempt);
        wait_after(error, attempt, context);
      }
    }
  }

  void wait_after(const Error& error, int attempt, const CallContext& context) {
    if (attempt >= options_.max_attempts) give_up(error, attempt);
    const auto asked = std::max(error.context().retry_after.value_or(std::chrono::milliseconds{0}), std::chrono::milliseconds{0});
    if (asked > options_.max_retry_after) give_up(error, attempt, "; the server wants no other soon enough");
    const Clock::time_point next = Clock::now() + asked + backoff_.delay(attempt);
    if (context.deadline && next >= *context.deadline) give_up(error, attempt, "; no time for another");
    if (!take_retry()) give_up(error, attempt, "; the retry budget is used up");
    if (detail::sleep_until(next, context.stop)) return;
    throw Error{Errc::cancelled, fmt::format("cancelled before attempt {}; the last one: {}", attempt + 1, error.message()),
                error.context()};
  }

  [[noreturn]] static void give_up(const Error& error, int attempts, std::string_view why = "") {
    if (attempts == 1 && why.empty()) throw Error{error};
    throw Error{error.code(), fmt::format("{} (after {} attempt{}{})", error.message(), attempts, attempts == 1 ? "" : "s", why),
                error.context()};
  }

  // The store counts in successes, so that it is exact.
  [[nodiscard]] std::int64_t full_store() const noexcept { return std::int64_t{options_.budget} * options_.successes_per_retry; }

  [[nodiscard]] bool take_retry() {
    const std::lock_guard lock{mutex_};
    if (store_ < options_.successes_per_retry) return false;
    store_ -= options_.successes_per_retry;
    return true;
  }

  void note_success() {
    const std::lock_guard lock{mutex_};
    store_ = std::min(store_ + 1, full_store());
  }

  MllmBackend& backend_;
  RetryOptions options_;
  detail::Backoff backoff_;
  std::mutex mutex_;
  std::int64_t store_;
};

}  // namespace ecso
