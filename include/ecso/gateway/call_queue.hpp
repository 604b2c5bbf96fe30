#pragma once

#include <ecso/gateway/concurrency.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

namespace ecso::gateway {

/// How urgent a call of an upstream is, the most urgent first.
enum class CallRank {
  early_check,  ///< Of an answer that is still being generated: a client waits for words that are there already.
  begun,        ///< Any other call of an exchange that has begun.
  fresh,        ///< The first call of a new exchange.
};

/// Whether a call's answer will be checked while it is generated.
enum class EarlyChecks { none, expected };

/// One who wants to call an upstream.
struct Caller {
  CallRank rank = CallRank::begun;
  EarlyChecks early_checks = EarlyChecks::none;
};

/// The calls of an upstream: so many at once, and the others in a queue. Whoever has begun is finished before another begins, so
/// that a server's prefix cache still holds what a later step shares with an earlier one; checks of answers under way come
/// first, and find room: while there is such an answer, a part of the places is for checks like that alone. Within a rank it is
/// first come, first served, and nobody who has begun is overtaken for ever. Thread safe; its turns keep it alive.
class CallQueue : public std::enable_shared_from_this<CallQueue> {
 public:
  struct Options {
    std::size_t capacity = 1;  ///< Most calls at once, where no `finding` sets it; at least 1.
    /// Finds the capacity by what comes of it.
    std::optional<ConcurrencyFinder::Options> finding = std::nullopt;

    bool operator==(const Options&) const = default;
  };

  /// A call that may be made. Makes room when it ends.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept : queue_{std::move(other.queue_)}, caller_{other.caller_} { other.queue_.reset(); }
    Lease& operator=(Lease&& other) noexcept {
      Lease taken{std::move(other)};
      std::swap(queue_, taken.queue_);
      std::swap(caller_, taken.caller_);
      return *this;
    }
    ~Lease() {
      if (queue_) queue_->give_back(caller_);
    }

    /// Whether there is one.
    [[nodiscard]] explicit operator bool() const noexcept { return queue_ != nullptr; }

   private:
    friend class CallQueue;
    Lease(std::shared_ptr<CallQueue> queue, Caller caller) noexcept : queue_{std::move(queue)}, caller_{caller} {}

    std::shared_ptr<CallQueue> queue_;
    Caller caller_;
  };

  /// Names one who waits; never given twice.
  using Ticket = std::uint64_t;

  enum class Answer {
    granted,  ///< `lease` is it.
    waiting,  ///< `ticket` names it.
    full,     ///< It would have to wait and has nobody to call.
  };

  struct Entry {
    Answer answer = Answer::full;
    Lease lease = {};
    Ticket ticket = 0;
  };

  /// Takes the lease, in the thread of whoever made room, without a lock held. Must not throw, and be quick. It may be called
  /// before the `enter` that it was given to has returned, and may use the queue.
  using OnGrant = std::function<void(Lease lease)>;

  /// What is to be seen from outside.
  struct Level {
    std::size_t capacity = 0;
    std::size_t under_way = 0;
    std::size_t waiting = 0;
  };

  explicit CallQueue(const Options& options) { use(options); }
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;
  /// Those who wait are forgotten.
  ~CallQueue() { forget_waiting(); }

  /// @param on_grant is called later if the answer is `waiting`. Empty: rather than wait, it does not come in.
  [[nodiscard]] Entry enter(Caller caller, OnGrant on_grant) {
    const std::lock_guard lock{mutex_};
    const std::size_t rank = place_of(caller.rank);
    const auto comes_before = std::span{waiting_}.first(rank + 1);
    if (std::ranges::all_of(comes_before, [](const auto& queue) { return queue.empty(); }) && fits(caller)) {
      return {.answer = Answer::granted, .lease = admit(caller)};
    }
    if (on_grant == nullptr) return {.answer = Answer::full};
    const Ticket ticket = ++last_ticket_;
    waiting_[rank].push_back({ticket, caller, std::move(on_grant)});
    return {.answer = Answer::waiting, .ticket = ticket};
  }

  /// No longer waits. False if it does not wait any more: then its lease has come, or is about to.
  bool cancel(Ticket ticket) {
    OnGrant forgotten;  // ends after the lock does: what it owns may give back
    std::unique_lock lock{mutex_};
    for (auto& queue : waiting_) {
      const auto found = std::ranges::find(queue, ticket, &Waiter::ticket);
      if (found == queue.end()) continue;
      forgotten = std::move(found->on_grant);
      queue.erase(found);
      hand_out(lock);
      lock.unlock();
      return true;
    }
    return false;
  }

  /// Forgets all who wait, uncalled: for the end, before that which their callbacks would use goes.
  void forget_waiting() {
    decltype(waiting_) forgotten;
    const std::lock_guard lock{mutex_};
    forgotten.swap(waiting_);
  }

  /// Changes the bounds. What is under way stays, and what was found stays where it is still to be found.
  void use(const Options& options) {
    std::unique_lock lock{mutex_};
    if (!options.finding) {
      finder_.reset();
    } else if (!finder_ || options_.finding != options.finding) {
      finder_.emplace(*options.finding);
    }
    options_ = options;
    capacity_ = std::max<std::size_t>(1, finder_ ? finder_->limit() : options.capacity);
    hand_out(lock);
  }

  /// A call that had a lease, and still has it, is over: by this the capacity is found. Calls that were given up are not told of.
  void note(Step step, ConcurrencyFinder::Went went, ConcurrencyFinder::Time began, ConcurrencyFinder::Time ended) {
    std::unique_lock lock{mutex_};
    if (!finder_) return;
    const bool someone_waits = std::ranges::any_of(waiting_, [](const auto& queue) { return !queue.empty(); });
    finder_->ended({.step = step,
                    .went = went,
                    .demand = someone_waits ? ConcurrencyFinder::Demand::more : ConcurrencyFinder::Demand::met,
                    .under_way = under_way(),
                    .began = began,
                    .at = ended});
    if (finder_->limit() == capacity_) return;
    capacity_ = finder_->limit();
    hand_out(lock);
  }

  [[nodiscard]] Level level() const {
    const std::lock_guard lock{mutex_};
    std::size_t waiting = 0;
    for (const auto& queue : waiting_) waiting += queue.size();
    return {.capacity = capacity_, .under_way = under_way(), .waiting = waiting};
  }

 private:
  struct Waiter {
    Ticket ticket;
    Caller caller;
    OnGrant on_grant;
    int overtaken = 0;  ///< By early checks that took more than the room kept for them.
  };

  [[nodiscard]] static constexpr std::size_t place_of(CallRank rank) noexcept { return static_cast<std::size_t>(rank); }

  [[nodiscard]] std::size_t under_way() const noexcept { return early_checks_ + others_; }

  /// Places for early checks alone. A check is short beside an answer.
  [[nodiscard]] std::size_t kept_places() const noexcept {
    constexpr std::size_t most = 16;
    return capacity_ < 2 ? 0 : std::clamp<std::size_t>(capacity_ / 4, 1, most);
  }

  [[nodiscard]] bool fits(const Caller& caller) const noexcept {
    if (caller.rank == CallRank::early_check) return under_way() < capacity_ && !has_overtaken_enough();
    const bool keeps_room = watched_ > 0 || caller.early_checks == EarlyChecks::expected;
    return others_ + std::max(early_checks_, keeps_room ? kept_places() : 0) < capacity_;
  }

  /// Whether early checks have passed by the same begun exchange so often that what is not kept for them is its own now.
  [[nodiscard]] bool has_overtaken_enough() const noexcept {
    constexpr int most = 8;
    const auto& begun = waiting_[place_of(CallRank::begun)];
    return !begun.empty() && begun.front().overtaken >= most && early_checks_ >= kept_places();
  }

  [[nodiscard]] Lease admit(const Caller& caller) {
    if (caller.rank == CallRank::early_check) {
      auto& begun = waiting_[place_of(CallRank::begun)];
      if (!begun.empty() && early_checks_ >= kept_places()) ++begun.front().overtaken;
      ++early_checks_;
    } else {
      ++others_;
    }
    if (caller.early_checks == EarlyChecks::expected) ++watched_;
    return Lease{shared_from_this(), caller};
  }

  void give_back(const Caller& caller) noexcept {
    std::unique_lock lock{mutex_};
    --(caller.rank == CallRank::early_check ? early_checks_ : others_);
    if (caller.early_checks == EarlyChecks::expected) --watched_;
    hand_out(lock);
  }

  /// Whose turn is next; null if nobody's is.
  [[nodiscard]] std::deque<Waiter>* next() noexcept {
    for (auto& queue : waiting_) {
      if (queue.empty()) continue;
      if (fits(queue.front().caller)) return &queue;
      // Who is less urgent must not take what this one waits for. Early checks alone may have to let another pass.
      if (&queue != &waiting_.front()) return nullptr;
    }
    return nullptr;
  }

  /// A callback that gives back at once comes here again: the loop that called it goes on then, so the stack stays flat.
  void hand_out(std::unique_lock<std::mutex>& lock) noexcept {
    if (handing_out_) return;
    handing_out_ = true;
    while (auto* const queue = next()) {
      Waiter waiter = std::move(queue->front());
      queue->pop_front();
      Lease lease = admit(waiter.caller);
      lock.unlock();
      waiter.on_grant(std::move(lease));
      waiter = {};
      lock.lock();
    }
    handing_out_ = false;
  }

  mutable std::mutex mutex_;
  Options options_;
  std::optional<ConcurrencyFinder> finder_;
  std::size_t capacity_ = 1;
  std::size_t early_checks_ = 0;  ///< Under way; the same for
  std::size_t others_ = 0;
  std::size_t watched_ = 0;  ///< Of the others, those whose answers are checked while they come.
  bool handing_out_ = false;
  Ticket last_ticket_ = 0;
  std::array<std::deque<Waiter>, 3> waiting_;  ///< By rank.
};

}  // namespace ecso::gateway
