#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <optional>
#include <string_view>

namespace ecso::command {

/// SIGTERM, SIGINT and SIGHUP as values, in place of what they do by themselves, while it lives. Make it before any thread.
class ServiceSignals {
 public:
  ServiceSignals();
  ServiceSignals(const ServiceSignals&) = delete;
  ServiceSignals& operator=(const ServiceSignals&) = delete;
  ~ServiceSignals();

  /// The next signal; none if the time ran out.
  [[nodiscard]] std::optional<int> wait(std::chrono::milliseconds time) const;

 private:
  sigset_t signals_{};
  sigset_t before_{};
};

/// Tells systemd how the service is doing (sd_notify(3)); does nothing where NOTIFY_SOCKET is not set.
void notify_service_manager(std::string_view state);

/// READY=1 once more will follow. Carries the time that Type=notify-reload wants.
void notify_reloading();

/// As many open files as the system allows without asking.
/// @return how many that are
std::size_t raise_file_limit();

}  // namespace ecso::command
