// Clients that go away: their upstream calls end with them.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/gateway/request_record.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace gone_test {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using ecso::Step;
using ecso::gateway::StreamMode;
using ecso::test::Api;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::HttpSocket;
using ecso::test::patience;

/// An upstream whose first answers are harmful, so that every step is called.
std::unique_ptr<ChatUpstream> harmful_upstream() {
  return std::make_unique<ChatUpstream>(ecso::test::ChatUpstreamOptions{
      .is_harmful = [](const std::string& body) { return ChatUpstream::step_of(body) == Step::check; }});
}

/// Nothing else would tell the gateway soon that a client has gone: no comment is written to it, and no call takes too long.
ecso::gateway::Options unhurried(const ChatUpstream& upstream) {
  auto options = ecso::test::options_for(upstream.url());
  options.keep_alive = 5 * patience;
  options.begin_after = 0ms;
  options.upstreams.front().first_byte_timeout = 5 * patience;
  options.upstreams.front().between_bytes_timeout = 5 * patience;
  options.bounds.queue_timeout = 5 * patience;
  auto policy = std::make_shared<ecso::Policy>();
  policy->deadline = 5 * patience;
  options.policy = policy;
  return options;
}

}  // namespace

TEST_CASE("A client that goes away takes the upstream call of any step with it, and nothing else has to happen first",
          "[gateway][gone]") {
  milliseconds worst{0};
  int count = 0;
  for (const Step step : {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck}) {
    for (const bool stream : {false, true}) {
      for (const bool resets : {false, true}) {
        CAPTURE(to_string(step), stream, resets);
        ++count;
        std::atomic<int> status{0};
        const auto upstream = harmful_upstream();
        const GatewayUnderTest under_test{unhurried(*upstream),
                                          [&](const ecso::gateway::RequestRecord& record) { status = record.status; }};
        upstream->hold(step);
        Clock::time_point closed;
        {
          HttpSocket socket{under_test.port()};
          socket.send(chat_request(Api::chat, stream));
          REQUIRE(comes_true([&] { return upstream->waiting() == 1; }));
          if (resets) socket.reset_at_end();
          closed = Clock::now();
        }
        REQUIRE(comes_true([&] { return upstream->gone() == 1; }));
        worst = std::max(worst, std::chrono::duration_cast<milliseconds>(upstream->gone_at() - closed));
        CHECK(comes_true([&] { return status == 499; }));
        CHECK(comes_true([&] { return metric(under_test, "ecso_clients_gone_total") == 1; }));
        CHECK(upstream->calls(Step::recheck).size() == (step == Step::recheck ? 1 : 0));
      }
    }
  }
  WARN(count << " clients went away; the slowest upstream call ended " << worst.count() << " ms after");
}

TEST_CASE("A hundred clients that go away at once free a hundred calls, and the next is served", "[gateway][gone]") {
  const auto upstream = harmful_upstream();
  auto options = unhurried(*upstream);
  options.bounds.max_in_flight = 100;
  options.bounds.max_queued = 50;
  const GatewayUnderTest under_test{options};
  upstream->hold(Step::check);
  std::vector<std::unique_ptr<HttpSocket>> clients;
  for (int i = 0; i < 150; ++i) {
    clients.push_back(std::make_unique<HttpSocket>(under_test.port()));
    clients.back()->send(chat_request(Api::chat, i % 2 == 0));
  }
  REQUIRE(comes_true([&] { return upstream->waiting() == 100; }));
  const auto start = Clock::now();
  clients.clear();
  CHECK(comes_true([&] { return upstream->waiting() == 0; }));
  const auto time = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  upstream->let_go();
  CHECK(under_test.ask(chat_request()).status == 200);
  WARN("a hundred calls were given up in " << time.count() << " ms");
}

TEST_CASE("A client that goes away while its request waits leaves the queue", "[gateway][gone]") {
  ChatUpstream upstream;
  auto options = unhurried(upstream);
  options.bounds.max_in_flight = 1;
  options.bounds.max_queued = 1;
  const GatewayUnderTest under_test{options};
  upstream.hold(Step::answer);
  HttpSocket first{under_test.port()};
  first.send(chat_request());
  REQUIRE(comes_true([&] { return upstream.waiting() == 1; }));
  {
    HttpSocket second{under_test.port()};
    second.send(chat_request());
    REQUIRE(comes_true([&] { return metric(under_test, "ecso_queued") == 1; }));
    CHECK(under_test.ask(chat_request()).status == 429);
  }
  REQUIRE(comes_true([&] { return metric(under_test, "ecso_queued") == 0; }));
  HttpSocket third{under_test.port()};
  third.send(chat_request());
  REQUIRE(comes_true([&] { return metric(under_test, "ecso_queued") == 1; }));
  upstream.let_go();
  CHECK(first.read().status == 200);
  CHECK(third.read().status == 200);
  CHECK(upstream.calls(Step::answer).size() == 2);
}

TEST_CASE("A client that goes away in the middle of a window's stream ends the upstream's stream", "[gateway][gone]") {
  // Its second half never comes.
  const ChatUpstream upstream{
      {.answer = std::string(20'000, 'x'), .stream_pieces = 400, .may_go_on = [](std::size_t bytes) { return bytes < 10'000; }}};
  auto options = unhurried(upstream);
  options.stream = StreamMode::window;
  std::atomic<int> status{0};
  const GatewayUnderTest under_test{options, [&](const ecso::gateway::RequestRecord& record) { status = record.status; }};
  {
    HttpSocket socket{under_test.port()};
    socket.send(chat_request(Api::chat, true));
    REQUIRE(comes_true([&] {
      static_cast<void>(socket.is_closed_within(1ms));
      return socket.all().find("xxxx") != std::string::npos;
    }));
  }
  CHECK(comes_true([&] { return status == 499; }));
}

}  // namespace gone_test
