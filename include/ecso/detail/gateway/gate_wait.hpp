#pragma once

#include <ecso/detail/gateway/task.hpp>
#include <ecso/gateway/gate.hpp>

#include <boost/asio/post.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace ecso::detail::gateway {

/// Waits for shares of gates in the thread of an event loop.
struct GateWait {
  /// Takes `weight` if it can be had at once.
  [[nodiscard]] static bool take_now(ecso::gateway::Gate& gate, std::size_t weight, ecso::gateway::Gate::Lease& lease) {
    auto entry = gate.enter(weight, nullptr);
    if (entry.answer != ecso::gateway::Gate::Answer::granted) return false;
    lease = std::move(entry.lease);
    return true;
  }

  /// Waits for `weight`. `*lease` is empty if it came to nothing: there can never be so much, or `gives_up()` after a signal of
  /// the event.
  template <typename GivesUp>
  static Task<void> wait(std::shared_ptr<ecso::gateway::Gate> gate, std::size_t weight, ecso::gateway::Gate::Lease* lease,
                         std::shared_ptr<Event> changed, Executor executor, GivesUp gives_up) {
    struct Grant {
      ecso::gateway::Gate::Lease lease;
      bool has_come = false;
    };
    auto grant = std::make_shared<Grant>();
    auto entry = gate->enter(weight, [grant, event = changed, executor](ecso::gateway::Gate::Lease given) {
      // It comes in the thread of whoever made room.
      grant->lease = std::move(given);
      asio::post(executor, [grant, event] {
        grant->has_come = true;
        event->signal();
      });
    });
    if (entry.answer == ecso::gateway::Gate::Answer::granted) *lease = std::move(entry.lease);
    if (entry.answer != ecso::gateway::Gate::Answer::waiting) co_return;
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
