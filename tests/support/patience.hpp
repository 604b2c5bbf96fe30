#pragma once

// How tests wait on a machine that may be busy with something else: for what happens, not for a time in which it should.

#include <chrono>
#include <thread>

namespace ecso::test {

/// Longer than any machine takes for what a test waits for. It ends a hang, and says nothing of speed.
inline constexpr std::chrono::milliseconds patience{60'000};

/// For what must not happen: whether it does meanwhile. A busy machine can only make the answer "no".
template <typename Condition>
[[nodiscard]] bool happens_within(std::chrono::milliseconds time, const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

/// Waits until a condition holds. False if it never does.
template <typename Condition>
[[nodiscard]] bool comes_true(const Condition& condition) {
  return happens_within(patience, condition);
}

/// Whether `attempt(time)` succeeds, with `time` or, as a busy machine takes longer for everything, with four times as much, and
/// so on. For what lies between two times, so that neither an event nor a larger time alone can stand for it.
template <typename Attempt>
[[nodiscard]] bool succeeds_in_time(std::chrono::milliseconds time, const Attempt& attempt) {
  for (; time < patience; time *= 4) {
    if (attempt(time)) return true;
  }
  return false;
}

}  // namespace ecso::test
