#pragma once

#include <ecso/backend/learned_dialects.hpp>
#include <ecso/backend/openai_dialect.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/tls.hpp>
#include <ecso/detail/gateway/upstream_url.hpp>
#include <ecso/detail/gateway/wire.hpp>
#include <ecso/gateway/call_queue.hpp>
#include <ecso/gateway/gate.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/options.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// One upstream as one thread sees it: its address, its health, and the connections that are kept for it. Of one thread but for
/// `places` and `calls`.
class Upstream : public std::enable_shared_from_this<Upstream> {
 public:
  using Learned = LearnedDialects<OpenAiDialect>;

  /// @param places of all threads: one for each connection in use. @param calls of all threads: the turns of those that have the
  /// model work. @param learned of all threads.
  Upstream(asio::io_context& context, ecso::gateway::UpstreamOptions options, UpstreamUrl url, TlsContext tls,
           std::shared_ptr<ecso::gateway::Gate> places, std::shared_ptr<ecso::gateway::CallQueue> calls,
           std::shared_ptr<Learned> learned)
      : executor_{context.get_executor()},
        resolver_{executor_},
        options_{std::move(options)},
        url_{std::move(url)},
        tls_{std::move(tls)},
        places_{std::move(places)},
        calls_{std::move(calls)},
        learned_{std::move(learned)} {
    error_code not_an_address;
    const auto address = asio::ip::make_address(url_.host, not_an_address);
    if (not_an_address) return;
    endpoints_ = {tcp::endpoint{address, url_.port}};
    fresh_until_ = Clock::time_point::max();
  }

  [[nodiscard]] const ecso::gateway::UpstreamOptions& options() const noexcept { return options_; }
  [[nodiscard]] const UpstreamUrl& url() const noexcept { return url_; }
  [[nodiscard]] const TlsContext& tls() const noexcept { return tls_; }
  [[nodiscard]] const Executor& executor() const noexcept { return executor_; }
  [[nodiscard]] const std::shared_ptr<ecso::gateway::Gate>& places() const noexcept { return places_; }
  [[nodiscard]] const std::shared_ptr<ecso::gateway::CallQueue>& calls() const noexcept { return calls_; }

  /// Whether it could not be reached a moment ago.
  [[nodiscard]] bool is_down() const noexcept { return Clock::now() < down_until_; }
  void mark_down() noexcept { down_until_ = Clock::now() + options_.down_time; }
  void mark_up() noexcept { down_until_ = {}; }

  /// How its models may be asked.
  [[nodiscard]] Learned& learned() const noexcept { return *learned_; }

  /// A connection that was used before and is not known to be closed; null if there is none.
  [[nodiscard]] std::unique_ptr<Wire> take_idle() {
    while (!idle_.empty()) {
      Idle last = std::move(idle_.back());
      idle_.pop_back();
      if (Clock::now() - last.since >= options_.idle_timeout) {
        idle_.clear();  // those before are older
      } else if (last.wire->is_quiet()) {
        return std::move(last.wire);
      }
    }
    return nullptr;
  }

  void keep(std::unique_ptr<Wire> wire) {
    constexpr std::size_t most_idle = 256;
    if (idle_.size() >= most_idle) idle_.pop_front();
    idle_.push_back({std::move(wire), Clock::now()});
  }

  /// Certificates may have changed under the same name.
  void renew_tls(TlsContext tls) {
    if (tls) idle_.clear();
    tls_ = std::move(tls);
  }

  /// Closes what has been idle too long.
  void tidy(Clock::time_point now) {
    while (!idle_.empty() && now - idle_.front().since >= options_.idle_timeout) idle_.pop_front();
  }

  void count_call(int by) noexcept { busy_ += by; }

  /// Brings the metrics up to date; `is_over`: nothing of it counts any more.
  void report(ecso::gateway::Metrics& metrics, bool is_over = false) {
    const auto now_idle = static_cast<std::int64_t>(is_over ? 0 : idle_.size());
    const auto now_busy = is_over ? 0 : busy_;
    if (now_idle == reported_idle_ && now_busy == reported_busy_) return;
    metrics.change_connections(options_.name, now_idle - reported_idle_, now_busy - reported_busy_);
    reported_idle_ = now_idle;
    reported_busy_ = now_busy;
  }

  /// One who waits for the addresses.
  using Waiter = std::shared_ptr<Event>;

  /// Where it is, in the order to try; empty if that cannot be found out, for the reason in `*error`, or if `gives_up()` after a
  /// signal of the waiter. What was known before is good enough until something newer is.
  template <typename GivesUp>
  Task<std::vector<tcp::endpoint>> resolve(Waiter waiter, GivesUp gives_up, error_code* error) {
    if (Clock::now() >= fresh_until_) begin_lookup();
    if (endpoints_.empty() && is_looking_up_) {
      waiting_.push_back(waiter);
      while (is_looking_up_ && !gives_up()) co_await waiter->wait();
      std::erase(waiting_, waiter);
    }
    *error = lookup_error_;
    co_return endpoints_;
  }

  /// The addresses may be out of date.
  void doubt_addresses() noexcept {
    if (fresh_until_ != Clock::time_point::max()) fresh_until_ = {};
  }

 private:
  struct Idle {
    std::unique_ptr<Wire> wire;
    Clock::time_point since;
  };

  /// One for all who want to know.
  void begin_lookup() {
    if (std::exchange(is_looking_up_, true)) return;
    asio::co_spawn(executor_, look_up(shared_from_this()), asio::detached);
  }

  static Task<void> look_up(std::shared_ptr<Upstream> self) {
    constexpr std::chrono::seconds good_for{30};
    constexpr std::chrono::seconds again_after{1};
    const std::string port = std::to_string(self->url_.port);
    auto result = co_await self->resolver_.async_resolve(self->url_.host, port, awaited);
    self->is_looking_up_ = false;
    self->lookup_error_ = std::get<0>(result);
    self->fresh_until_ = Clock::now() + (self->lookup_error_ ? again_after : good_for);
    if (!self->lookup_error_) {
      self->endpoints_.clear();
      for (const auto& entry : std::get<1>(result)) self->endpoints_.push_back(entry.endpoint());
    }
    for (const Waiter& waiter : self->waiting_) waiter->signal();
  }

  Executor executor_;
  asio::ip::basic_resolver<tcp, Executor> resolver_;
  ecso::gateway::UpstreamOptions options_;
  UpstreamUrl url_;
  TlsContext tls_;
  std::shared_ptr<ecso::gateway::Gate> places_;
  std::shared_ptr<ecso::gateway::CallQueue> calls_;
  std::shared_ptr<Learned> learned_;
  std::vector<tcp::endpoint> endpoints_;
  std::vector<Waiter> waiting_;
  bool is_looking_up_ = false;
  error_code lookup_error_;
  Clock::time_point fresh_until_{};
  Clock::time_point down_until_{};
  std::deque<Idle> idle_;
  std::int64_t busy_ = 0;
  std::int64_t reported_idle_ = 0;
  std::int64_t reported_busy_ = 0;
};

}  // namespace ecso::detail::gateway
