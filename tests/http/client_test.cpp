#include <ecso/http/client.hpp>

#include <dlfcn.h>
#include <netdb.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/http_calls.hpp"
#include "support/patience.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"
#include "support/tls_server.hpp"

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Clock = std::chrono::steady_clock;
using ecso::CallContext;
using ecso::Errc;
using ecso::Error;
using ecso::HttpClient;
using ecso::HttpHeader;
using ecso::HttpOptions;
using ecso::HttpResponse;
using ecso::TlsVerify;
using ecso::Url;
using ecso::test::Certificate;
using ecso::test::comes_true;
using ecso::test::direct;
using ecso::test::error_of;
using ecso::test::http_response;
using ecso::test::patience;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using ecso::test::since;
using ecso::test::succeeds_in_time;
using ecso::test::TlsServer;
using ecso::test::until;
using Connection = RawServer::Connection;

HttpResponse post(const RawServer& server, const CallContext& context = {}, std::string_view body = "{}") {
  HttpClient client{direct()};
  return client.post(Url::parse(server.url()), body, {}, context);
}

constexpr std::string_view slow_host = "slow-to-resolve.invalid";

}  // namespace

/// libcurl finds this one before the C library's.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  if (node != nullptr && node == slow_host) {
    std::this_thread::sleep_for(1s);
    return EAI_NONAME;
  }
  static const auto real = reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(node, service, hints, result);
}

TEST_CASE("A post sends the body and the headers, and gives status, body and the headers needed", "[http][client]") {
  RawServer server{RawServer::always(http_response(201, "hello", "text/plain; charset=utf-8", "Retry-After: 7\r\n"))};
  HttpClient client{direct()};
  const std::vector<HttpHeader> headers{{"Content-Type", "application/json"}, {"X-Empty", ""}};
  const HttpResponse response = client.post(Url::parse(server.url() + "/a/"), "{\"x\":1}", headers);
  CHECK(response.status == 201);
  CHECK(response.body == "hello");
  CHECK(response.content_type == "text/plain; charset=utf-8");
  CHECK(response.retry_after == 7s);
  CHECK(response.location.empty());
  REQUIRE(server.requests().size() == 1);
  const auto request = server.requests().front();
  CHECK(request.body == "{\"x\":1}");
  CHECK_THAT(request.head, ContainsSubstring("POST /a HTTP/1.1\r\n") && ContainsSubstring("\r\nContent-Type: application/json") &&
                               ContainsSubstring("\r\nX-Empty:") && ContainsSubstring("\r\nUser-Agent: ecso"));
  CHECK_THAT(request.head, !ContainsSubstring("Expect:"));
}

TEST_CASE("An empty body and a body of 8 MiB arrive whole", "[http][client]") {
  RawServer server{RawServer::always(http_response(200, "ok"))};
  const std::string large(8 * 1024 * 1024, 'x');
  CHECK(post(server, {}, {}).body == "ok");
  CHECK(post(server, {}, large).body == "ok");
  REQUIRE(server.requests().size() == 2);
  CHECK(server.requests()[0].body.empty());
  CHECK(server.requests()[1].body == large);
}

TEST_CASE("A redirect of a post is not followed", "[http][client]") {
  RawServer server{RawServer::always(http_response(307, "", "text/html", "Location: https://example.com/v1\r\n"))};
  const HttpResponse response = post(server);
  CHECK(response.status == 307);
  CHECK(response.location == "https://example.com/v1");
  CHECK(server.requests().size() == 1);
}

TEST_CASE("A header that could smuggle in another is refused", "[http][client]") {
  HttpClient client{direct()};
  for (const HttpHeader& header :
       {HttpHeader{"X", "a\r\nY: b"}, {"X\r\nY", "b"}, {"X: y", "b"}, {"", "b"}, {"X", std::string{"\0", 1}}}) {
    const Error error = error_of([&] { return client.post(Url::parse("http://127.0.0.1:1"), "", {&header, 1}); });
    CHECK(error.code() == Errc::bad_input);
  }
}

TEST_CASE("A refused connection and an unknown host are unavailable and name the URL", "[http][client]") {
  HttpClient client{direct()};
  const ReservedPort nobody;
  const Error refused = error_of([&] { return client.post(Url::parse(nobody.url()), ""); });
  CHECK(refused.code() == Errc::unavailable);
  CHECK(refused.context().endpoint == nobody.url());
  CHECK_THAT(refused.what(), ContainsSubstring("connect"));
  const Error unknown = error_of([&] { return client.post(Url::parse("http://no-such-host.invalid/v1"), ""); });
  CHECK(unknown.code() == Errc::unavailable);
  CHECK_THAT(unknown.what(), ContainsSubstring("no-such-host.invalid"));
}

TEST_CASE("What is not HTTP, is cut short or is reset is told apart from an answer", "[http][client]") {
  struct Row {
    std::string bytes;
    bool is_reset;
    Errc code;
    std::string reason;
  };
  const Row row = GENERATE(values<Row>({
      {"", false, Errc::unavailable, "Empty reply"},
      {"", true, Errc::unavailable, "reset"},
      {"SSH-2.0-OpenSSH_9.2\r\n", false, Errc::bad_reply, "HTTP/0.9"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", false, Errc::unavailable, "cut short, after 4 bytes of it"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true, Errc::unavailable, "reset"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", false, Errc::unavailable,
       "cut short, after 4 bytes of it"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, Errc::unavailable, "hunk"},
  }));
  RawServer server{[&](Connection& connection) {
    connection.read_request();
    connection.send(row.bytes);
    connection.pause(50ms);
    if (row.is_reset) connection.reset();
  }};
  const Error error = error_of([&] { return post(server, until(patience)); });
  CAPTURE(row.bytes, error.what());
  CHECK(error.code() == row.code);
  CHECK_THAT(error.what(), ContainsSubstring(row.reason));
  CHECK(error.context().endpoint == server.url());
}

TEST_CASE("A response that is too large is refused without reading it all", "[http][client]") {
  constexpr std::size_t size = 100 * 1024 * 1024;
  std::atomic<std::size_t> sent{0};
  const bool is_announced = GENERATE(true, false);
  RawServer server{[&](Connection& connection) {
    connection.read_request();
    const std::string length = is_announced ? "Content-Length: " + std::to_string(size) + "\r\n" : "";
    connection.send("HTTP/1.1 200 OK\r\n" + length + "\r\n");
    const std::string chunk(1024 * 1024, 'x');
    while (sent < size && connection.send(chunk)) sent += chunk.size();
  }};
  const auto start = Clock::now();
  const Error error = error_of([&] { return post(server); });
  std::cout << "100 MiB reply, " << (is_announced ? "announced" : "not announced") << ": refused after " << since(start).count()
            << " ms, " << sent / 1024 / 1024 << " MiB sent\n";
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.what(), ContainsSubstring("larger than 16777216 bytes"));
  CHECK(sent < size / 2);
}

TEST_CASE("A response of just the largest size is taken", "[http][client]") {
  HttpOptions small = direct();
  small.max_response_bytes = 5;
  HttpClient client{small};
  RawServer server{[](Connection& connection) {
    while (connection.read_request()) connection.send(http_response(200, connection.number() == 0 ? "12345" : "123456"));
  }};
  CHECK(client.post(Url::parse(server.url()), "").body == "12345");
  HttpClient other{small};
  CHECK(error_of([&] { return other.post(Url::parse(server.url()), ""); }).code() == Errc::bad_reply);
}

TEST_CASE("An answer that comes before the whole body was sent is given", "[http][client]") {
  RawServer server{[](Connection& connection) {
    if (connection.read_head()) connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.wait_for_close(patience);
  }};
  const std::string large(32 * 1024 * 1024, 'x');
  CHECK(post(server, until(patience), large).status == 413);
}

TEST_CASE("A stall and a slow drip end at the deadline, and the message says which limit it was", "[http][client]") {
  const bool is_dripping = GENERATE(false, true);
  RawServer server{[&](Connection& connection) {
    connection.read_request();
    if (is_dripping) connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (is_dripping && connection.send("x") && connection.pause(20ms)) {}
    connection.stall();
  }};
  CHECK(succeeds_in_time(200ms, [&](std::chrono::milliseconds limit) {
    const auto start = Clock::now();
    const Error by_deadline = error_of([&] { return post(server, until(limit)); });
    CHECK(since(start) >= limit - 10ms);
    CHECK(by_deadline.code() == Errc::timeout);
    return by_deadline.message().find("the time left until the deadline") != std::string::npos;  // if the call began in time
  }));

  HttpOptions hasty = direct();
  hasty.call_timeout = 150ms;
  HttpClient client{hasty};
  const Error by_limit = error_of([&] { return client.post(Url::parse(server.url()), "", {}, until(patience)); });
  CHECK(by_limit.code() == Errc::timeout);
  CHECK_THAT(by_limit.what(), ContainsSubstring("within 150 ms (the limit for a call)"));
}

TEST_CASE("A deadline that has passed and a stop that was asked for before make no connection", "[http][client]") {
  RawServer server{RawServer::always(http_response(200, ""))};
  CHECK(error_of([&] { return post(server, until(-1ms)); }).code() == Errc::timeout);
  std::stop_source source;
  source.request_stop();
  CHECK(error_of([&] { return post(server, {.stop = source.get_token()}); }).code() == Errc::cancelled);
  CHECK(server.connections() == 0);
}

TEST_CASE("A server that does not finish the TLS handshake is a connection timeout", "[http][client]") {
  RawServer server{[](Connection& connection) { connection.stall(); }};
  HttpOptions hasty = direct();
  hasty.connect_timeout = 150ms;
  HttpClient client{hasty};
  const Error error = error_of([&] { return client.post(Url::parse(server.url("https")), ""); });
  CHECK(error.code() == Errc::timeout);
  CHECK_THAT(error.what(), ContainsSubstring("no connection within 150 ms"));
  CHECK(succeeds_in_time(100ms, [&](std::chrono::milliseconds limit) {
    const Error by_deadline =
        error_of([&] { return HttpClient{direct()}.post(Url::parse(server.url("https")), "", {}, until(limit)); });
    CHECK(by_deadline.code() == Errc::timeout);
    return by_deadline.message().find("not even a connection") != std::string::npos;  // if the call began in time
  }));
}

TEST_CASE("TLS to a plain port is a TLS error", "[http][client]") {
  RawServer server{[](Connection& connection) {
    connection.pause(20ms);
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
  }};
  CHECK(error_of([&] { return HttpClient{direct()}.post(Url::parse(server.url("https")), ""); }).code() == Errc::tls);
}

TEST_CASE("A certificate nobody vouches for is refused, unless it is trusted or nothing is checked", "[http][client]") {
  const Certificate certificate;
  if (!certificate.exists()) {
    WARN("skipped: no openssl command");
    return;
  }
  const TlsServer server{certificate, {"-www"}};
  const auto get_with = [&](const HttpOptions& http) {
    return HttpClient{http}.get(Url::parse(server.url()), {}, until(patience));
  };
  const Error error = error_of([&] { return get_with(direct()); });
  CHECK(error.code() == Errc::tls);
  CHECK_THAT(error.what(), ContainsSubstring("certificate"));
  HttpOptions trusting = direct();
  trusting.ca_file = certificate.certificate();
  CHECK(get_with(trusting).status == 200);
  HttpOptions blind = direct();
  blind.verify = TlsVerify::none;
  CHECK(get_with(blind).status == 200);
  HttpOptions lost = direct();
  lost.ca_file = "/nonexistent/ca.pem";
  const Error no_file = error_of([&] { return get_with(lost); });
  CHECK(no_file.code() == Errc::bad_input);
  CHECK_THAT(no_file.what(), ContainsSubstring("/nonexistent/ca.pem"));
}

TEST_CASE("A cancelled call ends at once, in whatever phase it is", "[http][client]") {
  struct Row {
    std::string phase;
    RawServer::Script script;
    std::string scheme;
    std::size_t body_size;
  };
  const std::vector<Row> rows{
      {"TLS handshake", [](Connection& connection) { connection.stall(); }, "https", 2},
      {"sending", [](Connection& connection) { connection.stall(); }, "http", 64 * 1024 * 1024},
      {"before the first byte", [](Connection& connection) { connection.read_request(), connection.stall(); }, "http", 2},
      {"in the head",
       [](Connection& connection) {
         connection.read_request() && connection.send("HTTP/1.1 200 OK\r\nCont"), connection.stall();
       },
       "http", 2},
      {"in the body",
       [](Connection& connection) {
         connection.read_request() && connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), connection.stall();
       },
       "http", 2},
  };
  const auto cancel = [](const std::string& phase, const std::string& url, std::size_t body_size) {
    // Unverified, as reading all of the system's certificates is a matter of tens of milliseconds, and of seconds under a
    // sanitizer.
    HttpClient client{{.verify = TlsVerify::none, .proxy = ""}};
    const std::string body(body_size, 'x');
    // The best of many: a busy machine is late now and then, a wait that does not listen always.
    auto best = std::chrono::microseconds::max();
    for (int i = 0; i < 20 && best >= 500ms; ++i) {
      std::stop_source source;
      Clock::time_point asked;
      std::jthread canceller{[&] {
        std::this_thread::sleep_for(150ms);
        asked = Clock::now();
        source.request_stop();
      }};
      const Error error = error_of([&] { return client.post(Url::parse(url), body, {}, {.stop = source.get_token()}); });
      const auto ended = Clock::now();
      canceller.join();
      best = std::min(best, std::chrono::duration_cast<std::chrono::microseconds>(ended - asked));
      CAPTURE(phase, error.what());
      CHECK(error.code() == Errc::cancelled);
    }
    std::cout << "cancelled, " << phase << ": " << best.count() << " us\n";
    CAPTURE(phase);
    CHECK(best < 500ms);
  };
  for (const Row& row : rows) {
    RawServer server{row.script};
    cancel(row.phase, server.url(row.scheme), row.body_size);
  }
  cancel("resolving the name", "http://" + std::string{slow_host}, 2);
  // A full queue of connections: the next one is not answered.
  RawServer deaf{{}, {.backlog = 0}};
  std::vector<std::jthread> waiting;
  for (int i = 0; i < 2; ++i) {
    waiting.emplace_back(
        [&](const std::stop_token& stop) { static_cast<void>(error_of([&] { return post(deaf, {.stop = stop}); })); });
  }
  std::this_thread::sleep_for(50ms);
  cancel("connecting", deaf.url(), 2);
}

TEST_CASE("Ten calls use one connection", "[http][client]") {
  RawServer server{RawServer::always(http_response(200, "ok"))};
  HttpClient client{direct()};
  for (int i = 0; i < 10; ++i) CHECK(client.post(Url::parse(server.url()), "{}").body == "ok");
  CHECK(server.connections() == 1);
  CHECK(server.requests().size() == 10);
}

TEST_CASE("Eight threads use at most eight connections, again and again", "[http][client]") {
  RawServer server{[](Connection& connection) {
    while (connection.read_request() && connection.pause(1ms) && connection.send(http_response(200, "ok"))) {}
  }};
  HttpClient client{direct()};
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) good += client.post(Url::parse(server.url()), "{}").body == "ok" ? 1 : 0;
      });
    }
  }
  CHECK(good == 160);
  CHECK(server.requests().size() == 160);
  CHECK(server.connections() <= 8);
}

TEST_CASE("Calls that are cancelled from other threads leave the client usable", "[http][client]") {
  RawServer server{[](Connection& connection) {
    while (connection.read_request()) {
      if (connection.number() % 2 == 0) connection.stall();
      connection.send(http_response(200, "ok"));
    }
  }};
  HttpClient client{direct()};
  std::atomic<int> ended{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5; ++i) {
          std::stop_source source;
          const std::jthread canceller{[&] {
            std::this_thread::sleep_for(20ms);
            source.request_stop();
          }};
          try {
            ended += client.post(Url::parse(server.url()), "{}", {}, {.stop = source.get_token()}).status == 200 ? 1 : 0;
          } catch (const Error& error) {
            ended += error.code() == Errc::cancelled ? 1 : 0;
          }
        }
      });
    }
  }
  CHECK(ended == 20);
}

TEST_CASE("A kept connection that the server closed is replaced without a failure", "[http][client]") {
  const bool closes_at_next_request = GENERATE(false, true);
  RawServer server{[&](Connection& connection) {
    connection.read_request();
    connection.send(http_response(200, "ok"));
    if (connection.number() == 0 && !closes_at_next_request) return;
    if (connection.number() == 0) {
      connection.read_head();
      return;
    }
    connection.wait_for_close(patience);
  }};
  HttpClient client{direct()};
  CHECK(client.post(Url::parse(server.url()), "first").body == "ok");
  if (!closes_at_next_request) REQUIRE(comes_true([&] { return server.closed() == 1; }));
  CHECK(client.post(Url::parse(server.url()), "second").body == "ok");
  REQUIRE(server.connections() == 2);
  CHECK(server.requests().back().body == "second");
}

TEST_CASE("No more idle connections are kept than the options say", "[http][client]") {
  RawServer server{RawServer::always(http_response(200, "ok"))};
  HttpOptions none = direct();
  none.max_idle_connections = 0;
  HttpClient client{none};
  for (int i = 0; i < 3; ++i) CHECK(client.post(Url::parse(server.url()), "{}").body == "ok");
  CHECK(server.connections() == 3);
}
