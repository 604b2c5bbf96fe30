#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

namespace ecso::gateway {

/// Lets in as much as fits, and has the rest wait its turn: requests in flight with a weight of 1 each, bodies with their bytes.
/// First come, first served: what is heavy is not overtaken for ever by what is light. Thread safe; it must outlive its leases.
///
///     ecso::gateway::Gate gate{{.capacity = 4'096, .max_waiting = 16'384}};
///     auto entry = gate.enter(1, [](ecso::gateway::Gate::Lease lease) { /* later, in another thread */ });
class Gate {
 public:
  struct Options {
    std::size_t capacity = 0;                                           ///< Most weight inside at once.
    std::size_t max_waiting = std::numeric_limits<std::size_t>::max();  ///< Most that wait.
  };

  /// A weight that is inside. Gives it back when it ends.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept : gate_{std::exchange(other.gate_, nullptr)}, weight_{std::exchange(other.weight_, 0)} {}
    Lease& operator=(Lease&& other) noexcept {
      Lease taken{std::move(other)};
      std::swap(gate_, taken.gate_);
      std::swap(weight_, taken.weight_);
      return *this;
    }
    ~Lease() {
      if (gate_ != nullptr) gate_->give_back(weight_);
    }

    /// Whether there is one.
    [[nodiscard]] explicit operator bool() const noexcept { return gate_ != nullptr; }
    [[nodiscard]] std::size_t weight() const noexcept { return weight_; }

    /// Takes `more` if it fits now, even before those who wait: they wait for this one. There is no waiting for more, since two
    /// who did would wait for each other. False of no lease.
    [[nodiscard]] bool try_grow(std::size_t more) {
      if (gate_ == nullptr || !gate_->try_add(more)) return false;
      weight_ += more;
      return true;
    }

   private:
    friend class Gate;
    Lease(Gate& gate, std::size_t weight) noexcept : gate_{&gate}, weight_{weight} {}

    Gate* gate_ = nullptr;
    std::size_t weight_ = 0;
  };

  /// Names one who waits; never given twice.
  using Ticket = std::uint64_t;

  enum class Answer {
    granted,    ///< `lease` is it.
    waiting,    ///< `ticket` names it.
    full,       ///< Too many wait, or it would have to and has nobody to call.
    too_heavy,  ///< More than the capacity: it would wait for ever.
  };

  struct Entry {
    Answer answer = Answer::full;
    Lease lease = {};
    Ticket ticket = 0;
  };

  /// Takes the lease, in the thread of whoever made room: one at a time, without a lock held. Must not throw, and be quick. It
  /// may be called before the `enter` that it was given to has returned, and may use the gate.
  using OnGrant = std::function<void(Lease lease)>;

  explicit Gate(const Options& options) : options_{options} {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  /// Those who wait are forgotten.
  ~Gate() { forget_waiting(); }

  /// @param on_grant is called later if the answer is `waiting`. Empty: rather than wait, it does not come in.
  [[nodiscard]] Entry enter(std::size_t weight, OnGrant on_grant) {
    const std::lock_guard lock{mutex_};
    if (weight > options_.capacity) return {.answer = Answer::too_heavy};
    if (waiting_.empty() && fits(weight)) {
      taken_ += weight;
      return {.answer = Answer::granted, .lease = Lease{*this, weight}};
    }
    if (on_grant == nullptr || waiting_.size() >= options_.max_waiting) return {.answer = Answer::full};
    const Ticket ticket = ++last_ticket_;
    waiting_.emplace_hint(waiting_.end(), ticket, Waiter{weight, std::move(on_grant)});
    return {.answer = Answer::waiting, .ticket = ticket};
  }

  /// No longer waits. False if it does not wait any more: then its lease has come, or is about to.
  bool cancel(Ticket ticket) {
    std::unique_lock lock{mutex_};
    const auto waiter = waiting_.extract(ticket);
    if (waiter.empty()) return false;
    hand_out(lock);
    lock.unlock();  // Before what the callback owns goes: it may give back.
    return true;
  }

  /// Forgets all who wait, uncalled: for the end, before that which their callbacks would use goes.
  void forget_waiting() {
    decltype(waiting_) forgotten;
    const std::lock_guard lock{mutex_};
    forgotten.swap(waiting_);  // They end after the lock does: what they own may give back.
  }

  /// Changes the bounds. What is inside or waits already stays, and one that is now too heavy comes in when it is alone.
  void resize(const Options& options) {
    std::unique_lock lock{mutex_};
    options_ = options;
    hand_out(lock);
  }

  /// The weight inside.
  [[nodiscard]] std::size_t taken() const {
    const std::lock_guard lock{mutex_};
    return taken_;
  }

  /// How many wait.
  [[nodiscard]] std::size_t waiting() const {
    const std::lock_guard lock{mutex_};
    return waiting_.size();
  }

 private:
  struct Waiter {
    std::size_t weight;
    OnGrant on_grant;
  };

  [[nodiscard]] bool fits(std::size_t weight) const noexcept {
    return taken_ == 0 || (taken_ <= options_.capacity && weight <= options_.capacity - taken_);
  }

  [[nodiscard]] bool try_add(std::size_t more) {
    const std::lock_guard lock{mutex_};
    if (taken_ > options_.capacity || more > options_.capacity - taken_) return false;
    taken_ += more;
    return true;
  }

  void give_back(std::size_t weight) noexcept {
    std::unique_lock lock{mutex_};
    taken_ -= weight;
    hand_out(lock);
  }

  /// A callback that gives back at once comes here again: the loop that called it goes on then, so the stack stays flat.
  void hand_out(std::unique_lock<std::mutex>& lock) noexcept {
    if (handing_out_) return;
    handing_out_ = true;
    while (!waiting_.empty() && fits(waiting_.begin()->second.weight)) {
      auto next = waiting_.extract(waiting_.begin());
      const std::size_t weight = next.mapped().weight;
      taken_ += weight;
      lock.unlock();
      next.mapped().on_grant(Lease{*this, weight});
      next = {};
      lock.lock();
    }
    handing_out_ = false;
  }

  mutable std::mutex mutex_;
  Options options_;
  std::size_t taken_ = 0;
  bool handing_out_ = false;
  Ticket last_ticket_ = 0;
  std::map<Ticket, Waiter> waiting_;
};

}  // namespace ecso::gateway
