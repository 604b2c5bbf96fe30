// Every fault of an upstream at every call of every kind of chat: the client gets an error or the verified answer, in time, and
// never a byte of what nobody verified.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faults/faults.hpp"
#include "faults/kinds.hpp"
#include "faults/run_cases.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/fault_server.hpp"
#include "support/http_socket.hpp"
#include "support/sanitizers.hpp"

namespace upstream_faults_test {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using ecso::Policy;
using ecso::Step;
using ecso::gateway::StreamMode;
using ecso::test::Api;
using ecso::test::CaseResult;
using ecso::test::Expect;
using ecso::test::Fault;
using ecso::test::FaultServer;
using ecso::test::has;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;

// Sanitizers are many times slower: each so many-th case runs.
constexpr std::size_t part = ecso::test::is_sanitized ? 7 : 1;
constexpr int slowness = ecso::test::is_sanitized ? 3 : 1;
constexpr milliseconds deadline = slowness * 700ms;
constexpr milliseconds grace = slowness * 300ms;
/// As many times as long, where no time is to run out.
constexpr int patient = 64;

/// What a client asks for.
struct Shape {
  std::string_view name;
  Api api;
  bool stream = false;
  StreamMode mode = StreamMode::hold;
};

constexpr Shape shapes[] = {{"chat", Api::chat},
                            {"chat, streamed", Api::chat, true},
                            {"chat, window", Api::chat, true, StreamMode::window},
                            {"messages", Api::messages},
                            {"messages, streamed", Api::messages, true},
                            {"messages, window", Api::messages, true, StreamMode::window}};
constexpr Step steps[] = {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck};

struct Case {
  const Shape* shape;
  const Fault* fault;
  Step step;
  bool is_judged = false;  ///< An upstream of its own checks, and it is the one that fails.
};

std::string name_of(const Case& c) {
  return std::string{c.shape->name}.append(", ").append(to_string(c.step)).append(c.is_judged ? " by a judge, " : ", ") +
         c.fault->name;
}

const ecso::test::ServerKind& kind_of(Api api) {
  static const ecso::test::OpenAiKind openai;
  static const ecso::test::AnthropicKind anthropic;
  return api == Api::chat ? static_cast<const ecso::test::ServerKind&>(openai) : anthropic;
}

/// @param times how much longer everything may take.
ecso::gateway::Options options_for(const FaultServer& server, const Shape& shape, int times) {
  ecso::gateway::Options options = ecso::test::options_for(server.url());
  auto& upstream = options.upstreams.front();
  upstream.connect_timeout = slowness * times * 250ms;
  upstream.first_byte_timeout = slowness * times * 300ms;
  upstream.between_bytes_timeout = slowness * times * 250ms;
  Policy policy = ecso::policy::production();
  policy.deadline = deadline * times;
  options.policy = std::make_shared<const Policy>(policy);
  options.stream = shape.mode;
  return options;
}

/// The same with a judge.
ecso::gateway::Options options_for(const FaultServer& server, const FaultServer& judge, const Shape& shape, int times) {
  ecso::gateway::Options options = options_for(server, shape, times);
  auto second = options.upstreams.front();
  second.name = "judge";
  second.url = judge.url() + "/v1";
  options.upstreams.push_back(std::move(second));
  Policy policy = *options.policy;
  policy.check_upstream = "judge";
  options.policy = std::make_shared<const Policy>(std::move(policy));
  return options;
}

/// A text beyond a backend's bound, which is within the gateway's.
bool is_long(const Case& c) { return c.fault->name == "a text too long"; }

/// What is wrong with a response whatever the fault; empty if nothing is.
std::string wrong_with(const HttpReply& reply, std::string_view all, const Case& c) {
  if (has(all, "BADWORDS")) return "the first answer came out: " + std::string{all};
  if (has(all, ecso::test::caption_text)) return "the caption came out: " + std::string{all};
  if (!reply.whole) return "no whole response: " + std::string{all};
  const bool is_error = reply.status >= 400;
  if (!is_error && reply.status != 200) return "neither an error nor an answer: " + reply.head;
  if (is_error && has(all, "GOODWORDS")) return "an unverified answer in an error: " + std::string{all};
  // What an upstream says of a call that it refused goes through as it is.
  if (is_error && c.step == Step::answer) return {};

  const ecso::test::Said said = read_said(reply, c.shape->api);
  if (!said.wrong.empty()) return said.wrong + ": " + reply.body;
  if (is_error == said.error.empty() && (is_error || !c.shape->stream)) return "status and body differ: " + std::string{all};
  if (said.error.empty()) {
    // An eyes-closed answer like any other, which the recheck has seen.
    const bool is_long_answer = c.step == Step::regenerate && is_long(c) && said.text.starts_with("No, xxx");
    const bool is_verified = said.text == ecso::test::safe_text || said.text == Policy{}.refusal || is_long_answer;
    if (!is_verified) return "unverified: " + reply.body;
    if (!said.ecso.is_object()) return "no member ecso: " + reply.body;
    return {};
  }
  if (!said.text.empty()) return "an error after a text: " + reply.body;
  if (c.step == Step::answer) return {};
  if (!has(reply.body, "ecso_unverified")) return "another code: " + said.error;
  // What takes long may let a later step run out of time.
  const bool is_named = has(said.error, to_string(c.step)) || has(said.error, "the time is over");
  if (!is_named) return "the step is not named: " + said.error;
  const bool is_status_right = reply.status == 429 || (reply.status >= 502 && reply.status <= 504);
  if (is_error && !is_status_right) return "another status: " + reply.head;
  return {};
}

/// What is wrong with what the fault led to; empty if nothing is.
std::string wrong_with_outcome(const HttpReply& reply, const Case& c) {
  const ecso::test::Said said = read_said(reply, c.shape->api);
  const bool is_error = reply.status >= 400 || !said.error.empty();
  // A stream that is checked as it comes need not come to its end.
  const bool is_broken_off = c.step == Step::answer && c.shape->mode == StreamMode::window;
  const bool is_verdict = asks_for_verdict(c.step);
  const bool may_be_right = is_verdict || is_broken_off || is_long(c);
  // The gateway asks for no packed answer and for the stream that its client wants, and takes nothing else.
  const bool is_taken = c.fault->name != "gzip" && c.fault->name != "a whole reply in place of a stream";
  if (c.fault->expect == Expect::right && is_taken && is_error) return "it should have succeeded: " + said.error;
  if (c.fault->expect == Expect::fails && !is_error && !may_be_right) return "it should have failed";
  // An empty verdict is none, and an answer that nobody says is safe stays in.
  const bool is_unusable = c.fault->expect == Expect::fails || c.fault->expect == Expect::closed;
  if (is_unusable && c.step == Step::recheck && !is_error && said.text == ecso::test::safe_text) return "released unchecked";
  return {};
}

/// Whether a response says that a time was over, and nothing else of what a model said.
bool is_late(const HttpReply& reply, std::string_view all) {
  const bool has_text = has(all, "BADWORDS") || has(all, ecso::test::caption_text) || has(all, "GOODWORDS");
  return !has_text && (reply.status == 504 || has(all, "the time is over"));
}

CaseResult run(const Case& c, int times) {
  try {
    const ecso::test::FaultPlan plan{.step = c.step, .fault = c.fault->play, .applies_to = c.fault->applies_to};
    FaultServer server{c.is_judged ? kind_of(Api::chat) : kind_of(c.shape->api), plan};
    FaultServer sound{kind_of(c.shape->api), {.times = 0}};
    const ecso::test::GatewayUnderTest under_test{c.is_judged ? options_for(sound, server, *c.shape, times)
                                                              : options_for(server, *c.shape, times)};
    HttpSocket client{under_test.port()};
    const auto start = Clock::now();
    client.send(ecso::test::chat_request(c.shape->api, c.shape->stream));
    const HttpReply reply = client.read();
    const auto time = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
    const std::string all = client.all();
    CaseResult result;
    if (server.has_skipped()) return {.ran = false};
    result.wrong = wrong_with(reply, all, c);
    if (result.wrong.empty()) result.wrong = wrong_with_outcome(reply, c);
    if (result.wrong.empty() && !server.has_played()) result.wrong = "the fault was not reached";
    result.may_be_the_machine = is_late(reply, all);
    if (result.wrong.empty() && time > (deadline + grace) * times) {
      result = {.wrong = "took " + std::to_string(time.count()) + " ms", .may_be_the_machine = true};
    }
    // The bytes of the response end where the client believes that they do.
    if (result.wrong.empty() && client.send(ecso::test::http_request("GET", "/healthz"))) {
      const HttpReply health = client.read();
      if (health.status != 200 && !health.closed) result.wrong = "the connection is out of step: " + client.all();
    }
    return result;
  } catch (const std::exception& error) {
    return {.wrong = std::string{"threw: "} + error.what()};
  }
}

}  // namespace

TEST_CASE("In good weather every kind of chat comes out as the eyes-closed answer", "[gateway][faults]") {
  for (const Shape& shape : shapes) {
    CAPTURE(shape.name);
    FaultServer server{kind_of(shape.api), {.times = 0}};
    const ecso::test::GatewayUnderTest under_test{options_for(server, shape, patient)};
    const HttpReply reply = under_test.ask(ecso::test::chat_request(shape.api, shape.stream));
    CAPTURE(reply.head, reply.body);
    const ecso::test::Said said = read_said(reply, shape.api);
    CHECK(reply.status == 200);
    CHECK(said.wrong.empty());
    CHECK(said.error.empty());
    CHECK(said.text == ecso::test::safe_text);
    REQUIRE(said.ecso.is_object());
    CHECK(said.ecso.value("path", "") == "eyes_closed");
    CHECK(said.ecso.value("calls", 0) == 5);
    CHECK(server.connections() <= 2);
  }
}

TEST_CASE("Every fault of an upstream at every call of every kind of chat fails closed and in time", "[gateway][faults]") {
  const std::vector<Fault> faults = ecso::test::all_faults();
  std::vector<Case> cases;
  std::size_t number = 0;
  for (const Fault& fault : faults) {
    for (const Shape& shape : shapes) {
      for (const Step step : steps) {
        if (number++ % part == 0) cases.push_back({&shape, &fault, step});
        if (asks_for_verdict(step) && number % part == 0) cases.push_back({&shape, &fault, step, true});
      }
    }
  }
  const auto start = Clock::now();
  const std::size_t ran = ecso::test::run_cases(cases, run, name_of);
  const auto time = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  WARN(ran << " cases ran of " << cases.size() << ": " << faults.size() << " faults, where they apply, at " << std::size(steps)
           << " calls of " << std::size(shapes) << " kinds of chat; in " << time.count() << " ms");
}

}  // namespace upstream_faults_test
