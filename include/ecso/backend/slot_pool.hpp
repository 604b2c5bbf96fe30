#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace ecso {

/// The slots of a server, each leased to one query at a time: so the calls of a query find its prefix cache, and never more
/// queries than slots are at work. Thread safe; must outlive the queries.
class SlotPool {
 public:
  /// A slot while one call uses it.
  class Use {
   public:
    Use() = default;
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Use(Use&& other) noexcept
        : pool_{std::exchange(other.pool_, nullptr)}, query_{other.query_}, slot_{std::exchange(other.slot_, std::nullopt)} {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (pool_ != nullptr) pool_->stop_using(query_, *slot_);
    }

    /// None for a call that the server shall find a slot for.
    [[nodiscard]] std::optional<int> slot() const noexcept { return slot_; }

   private:
    friend class SlotPool;
    Use(SlotPool& pool, const QueryScope* query, int slot) noexcept : pool_{&pool}, query_{query}, slot_{slot} {}

    SlotPool* pool_ = nullptr;
    const QueryScope* query_ = nullptr;
    std::optional<int> slot_ = std::nullopt;
  };

  /// Slots 0 to `count` - 1.
  explicit SlotPool(int count) {
    for (int slot = count; slot-- > 0;) free_.push_back(slot);
  }
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  /// The slot for a call. Its query leases one with its first call, waiting while all are leased to others, and gives it back at
  /// its end. A call that finds its query's slot in use by another gets one more if one is free, and else none; so does a call of
  /// no query.
  /// @throws Error (cancelled, timeout) as the context says.
  [[nodiscard]] Use use(const CallContext& context) {
    QueryScope* const query = context.query;
    if (query == nullptr) return {};
    std::unique_lock lock{mutex_};
    const auto has_turn = [&] { return leases_.contains(query) || !free_.empty(); };
    const bool got_turn = context.deadline ? changed_.wait_until(lock, context.stop, *context.deadline, has_turn)
                                           : changed_.wait(lock, context.stop, has_turn);
    if (!got_turn) {
      if (context.stop.stop_requested()) throw Error{Errc::cancelled, "cancelled while waiting for a slot of the server"};
      throw Error{Errc::timeout, "the deadline passed while all slots of the server were leased to other queries"};
    }
    if (!leases_.contains(query)) {
      query->at_end([this, query] { give_back(query); });
      leases_.try_emplace(query);
    }
    std::vector<Lease>& leases = leases_[query];
    const auto idle = std::ranges::find(leases, false, &Lease::in_use);
    if (idle != leases.end()) {
      idle->in_use = true;
      return {*this, query, idle->slot};
    }
    if (free_.empty()) return {};
    leases.push_back({free_.back(), true});
    free_.pop_back();
    return {*this, query, leases.back().slot};
  }

 private:
  struct Lease {
    int slot;
    bool in_use;
  };

  void stop_using(const QueryScope* query, int slot) noexcept {
    const std::lock_guard lock{mutex_};
    const auto found = leases_.find(query);
    if (found == leases_.end()) return;
    const auto lease = std::ranges::find(found->second, slot, &Lease::slot);
    if (lease != found->second.end()) lease->in_use = false;
  }

  void give_back(const QueryScope* query) noexcept {
    {
      const std::lock_guard lock{mutex_};
      const auto found = leases_.find(query);
      if (found == leases_.end()) return;
      for (const Lease& lease : found->second) free_.push_back(lease.slot);  // has room: it held them all
      leases_.erase(found);
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<int> free_;
  std::map<const QueryScope*, std::vector<Lease>> leases_;
};

}  // namespace ecso
