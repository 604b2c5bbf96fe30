// What a client may ask for, and how: targets, methods, keeping connections, pipelining.

#include <ecso/gateway/options.hpp>

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace request_routes_test {

namespace {

using ecso::test::Api;
using ecso::test::chat_body;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::patience;

}  // namespace

TEST_CASE("Requests in one segment are answered in their order", "[gateway]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  HttpSocket socket{under_test.port()};
  const std::string chat = chat_request();
  socket.send(chat + http_request("GET", "/healthz") + chat_request(Api::chat, true) + http_request("GET", "/nothing") + chat);
  CHECK(read_said(socket.read(), Api::chat).text == "A plain answer.");
  CHECK(socket.read().body.starts_with("ok"));
  const HttpReply stream = socket.read();
  CHECK(stream.header("content-type").starts_with("text/event-stream"));
  CHECK(read_said(stream, Api::chat).text == "A plain answer.");
  CHECK(socket.read().status == 404);
  CHECK(read_said(socket.read(), Api::chat).text == "A plain answer.");
  CHECK(socket.rest().empty());
}

TEST_CASE("Fifty chats in one segment wait for each other", "[gateway]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  HttpSocket socket{under_test.port()};
  std::string all;
  for (int i = 0; i < 50; ++i) all += chat_request();
  socket.send(all);
  for (int i = 0; i < 50; ++i) CHECK(socket.read().status == 200);
  CHECK(upstream.requests().size() == 100);
}

TEST_CASE("Only the targets that are named are served", "[gateway]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.page = false;
  const GatewayUnderTest under_test{options};
  const std::string body = chat_body(Api::chat, false);
  for (const std::string target : {"//v1/chat/completions",
                                   "/v1//chat/completions",
                                   "/v1/./chat/completions",
                                   "/v1/../v1/chat/completions",
                                   "/v1/chat/completions/",
                                   "/v1/chat%2fcompletions",
                                   "/v1/chat/%63ompletions",
                                   "/%76%31/chat/completions",
                                   "/V1/chat/completions",
                                   "/v1/chat/completions;a=b",
                                   "/v1/chat/completions%00",
                                   "/v1/chat/completions\\",
                                   "/chat/completions",
                                   "/v1/completions",
                                   "/v1/embeddings",
                                   "/v1",
                                   "/v2/chat/completions",
                                   "/etc/passwd",
                                   "/../../etc/passwd",
                                   "/%2e%2e/%2e%2e/etc/passwd",
                                   "/.git/config",
                                   "/index.html",
                                   "/favicon.ico",
                                   "/metrics/",
                                   "/healthz/x",
                                   "*",
                                   "v1/chat/completions",
                                   "/props",
                                   "/slots"}) {
    CAPTURE(target);
    const HttpReply reply = under_test.ask(http_request("POST", target, body));
    CHECK((reply.status == 404 || reply.status == 400));
    CHECK(nlohmann::json::parse(reply.body).at("error").at("message").is_string());
  }
  CHECK(under_test.ask(http_request("GET", "/")).status == 404);
  CHECK(under_test.ask(http_request("POST", "/v1/ecso/protect", body)).status == 404);
  CHECK(upstream.requests().empty());

  CHECK(under_test.ask(http_request("POST", "/v1/chat/completions?a=b&c", body)).status == 200);
  const auto requests = upstream.requests();
  REQUIRE(!requests.empty());
  CHECK(requests.front().head.starts_with("POST /v1/chat/completions?a=b&c HTTP/1.1\r\n"));
}

TEST_CASE("Another method than a target's own is refused with the right one", "[gateway]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const std::string_view chat = "/v1/chat/completions";
  for (const std::string method : {"GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "FOO", "post"}) {
    CAPTURE(method);
    HttpSocket socket{under_test.port()};
    socket.send(http_request(method, method == "CONNECT" ? "localhost:80" : chat));
    const HttpReply reply = socket.read();
    CHECK((reply.status == 405 || (method == "CONNECT" && reply.status < 500 && reply.status >= 400) ||
           (method == "FOO" && reply.status == 501)));
    if (reply.status == 405) CHECK(reply.header("allow").find("POST") != std::string::npos);
  }
  const HttpReply post = under_test.ask(http_request("POST", "/healthz", "{}"));
  CHECK(post.status == 405);
  CHECK(post.header("allow").find("GET") != std::string::npos);
  CHECK(upstream.requests().empty());
}

TEST_CASE("HEAD is GET without a body, and the connection stays in step", "[gateway]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  HttpSocket socket{under_test.port()};
  for (const std::string target : {"/healthz", "/metrics", "/nothing", "/v1/chat/completions"}) {
    CAPTURE(target);
    socket.send(http_request("HEAD", target));
    const HttpReply reply = socket.read(patience, true);
    CHECK(reply.whole);
    CHECK(reply.status == (target == "/nothing" ? 404 : target.starts_with("/v1") ? 405 : 200));
  }
  socket.send(http_request("GET", "/healthz"));
  const HttpReply health = socket.read();
  CHECK(health.status == 200);
  CHECK(health.body.starts_with("ok"));
}

TEST_CASE("A client that expects 100 Continue gets it before it sends, or the refusal at once", "[gateway]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_body_bytes = 100'000;
  const GatewayUnderTest under_test{options};
  const std::string body = chat_body(Api::chat, false);
  const auto head = [](std::string_view target, std::size_t length, std::string_view expect = "100-continue") {
    return std::string{"POST "}.append(target).append(" HTTP/1.1\r\nHost: localhost\r\nExpect: ").append(expect) +
           "\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
  };
  {
    HttpSocket socket{under_test.port()};
    socket.send(head("/v1/chat/completions", body.size()));
    CHECK(socket.read().status == 100);
    socket.send(body);
    CHECK(socket.read().status == 200);
  }
  {
    HttpSocket socket{under_test.port()};
    socket.send(head("/v1/chat/completions", body.size()) + body);  // without waiting
    HttpReply reply = socket.read();
    if (reply.status == 100) reply = socket.read();
    CHECK(reply.status == 200);
  }
  HttpSocket too_large{under_test.port()};
  too_large.send(head("/v1/chat/completions", 200'000));
  CHECK(too_large.read().status == 413);
  HttpSocket nowhere{under_test.port()};
  nowhere.send(head("/nowhere", body.size()));
  CHECK(nowhere.read().status == 404);
  HttpSocket other{under_test.port()};
  other.send(head("/v1/chat/completions", body.size(), "200-maybe") + body);
  CHECK(other.read().status == 417);
}

TEST_CASE("HTTP/1.0 is answered and the connection closed, unless the client wants it kept", "[gateway]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const std::string body = chat_body(Api::chat, false);
  const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  {
    HttpSocket socket{under_test.port()};
    socket.send("POST /v1/chat/completions HTTP/1.0\r\n" + length + body);
    const HttpReply reply = socket.read();
    CHECK(read_said(reply, Api::chat).text == "A plain answer.");
    CHECK(socket.is_closed());
  }
  {
    // HTTP/1.0 knows no chunks: a stream ends with the connection.
    const std::string stream = chat_body(Api::chat, true);
    HttpSocket socket{under_test.port()};
    socket.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " + std::to_string(stream.size()) + "\r\n\r\n" + stream);
    const HttpReply reply = socket.read();
    CHECK(reply.header("transfer-encoding").empty());
    CHECK(read_said(reply, Api::chat).text == "A plain answer.");
  }
  HttpSocket kept{under_test.port()};
  for (int i = 0; i < 2; ++i) {
    kept.send("POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\n" + length + body);
    const HttpReply reply = kept.read();
    CHECK(reply.status == 200);
    if (reply.header("connection") != "keep-alive") break;
  }
}

TEST_CASE("A connection is kept, or closed if the client says so", "[gateway]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  HttpSocket socket{under_test.port()};
  for (int i = 0; i < 5; ++i) {
    socket.send(chat_request(i % 2 == 0 ? Api::chat : Api::chat, i % 3 == 0));
    CHECK(socket.read().status == 200);
  }
  socket.send(chat_request(Api::chat, false, "Connection: close\r\n"));
  const HttpReply last = socket.read();
  CHECK(last.status == 200);
  CHECK(last.header("connection") == "close");
  CHECK(socket.is_closed());
  // The upstream's connections are kept as well: one chat has two calls, one after the other.
  CHECK(upstream.connections() <= 2);
}

TEST_CASE("Empty lines before a request are skipped, and no more than a few", "[gateway]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.header_timeout = 5 * patience;
  const GatewayUnderTest under_test{options};
  HttpSocket socket{under_test.port()};
  socket.send(http_request("GET", "/healthz") + "\r\n" + http_request("GET", "/healthz"));
  CHECK(socket.read().status == 200);
  CHECK(socket.read().status != 0);
  HttpSocket endless{under_test.port()};
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "\r\n";
  endless.send(lines);
  CHECK(endless.is_closed());
}

}  // namespace request_routes_test
