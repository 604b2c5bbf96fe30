#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>

namespace ecso::detail {

/// How long to wait before a retry: exponential backoff with full jitter. Thread safe.
class Backoff {
 public:
  /// Without a seed, two programs started together wait for different times.
  Backoff(std::chrono::milliseconds base, std::chrono::milliseconds longest, std::optional<std::uint64_t> seed)
      : base_{base}, longest_{longest}, random_{seed ? *seed : std::random_device{}()} {}

  /// The longest wait before retry number `retry`, from 1: the base, doubled by each retry before.
  [[nodiscard]] std::chrono::milliseconds ceiling(int retry) const noexcept {
    std::chrono::milliseconds ceiling = std::min(base_, longest_);
    for (int i = 1; i < retry && ceiling < longest_ && ceiling.count() > 0; ++i) {
      ceiling = ceiling <= longest_ / 2 ? ceiling * 2 : longest_;
    }
    return ceiling;
  }

  /// Anything from nothing to the ceiling, all equally likely.
  [[nodiscard]] std::chrono::microseconds delay(int retry) {
    const std::chrono::microseconds most = ceiling(retry);
    const std::lock_guard lock{mutex_};
    return std::chrono::microseconds{std::uniform_int_distribution<std::int64_t>{0, most.count()}(random_)};
  }

 private:
  std::chrono::milliseconds base_;
  std::chrono::milliseconds longest_;
  std::mutex mutex_;
  std::mt19937_64 random_;
};

/// Sleeps until `time`, or until a stop is requested: then false, at once.
[[nodiscard]] inline bool sleep_until(std::chrono::steady_clock::time_point time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock{mutex};
  return !stopped.wait_until(lock, stop, time, [&stop] { return stop.stop_requested(); });
}

}  // namespace ecso::detail
