// Connections to upstreams: whose response it is, when a request is sent again, and to whom.

#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
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
using ecso::test::ChatUpstreamOptions;
using ecso::test::comes_true;
using ecso::test::Ending;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::http_response;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::OpenAiKind;
using ecso::test::RawServer;
using ecso::test::ReservedPort;

std::string whole(const std::string& text) { return http_response(200, OpenAiKind{}.whole(text, Ending::stop)); }

/// What a good server says to the request that was read last.
std::string right(const RawServer::Connection& connection) {
  return whole(ChatUpstream::step_of(connection.last_body()) == Step::answer ? "A plain answer." : "No");
}

std::string text_of(const HttpReply& reply) { return read_said(reply, Api::chat).text; }

/// A gateway in front of several upstreams, "0", "1", ….
GatewayUnderTest in_front_of(const std::vector<std::string>& urls) {
  auto options = ecso::test::options_for(urls.front());
  options.upstreams.clear();
  for (const std::string& url : urls) {
    options.upstreams.push_back({.name = std::to_string(options.upstreams.size()), .url = url + "/v1", .down_time = 100ms});
  }
  return GatewayUnderTest{std::move(options)};
}

}  // namespace

TEST_CASE("Interim responses that come together do not stand for the response, nor leave it to the next request",
          "[gateway][upstream]") {
  const std::string interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  for (const auto pause : {0ms, 30ms}) {
    CAPTURE(pause.count());
    const RawServer upstream{[&](RawServer::Connection& connection) {
      while (connection.read_request()) {
        if (!connection.send(interim + interim) || !connection.pause(pause) || !connection.send(right(connection))) return;
      }
    }};
    const GatewayUnderTest under_test{upstream.url()};
    for (int i = 0; i < 3; ++i) {
      const HttpReply reply = under_test.ask(chat_request());
      CHECK(reply.status == 200);
      CHECK(read_said(reply, Api::chat).ecso.value("calls", 0) == 2);
    }
    CHECK(upstream.connections() <= 2);
  }
}

TEST_CASE("An interim response and then the end is no answer", "[gateway][upstream]") {
  const RawServer upstream{[](RawServer::Connection& connection) {
    if (connection.read_request()) connection.send("HTTP/1.1 103 Early Hints\r\n\r\n");
  }};
  const GatewayUnderTest under_test{upstream.url()};
  CHECK(under_test.ask(chat_request()).status == 502);
}

TEST_CASE("What an upstream sends of itself on a kept connection is nobody's answer", "[gateway][upstream]") {
  for (const std::string& extra : {whole("BADWORDS"), std::string{"No"}, std::string{"\r\n"}}) {
    CAPTURE(extra);
    std::atomic<int> extras{0};
    const RawServer upstream{[&](RawServer::Connection& connection) {
      while (connection.read_request()) {
        if (!connection.send(right(connection))) return;
        // Once nothing of the chat is under way any more.
        const bool is_idle = ChatUpstream::step_of(connection.last_body()) != Step::answer;
        if (!is_idle) continue;
        const bool goes_on = connection.pause(20ms) && connection.send(extra);
        connection.wait_for_arrival();
        ++extras;
        if (!goes_on) return;
      }
    }};
    const GatewayUnderTest under_test{upstream.url()};
    HttpSocket client{under_test.port()};
    for (int i = 0; i < 4; ++i) {
      REQUIRE(comes_true([&] { return extras == i; }));
      client.send(chat_request());
      const HttpReply reply = client.read();
      CHECK(reply.status == 200);
      CHECK(text_of(reply) == "A plain answer.");
    }
  }
}

TEST_CASE("An answer that ends with its connection is whole only if that ended well", "[gateway][upstream]") {
  for (const bool resets : {false, true}) {
    CAPTURE(resets);
    const RawServer upstream{[&](RawServer::Connection& connection) {
      if (!connection.read_request()) return;
      const bool is_answer = ChatUpstream::step_of(connection.last_body()) == Step::answer;
      const std::string body = OpenAiKind{}.whole(is_answer ? "A plain answer." : "No", Ending::stop);
      connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body);
      if (!resets || !is_answer) return;
      static_cast<void>(connection.pause(30ms));
      connection.reset();
    }};
    const GatewayUnderTest under_test{upstream.url()};
    const HttpReply reply = under_test.ask(chat_request());
    CHECK(reply.status == (resets ? 502 : 200));
  }
}

TEST_CASE("An upstream that refuses a request before it has read it is heard", "[gateway][upstream]") {
  const RawServer upstream{[](RawServer::Connection& connection) {
    connection.keep_unread_at_most(4096);
    if (!connection.read_head()) return;
    connection.send(http_response(413, R"({"error":{"message":"no more than a megabyte"}})"));
    connection.stall();
  }};
  auto options = ecso::test::options_for(upstream.url());
  options.chat.image.max_bytes = std::size_t{64} << 20;
  const GatewayUnderTest under_test{options};
  std::string body = R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}],"user":")";
  body.append(20'000'000, 'x').append("\"}");
  HttpSocket client{under_test.port()};
  client.send(http_request("POST", "/v1/chat/completions", body));
  const HttpReply reply = client.read();
  CHECK(reply.status == 413);
  CHECK(reply.body.find("no more than a megabyte") != std::string::npos);
}

TEST_CASE("The connections to an upstream are bounded over all threads, and no call is lost to that", "[gateway][upstream]") {
  std::atomic<int> open{0};
  std::atomic<int> most{0};
  const RawServer upstream{[&](RawServer::Connection& connection) {
                             while (connection.read_request()) {
                               most = std::max(most.load(), ++open);
                               // The first waits for a second.
                               bool goes_on = connection.pause(10ms);
                               while (most < 2 && goes_on) goes_on = connection.pause(1ms);
                               --open;
                               if (!goes_on || !connection.send(right(connection))) return;
                             }
                           },
                           {.backlog = 256}};
  auto options = ecso::test::options_for(upstream.url());
  options.threads = 4;
  options.upstreams.front().max_connections = 3;
  const GatewayUnderTest under_test{options};
  std::vector<std::unique_ptr<HttpSocket>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<HttpSocket>(under_test.port()));
    clients.back()->send(chat_request());
  }
  for (const auto& client : clients) CHECK(text_of(client->read()) == "A plain answer.");
  CHECK(most <= 3);
  CHECK(most >= 2);
}

TEST_CASE("A name is looked up for all who wait, and one that cannot be found fails in time", "[gateway][upstream]") {
  const ChatUpstream upstream;
  std::string by_name = upstream.url();
  by_name.replace(by_name.find("127.0.0.1"), 9, "localhost");
  const GatewayUnderTest under_test{by_name};
  std::vector<std::unique_ptr<HttpSocket>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<HttpSocket>(under_test.port()));
    clients.back()->send(chat_request());
  }
  for (const auto& client : clients) CHECK(text_of(client->read()) == "A plain answer.");

  auto options = ecso::test::options_for("http://nobody.invalid");
  options.upstreams.front().connect_timeout = 1'000ms;
  options.upstreams.push_back({.name = "second", .url = upstream.url() + "/v1"});
  const GatewayUnderTest with_second{options};
  CHECK(text_of(with_second.ask(chat_request())) == "A plain answer.");
}

TEST_CASE("Where one upstream says that it has no room, the next is asked; where it says that it failed, none is",
          "[gateway][failover]") {
  for (const int status : {429, 502, 503, 504, 529, 500, 501, 400, 401, 404}) {
    CAPTURE(status);
    const RawServer refusing{RawServer::always(http_response(status, R"({"error":{"message":"not me"}})"))};
    const ChatUpstream good;
    const GatewayUnderTest under_test = in_front_of({refusing.url(), good.url()});
    const HttpReply reply = under_test.ask(chat_request());
    const bool goes_on = status == 429 || (status >= 502 && status <= 504) || status == 529;
    CHECK(reply.status == (goes_on ? 200 : status));
    if (goes_on) CHECK(text_of(reply) == "A plain answer.");
    if (!goes_on) CHECK(good.calls(Step::answer).empty());
  }
}

TEST_CASE("A later step is asked of the upstream that answered, and of the next if that fails", "[gateway][failover]") {
  std::atomic<int> refused{0};
  ChatUpstreamOptions behaviour;
  behaviour.instead = [&](RawServer::Connection& connection, Step step) {
    if (step != Step::check) return false;
    ++refused;
    connection.send(http_response(503, R"({"error":{"message":"no room"}})"));
    return true;
  };
  const ChatUpstream first{behaviour};
  const ChatUpstream second;
  const GatewayUnderTest under_test = in_front_of({first.url(), second.url()});
  CHECK(text_of(under_test.ask(chat_request())) == "A plain answer.");
  CHECK(first.calls(Step::answer).size() == 1);
  CHECK(second.calls(Step::answer).empty());
  CHECK(second.calls(Step::check).size() == 1);
  CHECK(refused == 1);
}

TEST_CASE("A request that breaks the servers that it reaches is sent to two of them at most", "[gateway][failover]") {
  std::vector<std::unique_ptr<RawServer>> servers;
  std::vector<std::string> urls;
  std::atomic<int> broken{0};
  for (int i = 0; i < 5; ++i) {
    servers.push_back(std::make_unique<RawServer>([&](RawServer::Connection& connection) {
      if (connection.read_request()) ++broken;
    }));
    urls.push_back(servers.back()->url());
  }
  const GatewayUnderTest under_test = in_front_of(urls);
  const HttpReply reply = under_test.ask(chat_request());
  CHECK(reply.status == 503);
  CHECK(broken == 2);
}

TEST_CASE("A request that a server has and does not answer in time is not sent to another", "[gateway][failover]") {
  const RawServer silent{[](RawServer::Connection& connection) {
    if (connection.read_request()) connection.stall();
  }};
  const ChatUpstream good;
  auto options = ecso::test::options_for(silent.url());
  options.upstreams.front().first_byte_timeout = 200ms;
  options.upstreams.push_back({.name = "second", .url = good.url() + "/v1"});
  const GatewayUnderTest under_test{options};
  CHECK(under_test.ask(chat_request()).status == 504);
  CHECK(good.requests().empty());
}

TEST_CASE("An upstream that was down answers again soon after it is back", "[gateway][failover]") {
  const ChatUpstream second;
  const ReservedPort first;
  const GatewayUnderTest under_test = in_front_of({first.url(), second.url()});
  CHECK(text_of(under_test.ask(chat_request())) == "A plain answer.");
  CHECK(second.calls(Step::answer).size() == 1);
  // Nobody can be made to listen on a given port here but the gateway itself: it stands in for the first, in front of a third.
  const ChatUpstream third;
  auto options = ecso::test::options_for(third.url());
  options.port = static_cast<std::uint16_t>(first.port());
  const GatewayUnderTest back{options};
  std::this_thread::sleep_for(150ms);
  CHECK(text_of(under_test.ask(chat_request())) == "A plain answer.");
  CHECK(second.calls(Step::answer).size() == 1);
  CHECK(third.calls(Step::answer).size() == 1);
}

TEST_CASE("A model is answered by the upstreams of its route, under its route's policy", "[gateway][routes]") {
  const ChatUpstream small;
  const ChatUpstream large;
  auto options = ecso::test::options_for(small.url());
  options.upstreams = {{.name = "small", .url = small.url() + "/v1"}, {.name = "large", .url = large.url() + "/v1"}};
  auto strict = std::make_shared<ecso::Policy>();
  strict->name = "strict";
  options.routes = {{.model = "big-*", .upstreams = {"large"}, .policy = strict}, {.model = "tiny", .upstreams = {"small"}}};
  const GatewayUnderTest under_test{options};
  const auto ask = [&](const std::string& model) {
    return under_test.ask(http_request("POST", "/v1/chat/completions",
                                       R"({"model":")" + model + R"(","messages":[{"role":"user","content":"Hi"}]})"));
  };
  CHECK(read_said(ask("big-7b"), Api::chat).ecso.value("policy", "") == "strict");
  CHECK(large.calls(Step::answer).size() == 1);
  CHECK(read_said(ask("tiny"), Api::chat).ecso.value("policy", "") == "production");
  CHECK(small.calls(Step::answer).size() == 1);
  const HttpReply unknown = ask("other");
  CHECK(unknown.status == 400);
  CHECK(unknown.body.find("no route") != std::string::npos);
}

TEST_CASE("An answer that finds no memory is an error, and memory comes back", "[gateway][upstream]") {
  const ChatUpstream upstream{{.answer = std::string(2'000'000, 'x')}};
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_buffered_bytes = 1'000'000;
  auto policy = std::make_shared<ecso::Policy>();
  policy->max_response_code_points = 100;
  options.policy = policy;
  const GatewayUnderTest under_test{options};
  for (int i = 0; i < 5; ++i) CHECK(under_test.ask(chat_request()).status == 503);
  options.bounds.max_buffered_bytes = 3'000'000;
  const GatewayUnderTest with_room{options};
  for (int i = 0; i < 5; ++i) CHECK(with_room.ask(chat_request()).status == 200);
}
