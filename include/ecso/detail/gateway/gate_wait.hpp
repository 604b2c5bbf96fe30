#pragma once

#include <ecso/detail/gateway/task.hpp>

#include <boost/asio/post.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace ecso::detail::gateway {

/// Waits for shares of gates in the thread of an event loop.
struct GateWait {
  /// Takes a share for `entrant` (of a `Gate` a weight, of a `CallQueue` a caller) if it can be had at once.
  template <typename Gate, typename Entrant>
  [[nodiscard]] static bool take_now(Gate& gate, const Entrant& entrant, typename Gate::Lease& lease) {
    auto entry = gate.enter(entrant, nullptr);
    if (entry.answer != Gate::Answer::granted) return false;
    lease = std::move(entry.lease);
    return true;
  }

  /// Waits for it. `*lease` is empty if it came to nothing: there can never be so much, or `gives_up()` after a signal of the
  /// event. What `*lease` held before is given back as soon as the new one is granted or stands in the queue: where others wait
  /// too, its order decides who is next.
  template <typename Gate, typename Entrant, typename GivesUp>
  static Task<void> wait(std::shared_ptr<Gate> gate, Entrant entrant, typename Gate::Lease* lease, std::shared_ptr<Event> changed,
                         Executor executor, GivesUp gives_up) {
    using Lease = typename Gate::Lease;
    struct Grant {
      Lease lease;
      bool has_come = false;
    };
    auto grant = std::make_shared<Grant>();
    auto entry = gate->enter(entrant, [grant, event = changed, executor](Lease given) {
      // It comes in the thread of whoever made room.
      grant->lease = std::move(given);
      asio::post(executor, [grant, event] {
        grant->has_come = true;
        event->signal();
      });
    });
    *lease = std::move(entry.lease);
    if (entry.answer != Gate::Answer::waiting) co_return;
    while (!grant->has_come && !gives_up()) co_await changed->wait();
    // Too late to be taken back, it is given back as soon as it comes.
    if (grant->has_come) {
      *lease = std::move(grant->lease);
    } else {
      static_cast<void>(gate->cancel(entry.ticket));
    }
  }
};

}  // namespace ecso::detail::gateway
