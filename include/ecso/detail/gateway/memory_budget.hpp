#pragma once

#include <ecso/error.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace ecso::detail::gateway {

/// Bytes that many may hold together. Whoever finds no room goes without: nobody waits. Thread safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t most_bytes) : most_{most_bytes} {}

  void resize(std::size_t most_bytes) noexcept { most_ = most_bytes; }

  [[nodiscard]] bool take(std::size_t bytes) noexcept {
    if (taken_.fetch_add(bytes) + bytes <= most_) return true;
    taken_ -= bytes;
    return false;
  }
  void give_back(std::size_t bytes) noexcept { taken_ -= bytes; }

 private:
  std::atomic<std::size_t> most_;
  std::atomic<std::size_t> taken_{0};
};

/// What one of them holds. Asks for a piece at a time; the first is free, so that what is small costs nothing. Of one thread.
class MemoryShare {
 public:
  explicit MemoryShare(std::shared_ptr<MemoryBudget> budget) : budget_{std::move(budget)} {}
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;
  ~MemoryShare() {
    if (held_ > piece) budget_->give_back(held_ - piece);
  }

  /// @throws Error (unavailable) if there is no room.
  void add(std::size_t bytes) {
    used_ += bytes;
    if (used_ <= held_) return;
    const std::size_t more = (used_ - held_ + piece - 1) / piece * piece;
    if (!budget_->take(more)) throw Error{Errc::unavailable, "there is no memory for the answer"};
    held_ += more;
  }

 private:
  static constexpr std::size_t piece = std::size_t{64} * 1024;

  std::shared_ptr<MemoryBudget> budget_;
  std::size_t held_ = piece;
  std::size_t used_ = 0;
};

}  // namespace ecso::detail::gateway
