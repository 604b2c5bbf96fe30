#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/error.hpp>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

namespace ecso {

/// The slots of a server, each leased to one query at a time: so all calls of a query find its prefix cache, and never more
/// queries than slots are at work. Thread safe; must outlive the queries.
class SlotPool {
 public:
  /// Slots 0 to `count` - 1.
  explicit SlotPool(int count) {
    for (int slot = count; slot-- > 0;) free_.push_back(slot);
  }
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  /// The slot of the query that a call belongs to, leased with its first call and given back at its end; waits while all are
  /// leased to others. None for a call of no query.
  /// @throws Error (cancelled, timeout) as the context says.
  [[nodiscard]] std::optional<int> lease(const CallContext& context) {
    QueryScope* const query = context.query;
    if (query == nullptr) return std::nullopt;
    std::unique_lock lock{mutex_};
    const auto can_go_on = [&] { return leased_.contains(query) || !free_.empty(); };
    const bool got_one = context.deadline ? changed_.wait_until(lock, context.stop, *context.deadline, can_go_on)
                                          : changed_.wait(lock, context.stop, can_go_on);
    if (!got_one) {
      if (context.stop.stop_requested()) throw Error{Errc::cancelled, "cancelled while waiting for a slot of the server"};
      throw Error{Errc::timeout, "the deadline passed while all slots of the server were leased to other queries"};
    }
    if (const auto found = leased_.find(query); found != leased_.end()) return found->second;
    query->at_end([this, query] { give_back(query); });
    const int slot = free_.back();
    leased_.emplace(query, slot);
    free_.pop_back();
    return slot;
  }

 private:
  void give_back(const QueryScope* query) noexcept {
    {
      const std::lock_guard lock{mutex_};
      const auto found = leased_.find(query);
      if (found == leased_.end()) return;
      free_.push_back(found->second);  // has room: it held them all
      leased_.erase(found);
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<int> free_;
  std::map<const QueryScope*, int> leased_;
};

}  // namespace ecso
