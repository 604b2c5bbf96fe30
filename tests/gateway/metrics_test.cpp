#include <ecso/gateway/metrics.hpp>

#include <ecso/detail/text.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace metrics_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

/// Takes text from the front; what does not fit fails the test.
struct Reader {
  std::string_view rest;

  bool skip(std::string_view text) {
    if (!rest.starts_with(text)) return false;
    rest.remove_prefix(text.size());
    return true;
  }
  void expect(std::string_view text) { REQUIRE(skip(text)); }
  /// A metric's or label's name.
  std::string name() {
    std::size_t size = 0;
    while (size < rest.size() && (detail::is_letter(rest[size]) || rest[size] == '_')) ++size;
    REQUIRE(size > 0);
    const std::string text{rest.substr(0, size)};
    rest.remove_prefix(size);
    return text;
  }
  void quoted() {
    expect("\"");
    while (!skip("\"")) {
      REQUIRE_FALSE(rest.empty());
      if (skip("\\")) REQUIRE((rest.starts_with('\\') || rest.starts_with('n') || rest.starts_with('"')));
      rest.remove_prefix(1);
    }
  }
};

/// Metrics as Prometheus reads them: a sample's name and labels, and its value. Every line must be right, and every sample must
/// have a HELP and a TYPE before it.
struct Scrape {
  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;

  explicit Scrape(const Metrics& metrics) {
    std::istringstream text{metrics.text()};
    std::set<std::string> helped;
    for (std::string line; std::getline(text, line);) {
      CAPTURE(line);
      Reader reader{line};
      if (reader.skip("# HELP ")) {
        CHECK(helped.insert(reader.name()).second);
        CHECK(reader.rest.size() > 10);
        CHECK(reader.rest.ends_with('.'));
      } else if (reader.skip("# TYPE ")) {
        const std::string name = reader.name();
        CHECK(helped.contains(name));
        reader.expect(" ");
        const auto kinds = {"counter", "gauge", "histogram"};
        CHECK(std::ranges::find(kinds, reader.rest) != kinds.end());
        CHECK(types.emplace(name, reader.rest).second);
      } else {
        sample(line);
      }
    }
  }

  void sample(const std::string& line) {
    Reader reader{line};
    const std::string name = reader.name();
    if (reader.skip("{")) {
      do {
        static_cast<void>(reader.name());
        reader.expect("=");
        reader.quoted();
      } while (reader.skip(","));
      reader.expect("}");
    }
    const std::string sample = line.substr(0, line.size() - reader.rest.size());
    reader.expect(" ");
    std::size_t used = 0;
    const double value = std::stod(std::string{reader.rest}, &used);
    CHECK(used == reader.rest.size());
    CHECK(samples.emplace(sample, value).second);
    const auto suffix = name.rfind('_');
    const std::string family = name.substr(0, suffix);
    const bool is_histogram = types.contains(family) && types.at(family) == "histogram";
    CHECK((types.contains(name) || is_histogram));
    if (types.contains(name) && types.at(name) == "counter") CHECK(name.ends_with("_total"));
  }

  [[nodiscard]] double at(const std::string& name) const {
    const auto found = samples.find(name);
    return found == samples.end() ? -1 : found->second;
  }
};

Outcome repaired() {
  Outcome outcome;
  outcome.path = Path::eyes_closed;
  outcome.policy = "strict";
  outcome.steps.resize(5);
  outcome.steps[1].step = Step::check;
  outcome.steps[1].verdict = Verdict::harmful;
  outcome.steps[2].step = Step::caption;
  outcome.steps[3].step = Step::regenerate;
  outcome.steps[4].step = Step::recheck;
  outcome.steps[4].verdict = Verdict::safe;
  for (StepRecord& record : outcome.steps) record.usage = {100, 90, 10};
  return outcome;
}

}  // namespace

TEST_CASE("metrics are in Prometheus' text format before anything was counted", "[gateway][metrics]") {
  const Metrics metrics;
  const Scrape scrape{metrics};
  CHECK(scrape.at("ecso_build_info{version=\"" + std::string{version} + "\"}") == 1);
  CHECK(scrape.at(R"(ecso_rejected_total{reason="queue"})") == 0);
  CHECK(scrape.at("ecso_clients_gone_total") == 0);
  CHECK(scrape.at("ecso_in_flight") == 0);
  CHECK(scrape.at(R"(ecso_verdicts_total{step="check",verdict="harmful"})") == 0);
}

TEST_CASE("a finished request is counted with its route, status, times and bytes", "[gateway][metrics]") {
  Metrics metrics;
  metrics.count({.endpoint = Endpoint::chat,
                 .status = 200,
                 .duration = 1200ms,
                 .upstream_time = 1199800us,
                 .request_bytes = 700,
                 .response_bytes = 30});
  metrics.count({.endpoint = Endpoint::chat, .status = 200, .duration = 3ms, .upstream_time = 4ms});
  for (const int status : {0, 99, 600, 1'000'000, -1}) metrics.count({.endpoint = Endpoint::other, .status = status});
  const Scrape scrape{metrics};
  CHECK(scrape.at(R"(ecso_requests_total{route="chat",status="200"})") == 2);
  CHECK(scrape.at(R"(ecso_requests_total{route="other",status="other"})") == 5);
  CHECK(scrape.at(R"(ecso_request_seconds_count{route="chat"})") == 2);
  CHECK_THAT(scrape.at(R"(ecso_request_seconds_sum{route="chat"})"), Catch::Matchers::WithinAbs(1.203, 1e-9));
  CHECK(scrape.at(R"(ecso_request_seconds_bucket{route="chat",le="1"})") == 1);
  CHECK(scrape.at(R"(ecso_request_seconds_bucket{route="chat",le="2.5"})") == 2);
  CHECK(scrape.at(R"(ecso_request_seconds_bucket{route="chat",le="+Inf"})") == 2);
  // Own time cannot be less than none.
  CHECK_THAT(scrape.at(R"(ecso_own_seconds_sum{route="chat"})"), Catch::Matchers::WithinAbs(0.0002, 1e-9));
  CHECK(scrape.at(R"(ecso_own_seconds_bucket{route="chat",le="5e-05"})") == 1);
  CHECK(scrape.at(R"(ecso_own_seconds_bucket{route="chat",le="0.00025"})") == 2);
  CHECK(scrape.at(R"(ecso_request_bytes_total{route="chat"})") == 700);
  CHECK(scrape.at(R"(ecso_response_bytes_total{route="chat"})") == 30);
}

TEST_CASE("an outcome is counted with its path, policy, verdicts and tokens", "[gateway][metrics]") {
  Metrics metrics;
  metrics.count(repaired());
  metrics.count(repaired());
  Outcome failed;
  failed.policy = "strict";
  metrics.count(failed);
  const Scrape scrape{metrics};
  CHECK(scrape.at(R"(ecso_outcomes_total{path="eyes_closed",policy="strict"})") == 2);
  CHECK(scrape.at(R"(ecso_outcomes_total{path="failed",policy="strict"})") == 1);
  CHECK(scrape.at(R"(ecso_verdicts_total{step="check",verdict="harmful"})") == 2);
  CHECK(scrape.at(R"(ecso_verdicts_total{step="recheck",verdict="safe"})") == 2);
  CHECK(scrape.at(R"(ecso_verdicts_total{step="recheck",verdict="undecided"})") == 0);
  CHECK(scrape.at(R"(ecso_undecided_total{doubt="cut",step="check"})") == 0);
  CHECK(scrape.at(R"(ecso_tokens_total{kind="prompt"})") == 1000);
  CHECK(scrape.at(R"(ecso_tokens_total{kind="cached"})") == 900);
  CHECK(scrape.at(R"(ecso_tokens_total{kind="completion"})") == 100);
}

TEST_CASE("upstream calls are counted by upstream, step and result", "[gateway][metrics]") {
  Metrics metrics;
  metrics.count_call("a", Step::answer, {}, 40ms);
  metrics.count_call("a", Step::recheck, Errc::internal, 40ms);
  metrics.count_call("b", Step::answer, Errc::bad_input, 7ms);
  metrics.change_connections("a", 3, 2);
  metrics.change_connections("a", 1, -1);
  const Scrape scrape{metrics};
  CHECK(scrape.at(R"(ecso_upstream_calls_total{result="ok",step="answer",upstream="a"})") == 1);
  CHECK(scrape.at(R"(ecso_upstream_calls_total{result="internal",step="recheck",upstream="a"})") == 1);
  CHECK(scrape.at(R"(ecso_upstream_calls_total{result="bad_input",step="answer",upstream="b"})") == 1);
  CHECK(scrape.at(R"(ecso_upstream_seconds_bucket{step="answer",upstream="b",le="0.01"})") == 1);
  CHECK(scrape.at(R"(ecso_upstream_connections{state="idle",upstream="a"})") == 4);
  CHECK(scrape.at(R"(ecso_upstream_connections{state="busy",upstream="a"})") == 1);
}

TEST_CASE("rejections, levels and clients that went away are counted", "[gateway][metrics]") {
  Metrics metrics;
  metrics.count(Rejection::rate);
  metrics.count(Rejection::header);
  metrics.count_client_gone();
  metrics.change(Level::connections, 5);
  metrics.change(Level::connections, -2);
  metrics.set(Level::in_flight, 1);
  metrics.set(Level::queued, 2);
  metrics.set(Level::buffered_bytes, std::size_t{1} << 40);
  const Scrape scrape{metrics};
  CHECK(scrape.at(R"(ecso_rejected_total{reason="rate"})") == 1);
  CHECK(scrape.at(R"(ecso_rejected_total{reason="header"})") == 1);
  CHECK(scrape.at(R"(ecso_rejected_total{reason="key"})") == 0);
  CHECK(scrape.at("ecso_clients_gone_total") == 1);
  CHECK(scrape.at("ecso_connections") == 3);
  CHECK(scrape.at("ecso_in_flight") == 1);
  CHECK(scrape.at("ecso_queued") == 2);
  CHECK(scrape.at("ecso_buffered_bytes") == 1099511627776.0);
}

TEST_CASE("a name of the configuration is escaped in its label, and after 256 names the rest are others", "[gateway][metrics]") {
  Metrics metrics;
  metrics.count_call("a\"b\\c\nd} 7", Step::answer, {}, 1ms);
  CHECK(Scrape{metrics}.at(R"(ecso_upstream_calls_total{result="ok",step="answer",upstream="a\"b\\c\nd} 7"})") == 1);
  for (int i = 0; i < 400; ++i) metrics.change_connections("upstream " + std::to_string(i), 1, 0);
  metrics.change_connections("upstream 7", 4, 0);
  const Scrape scrape{metrics};
  CHECK(scrape.at(R"(ecso_upstream_connections{state="idle",upstream="upstream 7"})") == 5);
  CHECK(scrape.at(R"(ecso_upstream_connections{state="idle",upstream="upstream 255"})") == 1);
  CHECK(scrape.at(R"(ecso_upstream_connections{state="idle",upstream="upstream 256"})") == -1);
  CHECK(scrape.at(R"(ecso_upstream_connections{state="idle",upstream="other"})") == 144);
}

TEST_CASE("threads count together, also what none has counted before, while others read", "[gateway][metrics][threads]") {
  Metrics metrics;
  constexpr int rounds = 300;
  const auto count = [&] {
    for (int i = 0; i < rounds; ++i) {
      metrics.count({.endpoint = static_cast<Endpoint>(i % 9), .status = 200 + i, .duration = 1ms});
      metrics.count(repaired());
      metrics.count_call("up " + std::to_string(i % 5), Step::answer, {}, 1ms);
      metrics.count(Rejection::rate);
      metrics.change(Level::in_flight, 1);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(count);
  threads.emplace_back([&] {
    for (int i = 0; i < 20; ++i) CHECK_THAT(metrics.text(), ContainsSubstring("ecso_build_info"));
  });
  for (std::thread& thread : threads) thread.join();
  const Scrape scrape{metrics};
  CHECK(scrape.at(R"(ecso_requests_total{route="chat",status="200"})") == 4);
  CHECK(scrape.at(R"(ecso_own_seconds_count{route="messages"})") == 4 * 34);
  CHECK(scrape.at(R"(ecso_outcomes_total{path="eyes_closed",policy="strict"})") == 4 * rounds);
  CHECK(scrape.at(R"(ecso_upstream_calls_total{result="ok",step="answer",upstream="up 4"})") == 4 * rounds / 5);
  CHECK(scrape.at("ecso_in_flight") == 4 * rounds);
}

TEST_CASE("a check that left a doubt is counted with its kind", "[gateway][metrics]") {
  Metrics metrics;
  Outcome outcome = repaired();
  outcome.steps[1].verdict = Verdict::undecided;
  for (const Doubt doubt : {Doubt::cut, Doubt::unclear, Doubt::harm_named, Doubt::figures, Doubt::stopped, Doubt::unread}) {
    outcome.steps[1].doubt = doubt;
    metrics.count(outcome);
  }
  const Scrape scrape{metrics};
  for (const char* doubt : {"cut", "unclear", "harm_named", "figures", "stopped", "unread"}) {
    CHECK(scrape.at(R"(ecso_undecided_total{doubt=")" + std::string{doubt} + R"(",step="check"})") == 1);
    CHECK(scrape.at(R"(ecso_undecided_total{doubt=")" + std::string{doubt} + R"(",step="recheck"})") == 0);
  }
}

}  // namespace metrics_test
