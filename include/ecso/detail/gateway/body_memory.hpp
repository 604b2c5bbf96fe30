#pragma once

#include <ecso/gateway/gate.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// Memory of large bodies that are done, kept for the next: fresh pages cost as much as the copy that fills them. Thread safe.
class BodyMemory {
 public:
  struct Block {
    std::unique_ptr<char[]> bytes;
    std::size_t capacity = 0;
  };

  [[nodiscard]] Block take(std::size_t size) {
    if (size >= worth_keeping) {
      const std::lock_guard lock{mutex_};
      for (std::size_t i = kept_.size(); i > 0; --i) {
        Block& block = kept_[i - 1];
        if (block.capacity < size || block.capacity / 2 > size) continue;
        std::swap(block, kept_.back());
        Block taken = std::move(kept_.back());
        kept_.pop_back();
        kept_bytes_ -= taken.capacity;
        return taken;
      }
    }
    const std::size_t capacity = size < worth_keeping ? size : (size + page - 1) / page * page;
    return {std::make_unique_for_overwrite<char[]>(capacity), capacity};
  }

  void give_back(Block block) {
    if (block.capacity < worth_keeping || block.capacity > most_kept_bytes) return;
    const std::lock_guard lock{mutex_};
    while (!kept_.empty() && kept_bytes_ + block.capacity > most_kept_bytes) {
      kept_bytes_ -= kept_.front().capacity;
      kept_.erase(kept_.begin());
    }
    kept_bytes_ += block.capacity;
    kept_.push_back(std::move(block));
  }

 private:
  static constexpr std::size_t worth_keeping = std::size_t{64} * 1024;
  static constexpr std::size_t page = std::size_t{64} * 1024;
  static constexpr std::size_t most_kept_bytes = std::size_t{16} << 20;

  std::mutex mutex_;
  std::vector<Block> kept_;
  std::size_t kept_bytes_ = 0;
};

/// A request's body, in memory that is not written twice.
class Body {
 public:
  Body() = default;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;
  ~Body() {
    if (memory_) memory_->give_back(std::move(block_));
  }

  /// Room for `most_bytes`.
  void allocate(std::shared_ptr<BodyMemory> memory, std::size_t most_bytes) {
    memory_ = std::move(memory);
    block_ = memory_->take(most_bytes);
  }
  [[nodiscard]] char* data() noexcept { return block_.bytes.get(); }

  /// There must be room.
  void append(std::string_view bytes) noexcept {
    if (!bytes.empty()) std::memcpy(data() + size, bytes.data(), bytes.size());
    size += bytes.size();
  }

  /// Makes room for so many bytes more. False if the lease cannot grow.
  [[nodiscard]] bool grow_for(std::size_t more) {
    if (more <= block_.capacity - size) return true;
    const std::size_t wanted = std::max(2 * block_.capacity, size + more);
    if (wanted > lease.weight() && !lease.try_grow(wanted - lease.weight())) return false;
    BodyMemory::Block larger = memory_->take(wanted);
    std::memcpy(larger.bytes.get(), block_.bytes.get(), size);
    std::swap(block_, larger);
    memory_->give_back(std::move(larger));
    return true;
  }
  [[nodiscard]] std::string_view view() const noexcept { return {block_.bytes.get(), size}; }

  std::size_t size = 0;                       ///< What has arrived.
  std::shared_ptr<ecso::gateway::Gate> room;  ///< Bounds the memory of all bodies; whoever copies an image may keep it alive.
  ecso::gateway::Gate::Lease lease = {};      ///< Its share of that.

 private:
  std::shared_ptr<BodyMemory> memory_;
  BodyMemory::Block block_;
};

}  // namespace ecso::detail::gateway
