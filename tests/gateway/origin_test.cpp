// What browsers may do: pages of other origins, names that resolve to this machine, the page itself.

#include <ecso/detail/gateway/origin.hpp>
#include <ecso/gateway/options.hpp>

#include <string>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace origin_test {

namespace {

using ecso::detail::gateway::is_allowed_origin;
using ecso::detail::gateway::is_loopback_host;
using ecso::test::Api;
using ecso::test::chat_body;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::HttpReply;

/// A request to a host of that name.
std::string to_host(const std::string& host, const std::string& method, const std::string& target, const std::string& more = "") {
  const std::string body = method == "POST" ? chat_body(Api::chat, false) : "";
  return method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

bool has(const HttpReply& reply, const std::string& header) { return !reply.header(header).empty(); }

}  // namespace

TEST_CASE("A host is this machine's if it is named so, or by a loopback address", "[gateway][origin]") {
  for (const std::string host :
       {"localhost", "localhost:8800", "LOCALHOST", "127.0.0.1", "127.0.0.1:80", "127.8.9.1:1", "[::1]", "[::1]:8800"})
    CHECK(is_loopback_host(host));
  for (const std::string host : {"", "example.org", "localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "[::2]:80", "[",
                                 "::1", "0.0.0.0", "2130706433", "127.1"})
    CHECK_FALSE(is_loopback_host(host));
}

TEST_CASE("A page may ask the server that it came from, and those that list it", "[gateway][origin]") {
  CHECK(is_allowed_origin("http://127.0.0.1:8800", "127.0.0.1:8800", {}));
  CHECK(is_allowed_origin("https://Example.org", "example.org", {}));
  CHECK(is_allowed_origin("https://a.test", "b.test", {"https://a.test"}));
  CHECK(is_allowed_origin("https://a.test", "b.test", {"*"}));
  for (const std::string origin :
       {"null", "", "http://evil.test", "http://127.0.0.1:8801", "http://127.0.0.1:8800.evil.test", "127.0.0.1:8800"})
    CHECK_FALSE(is_allowed_origin(origin, "127.0.0.1:8800", {"https://a.test"}));
}

TEST_CASE("Without a list no page of another origin is served, and none is told that it may read", "[gateway][cors]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const std::string origin = "Origin: https://a.test\r\n";
  const HttpReply chat = under_test.ask(chat_request(Api::chat, false, origin));
  CHECK(chat.status == 403);
  CHECK(chat.body.find("[cors]") != std::string::npos);
  CHECK_FALSE(has(chat, "access-control-allow-origin"));
  const HttpReply preflight = under_test.ask(to_host("localhost", "OPTIONS", "/v1/chat/completions", origin));
  CHECK(preflight.status == 204);
  CHECK_FALSE(has(preflight, "access-control-allow-origin"));
  CHECK_FALSE(has(preflight, "content-length"));
  CHECK(upstream.requests().empty());
  // Its own page, and whoever is no browser.
  CHECK(under_test.ask(to_host("localhost:1", "POST", "/v1/chat/completions", "Origin: http://localhost:1\r\n")).status == 200);
  CHECK(under_test.ask(chat_request()).status == 200);
}

TEST_CASE("A listed origin may ask and read, and only that", "[gateway][cors]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.allowed_origins = {"https://a.test"};
  const GatewayUnderTest under_test{options};
  for (const bool stream : {false, true}) {
    const HttpReply chat = under_test.ask(chat_request(Api::chat, stream, "Origin: https://a.test\r\n"));
    CHECK(chat.status == 200);
    CHECK(chat.header("access-control-allow-origin") == "https://a.test");
    CHECK(chat.header("vary") == "origin");
    CHECK(chat.header("access-control-expose-headers").find("x-ecso-path") != std::string::npos);
    CHECK_FALSE(has(chat, "access-control-allow-credentials"));
  }
  const HttpReply preflight = under_test.ask(to_host("h", "OPTIONS", "/v1/messages", "Origin: https://a.test\r\n"));
  CHECK(preflight.status == 204);
  CHECK(preflight.header("access-control-allow-methods") == "POST");
  CHECK(preflight.header("access-control-allow-headers").find("x-api-key") != std::string::npos);
  CHECK(under_test.ask(chat_request(Api::chat, false, "Origin: https://b.test\r\n")).status == 403);
  options.allowed_origins = {"*"};
  const GatewayUnderTest open{options};
  CHECK(open.ask(chat_request(Api::chat, false, "Origin: https://b.test\r\n")).header("access-control-allow-origin") == "*");
}

TEST_CASE("The page and its traces are served to this machine's own names, and not through a proxy", "[gateway][page]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply page = under_test.ask(to_host("127.0.0.1:8800", "GET", "/"));
  CHECK(page.status == 200);
  CHECK(page.header("content-type") == "text/html; charset=utf-8");
  CHECK(page.header("content-security-policy").starts_with("default-src 'none'"));
  CHECK(page.header("x-frame-options") == "DENY");
  CHECK(page.header("x-content-type-options") == "nosniff");
  CHECK(page.header("referrer-policy") == "no-referrer");
  CHECK(under_test.ask(to_host("localhost", "POST", "/v1/ecso/protect")).status == 200);
  for (const auto& [host, more] : std::vector<std::pair<std::string, std::string>>{{"evil.test", ""},
                                                                                   {"evil.test:8800", ""},
                                                                                   {"localhost", "X-Forwarded-For: 1.2.3.4\r\n"},
                                                                                   {"localhost", "Forwarded: for=1.2.3.4\r\n"},
                                                                                   {"localhost", "Via: 1.1 a\r\n"},
                                                                                   {"localhost", "X-Real-IP: 1.2.3.4\r\n"}}) {
    CAPTURE(host, more);
    const HttpReply refused = under_test.ask(to_host(host, "GET", "/", more));
    CHECK(refused.status == 404);
    CHECK(refused.body.find("/ is served on a loopback address alone") != std::string::npos);
    CHECK(refused.body.find("[page] enabled = true") != std::string::npos);
    CHECK(under_test.ask(to_host(host, "POST", "/v1/ecso/protect", more)).status == 404);
    // The API is for everybody.
    CHECK(under_test.ask(to_host(host, "POST", "/v1/chat/completions", more)).status == 200);
  }
}

TEST_CASE("A configuration can serve the page to everybody, or to nobody", "[gateway][page]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.page = true;
  CHECK(GatewayUnderTest{options}.ask(to_host("a.test", "GET", "/", "Via: 1.1 a\r\n")).status == 200);
  options.page = false;
  const HttpReply nothing = GatewayUnderTest{options}.ask(to_host("localhost", "GET", "/"));
  CHECK(nothing.status == 404);
  CHECK(nothing.body.find("there is nothing at /") != std::string::npos);
  options.page.reset();
  options.address = "0.0.0.0";
  const HttpReply refused = GatewayUnderTest{options}.ask(to_host("localhost", "GET", "/"));
  CHECK(refused.status == 404);
  CHECK(refused.body.find("[page] enabled = true") != std::string::npos);
}

TEST_CASE("A rate is kept of an address, and in IPv6 of a network", "[gateway][limits]") {
  const auto name = [](const std::string& address) {
    return ecso::detail::gateway::rate_name(boost::asio::ip::make_address(address));
  };
  CHECK(name("192.0.2.1") == "192.0.2.1");
  CHECK(name("2001:db8:1:2:3::4") == name("2001:db8:1:2:ffff::"));
  CHECK(name("2001:db8:1:2::1") != name("2001:db8:1:3::1"));
  CHECK(name("::ffff:192.0.2.1") != name("::ffff:192.0.2.2"));
}

}  // namespace origin_test
