#pragma once

#include <ecso/decorator/reply_store.hpp>

#include <cstddef>
#include <iterator>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace ecso {

/// How much a `MemoryStore` keeps.
struct MemoryStoreOptions {
  std::size_t max_bytes = std::size_t{64} * 1024 * 1024;  ///< Keys, values and what it takes to find them.
  std::size_t max_entries = 100'000;
};

/// Keeps replies in memory, for as long as it lives. When it is full, what was used longest ago goes. Thread safe.
class MemoryStore final : public ReplyStore {
 public:
  explicit MemoryStore(MemoryStoreOptions options = {}) : options_{options} {}

  [[nodiscard]] std::optional<std::string> load(const std::string& key) override {
    const std::lock_guard lock{mutex_};
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return std::nullopt;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->value;
  }

  void save(const std::string& key, const std::string& value) override {
    const std::lock_guard lock{mutex_};
    if (const auto found = by_key_.find(key); found != by_key_.end()) drop(found->second);
    if (options_.max_entries == 0 || cost(key, value) > options_.max_bytes) return;
    while (entries_.size() >= options_.max_entries || cost(key, value) > options_.max_bytes - bytes_) {
      drop(std::prev(entries_.end()));
    }
    entries_.push_front({key, value});
    by_key_.emplace(entries_.front().key, entries_.begin());
    bytes_ += cost(key, value);
  }

  /// How many replies there are.
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock{mutex_};
    return entries_.size();
  }

  /// What they take, as `MemoryStoreOptions::max_bytes` counts it.
  [[nodiscard]] std::size_t bytes() const {
    const std::lock_guard lock{mutex_};
    return bytes_;
  }

 private:
  struct Entry {
    std::string key;
    std::string value;
  };
  using Entries = std::list<Entry>;

  /// The nodes of the list and the index, rounded up.
  static constexpr std::size_t overhead_bytes = 192;

  [[nodiscard]] static std::size_t cost(std::string_view key, std::string_view value) noexcept {
    return key.size() + value.size() + overhead_bytes;
  }

  void drop(Entries::iterator entry) {
    bytes_ -= cost(entry->key, entry->value);
    by_key_.erase(entry->key);
    entries_.erase(entry);
  }

  MemoryStoreOptions options_;
  mutable std::mutex mutex_;
  Entries entries_;  // The one used last comes first.
  std::unordered_map<std::string_view, Entries::iterator> by_key_;
  std::size_t bytes_ = 0;
};

}  // namespace ecso
