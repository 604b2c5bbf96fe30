#pragma once

#include <fmt/format.h>

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

/// What the benchmarks share: processor time of one run, which a busy machine disturbs least, and allocations of one run.
/// Include it in one file of a program: it replaces operator new.
namespace ecso::bench {

inline std::size_t allocations = 0;

struct Figure {
  double ns;              ///< Median over the rounds, for one run.
  std::size_t allocated;  ///< Allocations of one run.
};

/// Keeps the optimiser from dropping what made `value`.
template <typename T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

/// Processor time of this thread, in nanoseconds.
inline double now_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// Runs `f` for about 10 ms a round and takes the median of 15 rounds.
template <typename F>
Figure measure(F f) {
  constexpr std::size_t rounds = 15;
  constexpr double round_ns = 1e7;
  f();
  const std::size_t before = allocations;
  f();
  const std::size_t allocated = allocations - before;
  const auto time_of = [&](std::size_t runs) {
    const double start = now_ns();
    for (std::size_t i = 0; i < runs; ++i) f();
    return now_ns() - start;
  };
  std::size_t runs = 1;
  while (time_of(runs) < round_ns) runs *= 2;
  std::vector<double> times;
  for (std::size_t i = 0; i < rounds; ++i) times.push_back(time_of(runs) / static_cast<double>(runs));
  std::ranges::nth_element(times, times.begin() + rounds / 2);
  return {times[rounds / 2], allocated};
}

/// The same for an `f` that can run once on each `prepare()`: that is not timed. For runs of many microseconds.
template <typename Prepare, typename F>
double measure_ns(Prepare prepare, F f) {
  constexpr std::size_t runs = 101;
  std::vector<double> times;
  for (std::size_t i = 0; i < runs; ++i) {
    auto prepared = prepare();
    const double start = now_ns();
    f(prepared);
    times.push_back(now_ns() - start);
  }
  std::ranges::nth_element(times, times.begin() + runs / 2);
  return times[runs / 2];
}

}  // namespace ecso::bench

// NOLINTBEGIN(cppcoreguidelines-no-malloc): this is what counts allocations.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++ecso::bench::allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
// NOLINTEND(cppcoreguidelines-no-malloc)
