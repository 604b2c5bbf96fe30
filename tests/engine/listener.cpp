// Skips the whole run where there is no engine, and shows the end of the engines' logs after a test that failed.

#define CATCH_CONFIG_EXTERNAL_INTERFACES  // Catch2 2 has its listeners behind this

#include "engine/server.hpp"
#include "support/catch.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace {

constexpr const char* logs[]{"engine.log", "engine-blind.log"};

#if defined(CATCH_VERSION_MAJOR) && CATCH_VERSION_MAJOR >= 3
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

class EngineListener : public ListenerBase {
 public:
  using ListenerBase::ListenerBase;

  void testRunStarting(const Catch::TestRunInfo& /*run*/) override {
    for (const char* log : logs) std::filesystem::remove(log);
    if (ecso::test::engine_is_there()) return;
    std::puts("skipped: there is no engine; tests/engine/setup.sh gets one");
    constexpr int skipped = 77;
    std::exit(skipped);
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    if (stats.totals.assertions.failed == 0) return;
    for (const char* log : logs) {
      if (std::filesystem::exists(log)) std::puts(ecso::test::last_lines(log).c_str());
    }
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(EngineListener)
