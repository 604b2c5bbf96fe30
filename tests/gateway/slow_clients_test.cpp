// Clients that send or read slowly, or stop half-way: each is cut off at its bound, and costs others nothing.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace slow_clients_test {

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
using ecso::test::happens_within;
using ecso::test::http_request;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::metric;
using ecso::test::patience;
using ecso::test::succeeds_in_time;

milliseconds since(Clock::time_point start) { return std::chrono::duration_cast<milliseconds>(Clock::now() - start); }

/// Hasty but for headers, so that no request is late that a test sends at once.
ecso::gateway::Options hasty(const ChatUpstream& upstream) {
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.header_timeout = patience;
  options.bounds.body_timeout = 400ms;
  options.bounds.idle_timeout = 350ms;
  options.bounds.write_timeout = 300ms;
  return options;
}

/// What the bounds of a hasty gateway are far from: without them it takes 10 s and more.
constexpr milliseconds soon{8'000};

/// Sends a byte every 20 ms until the server has enough of it. Gives how long that took.
milliseconds drip(HttpSocket& socket, std::string_view bytes) {
  const auto start = Clock::now();
  while (since(start) < soon && !socket.is_closed_within(20ms)) {
    if (!bytes.empty() && !socket.send(bytes.substr(0, 1))) break;
    if (!bytes.empty()) bytes.remove_prefix(1);
  }
  return since(start);
}

}  // namespace

TEST_CASE("A header that comes a byte at a time is cut off at its bound", "[gateway][slow]") {
  const ChatUpstream upstream;
  auto options = hasty(upstream);
  options.bounds.header_timeout = 300ms;
  const GatewayUnderTest under_test{options};
  const std::string endless = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: " + std::string(10'000, 'x');
  HttpSocket socket{under_test.port()};
  const milliseconds time = drip(socket, endless);
  CHECK(time >= 250ms);
  CHECK(time < soon);
  CHECK(socket.all().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("A body that comes a byte at a time is cut off at its bound, in chunks as well", "[gateway][slow]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{hasty(upstream)};
  const std::string post = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n";
  std::string chunks;
  for (int i = 0; i < 10'000; ++i) chunks += "1\r\n{\r\n";
  for (const auto& [head, bytes] : {std::pair{post + "Content-Length: 10000\r\n\r\n", std::string(10'000, ' ')},
                                    std::pair{post + "Transfer-Encoding: chunked\r\n\r\n", chunks}}) {
    HttpSocket socket{under_test.port()};
    socket.send(head);
    const milliseconds time = drip(socket, bytes);
    CHECK(time >= 350ms);
    CHECK(time < soon);
    CHECK(socket.all().starts_with("HTTP/1.1 408 "));
  }
  CHECK(upstream.requests().empty());
}

TEST_CASE("A connection that says nothing is closed, before its first request and after one", "[gateway][slow]") {
  const ChatUpstream upstream;
  auto options = hasty(upstream);
  options.bounds.header_timeout = 300ms;
  const GatewayUnderTest of_headers{options};
  const auto start = Clock::now();
  HttpSocket silent{of_headers.port()};
  CHECK(silent.is_closed_within(soon));
  CHECK(since(start) >= 250ms);
  const GatewayUnderTest under_test{hasty(upstream)};
  HttpSocket kept{under_test.port()};
  kept.send(http_request("GET", "/healthz"));
  CHECK(kept.read().status == 200);
  CHECK(kept.is_closed_within(soon));
  CHECK(kept.rest().empty());
}

TEST_CASE("Three hundred slow clients do not keep a good one waiting", "[gateway][slow]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.header_timeout = 5 * patience;
  options.bounds.body_timeout = 5 * patience;
  const GatewayUnderTest under_test{options};
  std::vector<std::unique_ptr<HttpSocket>> slow;
  for (int i = 0; i < 300; ++i) {
    slow.push_back(std::make_unique<HttpSocket>(under_test.port()));
    if (i % 3 == 0) slow.back()->send("POST /v1/chat/comp");
    if (i % 3 == 1) slow.back()->send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{");
  }
  for (int i = 0; i < 20; ++i) CHECK(under_test.ask(chat_request()).status == 200);
  CHECK(metric(under_test, "ecso_in_flight") == 0);
}

TEST_CASE("A client that does not read its response is cut off, and holds nothing of the upstream meanwhile", "[gateway][slow]") {
  const ChatUpstream upstream{{.answer = std::string(12'000'000, 'x')}};
  for (const bool stream : {false, true}) {
    CAPTURE(stream);
    auto options = hasty(upstream);
    auto policy = std::make_shared<ecso::Policy>();
    policy->max_response_code_points = 100;
    options.policy = policy;
    const GatewayUnderTest under_test{options};
    HttpSocket socket{under_test.port(), 4096};
    socket.send(chat_request(Api::chat, stream));
    // It goes away without the client's reading a byte.
    CHECK(happens_within(30s, [&] { return metric(under_test, "ecso_clients_gone_total") == 1; }));  // not in the usual 60 s
    CHECK(metric(under_test, "ecso_in_flight") == 0);
    CHECK(socket.is_closed());
    CHECK(!socket.read(0ms).whole);
  }
}

TEST_CASE("A client that reads slowly, but reads, gets all of it", "[gateway][slow]") {
  const std::string answer(2'000'000, 'x');
  const ChatUpstream upstream{{.answer = answer}};
  CHECK(succeeds_in_time(300ms, [&](milliseconds write_time) {
    auto options = hasty(upstream);
    options.bounds.write_timeout = write_time;
    auto policy = std::make_shared<ecso::Policy>();
    policy->max_response_code_points = 100;
    options.policy = policy;
    const GatewayUnderTest under_test{options};
    HttpSocket socket{under_test.port(), 4096};
    socket.send(chat_request());
    for (const auto start = Clock::now(); since(start) < write_time + 100ms;) {
      static_cast<void>(socket.is_closed_within(1ms));
      std::this_thread::sleep_for(20ms);
    }
    const HttpReply reply = socket.read();
    return reply.whole && read_said(reply, Api::chat).text == answer;
  }));
}

TEST_CASE("A client that closes its half of the connection gets its response or an end, and leaves nothing behind",
          "[gateway][slow]") {
  const ChatUpstream upstream{{.delay = 20ms}};
  const GatewayUnderTest under_test{upstream.url()};
  const std::string request = chat_request();
  for (const std::size_t sent : {std::size_t{0}, std::size_t{10}, request.size() / 2, request.size() - 1, request.size()}) {
    CAPTURE(sent);
    HttpSocket socket{under_test.port()};
    socket.send(std::string_view{request}.substr(0, sent));
    socket.finish_sending();
    const HttpReply reply = socket.read();
    CHECK((reply.whole || reply.closed));
    if (sent < request.size()) CHECK(reply.status != 200);
    CHECK(socket.is_closed());
  }
  CHECK(comes_true([&] { return metric(under_test, "ecso_in_flight") == 0; }));
  CHECK(metric(under_test, "ecso_buffered_bytes") == 0);
}

TEST_CASE("Bodies beyond the memory for all of them wait unread until there is room", "[gateway][slow]") {
  ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_buffered_bytes = 300'000;
  options.bounds.max_body_bytes = 250'000;
  const GatewayUnderTest under_test{options};
  const std::string body =
      R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}],"user":")" + std::string(200'000, 'x') + "\"}";
  upstream.hold(Step::answer);
  HttpSocket first{under_test.port()};
  HttpSocket second{under_test.port()};
  first.send(http_request("POST", "/v1/chat/completions", body));
  REQUIRE(comes_true([&] { return upstream.waiting() == 1; }));
  // What the kernel does not hold is taken later.
  std::jthread sending{[&] { second.send(http_request("POST", "/v1/chat/completions", body)); }};
  CHECK(!happens_within(300ms, [&] { return upstream.waiting() == 2; }));
  CHECK(under_test.ask(http_request("GET", "/healthz")).status == 200);
  upstream.let_go();
  CHECK(first.read().status == 200);
  sending.join();
  CHECK(second.read().status == 200);
}

}  // namespace slow_clients_test
