// What changes while requests come: the settings, and the upstream's connections.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

namespace {

using namespace std::chrono_literals;
using ecso::Step;
using ecso::test::Api;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::RawServer;
using ecso::test::ReservedPort;

}  // namespace

TEST_CASE("Two thousand requests lose nothing to fifty reloads", "[gateway][reload]") {
  constexpr int threads = 8;
  constexpr int requests = ecso::test::is_sanitized ? 50 : 250;
  const ChatUpstream one;
  const ChatUpstream two;
  auto options = ecso::test::options_for(one.url());
  options.threads = 2;
  GatewayUnderTest under_test{options};
  std::atomic<int> right{0};
  std::atomic<int> done{0};
  std::vector<std::string> wrong(threads);
  std::vector<std::set<std::string>> policies(threads);
  {
    std::vector<std::jthread> clients;
    for (std::size_t thread = 0; thread < threads; ++thread) {
      clients.emplace_back([&, thread] {
        HttpSocket socket{under_test.port()};
        for (int i = 0; i < requests; ++i) {
          socket.send(chat_request(Api::chat, i % 2 == 0));
          const HttpReply reply = socket.read();
          const ecso::test::Said said = read_said(reply, Api::chat);
          if (reply.status != 200 || said.text != "A plain answer.") {
            wrong[thread] = std::to_string(i) + ": " + reply.head + reply.body;
            break;
          }
          policies[thread].insert(said.ecso.value("policy", ""));
          ++right;
        }
        ++done;
      });
    }
    for (int i = 0; i < 50; ++i) {
      auto next = options;
      next.upstreams.front().url = (i % 2 == 0 ? two : one).url() + "/v1";
      auto policy = std::make_shared<ecso::Policy>();
      policy->name = i % 2 == 0 ? "even" : "odd";
      next.policy = policy;
      under_test.gateway.reload(next);
      // Between two reloads some are answered.
      static_cast<void>(comes_true([&] { return right >= i * threads * requests / 50 || done > 0; }));
    }
  }
  for (const std::string& what : wrong) CHECK(what == "");
  CHECK(right == threads * requests);
  CHECK(one.requests().size() + two.requests().size() == 2 * threads * requests);
  CHECK(!two.requests().empty());
}

TEST_CASE("A reload that needs a restart, or makes no sense, changes nothing and says why", "[gateway][reload]") {
  const ChatUpstream upstream;
  const auto options = ecso::test::options_for(upstream.url());
  GatewayUnderTest under_test{options};
  const auto refused = [&](const auto& change, const std::string& word) {
    auto next = options;
    change(next);
    try {
      under_test.gateway.reload(next);
    } catch (const ecso::Error& error) {
      CHECK(error.code() == ecso::Errc::bad_input);
      CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring(word));
      return true;
    }
    return false;
  };
  CHECK(refused([](auto& next) { next.address = "::1"; }, "address"));
  CHECK(refused([](auto& next) { next.port = 1; }, "address"));
  CHECK(refused([](auto& next) { next.threads = 3; }, "threads"));
  CHECK(refused([](auto& next) { next.upstreams.clear(); }, "upstream"));
  CHECK(refused([](auto& next) { next.upstreams.front().url = "ftp://x"; }, "http://"));
  CHECK(under_test.ask(chat_request()).status == 200);
}

TEST_CASE("A kept upstream connection that has been closed meanwhile is replaced once, unseen", "[gateway][reload]") {
  for (const bool resets : {false, true}) {
    CAPTURE(resets);
    std::atomic<int> calls{0};
    const ecso::test::OpenAiKind kind;
    // Answers one request a connection, and closes as soon as the next one is on its way.
    const RawServer upstream{[&](RawServer::Connection& connection) {
      if (!connection.read_request()) return;
      ++calls;
      const bool is_check = ChatUpstream::step_of(connection.last_body()) != Step::answer;
      connection.send(ecso::test::http_response(200, kind.whole(is_check ? "No" : "A plain answer.", ecso::test::Ending::stop)));
      static_cast<void>(connection.read_some());
      if (resets) connection.reset();
    }};
    const GatewayUnderTest under_test{upstream.url()};
    for (int i = 0; i < 20; ++i) {
      const HttpReply reply = under_test.ask(chat_request());
      CHECK(reply.status == 200);
      CHECK(read_said(reply, Api::chat).text == "A plain answer.");
    }
    CHECK(calls == 40);
  }
}

TEST_CASE("An upstream that closes its connections after each answer costs nobody an answer", "[gateway][reload]") {
  const ecso::test::OpenAiKind kind;
  const RawServer upstream{[&](RawServer::Connection& connection) {
    if (!connection.read_request()) return;
    const bool is_check = ChatUpstream::step_of(connection.last_body()) != Step::answer;
    connection.send(ecso::test::http_response(200, kind.whole(is_check ? "No" : "A plain answer.", ecso::test::Ending::stop)));
  }};
  const GatewayUnderTest under_test{upstream.url()};
  for (int i = 0; i < 100; ++i) {
    CHECK(under_test.ask(chat_request()).status == 200);
    if (i % 10 == 0) std::this_thread::sleep_for(5ms);
  }
}

TEST_CASE("Where the first upstream is down another answers, and the first again when it is back", "[gateway][reload]") {
  const ChatUpstream good;
  const ReservedPort nobody;
  auto options = ecso::test::options_for(nobody.url());
  options.upstreams.front().name = "first";
  options.upstreams.push_back({.name = "second", .url = good.url() + "/v1"});
  const GatewayUnderTest under_test{options};
  for (int i = 0; i < 5; ++i) {
    const HttpReply reply = under_test.ask(chat_request(Api::chat, i % 2 == 0));
    CHECK(reply.status == 200);
    CHECK(read_said(reply, Api::chat).text == "A plain answer.");
  }
  CHECK(good.requests().size() == 10);
}

TEST_CASE("Where no upstream is there a request fails as one that may be tried again", "[gateway][reload]") {
  const ReservedPort nobody;
  const GatewayUnderTest under_test{nobody.url()};
  for (const bool stream : {false, true}) {
    for (const Api api : {Api::chat, Api::messages}) {
      const HttpReply reply = under_test.ask(chat_request(api, stream));
      CHECK((reply.status == 502 || reply.status == 503));
      CHECK(!read_said(reply, api).error.empty());
    }
  }
  CHECK(under_test.ask(ecso::test::http_request("GET", "/readyz")).status == 503);
  CHECK(under_test.ask(ecso::test::http_request("GET", "/healthz")).status == 200);
}
