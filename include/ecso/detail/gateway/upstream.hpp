#pragma once

#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream_url.hpp>
#include <ecso/detail/gateway/wire.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/options.hpp>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// One upstream as one thread sees it: its address, and the connections that are kept for it.
class Upstream : public std::enable_shared_from_this<Upstream> {
 public:
  /// @throws Error (bad_input, tls) if URL or certificates are not usable.
  Upstream(asio::io_context& context, ecso::gateway::UpstreamOptions options, std::size_t max_connections)
      : executor_{context.get_executor()},
        resolver_{executor_},
        options_{std::move(options)},
        url_{parse_upstream_url(options_.url)},
        max_connections_{std::max<std::size_t>(max_connections, 1)} {
    if (url_.tls) tls_ = client_context();
    error_code not_an_address;
    const auto address = asio::ip::make_address(url_.host, not_an_address);
    if (!not_an_address) endpoints_ = {tcp::endpoint{address, url_.port}};
  }

  [[nodiscard]] const ecso::gateway::UpstreamOptions& options() const noexcept { return options_; }
  [[nodiscard]] const UpstreamUrl& url() const noexcept { return url_; }
  [[nodiscard]] const std::shared_ptr<asio::ssl::context>& tls() const noexcept { return tls_; }
  [[nodiscard]] const Executor& executor() const noexcept { return executor_; }

  /// Whether it could not be reached a moment ago.
  [[nodiscard]] bool is_down() const noexcept { return Clock::now() < down_until_; }
  void mark_down() noexcept { down_until_ = Clock::now() + options_.down_time; }
  void mark_up() noexcept { down_until_ = {}; }

  /// What checks may ask of it; grows plainer when it refuses a field.
  [[nodiscard]] const OpenAiDialect& dialect() const noexcept { return options_.dialect; }
  void set_dialect(OpenAiDialect dialect) { options_.dialect = std::move(dialect); }

  /// A connection that was used before and is not known to be closed; null if there is none.
  [[nodiscard]] std::unique_ptr<Wire> take_idle() {
    while (!idle_.empty()) {
      Idle last = std::move(idle_.back());
      idle_.pop_back();
      if (Clock::now() - last.since < options_.idle_timeout) return std::move(last.wire);
      idle_.clear();  // those before are older
    }
    return nullptr;
  }

  void keep(std::unique_ptr<Wire> wire) {
    constexpr std::size_t most_idle = 256;
    if (idle_.size() >= most_idle) idle_.pop_front();
    idle_.push_back({std::move(wire), Clock::now()});
  }

  /// Brings the metrics up to date; `is_over`: nothing of it counts any more.
  void report(ecso::gateway::Metrics& metrics, bool is_over = false) {
    const auto now_idle = static_cast<std::int64_t>(is_over ? 0 : idle_.size());
    const auto now_busy = static_cast<std::int64_t>(is_over ? 0 : busy_);
    if (now_idle == reported_idle_ && now_busy == reported_busy_) return;
    metrics.change_connections(options_.name, now_idle - reported_idle_, now_busy - reported_busy_);
    reported_idle_ = now_idle;
    reported_busy_ = now_busy;
  }

  /// Closes what has been idle too long.
  void tidy(Clock::time_point now) {
    while (!idle_.empty() && now - idle_.front().since >= options_.idle_timeout) idle_.pop_front();
  }

  /// A place among the connections that may be open at once.
  class Place {
   public:
    Place() = default;
    explicit Place(std::shared_ptr<Upstream> upstream) : upstream_{std::move(upstream)} {}
    Place(Place&&) = default;
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (upstream_) upstream_->leave();
    }

   private:
    std::shared_ptr<Upstream> upstream_;
  };

  /// One who waits for a place.
  struct Waiter {
    explicit Waiter(const Executor& executor) : changed{executor} {}

    Event changed;
    bool has_place = false;
    bool is_cancelled = false;
  };

  /// Waits for a place, in the order of coming. False if the wait was cancelled: `is_cancelled`, then `changed.signal()`.
  Task<bool> enter(std::shared_ptr<Waiter> waiter) {
    if (waiter->is_cancelled) co_return false;
    if (busy_ < max_connections_ && waiting_.empty()) {
      ++busy_;
      co_return true;
    }
    waiting_.push_back(waiter);
    while (!waiter->has_place && !waiter->is_cancelled) co_await waiter->changed.wait();
    if (!waiter->is_cancelled) co_return true;
    std::erase(waiting_, waiter);
    if (waiter->has_place) leave();
    co_return false;
  }

  /// Where it is, in the order to try.
  Task<std::vector<tcp::endpoint>> resolve(error_code* error) {
    if (!endpoints_.empty() && (is_address() || Clock::now() < resolved_until_)) co_return endpoints_;
    auto result = co_await resolver_.async_resolve(url_.host, std::to_string(url_.port), awaited);
    *error = std::get<0>(result);
    if (*error) co_return std::vector<tcp::endpoint>{};
    endpoints_.clear();
    for (const auto& entry : std::get<1>(result)) endpoints_.push_back(entry.endpoint());
    resolved_until_ = Clock::now() + std::chrono::seconds{30};
    co_return endpoints_;
  }

 private:
  friend class Place;

  struct Idle {
    std::unique_ptr<Wire> wire;
    Clock::time_point since;
  };

  /// Hands the place to who has waited longest.
  void leave() {
    if (waiting_.empty()) {
      --busy_;
      return;
    }
    const std::shared_ptr<Waiter> first = std::move(waiting_.front());
    waiting_.pop_front();
    first->has_place = true;
    first->changed.signal();
  }

  [[nodiscard]] bool is_address() const {
    error_code not_an_address;
    static_cast<void>(asio::ip::make_address(url_.host, not_an_address));
    return !not_an_address;
  }

  [[nodiscard]] std::shared_ptr<asio::ssl::context> client_context() const {
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
    error_code error;
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    if (options_.ca_file.empty()) {
      context->set_default_verify_paths(error);
    } else {
      context->load_verify_file(options_.ca_file, error);
    }
    if (error) throw Error{Errc::tls, "certificates to trust: " + error.message(), {.endpoint = options_.ca_file}};
    context->set_verify_mode(options_.verify_certificate ? asio::ssl::verify_peer : asio::ssl::verify_none);
    return context;
  }

  Executor executor_;
  asio::ip::basic_resolver<tcp, Executor> resolver_;
  ecso::gateway::UpstreamOptions options_;
  UpstreamUrl url_;
  std::size_t max_connections_;
  std::shared_ptr<asio::ssl::context> tls_;
  std::vector<tcp::endpoint> endpoints_;
  Clock::time_point resolved_until_{};
  Clock::time_point down_until_{};
  std::deque<Idle> idle_;
  std::size_t busy_ = 0;
  std::int64_t reported_idle_ = 0;
  std::int64_t reported_busy_ = 0;
  std::deque<std::shared_ptr<Waiter>> waiting_;
};

}  // namespace ecso::detail::gateway
