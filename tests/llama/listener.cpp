// Skips the whole run where the tiny model is not there.

#define CATCH_CONFIG_EXTERNAL_INTERFACES  // Catch2 2 has its listeners behind this

#include "engine/server.hpp"
#include "support/catch.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace {

#if defined(CATCH_VERSION_MAJOR) && CATCH_VERSION_MAJOR >= 3
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

class ModelListener : public ListenerBase {
 public:
  using ListenerBase::ListenerBase;

  void testRunStarting(const Catch::TestRunInfo& /*run*/) override {
    if (std::filesystem::exists(ecso::test::engine_directory() / "model" / "mmproj.gguf")) return;
    std::puts("skipped: there is no model; tests/engine/setup.sh makes one");
    constexpr int skipped = 77;
    std::exit(skipped);
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(ModelListener)
