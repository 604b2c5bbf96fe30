#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>

namespace ecso::detail {

/// A counting semaphore that serves in the order of arrival. A permit that comes back goes straight to whoever waits longest, so
/// nobody can overtake. Thread safe.
class FairSemaphore {
 public:
  using Clock = std::chrono::steady_clock;

  enum class Taken { yes, queue_full, stopped, too_late };

  FairSemaphore(std::size_t permits, std::size_t max_waiting) : free_{permits}, max_waiting_{max_waiting} {}
  FairSemaphore(const FairSemaphore&) = delete;
  FairSemaphore& operator=(const FairSemaphore&) = delete;

  /// Waits for a permit. Whoever has taken one gives it back with `release`.
  [[nodiscard]] Taken take(const std::stop_token& stop, const std::optional<Clock::time_point>& deadline) {
    std::unique_lock lock{mutex_};
    // As long as somebody waits, nothing is free.
    if (free_ > 0) {
      --free_;
      return Taken::yes;
    }
    if (queue_.size() >= max_waiting_) return Taken::queue_full;
    Waiter self;
    queue_.push_back(&self);
    const auto is_served = [&self] { return self.is_served; };
    const bool is_served_now =
        deadline ? self.turn.wait_until(lock, stop, *deadline, is_served) : self.turn.wait(lock, stop, is_served);
    if (is_served_now) return Taken::yes;
    std::erase(queue_, &self);
    return stop.stop_requested() ? Taken::stopped : Taken::too_late;
  }

  void release() {
    const std::lock_guard lock{mutex_};
    if (queue_.empty()) {
      ++free_;
      return;
    }
    Waiter& next = *queue_.front();
    queue_.pop_front();
    next.is_served = true;
    // Under the lock: without it the waiter could be gone.
    next.turn.notify_one();
  }

  [[nodiscard]] std::size_t waiting() const {
    const std::lock_guard lock{mutex_};
    return queue_.size();
  }

 private:
  struct Waiter {
    std::condition_variable_any turn;
    bool is_served = false;
  };

  mutable std::mutex mutex_;
  std::size_t free_;
  std::size_t max_waiting_;
  std::deque<Waiter*> queue_;
};

}  // namespace ecso::detail
