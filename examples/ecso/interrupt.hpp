#pragma once

#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

namespace ecso::command {

/// Turns Ctrl-C (SIGINT), SIGTERM and SIGHUP into a stop request while it lives; a second one ends the process at once. Make it
/// before any other thread.
class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  [[nodiscard]] std::stop_token token() const noexcept { return stop_.get_token(); }
  /// The signal that came, 0 if none has.
  [[nodiscard]] int signal() const noexcept { return signal_; }

 private:
  void wait();

  sigset_t signals_{};
  sigset_t before_{};
  std::stop_source stop_;
  std::atomic<int> signal_ = 0;
  std::atomic<bool> over_ = false;
  std::thread waiter_;
};

}  // namespace ecso::command
