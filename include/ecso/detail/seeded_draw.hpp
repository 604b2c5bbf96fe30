#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>

namespace ecso::detail {

/// Numbers that a seed decides, the same on every machine: the standard fixes the engine, but not what its distributions draw.
class SeededDraw {
 public:
  explicit SeededDraw(std::uint64_t seed) : engine_{seed} {}

  /// A number from 0 to `bound` - 1, each as likely as the others. `bound` is at least 1.
  [[nodiscard]] std::size_t below(std::size_t bound) {
    const std::uint64_t most = engine_.max() - engine_.max() % bound;
    std::uint64_t drawn = engine_();
    while (drawn >= most) drawn = engine_();
    return static_cast<std::size_t>(drawn % bound);
  }

  template <typename T>
  void shuffle(std::span<T> values) {
    for (std::size_t left = values.size(); left > 1; --left) std::swap(values[left - 1], values[below(left)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace ecso::detail
