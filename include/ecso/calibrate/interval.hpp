#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ecso {

/// A range that holds the true value with 95 % confidence.
struct Interval {
  double low = 0;
  double high = 1;

  bool operator==(const Interval&) const = default;
};

/// The 95 % interval of a share by Wilson's score, which is also right near 0 and 1 and in small samples.
/// @param hits out of `trials`; 0 trials tell nothing: 0 to 1.
[[nodiscard]] inline Interval wilson_interval(std::size_t hits, std::size_t trials) {
  if (trials == 0) return {};
  constexpr double z = 1.959963984540054;
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(hits) / n;
  const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {hits == 0 ? 0.0 : std::max(0.0, middle - half), hits == trials ? 1.0 : std::min(1.0, middle + half)};
}

/// How many trials without a hit put the upper end of `wilson_interval` at `share` or below. `share` is above 0.
[[nodiscard]] inline std::size_t trials_to_show(double share) {
  constexpr double z = 1.959963984540054;
  return static_cast<std::size_t>(std::ceil(z * z * (1 - share) / share));
}

}  // namespace ecso
