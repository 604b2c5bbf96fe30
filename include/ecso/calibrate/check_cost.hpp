#pragma once

#include <ecso/calibrate/item_check.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

namespace ecso {

/// What a check costs, clarifications included: means, and for the time the median, which a slow start does not move. Tokens are
/// 0 where the server counts none.
struct CheckCost {
  double calls = 0;
  double new_prompt_tokens = 0;  ///< Of the prompt, without what came from the server's prefix cache.
  double cached_prompt_tokens = 0;
  double completion_tokens = 0;
  std::chrono::nanoseconds median{0};  ///< Wall time.

  bool operator==(const CheckCost&) const = default;
};

/// The cost of a check of these; all 0 of none.
[[nodiscard]] inline CheckCost check_cost(std::span<const CheckFinding> findings) {
  if (findings.empty()) return {};
  std::size_t calls = 0;
  Usage usage;
  std::vector<std::chrono::nanoseconds> times;
  for (const CheckFinding& finding : findings) {
    calls += finding.calls;
    usage += finding.usage;
    times.push_back(finding.duration);
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  const auto count = static_cast<double>(findings.size());
  const auto mean = [&](auto sum) { return static_cast<double>(sum) / count; };
  return {mean(calls), mean(usage.prompt_tokens - usage.cached_tokens), mean(usage.cached_tokens), mean(usage.completion_tokens),
          *middle};
}

}  // namespace ecso
