#pragma once

#include <ecso/detail/gateway/body_memory.hpp>
#include <ecso/detail/gateway/sweeper.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace ecso::detail::gateway {

/// How the body of a request is to come.
struct BodySchedule {
  static constexpr std::chrono::milliseconds look_every{1'000};

  Clock::time_point began;
  std::chrono::milliseconds time;  ///< 0: no limit.
  const Body* body;
  std::size_t length;  ///< 0: not known.

  [[nodiscard]] bool is_over(Clock::time_point now) const { return time.count() > 0 && now - began >= time; }
  [[nodiscard]] Clock::time_point next_look(Clock::time_point now) const {
    return time.count() == 0 ? Clock::time_point::max() : std::min(now + look_every, began + time);
  }
  /// It holds memory that others wait for, and will not have come when its time is over.
  [[nodiscard]] bool is_hopeless(Clock::time_point now, std::size_t unread_bytes) const {
    if (time.count() == 0 || length == 0 || body->room->waiting() == 0) return false;
    const double passed = std::chrono::duration<double>(now - began - look_every) / std::chrono::duration<double>(time);
    return static_cast<double>(body->size + unread_bytes) < passed * static_cast<double>(length);
  }
};

}  // namespace ecso::detail::gateway
