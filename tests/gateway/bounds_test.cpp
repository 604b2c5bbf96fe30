// What slow, greedy and odd clients may take, and for how long.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace bounds_test {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using ecso::Step;
using ecso::test::Api;
using ecso::test::chat_body;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::metric;
using ecso::test::patience;
using ecso::test::succeeds_in_time;

const std::string post = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n";

milliseconds since(Clock::time_point start) { return std::chrono::duration_cast<milliseconds>(Clock::now() - start); }

}  // namespace

TEST_CASE("A line between chunks, or after them, that does not end is cut off soon, and costs little", "[gateway][bounds]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  for (const std::string start : {"1;", "1;a=\"", "0\r\nX-A: "}) {
    CAPTURE(start);
    HttpSocket client{under_test.port()};
    client.send(post + "Transfer-Encoding: chunked\r\n\r\n" + start);
    std::size_t sent = 0;
    const std::string piece(1024, 'a');
    while (sent < (std::size_t{4} << 20) && client.send(piece)) sent += piece.size();
    const HttpReply reply = client.read();
    CHECK((reply.status == 400 || reply.status == 0));
    CHECK(client.is_closed());
  }
  CHECK(upstream.requests().empty());
}

TEST_CASE("Clients that announce much and send nothing keep the memory from nobody", "[gateway][bounds]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_body_bytes = 1'000'000;
  options.bounds.max_buffered_bytes = 4'000'000;
  // One that sends nothing is found out at once, before its time is over.
  options.bounds.body_timeout = 2 * patience;
  const GatewayUnderTest under_test{options};
  std::vector<std::unique_ptr<HttpSocket>> greedy;
  for (int i = 0; i < 4; ++i) {
    greedy.push_back(std::make_unique<HttpSocket>(under_test.port()));
    greedy.back()->send(post + "Content-Length: 1000000\r\n\r\n{");
  }
  REQUIRE(comes_true([&] { return metric(under_test, "ecso_buffered_bytes") == 4'000'000; }));
  const HttpReply reply = under_test.ask(chat_request());
  CHECK(reply.status == 200);
  const HttpReply cut = greedy.front()->read();
  CHECK(cut.status == 408);
}

TEST_CASE("A body that comes slowly, but in time, is taken as long as nobody waits for its memory", "[gateway][bounds]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const std::string body = chat_body(Api::chat, false);
  HttpSocket client{under_test.port()};
  client.send(post + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  for (std::size_t at = 0; at < body.size(); at += 100) {
    client.send(body.substr(at, 100));
    std::this_thread::sleep_for(milliseconds{1'500 * 100 / static_cast<int>(body.size())});
  }
  CHECK(client.read().status == 200);
}

TEST_CASE("A large body that comes in small pieces is read to its end, and so is the request behind it", "[gateway][bounds]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const std::string body =
      R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}],"user":")" + std::string(700'000, 'x') + "\"}";
  const std::string all = post + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body + chat_request();
  HttpSocket client{under_test.port()};
  for (std::size_t at = 0; at < all.size(); at += 20'000) {
    client.send(all.substr(at, 20'000));
    std::this_thread::sleep_for(5ms);
  }
  CHECK(client.read().status == 200);
  CHECK(client.read().status == 200);
  // Its bytes count as they come: nobody takes them for a client that is behind.
  CHECK(succeeds_in_time(6s, [&](milliseconds body_time) {
    auto options = ecso::test::options_for(upstream.url());
    options.bounds.max_body_bytes = options.bounds.max_buffered_bytes = 1'000'000;
    options.bounds.body_timeout = body_time;
    const GatewayUnderTest tight{options};
    HttpSocket slow{tight.port()};
    HttpSocket waits{tight.port()};
    for (std::size_t at = 0; at < all.size(); at += 20'000) {
      slow.send(all.substr(at, 20'000));
      if (at == 0) waits.send(all);
      std::this_thread::sleep_for(70ms);
    }
    return slow.read().status == 200 && waits.read().status == 200;
  }));
}

TEST_CASE("Chunks beyond the memory for all bodies are refused, those within it are taken", "[gateway][bounds]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_buffered_bytes = 1'000'000;
  const GatewayUnderTest under_test{options};
  const auto ask = [&](std::size_t filler) {
    const std::string body =
        R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}],"user":")" + std::string(filler, 'x') + "\"}";
    std::string chunks;
    for (std::size_t at = 0; at < body.size(); at += 5'000) chunks += ecso::test::chunk(body.substr(at, 5'000));
    HttpSocket client{under_test.port()};
    client.send(post + "Transfer-Encoding: chunked\r\n\r\n" + chunks + ecso::test::chunk(""));
    return client.read().status;
  };
  for (int i = 0; i < 3; ++i) {
    CHECK(ask(400'000) == 200);
    CHECK(ask(3'000'000) == 503);
  }
  CHECK(metric(under_test, "ecso_buffered_bytes") == 0);
}

TEST_CASE("A header or body that takes too long is answered with 408", "[gateway][bounds]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.header_timeout = 200ms;
  options.bounds.body_timeout = 200ms;
  const GatewayUnderTest under_test{options};
  for (const std::string& begun : {std::string{"POST /v1/chat/comp"}, post + "Content-Length: 100\r\n\r\n{",
                                   post + "Transfer-Encoding: chunked\r\n\r\n5\r\n{"}) {
    const auto start = Clock::now();
    HttpSocket client{under_test.port()};
    client.send(begun);
    const HttpReply reply = client.read();
    CHECK(reply.status == 408);
    CHECK(since(start) < 8s);  // what it takes if nothing is said is 10 s and more
    CHECK(client.is_closed());
  }
  CHECK(metric(under_test, "ecso_clients_gone_total") == 0);
}

TEST_CASE("A client that reads its response slowly has left its place to others", "[gateway][bounds]") {
  const ChatUpstream upstream{{.answer = std::string(12'000'000, 'x')}};
  for (const bool stream : {false, true}) {
    CAPTURE(stream);
    auto options = ecso::test::options_for(upstream.url());
    options.bounds.max_in_flight = 1;
    options.bounds.max_queued = 0;
    auto policy = std::make_shared<ecso::Policy>();
    policy->max_response_code_points = 100;
    options.policy = policy;
    const GatewayUnderTest under_test{options};
    HttpSocket slow{under_test.port(), 4096};
    slow.send(chat_request(Api::chat, stream));
    CHECK(comes_true([&] { return slow.read(0ms).status == 200; }));
    CHECK(comes_true([&] { return metric(under_test, "ecso_in_flight") == 0; }));
    CHECK(under_test.ask(http_request("GET", "/v1/models")).status == 200);
    CHECK(metric(under_test, "ecso_clients_gone_total") == 0);
  }
}

TEST_CASE("A client that takes a few bytes now and then is cut off like one that takes none", "[gateway][bounds]") {
  const ChatUpstream upstream{{.answer = std::string(12'000'000, 'x')}};
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.write_timeout = 400ms;
  auto policy = std::make_shared<ecso::Policy>();
  policy->max_response_code_points = 100;
  options.policy = policy;
  const GatewayUnderTest under_test{options};
  HttpSocket slow{under_test.port(), 2048};
  slow.send(chat_request());
  const auto start = Clock::now();
  // Far fewer bytes than the bound asks for.
  const bool is_cut = comes_true([&] {
    std::this_thread::sleep_for(100ms);
    static_cast<void>(slow.read_at_most(512));
    return metric(under_test, "ecso_clients_gone_total") == 1;
  });
  CHECK(is_cut);
  CHECK(since(start) >= 300ms);
  CHECK(since(start) < 30s);  // what it takes if nothing is said is 60 s
}

TEST_CASE("A client that has sent far ahead is missed as well when it goes away", "[gateway][gone]") {
  ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  upstream.hold(Step::answer);
  auto client = std::make_unique<HttpSocket>(under_test.port());
  std::string all;
  for (int i = 0; i < 100; ++i) all += chat_request();
  client->send(all);
  REQUIRE(comes_true([&] { return upstream.waiting() == 1; }));
  std::this_thread::sleep_for(100ms);
  CHECK(upstream.waiting() == 1);
  client.reset();
  CHECK(comes_true([&] { return upstream.gone() == 1; }));
}

TEST_CASE("A connection that never asks is closed after the time for a header", "[gateway][bounds]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.header_timeout = 300ms;
  options.bounds.idle_timeout = 60'000ms;
  const GatewayUnderTest under_test{options};
  const auto start = Clock::now();
  HttpSocket silent{under_test.port()};
  CHECK(silent.is_closed());
  CHECK(since(start) >= 250ms);
  CHECK(since(start) < 8s);  // what it takes if nothing is said is 10 s
  CHECK(silent.all().empty());
}

TEST_CASE("A reload lets nobody off a rate, and does not begin it anew", "[gateway][limits][reload]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.requests_per_second = 0.001;
  options.bounds.burst = 2;
  GatewayUnderTest under_test{options};
  for (int i = 0; i < 2; ++i) CHECK(under_test.ask(chat_request()).status == 200);
  CHECK(under_test.ask(chat_request()).status == 429);
  for (int i = 0; i < 3; ++i) {
    under_test.gateway.reload(options);
    CHECK(under_test.ask(chat_request()).status == 429);
  }
  options.bounds.burst = 3;
  under_test.gateway.reload(options);
  CHECK(comes_true([&] { return under_test.ask(chat_request()).status == 200; }));
}

TEST_CASE("A request is served by the configuration that its head came under", "[gateway][reload]") {
  const ChatUpstream one;
  const ChatUpstream two;
  auto before = ecso::test::options_for(one.url());
  before.upstreams = {{.name = "one", .url = one.url() + "/v1"}, {.name = "two", .url = two.url() + "/v1"}};
  before.routes = {{.model = "tiny", .upstreams = {"two"}}};
  GatewayUnderTest under_test{before};
  const std::string body = chat_body(Api::chat, false);
  HttpSocket client{under_test.port()};
  client.send(post + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 10));
  REQUIRE(comes_true([&] { return metric(under_test, "ecso_buffered_bytes") > 0; }));
  auto after = ecso::test::options_for(one.url());
  after.upstreams.front().name = "one";
  under_test.gateway.reload(after);
  // Its one thread does one thing after another: with this answer the reload is done.
  CHECK(under_test.ask(http_request("GET", "/healthz")).status == 200);
  client.send(body.substr(10));
  CHECK(read_said(client.read(), Api::chat).text == "A plain answer.");
  CHECK(two.calls(Step::answer).size() == 1);
  CHECK(under_test.ask(chat_request()).status == 200);
  CHECK(one.calls(Step::answer).size() == 1);
}

TEST_CASE("A gateway that drains says so to whoever is half-way through a request", "[gateway][limits]") {
  ChatUpstream upstream;
  GatewayUnderTest under_test{upstream.url()};
  HttpSocket ready{under_test.port()};
  HttpSocket late{under_test.port()};
  const std::string request = chat_request();
  ready.send("GET /readyz HTTP/1.1\r\nHos");
  late.send(request.substr(0, 30));
  // Its one thread does one thing after another: with the second of these it has read what came before.
  for (int i = 0; i < 2; ++i) CHECK(under_test.ask(http_request("GET", "/healthz")).status == 200);
  under_test.gateway.drain();
  REQUIRE(comes_true([&] {
    try {
      const HttpSocket refused{under_test.port()};
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  }));
  ready.send("t: localhost\r\n\r\n");
  late.send(request.substr(30));
  const HttpReply not_ready = ready.read();
  CHECK(not_ready.status == 503);
  CHECK(not_ready.body == "draining\n");
  const HttpReply refused = late.read();
  CHECK(refused.status == 503);
  CHECK(refused.header("retry-after") == "1");
  CHECK(refused.header("connection") == "close");
  CHECK(upstream.requests().empty());
  CHECK(under_test.gateway.wait(patience));
}

TEST_CASE("What the gateway does is counted", "[gateway][metrics]") {
  const ChatUpstream upstream{{.is_harmful = [](const std::string& body) { return ChatUpstream::step_of(body) == Step::check; }}};
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_body_bytes = 100'000;
  const GatewayUnderTest under_test{options};
  CHECK(under_test.ask(chat_request()).status == 200);
  CHECK(under_test.ask(http_request("POST", "/v1/chat/completions", std::string(200'000, ' '))).status == 413);
  CHECK(under_test.ask("GET / HTTP/9\r\n\r\n").status >= 400);
  CHECK(under_test.ask(chat_request(Api::chat, false, "Origin: http://a.test\r\n")).status == 403);
  const std::string text = under_test.ask(http_request("GET", "/metrics")).body;
  for (const std::string line :
       {R"(ecso_requests_total{route="chat",status="200"} 1)", R"(ecso_requests_total{route="chat",status="413"} 1)",
        R"(ecso_outcomes_total{path="eyes_closed",policy="production"} 1)",
        R"(ecso_verdicts_total{step="check",verdict="harmful"} 1)", R"(ecso_verdicts_total{step="recheck",verdict="safe"} 1)",
        R"(ecso_upstream_calls_total{result="ok",step="answer",upstream="default"} 1)",
        R"(ecso_upstream_calls_total{result="ok",step="recheck",upstream="default"} 1)",
        R"(ecso_rejected_total{reason="too_large"} 1)", R"(ecso_rejected_total{reason="header"} 1)",
        R"(ecso_rejected_total{reason="origin"} 1)"}) {
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring(line));
  }
  CHECK(metric(under_test, "ecso_request_seconds_count") >= 3);
  CHECK(metric(under_test, "ecso_upstream_seconds_count") == 5);
}

}  // namespace bounds_test
