// Every fault at every step of the method against every backend: a query ends in time, nothing unverified comes out, and the
// error says where and why.

#include <ecso/backend/openai.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/decorator/limit.hpp>
#include <ecso/decorator/retry.hpp>
#include <ecso/drive/pipeline.hpp>
#include <ecso/error.hpp>
#include <ecso/http/options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faults/faults.hpp"
#include "faults/run_cases.hpp"
#include "faults/server_kinds.hpp"
#include "support/catch.hpp"
#include "support/fault_server.hpp"
#include "support/image_bytes.hpp"
#include "support/reserved_port.hpp"
#include "support/sanitizers.hpp"

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using ecso::Errc;
using ecso::Error;
using ecso::HttpOptions;
using ecso::MllmBackend;
using ecso::Outcome;
using ecso::Path;
using ecso::Policy;
using ecso::Reply;
using ecso::Step;
using ecso::test::BackendUnderTest;
using ecso::test::Expect;
using ecso::test::Fault;
using ecso::test::FaultServer;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using Result = ecso::test::CaseResult;

constexpr int slowness = ecso::test::is_sanitized ? 3 : 1;
// Sanitizers are many times slower: each so many-th case runs.
constexpr std::size_t part = ecso::test::is_sanitized ? 7 : 1;
constexpr milliseconds deadline = slowness * 700ms;
constexpr milliseconds grace = slowness * 300ms;
/// As many times as long, where no time is to run out.
constexpr int patient = 64;

/// @param times how much longer everything may take.
HttpOptions http(int times) {
  return {.connect_timeout = slowness * times * 250ms,
          .first_byte_timeout = slowness * times * 300ms,
          .between_bytes_timeout = slowness * times * 250ms,
          .call_timeout = slowness * times * 600ms,
          .max_response_bytes = 256 * 1024,
          .proxy = ""};
}

/// How a backend is called.
enum class Mode {
  plain,       ///< As it is; the fault stays.
  retry_once,  ///< With retries around a limit; the fault happens once.
  retry,       ///< The same; the fault stays.
};

struct Case {
  const BackendUnderTest* backend;
  const Fault* fault;
  Step step;
  Mode mode;
};

std::string name_of(const Case& c) {
  constexpr std::string_view modes[] = {"", " (once, with retries)", " (with retries)"};
  std::string name = c.backend->name + ", " + std::string{to_string(c.step)} + ", " + c.fault->name;
  return name.append(modes[static_cast<std::size_t>(c.mode)]);
}

/// Short answers are not streamed.
Policy policy_for(const BackendUnderTest& backend, int times) {
  Policy policy = ecso::policy::production();
  policy.deadline = deadline * times;
  if (backend.is_streamed) return policy;
  for (auto* sampling :
       {&policy.sampling.answer, &policy.sampling.check, &policy.sampling.caption, &policy.sampling.regenerate}) {
    sampling->max_tokens = 16;
  }
  return policy;
}

Outcome outcome_of(MllmBackend& backend, const Policy& policy) {
  static const ecso::Image image = ecso::Image::from_bytes(ecso::test::png_bytes(3, 2));
  const ecso::EcsoPipeline pipeline{backend, policy};
  return pipeline.try_run(ecso::ask({image}, "What is to be seen?"));
}

/// What is wrong with an error as a message; empty if nothing is.
std::string wrong_with(const Outcome& outcome, Step step, std::string_view url, bool is_of_model) {
  if (!outcome.error) return "no error";
  const Error& error = *outcome.error;
  const std::string what = error.what();
  if (!outcome.text.empty()) return "a failed query has a text: " + outcome.text;
  if (error.context().step != step) return "another step: " + what;
  if (!what.starts_with(to_string(step))) return "the message does not begin with the step: " + what;
  // Of a reply of nothing but spaces the protocol finds out, which knows no endpoint.
  const bool has_endpoint = error.context().endpoint.starts_with(url) && what.find(url) != what.npos;
  if (!has_endpoint && !is_of_model) return "the endpoint is missing: " + what;
  if (error.message().size() < 5) return "no reason: " + what;
  if (what.find(ecso::test::test_key) != what.npos) return "the key: " + what;
  return {};
}

/// What is wrong with an outcome; empty if nothing is.
std::string wrong_with(const Outcome& outcome, const Case& c, std::string_view url) {
  if (outcome.path == Path::direct) return "the first answer came out: " + outcome.text;
  if (outcome.path == Path::eyes_closed && outcome.text != ecso::test::safe_text) return "unverified: " + outcome.text;
  if (outcome.path == Path::refused && outcome.text != Policy{}.refusal) return "not the refusal: " + outcome.text;

  Expect expect = c.fault->expect;
  if (c.mode == Mode::retry_once && c.fault->passes) expect = Expect::right;
  if (c.mode == Mode::retry_once && expect == Expect::fails) expect = Expect::either;
  const bool is_text_blank = c.fault->expect == Expect::closed;
  const std::string error = outcome.path == Path::failed ? wrong_with(outcome, c.step, url, is_text_blank) : "";
  const bool is_right = outcome.path == Path::eyes_closed;
  const bool is_failed = outcome.path == Path::failed;
  const bool is_recheck_spoilt = c.step == Step::recheck && c.mode != Mode::retry_once;
  bool is_expected = false;
  switch (expect) {
    case Expect::fails: is_expected = is_failed; break;
    case Expect::right: is_expected = is_right; break;
    case Expect::either: is_expected = is_right || is_failed; break;
    case Expect::closed: is_expected = !(is_right && is_recheck_spoilt); break;
  }
  if (is_expected) return error;
  std::string wrong = "came out as " + std::string{to_string(outcome.path)};
  if (outcome.error) wrong.append(": ").append(outcome.error->what());
  return wrong;
}

Result judge(const Outcome& outcome, milliseconds time, int times, const Case& c, std::string_view url) {
  Result result{.wrong = wrong_with(outcome, c, url)};
  const bool has_released = outcome.path == Path::direct || outcome.path == Path::eyes_closed;
  const auto is_about_time = [](const Error& error) {
    return error.code() == Errc::timeout || error.message().find("no time for another") != std::string::npos;
  };
  result.may_be_the_machine = !has_released && outcome.error && is_about_time(*outcome.error);
  if (result.wrong.empty() && time > (deadline + grace) * times) {
    result.wrong = "took " + std::to_string(time.count()) + " ms";
    result.may_be_the_machine = true;
  }
  return result;
}

/// Another backend for one step.
class Detour final : public MllmBackend {
 public:
  Detour(MllmBackend& backend, MllmBackend& other, Step step) : backend_{backend}, other_{other}, step_{step} {}

  [[nodiscard]] Reply generate(const ecso::VisionRequest& request, const ecso::CallContext& context) override {
    return (request.options.step == step_ ? other_ : backend_).generate(request, context);
  }
  [[nodiscard]] Reply generate(const ecso::TextRequest& request, const ecso::CallContext& context) override {
    return (request.options.step == step_ ? other_ : backend_).generate(request, context);
  }
  [[nodiscard]] ecso::Capabilities capabilities() const override { return backend_.capabilities(); }

 private:
  MllmBackend& backend_;
  MllmBackend& other_;
  Step step_;
};

/// Runs the query, timed, against a backend with the decorators of the case.
template <typename Judge>
Result run_with(MllmBackend& backend, const Case& c, int times, const Judge& judge_outcome) {
  ecso::LimitBackend limited{backend, {.max_in_flight = 1}};
  ecso::RetryBackend retried{limited, {.max_attempts = 3, .base_delay = 2ms, .max_delay = 5ms, .seed = 1}};
  const auto start = Clock::now();
  try {
    const Outcome outcome = outcome_of(c.mode == Mode::plain ? backend : retried, policy_for(*c.backend, times));
    return judge_outcome(outcome, std::chrono::duration_cast<milliseconds>(Clock::now() - start));
  } catch (const std::exception& error) {
    return {.wrong = std::string{"threw: "} + error.what()};
  }
}

Result run(const Case& c, int times) {
  FaultServer server{*c.backend->kind,
                     {.step = c.step,
                      .fault = c.fault->play,
                      .times = c.mode == Mode::retry_once ? 1 : 1'000'000,
                      .applies_to = c.fault->applies_to,
                      .is_of_controller = c.backend->has_controller}};
  const auto backend = c.backend->make(server.url(), http(times));
  return run_with(*backend, c, times, [&](const Outcome& outcome, milliseconds time) -> Result {
    Result result = judge(outcome, time, times, c, server.url());
    if (server.has_skipped()) {
      result.ran = false;
      result.wrong = outcome.path == Path::eyes_closed ? "" : "no fault, and not right";
      return result;
    }
    if (result.wrong.empty() && !server.has_played()) result.wrong = "the fault was not reached";
    return result;
  });
}

/// Nobody listens where a step's calls go.
Result run_refused(const Case& c, int times, const std::string& nobody) {
  FaultServer server{*c.backend->kind, {.step = c.step, .times = 0}};
  const auto backend = c.backend->make(server.url(), http(times));
  const auto refused = c.backend->make(nobody, http(times));
  Detour detour{*backend, *refused, c.step};
  return run_with(detour, c, times,
                  [&](const Outcome& outcome, milliseconds time) { return judge(outcome, time, times, c, nobody); });
}

constexpr Step steps[] = {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck};

/// Each `stride`-th case. As 60 cases are a fault's, a stride of 7 goes through all of them in turn.
std::vector<Case> all_cases(const std::vector<BackendUnderTest>& backends, const std::vector<Fault>& faults, Mode mode,
                            std::size_t stride) {
  std::vector<Case> cases;
  std::size_t number = 0;
  for (const Fault& fault : faults) {
    for (const BackendUnderTest& backend : backends) {
      for (const Step step : steps) {
        if (number++ % stride == 0) cases.push_back({&backend, &fault, step, mode});
      }
    }
  }
  return cases;
}

void run_matrix(Mode mode, std::size_t stride) {
  const auto backends = ecso::test::backends_under_test();
  const auto faults = ecso::test::all_faults();
  const auto start = Clock::now();
  const std::size_t ran = ecso::test::run_cases(all_cases(backends, faults, mode, stride * part), run, name_of);
  const auto time = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  const std::string share = stride * part == 1 ? "all" : "one in " + std::to_string(stride * part);
  WARN(ran << " cases ran: " << share << " of " << faults.size() << " faults, where they apply, at 5 steps of " << backends.size()
           << " backends; in " << time.count() << " ms");
}

}  // namespace

TEST_CASE("Good weather comes out as the eyes-closed answer, with every backend", "[faults]") {
  const auto backends = ecso::test::backends_under_test();
  for (const BackendUnderTest& backend : backends) {
    FaultServer server{*backend.kind, {.times = 0}};
    const auto model = backend.make(server.url(), http(patient));
    const Outcome outcome = outcome_of(*model, policy_for(backend, patient));
    CAPTURE(backend.name, outcome.error ? outcome.error->what() : "");
    CHECK(outcome.path == Path::eyes_closed);
    CHECK(outcome.text == ecso::test::safe_text);
    CHECK(outcome.steps.size() == 5);
    CHECK(server.connections() <= 2);
  }
}

TEST_CASE("Every fault at every step of every backend ends in time, releases nothing unverified and says why", "[faults]") {
  run_matrix(Mode::plain, 1);
}

TEST_CASE("A fault that happens once is survived with retries where it may pass", "[faults]") { run_matrix(Mode::retry_once, 1); }

TEST_CASE("A fault that stays fails closed with retries too", "[faults]") { run_matrix(Mode::retry, 7); }

TEST_CASE("A refused connection at every step of every backend is an error that says where", "[faults]") {
  const ReservedPort nobody;
  const auto backends = ecso::test::backends_under_test();
  const std::vector<Fault> refusal{{.name = "refuses", .expect = Expect::fails, .play = {}}};
  std::size_t ran = 0;
  for (const Mode mode : {Mode::plain, Mode::retry}) {
    ran += ecso::test::run_cases(
        all_cases(backends, refusal, mode, 1), [&](const Case& c, int times) { return run_refused(c, times, nobody.url()); },
        name_of);
  }
  WARN(ran << " cases of a refused connection ran");
}
