#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace ecso::detail {

/// Which of several servers may be called. One that failed is put aside for a while, twice as long after each further failure;
/// then a single call may try it (half-open), and what comes of that call decides. Time is handed in. Thread safe.
class ServerHealth {
 public:
  using Clock = std::chrono::steady_clock;
  using Duration = std::chrono::milliseconds;

  ServerHealth(std::size_t servers, Duration cool_down, Duration max_cool_down)
      : cool_down_{std::min(cool_down, max_cool_down)}, max_cool_down_{max_cool_down}, servers_(servers) {}

  enum class Why {
    healthy,
    probe,        ///< Its time aside is over: this call finds out whether it works again.
    last_resort,  ///< It is aside, as are all others that are left.
  };

  /// A server to call. What came of the call must be told: `answered`, `failed` or `nothing_learnt`.
  struct Choice {
    std::size_t server;
    Why why;
  };

  /// The first of `order` that is not aside; if there is none, the one that failed longest ago, where `last_resort` allows.
  [[nodiscard]] std::optional<Choice> choose(std::span<const std::size_t> order, bool last_resort, Clock::time_point now) {
    const std::lock_guard lock{mutex_};
    for (const std::size_t i : order) {
      Server& server = servers_[i];
      if (server.failures == 0) return Choice{i, Why::healthy};
      if (now < server.aside_until || server.is_probed) continue;
      server.is_probed = true;
      return Choice{i, Why::probe};
    }
    if (order.empty() || !last_resort) return std::nullopt;
    return Choice{*std::ranges::min_element(order, {}, [this](std::size_t i) { return servers_[i].last_failure; }),
                  Why::last_resort};
  }

  /// The server works.
  void answered(std::size_t i) {
    const std::lock_guard lock{mutex_};
    servers_[i] = {};
  }

  /// The server failed: it goes aside, for `at_least` that long if that is not longer than the longest time.
  void failed(std::size_t i, Clock::time_point now, Duration at_least = Duration{0}) {
    const std::lock_guard lock{mutex_};
    Server& server = servers_[i];
    server.last_failure = now;
    // Calls that were under way together fail together: that is one failure.
    if (server.failures > 0 && now < server.aside_until) return;
    Duration pause = cool_down_;
    for (int n = 0; n < server.failures && pause < max_cool_down_; ++n) {
      pause = pause <= max_cool_down_ / 2 ? pause * 2 : max_cool_down_;
    }
    server.failures = std::min(server.failures + 1, most_failures);
    server.aside_until = now + std::max(pause, std::min(at_least, max_cool_down_));
    server.is_probed = false;
  }

  /// The call says nothing of the server.
  void nothing_learnt(const Choice& choice) {
    const std::lock_guard lock{mutex_};
    if (choice.why == Why::probe) servers_[choice.server].is_probed = false;
  }

 private:
  struct Server {
    int failures = 0;  ///< In a row, those while it was aside not counted.
    Clock::time_point aside_until = {};
    Clock::time_point last_failure = {};
    bool is_probed = false;  ///< A call is trying whether it works again.
  };

  // 2^40 ms is longer than anybody's longest cool-down.
  static constexpr int most_failures = 40;

  Duration cool_down_;
  Duration max_cool_down_;
  std::mutex mutex_;
  std::vector<Server> servers_;
};

}  // namespace ecso::detail
