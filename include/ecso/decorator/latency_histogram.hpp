#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ecso {

/// Durations, counted in 272 fixed buckets: exact below 8 µs, each at most an eighth wider than where it begins up to 19 hours.
/// Always 2 KB, however many are counted.
class LatencyHistogram {
 public:
  using Duration = std::chrono::nanoseconds;

  /// A negative duration counts as none.
  void add(Duration duration) noexcept {
    duration = std::max(duration, Duration{0});
    ++counts_[index_of(duration)];
    ++count_;
    max_ = std::max(max_, duration);
  }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

  /// The longest, exactly; 0 if there is none.
  [[nodiscard]] Duration max() const noexcept { return max_; }

  /// The duration that a share `q` of all do not exceed, 0.5 for the median: never too short, too long by at most an eighth and
  /// 1 µs. Range 0 to 1; 0 if there is none.
  [[nodiscard]] Duration quantile(double q) const noexcept {
    if (count_ == 0) return Duration{0};
    const double wanted = std::clamp(q, 0.0, 1.0) * static_cast<double>(count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > 0 && static_cast<double>(seen) >= wanted) return std::min(end_of(i), max_);
    }
    return max_;
  }

  bool operator==(const LatencyHistogram&) const = default;

 private:
  // The position of the highest bit, and the three bits below it.
  [[nodiscard]] static std::size_t index_of(Duration duration) noexcept {
    const auto us = std::min(static_cast<std::uint64_t>(duration.count()) / 1000, longest_us);
    const int shift = std::max(static_cast<int>(std::bit_width(us)) - 4, 0);
    return static_cast<std::size_t>(shift) * 8 + static_cast<std::size_t>(us >> shift);
  }

  /// Where the next bucket begins.
  [[nodiscard]] static Duration end_of(std::size_t index) noexcept {
    if (index + 1 == buckets) return Duration::max();
    const std::size_t shift = index < 8 ? 0 : index / 8 - 1;
    return std::chrono::microseconds{static_cast<std::int64_t>((index - shift * 8 + 1) << shift)};
  }

  static constexpr std::uint64_t longest_us = (std::uint64_t{1} << 36) - 1;
  static constexpr std::size_t buckets = 272;

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  Duration max_{0};
};

}  // namespace ecso
