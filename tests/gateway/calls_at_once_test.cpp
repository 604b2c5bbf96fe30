// How many calls an upstream gets at once, and whose turn is next.

#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace calls_at_once_test {

namespace {

using namespace std::chrono_literals;
using ecso::Step;
using ecso::gateway::StreamMode;
using ecso::test::Api;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::HttpSocket;
using ecso::test::metric;
using ecso::test::RawServer;

ecso::gateway::Options with_calls(const ChatUpstream& upstream, std::size_t max_in_flight) {
  auto options = ecso::test::options_for(upstream.url());
  options.upstreams.front().max_in_flight = max_in_flight;
  return options;
}

std::vector<std::unique_ptr<HttpSocket>> chats(const GatewayUnderTest& under_test, int count) {
  std::vector<std::unique_ptr<HttpSocket>> sockets;
  for (int i = 0; i < count; ++i) {
    sockets.push_back(std::make_unique<HttpSocket>(under_test.port()));
    sockets.back()->send(chat_request());
  }
  return sockets;
}

/// The first letters of the steps that an upstream was asked for: a, c, … and g for a caption.
std::string steps_of(const ChatUpstream& upstream) {
  std::string steps;
  for (const auto& request : upstream.requests()) {
    const Step step = ChatUpstream::step_of(request.body);
    steps += step == Step::caption ? 'g' : ecso::to_string(step).front();
  }
  return steps;
}

}  // namespace

TEST_CASE("Whoever has begun is finished before another begins", "[gateway][calls]") {
  const bool is_harmful = GENERATE(false, true);
  ChatUpstream upstream{
      {.is_harmful = [is_harmful](const std::string& body) { return is_harmful && ChatUpstream::step_of(body) == Step::check; }}};
  const GatewayUnderTest under_test{with_calls(upstream, 1)};
  upstream.hold(Step::answer);
  const auto sockets = chats(under_test, 4);
  REQUIRE(comes_true([&] { return upstream.waiting() == 1 && metric(under_test, "ecso_upstream_waiting") == 3; }));
  CHECK(metric(under_test, "ecso_upstream_max_in_flight") == 1);
  CHECK(metric(under_test, "ecso_upstream_in_flight") == 1);
  upstream.let_go();
  for (const auto& socket : sockets) CHECK(socket->read().status == 200);
  std::string expected;
  for (int i = 0; i < 4; ++i) expected += is_harmful ? "acgrr" : "ac";
  CHECK(steps_of(upstream) == expected);
  CHECK(metric(under_test, "ecso_upstream_in_flight") == 0);
  CHECK(metric(under_test, "ecso_upstream_waiting") == 0);
}

TEST_CASE("A stream by window shows its first words while another waits, though both could be answered at once",
          "[gateway][calls][window]") {
  std::string answer;
  for (int i = 0; i < 400; ++i) answer += "word" + std::to_string(i) + " ";
  // The second half of an answer comes once a client has seen the beginning of one.
  std::atomic<bool> has_begun{false};
  const ChatUpstream upstream{{.answer = answer, .stream_pieces = 200, .may_go_on = [&](std::size_t bytes) {
                                 return has_begun || bytes < answer.size() / 2;
                               }}};
  auto options = with_calls(upstream, 2);
  options.stream = StreamMode::window;
  const GatewayUnderTest under_test{options};
  HttpSocket sockets[]{HttpSocket{under_test.port()}, HttpSocket{under_test.port()}, HttpSocket{under_test.port()}};
  for (HttpSocket& socket : sockets) socket.send(chat_request(Api::chat, true));
  CHECK(comes_true([&] {
    return std::ranges::any_of(sockets, [](HttpSocket& socket) {
      static_cast<void>(socket.is_closed_within(1ms));
      return socket.all().find("word0") != std::string::npos;
    });
  }));
  CHECK(upstream.calls(Step::answer).size() == 1);
  has_begun = true;
  for (HttpSocket& socket : sockets) CHECK(read_said(socket.read(), Api::chat).text == answer);
}

TEST_CASE("An upstream gets as many calls at once as its slots, or as is said", "[gateway][calls]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  auto& one = options.upstreams.front();
  const auto most = [&] { return metric(GatewayUnderTest{options}, "ecso_upstream_max_in_flight"); };
  CHECK(most() == 8);
  one.first_in_flight = 30;
  CHECK(most() == 30);
  one.slots = 3;
  CHECK(most() == 3);
  options.bounds.max_in_flight = 50;
  CHECK(most() == 1'024);
  one.max_in_flight = 5;
  CHECK(most() == 5);
  one.max_connections = 4;
  CHECK(most() == 4);
  one.first_in_flight = 0;
  CHECK_THROWS_WITH(GatewayUnderTest{options}, Catch::Matchers::ContainsSubstring("first_in_flight is 0"));
}

TEST_CASE("What an upstream is found to have room for holds for what waits already", "[gateway][calls]") {
  ChatUpstream upstream;
  auto options = with_calls(upstream, 1);
  GatewayUnderTest under_test{options};
  upstream.hold(Step::answer);
  const auto sockets = chats(under_test, 3);
  REQUIRE(comes_true([&] { return upstream.waiting() == 1 && metric(under_test, "ecso_upstream_waiting") == 2; }));
  options.upstreams.front().max_in_flight = 0;
  options.upstreams.front().slots = 3;
  options.port = under_test.gateway.port();
  under_test.gateway.reload(options);
  CHECK(comes_true([&] { return upstream.waiting() == 3; }));
  upstream.let_go();
  for (const auto& socket : sockets) CHECK(socket->read().status == 200);
}

TEST_CASE("A client that goes while its call waits makes way", "[gateway][calls]") {
  ChatUpstream upstream;
  const GatewayUnderTest under_test{with_calls(upstream, 1)};
  upstream.hold(Step::answer);
  const auto first = chats(under_test, 1);
  REQUIRE(comes_true([&] { return upstream.waiting() == 1; }));
  auto gone = chats(under_test, 1);
  REQUIRE(comes_true([&] { return metric(under_test, "ecso_upstream_waiting") == 1; }));
  gone.clear();
  CHECK(comes_true([&] { return metric(under_test, "ecso_upstream_waiting") == 0; }));
  const auto last = chats(under_test, 1);
  REQUIRE(comes_true([&] { return metric(under_test, "ecso_upstream_waiting") == 1; }));
  upstream.let_go();
  CHECK(first.front()->read().status == 200);
  CHECK(last.front()->read().status == 200);
  CHECK(upstream.calls(Step::answer).size() == 2);
}

TEST_CASE("What has no model work waits for no turn", "[gateway][calls]") {
  ChatUpstream upstream;
  const GatewayUnderTest under_test{with_calls(upstream, 1)};
  upstream.hold(Step::answer);
  const auto first = chats(under_test, 1);
  REQUIRE(comes_true([&] { return upstream.waiting() == 1; }));
  CHECK(under_test.ask(http_request("GET", "/v1/models")).status == 200);
  upstream.let_go();
  CHECK(first.front()->read().status == 200);
}

TEST_CASE("An upstream that says it has no room gets fewer calls at once", "[gateway][calls]") {
  std::atomic<bool> is_full{true};
  const ChatUpstream upstream{{.instead = [&](RawServer::Connection& connection, Step) {
    if (!is_full) return false;
    connection.send(ecso::test::http_response(429, R"({"error":{"message":"no room"}})"));
    return true;
  }}};
  auto options = ecso::test::options_for(upstream.url());
  options.upstreams.front().first_in_flight = 100;
  const GatewayUnderTest under_test{options};
  CHECK(under_test.ask(chat_request()).status == 429);
  CHECK(metric(under_test, "ecso_upstream_max_in_flight") == 1);
  is_full = false;
  CHECK(under_test.ask(chat_request()).status == 200);
}

}  // namespace calls_at_once_test
