#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace ecso {

/// The life of one query, for backends that keep something for all of its calls, such as a slot of the server. A driver makes one
/// a query and ends it when no call of the query is left; the backends outlive it. Thread safe.
class QueryScope {
 public:
  QueryScope() = default;
  QueryScope(const QueryScope&) = delete;
  QueryScope& operator=(const QueryScope&) = delete;
  ~QueryScope() {
    for (const auto& release : at_end_) release();
  }

  /// Has `release` called, once, when the query is over. It must not throw.
  void at_end(std::function<void()> release) {
    const std::lock_guard lock{mutex_};
    at_end_.push_back(std::move(release));
  }

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> at_end_;
};

}  // namespace ecso
