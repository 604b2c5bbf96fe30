#pragma once

// Runs many cases of faults side by side.

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace ecso::test {

/// What came of a case.
struct CaseResult {
  bool ran = true;  ///< The fault was one that applies.
  std::string wrong = {};
  bool may_be_the_machine = false;  ///< It came late, as everything does where others have the processor.
};

/// Runs cases side by side, as most of them wait. One that failed by being late runs again, alone. Gives the number that ran.
/// @param run_case gives a CaseResult.  @param name_of says which case it is.
template <typename Case, typename Run, typename Name>
[[nodiscard]] std::size_t run_cases(const std::vector<Case>& cases, const Run& run_case, const Name& name_of) {
  constexpr std::size_t threads = 24;
  std::mutex mutex;
  std::vector<std::string> wrong;
  std::vector<Case> late;
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> ran{0};
  {
    std::vector<std::jthread> runners;
    for (std::size_t i = 0; i < threads; ++i) {
      runners.emplace_back([&] {
        for (std::size_t at = next++; at < cases.size(); at = next++) {
          const CaseResult result = run_case(cases[at]);
          if (result.ran) ++ran;
          if (result.wrong.empty()) continue;
          const std::lock_guard lock{mutex};
          if (result.may_be_the_machine) {
            late.push_back(cases[at]);
          } else {
            wrong.push_back(name_of(cases[at]) + ": " + result.wrong);
          }
        }
      });
    }
  }
  for (const Case& c : late) {
    CaseResult result = run_case(c);
    for (int attempt = 0; attempt < 2 && result.may_be_the_machine && !result.wrong.empty(); ++attempt) result = run_case(c);
    if (!result.wrong.empty()) wrong.push_back(name_of(c) + ": " + result.wrong);
  }
  for (const std::string& what : wrong) UNSCOPED_INFO(what);
  CHECK(wrong.empty());
  if (!late.empty()) WARN(late.size() << " cases were late and ran again, alone");
  return ran;
}

}  // namespace ecso::test
