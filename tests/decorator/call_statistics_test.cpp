#include <ecso/decorator/call_statistics.hpp>

#include <ecso/backend/simulated.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

namespace call_statistics_test {

namespace {

using namespace std::chrono_literals;
using ecso::Errc;
using ecso::Error;
using ecso::Step;

TEST_CASE("statistics add calls up, of all and of each step", "[statistics]") {
  ecso::CallStatistics statistics;
  for (int i = 1; i <= 100; ++i) {
    statistics({.step = Step::answer,
                .duration = i * 1ms,
                .time_to_first_text = i * 100us,
                .usage = {.prompt_tokens = 10, .cached_tokens = 5, .completion_tokens = 2}});
  }
  statistics({.step = Step::check, .duration = 3ms, .usage = {.prompt_tokens = 1}});
  statistics({.step = Step::check, .duration = 1h, .error = Error{Errc::timeout, "slow"}});
  statistics({.step = Step::check, .duration = 1h, .error = Error{Errc::timeout, "slow"}});
  statistics({.step = Step::answer, .duration = 1h, .error = Error{Errc::unavailable, "gone"}});

  const ecso::CallSummary total = statistics.total();
  CHECK(total.calls == 104);
  CHECK(total.failed() == 3);
  CHECK(total.errors == std::map<Errc, std::uint64_t>{{Errc::timeout, 2}, {Errc::unavailable, 1}});
  CHECK(total.usage == ecso::Usage{.prompt_tokens = 1001, .cached_tokens = 500, .completion_tokens = 200});
  CHECK(total.latency.count() == 101);  // A call that failed says nothing of how long answers take.
  CHECK(total.latency.max() == 100ms);
  CHECK(total.time_to_first_text.count() == 100);

  const ecso::CallSummary answers = statistics.of(Step::answer);
  CHECK(answers.calls == 101);
  CHECK(answers.latency.quantile(0.5) >= 50ms);
  CHECK(answers.latency.quantile(0.5) <= 57ms);
  CHECK(answers.time_to_first_text.quantile(0.9) >= 9ms);
  CHECK(answers.time_to_first_text.quantile(0.9) <= 10'126us);
  CHECK(statistics.of(Step::check).calls == 3);
  CHECK(statistics.of(Step::caption) == ecso::CallSummary{});
}

TEST_CASE("token counts of any size do not overflow", "[statistics]") {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  ecso::CallStatistics statistics;
  for (int i = 0; i < 3; ++i) statistics({.usage = {.prompt_tokens = most, .cached_tokens = -5, .completion_tokens = most / 2}});
  CHECK(statistics.total().usage == ecso::Usage{.prompt_tokens = most, .cached_tokens = 0, .completion_tokens = most});
}

TEST_CASE("statistics as JSON and as a table", "[statistics]") {
  ecso::CallStatistics statistics;
  CHECK(to_json(statistics)["steps"].dump() == "{}");
  statistics({.step = Step::answer, .duration = 12ms, .usage = {.prompt_tokens = 640, .completion_tokens = 31}});
  statistics({.step = Step::answer, .duration = 1s, .error = Error{Errc::timeout, "slow"}});
  const auto json = to_json(statistics);
  CHECK(json["calls"] == 2);
  CHECK(json["errors"].dump() == R"({"timeout":1})");
  CHECK(json["usage"].dump() == R"({"prompt_tokens":640,"cached_tokens":0,"completion_tokens":31})");
  CHECK(json["latency_ms"].dump() == R"({"count":1,"p50":12.0,"p90":12.0,"p99":12.0,"max":12.0})");
  CHECK(json["time_to_first_text_ms"]["count"] == 0);
  CHECK(json["steps"].size() == 1);
  CHECK(json["steps"]["answer"]["calls"] == 2);
  CHECK(to_text(statistics) ==
        "step         calls failed    p50 ms    p90 ms    p99 ms    max ms     prompt     cached completion\n"
        "answer           2      1      12.0      12.0      12.0      12.0        640          0         31\n"
        "all              2      1      12.0      12.0      12.0      12.0        640          0         31\n"
        "errors: timeout 1\n");
}

TEST_CASE("statistics are counted by eight threads at once", "[statistics]") {
  ecso::CallStatistics statistics;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          statistics({.step = Step::recheck, .duration = 1ms, .usage = {.prompt_tokens = 1}});
          (void)statistics.total();
        }
      });
    }
  }
  CHECK(statistics.total().calls == 4000);
  CHECK(statistics.of(Step::recheck) == statistics.total());
}

TEST_CASE("a pipeline's calls are counted through a reference", "[statistics][observe]") {
  ecso::SimulatedBackend model;
  ecso::CallStatistics statistics;
  ecso::ObserveBackend observed{model, std::ref(statistics)};
  const ecso::Outcome outcome = ecso::EcsoPipeline<ecso::MllmBackend>{observed}.run(ecso::ask({}, "What is a cat?"));
  CHECK(statistics.total().calls == outcome.steps.size());
  CHECK(statistics.of(Step::answer).calls == 1);
  CHECK(statistics.total().usage == outcome.usage());
}

}  // namespace

}  // namespace call_statistics_test
