// Skips the whole run where there are no real weights, and shows the end of the server's log after a test that failed.

#define CATCH_CONFIG_EXTERNAL_INTERFACES  // Catch2 2 has its listeners behind this

#include "engine/real/real_model.hpp"
#include "support/catch.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace {

constexpr const char* log = "real.log";

#if defined(CATCH_VERSION_MAJOR) && CATCH_VERSION_MAJOR >= 3
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

class RealListener : public ListenerBase {
 public:
  using ListenerBase::ListenerBase;

  void testRunStarting(const Catch::TestRunInfo& /*run*/) override {
    std::filesystem::remove(log);
    if (std::filesystem::exists(ecso::test::real_model_directory() / "made-by")) return;
    std::printf("skipped: there is no model %s; tests/engine/real/setup.sh gets it\n", ecso::test::real_model_name().c_str());
    constexpr int skipped = 77;
    std::exit(skipped);
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    if (stats.totals.assertions.failed == 0 || !std::filesystem::exists(log)) return;
    std::puts(ecso::test::last_lines(log).c_str());
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(RealListener)
