#pragma once

// Runs many cases of faults side by side.

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace ecso::test {

/// What came of a case.
struct CaseResult {
  bool ran = true;  ///< The fault was one that applies.
  std::string wrong = {};
  bool may_be_the_machine = false;  ///< A time was over too early, as it is where others have the processor.
};

/// Runs cases side by side, as most of them wait. One that failed by being late runs again with four times as much time, and so
/// on: what is wrong with the code is wrong with any. Gives the number that ran.
/// @param run_case gives the CaseResult of a case with all times so many times as long.  @param name_of says which case it is.
template <typename Case, typename Run, typename Name>
[[nodiscard]] std::size_t run_cases(std::vector<Case> cases, const Run& run_case, const Name& name_of) {
  constexpr std::size_t threads = 24;
  constexpr int most_times = 64;
  std::mutex mutex;
  std::vector<std::string> wrong;
  std::atomic<std::size_t> ran{0};
  for (int times = 1; !cases.empty(); times *= 4) {
    std::vector<Case> late;
    std::atomic<std::size_t> next{0};
    {
      std::vector<std::jthread> runners;
      for (std::size_t i = 0; i < threads; ++i) {
        runners.emplace_back([&] {
          for (std::size_t at = next++; at < cases.size(); at = next++) {
            const CaseResult result = run_case(cases[at], times);
            const bool runs_again = !result.wrong.empty() && result.may_be_the_machine && times < most_times;
            if (result.ran && !runs_again) ++ran;
            if (result.wrong.empty()) continue;
            const std::lock_guard lock{mutex};
            if (runs_again) {
              late.push_back(cases[at]);
            } else {
              wrong.push_back(name_of(cases[at]) + ": " + result.wrong);
            }
          }
        });
      }
    }
    if (!late.empty()) WARN(late.size() << " cases were late and run again with more time");
    cases = std::move(late);
  }
  for (const std::string& what : wrong) UNSCOPED_INFO(what);
  CHECK(wrong.empty());
  return ran;
}

}  // namespace ecso::test
