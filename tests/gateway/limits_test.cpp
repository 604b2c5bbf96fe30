// Who comes in, how many, how often, and what happens to them when the gateway ends.

#include <ecso/core/step.hpp>
#include <ecso/gateway/client_keys.hpp>
#include <ecso/gateway/options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace limits_test {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using ecso::Step;
using ecso::test::Api;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::patience;

bool has_retry_after(const HttpReply& reply) {
  const int seconds = std::atoi(reply.header("retry-after").c_str());
  return seconds >= 1 && seconds <= 3600;
}

std::vector<std::unique_ptr<HttpSocket>> chats(const GatewayUnderTest& under_test, int count, Api api = Api::chat) {
  std::vector<std::unique_ptr<HttpSocket>> sockets;
  for (int i = 0; i < count; ++i) {
    sockets.push_back(std::make_unique<HttpSocket>(under_test.port()));
    sockets.back()->send(chat_request(api, i % 2 == 1));
  }
  return sockets;
}

}  // namespace

TEST_CASE("Beyond the queue a request gets 429 at once, and those in it their answers", "[gateway][limits]") {
  ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_in_flight = 2;
  options.bounds.max_queued = 3;
  options.bounds.queue_timeout = 2 * patience;
  const GatewayUnderTest under_test{options};
  upstream.hold(Step::answer);
  const auto in = chats(under_test, 2);
  REQUIRE(comes_true([&] { return upstream.waiting() == 2; }));
  const auto queued = chats(under_test, 3);
  REQUIRE(comes_true([&] { return metric(under_test, "ecso_queued") == 3; }));
  CHECK(upstream.waiting() == 2);
  // Nobody leaves the queue before the answers to these have come.
  for (const bool stream : {false, true}) {
    for (const Api api : {Api::chat, Api::messages}) {
      const HttpReply reply = under_test.ask(chat_request(api, stream));
      CHECK(reply.status == 429);
      CHECK(has_retry_after(reply));
      CHECK(!read_said(reply, api).error.empty());
    }
  }
  CHECK(under_test.ask(http_request("GET", "/healthz")).status == 200);
  upstream.let_go();
  for (const auto* sockets : {&in, &queued}) {
    for (const auto& socket : *sockets) {
      const HttpReply reply = socket->read();
      CHECK(reply.status == 200);
      CHECK(read_said(reply, Api::chat).text == "A plain answer.");
    }
  }
}

TEST_CASE("A request that waits too long in the queue is told to come again", "[gateway][limits]") {
  ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_in_flight = 1;
  options.bounds.max_queued = 10;
  options.bounds.queue_timeout = 200ms;
  const GatewayUnderTest under_test{options};
  upstream.hold(Step::answer);
  const auto first = chats(under_test, 1);
  REQUIRE(comes_true([&] { return upstream.waiting() == 1; }));
  const auto start = Clock::now();
  const HttpReply reply = under_test.ask(chat_request());
  CHECK((reply.status == 429 || reply.status == 503));
  CHECK(has_retry_after(reply));
  CHECK(Clock::now() - start >= 150ms);
  upstream.let_go();
  CHECK(first.front()->read().status == 200);
}

TEST_CASE("A connection beyond the bound waits for another to end", "[gateway][limits]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_connections = 4;
  const GatewayUnderTest under_test{options};
  auto sockets = chats(under_test, 4);
  for (const auto& socket : sockets) CHECK(socket->read().status == 200);
  HttpSocket fifth{under_test.port()};
  fifth.send(http_request("GET", "/healthz"));
  CHECK(fifth.read(200ms).status == 0);
  sockets.pop_back();
  CHECK(fifth.read().status == 200);
}

TEST_CASE("Each key has its own rate", "[gateway][limits]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.keys = {{"alice", ecso::gateway::hash_client_key("key-of-alice")},
                  {"bob", ecso::gateway::hash_client_key("key-of-bob")}};
  options.bounds.requests_per_second = 1;
  options.bounds.burst = 3;
  const GatewayUnderTest under_test{options};
  for (const std::string key : {"key-of-alice", "key-of-bob"}) {
    const auto start = Clock::now();
    int served = 0;
    for (int i = 0; i < 12; ++i) {
      const HttpReply reply = under_test.ask(chat_request(Api::chat, false, "Authorization: Bearer " + key + "\r\n"));
      if (reply.status == 200) {
        ++served;
        continue;
      }
      CHECK(reply.status == 429);
      CHECK(has_retry_after(reply));
    }
    CHECK(served >= 3);
    const auto time = Clock::now() - start;
    CHECK(served <= 3 + time / 1s);
  }
  CHECK(comes_true(
      [&] { return under_test.ask(chat_request(Api::chat, false, "Authorization: Bearer key-of-alice\r\n")).status == 200; }));
  CHECK(under_test.ask(http_request("GET", "/healthz")).status == 200);
}

TEST_CASE("Without a right key nobody comes in, and no upstream hears of it", "[gateway][limits]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.keys = {{"alice", ecso::gateway::hash_client_key("key-of-alice")}};
  options.upstreams.front().key = ecso::Secret::from_text("key-of-the-upstream");
  const GatewayUnderTest under_test{options};
  for (const std::string header :
       {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer \r\n", "Authorization: Bearer\r\n",
        "Authorization: key-of-alice\r\n", "Authorization: Basic key-of-alice\r\n", "x-api-key: wrong\r\n", "x-api-key:\r\n",
        "x-api-key: key-of-alice, wrong\r\n", "Authorization: Bearer key-of-alic\r\n", "Authorization: Bearer key-of-alicee\r\n",
        "Authorization: Bearer Key-Of-Alice\r\n", "x-api-key: wrong\r\nAuthorization: Bearer key-of-alice\r\n",
        "Authorization: Bearer wrong\r\nAuthorization: Bearer key-of-alice\r\n", "Authorization: Bearer key-of-the-upstream\r\n",
        "Cookie: key=key-of-alice\r\n", "Proxy-Authorization: Bearer key-of-alice\r\n"}) {
    for (const Api api : {Api::chat, Api::messages}) {
      CAPTURE(header);
      const HttpReply reply = under_test.ask(chat_request(api, false, header));
      CHECK((reply.status == 401 || reply.status == 400));
      CHECK(!read_said(reply, api).error.empty());
      CHECK(read_said(reply, api).wrong.empty());
    }
  }
  CHECK(under_test.ask(http_request("GET", "/v1/models")).status == 401);
  CHECK(upstream.requests().empty());

  for (const std::string header : {"Authorization: Bearer key-of-alice\r\n", "authorization: bearer key-of-alice\r\n",
                                   "x-api-key: key-of-alice\r\n", "X-API-KEY: key-of-alice\r\n"}) {
    CAPTURE(header);
    CHECK(under_test.ask(chat_request(Api::chat, false, header)).status == 200);
  }
  for (const auto& request : upstream.requests()) {
    CHECK(request.head.find("key-of-alice") == std::string::npos);
    CHECK(request.head.find("Bearer key-of-the-upstream") != std::string::npos);
  }
}

TEST_CASE("A gateway that ends lets the requests under way go on and takes no more", "[gateway][limits]") {
  ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.drain_timeout = patience;
  GatewayUnderTest under_test{options};
  HttpSocket kept{under_test.port()};
  kept.send(http_request("GET", "/readyz"));
  CHECK(kept.read().status == 200);
  HttpSocket idle{under_test.port()};
  idle.send(http_request("GET", "/healthz"));
  CHECK(idle.read().status == 200);
  upstream.hold(Step::check);
  const auto sockets = chats(under_test, 6);
  REQUIRE(comes_true([&] { return upstream.waiting() == 6; }));

  under_test.gateway.drain();
  CHECK(!under_test.gateway.wait(50ms));
  // Either it is closed already, or told that there is no more.
  if (kept.send(chat_request())) {
    const HttpReply reply = kept.read();
    CHECK((reply.status == 503 || reply.closed));
    if (reply.status == 503) CHECK(has_retry_after(reply));
    if (reply.status == 503) CHECK(reply.header("connection") == "close");
  }
  CHECK(idle.is_closed());
  try {
    HttpSocket late{under_test.port()};
    late.send(chat_request());
    const HttpReply reply = late.read(1'000ms);
    CHECK((reply.status == 503 || reply.status == 0));
  } catch (const std::runtime_error&) {
    SUCCEED("refused");
  }
  CHECK(upstream.calls(Step::answer).size() == 6);

  upstream.let_go();
  for (const auto& socket : sockets) {
    const HttpReply reply = socket->read();
    CHECK(reply.status == 200);
    CHECK(reply.whole);
    CHECK(read_said(reply, Api::chat).text == "A plain answer.");
    CHECK(socket->is_closed());
  }
  CHECK(under_test.gateway.wait(patience));
}

TEST_CASE("A gateway that is stopped ends at once, whatever is under way", "[gateway][limits]") {
  ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.drain_timeout = 5 * patience;
  options.upstreams.front().max_in_flight = 10;
  auto under_test = std::make_unique<GatewayUnderTest>(options);
  upstream.hold(Step::check);
  const auto sockets = chats(*under_test, 10);
  REQUIRE(comes_true([&] { return upstream.waiting() == 10; }));
  const auto start = Clock::now();
  under_test.reset();
  CHECK(Clock::now() - start < patience);
  for (const auto& socket : sockets) {
    const HttpReply reply = socket->read();
    CHECK((reply.status == 0 || reply.status >= 500 || !reply.whole));
    CHECK(socket->is_closed_within(0ms));
    CHECK(socket->all().find("plain answer") == std::string::npos);
  }
}

}  // namespace limits_test
