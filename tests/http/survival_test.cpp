#include <ecso/http/transfer.hpp>

#include <ecso/http/client.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iostream>
#include <semaphore>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/http_calls.hpp"
#include "support/patience.hpp"
#include "support/raw_server.hpp"

namespace survival_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Clock = std::chrono::steady_clock;
using ecso::CallContext;
using ecso::Errc;
using ecso::Error;
using ecso::HttpClient;
using ecso::HttpHeader;
using ecso::HttpOptions;
using ecso::HttpResponse;
using ecso::OnBody;
using ecso::Url;
using ecso::test::comes_true;
using ecso::test::direct;
using ecso::test::error_of;
using ecso::test::http_response;
using ecso::test::patience;
using ecso::test::RawServer;
using ecso::test::since;
using ecso::test::succeeds_in_time;
using ecso::test::until;
using Connection = RawServer::Connection;

constexpr std::string_view chunked_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string chunk(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string size;
  for (std::size_t left = bytes.size(); left != 0 || size.empty(); left /= 16) size.insert(size.begin(), digits[left % 16]);
  return size.append("\r\n").append(bytes).append("\r\n");
}

HttpResponse post(HttpClient& client, const RawServer& server, const CallContext& context = {}, const OnBody& on_body = {}) {
  return client.post(Url::parse(server.url()), "{}", {}, context, on_body);
}

/// The answer of a server that sends "answer" first, after a request, and then does what `script` says.
RawServer::Script after_request(std::string answer, RawServer::Script script = [](Connection& c) { c.stall(); }) {
  return [answer = std::move(answer), script = std::move(script)](Connection& connection) {
    if (connection.read_request() && connection.send(answer)) script(connection);
  };
}

}  // namespace

TEST_CASE("A server that does not begin to answer is given up after the time for the first byte", "[http][timeout]") {
  const auto [phase, script] = GENERATE(table<std::string, RawServer::Script>({
      {"nothing comes", after_request("")},
      {"half a status line", after_request("HTTP/1.1 20")},
      {"early hints", after_request("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")},
      {"early hints without end", after_request("",
                                                [](Connection& connection) {
                                                  while (connection.send("HTTP/1.1 102 Processing\r\n\r\n") &&
                                                         connection.pause(20ms)) {}
                                                })},
  }));
  HttpOptions hasty = direct();
  hasty.first_byte_timeout = 200ms;
  hasty.between_bytes_timeout = 100ms;
  HttpClient client{hasty};
  RawServer server{script};
  const auto start = Clock::now();
  const Error error = error_of([&] { return post(client, server, until(patience)); });
  CAPTURE(phase, error.what());
  CHECK(error.code() == Errc::timeout);
  CHECK(error.message() == "no byte of a response within 200 ms");
  CHECK(error.context().endpoint == server.url());
  CHECK(since(start) >= 190ms);
}

TEST_CASE("An interim response does not begin the response", "[http][timeout]") {
  const std::string status = GENERATE("100 Continue", "102 Processing", "103 Early Hints");
  HttpOptions http = direct();
  http.first_byte_timeout = patience;
  http.between_bytes_timeout = 50ms;
  HttpClient client{http};
  RawServer server{after_request("HTTP/1.1 " + status + "\r\nServer: hint\r\n\r\n", [](Connection& connection) {
    connection.pause(250ms);
    connection.send(http_response(200, "ok", "text/plain", "Server: \t final 1.0 \r\n"));
  })};
  CAPTURE(status);
  const HttpResponse response = post(client, server, until(patience));
  CHECK(response.status == 200);
  CHECK(response.body == "ok");
  CHECK(response.server == "final 1.0");
  CHECK(server.requests().size() == 1);
}

TEST_CASE("A response that stops is given up after the time between bytes", "[http][timeout]") {
  struct Row {
    std::string phase;
    std::string answer;
    std::size_t body_bytes;
  };
  const Row row = GENERATE(values<Row>({
      {"in the head", "HTTP/1.1 200 OK\r\nContent-", 0},
      {"after the head", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 0},
      {"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 4},
      {"in a chunk", std::string{chunked_head} + "9\r\nhalf", 4},
      {"between chunks", std::string{chunked_head} + chunk("half"), 4},
      {"of a response without length", "HTTP/1.1 200 OK\r\n\r\nhalf", 4},
      {"in an error's body", "HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nhalf", 4},
  }));
  const bool is_stream = GENERATE(false, true);
  HttpOptions hasty = direct();
  hasty.between_bytes_timeout = 150ms;
  HttpClient client{hasty};
  RawServer server{after_request(row.answer)};
  std::string taken;
  const auto start = Clock::now();
  const Error error = error_of([&] {
    return post(client, server, until(patience), is_stream ? [&](std::string_view bytes) { taken += bytes; } : OnBody{});
  });
  CAPTURE(row.phase, is_stream, error.what());
  CHECK(error.code() == Errc::timeout);
  CHECK(error.message() == "the response stopped: no byte for 150 ms, after " + std::to_string(row.body_bytes) + " bytes of it");
  CHECK(since(start) >= 140ms);
  CHECK(taken == (is_stream && row.body_bytes > 0 && row.answer.find("400") == std::string::npos ? "half" : ""));
}

TEST_CASE("A slow drip is within the time between bytes, but not within the limit for a call", "[http][timeout]") {
  std::atomic<std::chrono::milliseconds> drip_time{0ms};
  RawServer server{after_request(std::string{chunked_head}, [&](Connection& connection) {
    const auto start = Clock::now();
    while (since(start) < drip_time.load() && connection.send(chunk("x")) && connection.pause(20ms)) {}
    connection.send(chunk(""));
  })};
  CHECK(succeeds_in_time(600ms, [&](std::chrono::milliseconds limit) {
    drip_time = limit + 200ms;
    HttpOptions http = direct();
    http.between_bytes_timeout = limit;
    HttpClient patient{http};
    try {
      return post(patient, server).body.starts_with("xx");
    } catch (const Error& error) {
      CHECK(error.code() == Errc::timeout);
      return false;
    }
  }));
  drip_time = patience;
  CHECK(succeeds_in_time(300ms, [&](std::chrono::milliseconds limit) {
    HttpOptions http = direct();
    http.between_bytes_timeout = patience;
    http.call_timeout = limit;
    HttpClient hasty{http};
    const Error error = error_of([&] { return post(hasty, server); });
    CHECK(error.code() == Errc::timeout);
    CHECK_THAT(error.message(),
               StartsWith("no complete response within " + std::to_string(limit.count()) + " ms (the limit for a call), "));
    return error.message().ends_with(" bytes of it");  // if there was time for a connection
  }));
}

TEST_CASE("A slow upload that moves is not a stall, one that does not is", "[http][timeout]") {
  constexpr std::size_t size = std::size_t{48} * 1024 * 1024;
  const std::string large(size, 'x');
  HttpOptions http = direct();
  http.first_byte_timeout = 900ms;
  HttpClient client{http};
  CHECK(succeeds_in_time(http.first_byte_timeout, [&](std::chrono::milliseconds limit) {
    RawServer slow{[&](Connection& connection) {
      // What waits in the kernel counts as sent, and must be read within the time for the first byte.
      connection.keep_unread_at_most(1024 * 1024);
      // Of 64 KiB at most.
      for (int i = 0; i < 500 && connection.read_some(); ++i) connection.pause(limit / 300);
      if (connection.read_request()) connection.send(http_response(200, "ok"));
    }};
    HttpOptions options = http;
    options.first_byte_timeout = limit;
    const auto start = Clock::now();
    try {
      const std::string body = HttpClient{options}.post(Url::parse(slow.url()), large, {}, until(5 * patience)).body;
      CHECK(body == "ok");
    } catch (const Error& error) {
      CHECK(error.code() == Errc::timeout);
      return false;
    }
    CHECK(since(start) > limit);
    return true;
  }));

  RawServer deaf{[](Connection& connection) { connection.stall(); }};
  // Not by the time of a busy machine: a client that took what its kernel takes for progress would come to the deadline first.
  const Error error =
      error_of([&] { return client.post(Url::parse(deaf.url()), large, {}, until(10 * http.first_byte_timeout)); });
  CHECK(error.code() == Errc::timeout);
  CHECK(error.message() == "no byte of a response within 900 ms");
}

TEST_CASE("The time for the first byte starts anew with a call on a kept connection", "[http][timeout]") {
  CHECK(succeeds_in_time(300ms, [](std::chrono::milliseconds limit) {
    HttpOptions http = direct();
    http.first_byte_timeout = limit;
    HttpClient client{http};
    RawServer server{[&](Connection& connection) {
      while (connection.read_request() && connection.pause(limit / 3) && connection.send(http_response(200, "ok"))) {}
    }};
    try {
      for (int i = 0; i < 5; ++i) {
        const std::string body = post(client, server).body;
        CHECK(body == "ok");
      }
    } catch (const Error& error) {
      CHECK(error.code() == Errc::timeout);
      return false;
    }
    return server.connections() == 1;
  }));
}

TEST_CASE("A stream's bytes are given as they come", "[http][stream]") {
  constexpr int pieces = 5;
  std::atomic<int> taken{0};
  RawServer server{after_request(std::string{chunked_head}, [&](Connection& connection) {
    for (int i = 0; i < pieces; ++i) {
      // Not before the last piece was taken.
      while (taken < i && connection.pause(1ms)) {}
      connection.send(taken == i ? chunk("piece" + std::to_string(i)) : "broken");
    }
    connection.send(chunk(""));
  })};
  HttpClient client{direct()};
  std::string text;
  const auto caller = std::this_thread::get_id();
  const HttpResponse response = post(client, server, until(patience), [&](std::string_view bytes) {
    CHECK(std::this_thread::get_id() == caller);
    text += bytes;
    ++taken;
  });
  CHECK(text == "piece0piece1piece2piece3piece4");
  CHECK(response.status == 200);
  CHECK(response.body.empty());
}

TEST_CASE("Only the body of a success is given to the callback; that of an error is in the response", "[http][stream]") {
  const auto [status, is_given] = GENERATE(
      table<int, bool>({{200, true}, {201, true}, {307, false}, {400, false}, {404, false}, {500, false}, {503, false}}));
  const std::string body = R"({"error": {"message": "no such field"}})";
  RawServer server{RawServer::always(http_response(status, body, "application/json", "Retry-After: 2\r\n"))};
  HttpClient client{direct()};
  std::string text;
  const HttpResponse response = post(client, server, {}, [&](std::string_view bytes) { text += bytes; });
  CAPTURE(status);
  CHECK(response.status == status);
  CHECK(response.content_type == "application/json");
  CHECK(response.retry_after == 2s);
  CHECK(text == (is_given ? body : ""));
  CHECK(response.body == (is_given ? "" : body));
}

TEST_CASE("What a callback throws comes out as it is, and the client stays usable", "[http][stream]") {
  struct Full {
    int at;
  };
  RawServer server{[](Connection& connection) {
    while (connection.read_request()) {
      if (connection.number() == 0) connection.send(chunked_head), connection.send(chunk("one")), connection.stall();
      connection.send(http_response(200, "whole"));
    }
  }};
  HttpClient client{direct()};
  int thrown = 0;
  try {
    static_cast<void>(
        post(client, server, until(patience), [](std::string_view bytes) { throw Full{static_cast<int>(bytes.size())}; }));
  } catch (const Full& full) {
    thrown = full.at;
  }
  CHECK(thrown == 3);
  const Error mine = error_of(
      [&] { return post(client, server, until(patience), [](std::string_view) { throw Error{Errc::bad_reply, "mine"}; }); });
  CHECK(mine == Error{Errc::bad_reply, "mine"});
  CHECK(post(client, server, until(patience)).body == "whole");
  CHECK(server.requests().size() == 3);
}

TEST_CASE("A stream is cancelled within 50 ms, by whomever", "[http][stream]") {
  struct Row {
    std::string phase;
    RawServer::Script script;
    std::chrono::milliseconds callback_time;
  };
  const std::vector<Row> rows{
      {"while nothing comes", after_request(std::string{chunked_head} + chunk("one")), 0ms},
      {"while bytes drip",
       after_request(std::string{chunked_head},
                     [](Connection& connection) {
                       while (connection.send(chunk("x")) && connection.pause(5ms)) {}
                     }),
       0ms},
      {"while more comes than the callback takes",
       after_request(std::string{chunked_head},
                     [](Connection& connection) {
                       const std::string much = chunk(std::string(100'000, 'x'));
                       while (connection.send(much)) {}
                     }),
       10ms},
  };
  for (const Row& row : rows) {
    RawServer server{row.script};
    // The best of many: a busy machine is late now and then, a wait that does not listen always.
    auto best = std::chrono::microseconds::max();
    for (int i = 0; i < 50 && best >= 50ms; ++i) {
      HttpClient client{direct()};
      std::stop_source source;
      Clock::time_point asked;
      std::binary_semaphore has_begun{0};
      std::jthread canceller{[&] {
        has_begun.acquire();
        std::this_thread::sleep_for(20ms);  // for the call to wait for more
        asked = Clock::now();
        source.request_stop();
      }};
      const Error error = error_of([&] {
        return post(client, server, {.stop = source.get_token()}, [&, is_first = true](std::string_view) mutable {
          if (std::exchange(is_first, false)) has_begun.release();
          std::this_thread::sleep_for(row.callback_time);
        });
      });
      const auto ended = Clock::now();
      canceller.join();
      const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(ended - asked);
      best = std::min(best, taken);
      CAPTURE(row.phase, error.what());
      CHECK(error.code() == Errc::cancelled);
    }
    std::cout << "stream cancelled " << row.phase << ": " << best.count() << " us\n";
    CHECK(best < 50ms);
  }
}

TEST_CASE("A callback that asks for the stop gets nothing more", "[http][stream]") {
  RawServer server{after_request(std::string{chunked_head}, [](Connection& connection) {
    while (connection.send(chunk("x")) && connection.pause(1ms)) {}
  })};
  HttpClient client{direct()};
  std::stop_source source;
  int calls = 0;
  const Error error = error_of([&] {
    return post(client, server, {.stop = source.get_token()}, [&](std::string_view) {
      ++calls;
      source.request_stop();
    });
  });
  CHECK(error.code() == Errc::cancelled);
  CHECK(calls == 1);
}

TEST_CASE("The largest size holds for a stream", "[http][stream]") {
  struct Row {
    std::string kind;
    std::string answer;
    std::string piece;
  };
  const Row row = GENERATE(values<Row>({
      {"chunked", std::string{chunked_head}, chunk(std::string(700, 'x'))},
      {"without length", "HTTP/1.1 200 OK\r\n\r\n", std::string(700, 'x')},
      {"announced", "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", std::string(700, 'x')},
      {"an error", "HTTP/1.1 400 Bad\r\n\r\n", std::string(700, 'x')},
  }));
  HttpOptions small = direct();
  small.max_response_bytes = 10'000;
  HttpClient client{small};
  std::atomic<std::size_t> sent{0};
  RawServer server{after_request(row.answer, [&](Connection& connection) {
    while (connection.send(row.piece)) sent += row.piece.size();
  })};
  std::size_t taken = 0;
  const Error error =
      error_of([&] { return post(client, server, until(patience), [&](std::string_view bytes) { taken += bytes.size(); }); });
  CAPTURE(row.kind);
  CHECK(error.code() == Errc::bad_reply);
  CHECK(error.message() == "the response is larger than 10000 bytes");
  CHECK(taken <= 10'000);
  CHECK(sent < std::size_t{64} * 1024 * 1024);
}

TEST_CASE("A head without end is refused", "[http]") {
  const std::string line = GENERATE(as<std::string>{}, "X-More: " + std::string(1000, 'x') + "\r\n", std::string(1000, 'x'),
                                    "\r\nHTTP/1.1 103 Early Hints\r\nX-More: " + std::string(1000, 'x') + "\r\n");
  std::atomic<std::size_t> sent{0};
  RawServer server{after_request("HTTP/1.1 103 Early Hints\r\nX: ", [&](Connection& connection) {
    while (connection.send(line)) sent += line.size();
  })};
  HttpClient client{direct()};
  const Error error = error_of([&] { return post(client, server, until(patience)); });
  CAPTURE(line.substr(0, 20), error.what());
  CHECK(error.code() == Errc::bad_reply);
  CHECK(sent < std::size_t{64} * 1024 * 1024);
}

TEST_CASE("A streamed call on a kept connection that the server closes before a byte is sent once more", "[http][stale]") {
  const bool closes_at_next_request = GENERATE(false, true);
  RawServer server{[&](Connection& connection) {
    connection.read_request();
    connection.send(http_response(200, connection.number() == 0 ? "first" : "second"));
    if (connection.number() != 0) connection.wait_for_close(patience);
    if (connection.number() == 0 && closes_at_next_request) connection.read_request();
  }};
  HttpClient client{direct()};
  CHECK(post(client, server).body == "first");
  if (!closes_at_next_request) REQUIRE(comes_true([&] { return server.closed() == 1; }));
  std::string text;
  CHECK(post(client, server, until(patience), [&](std::string_view bytes) { text += bytes; }).status == 200);
  CHECK(text == "second");
  CHECK(server.connections() == 2);
  CHECK(server.requests().size() == (closes_at_next_request ? 3 : 2));
}

TEST_CASE("A call is not sent again once a byte of its response has come, nor on a new connection", "[http][stale]") {
  struct Row {
    std::string phase;
    std::string answer;
    bool is_first;
  };
  const Row row = GENERATE(values<Row>({
      {"in the head", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n", false},
      {"after an interim response", "HTTP/1.1 103 Early Hints\r\n\r\n", false},
      {"after the head", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false},
      {"after the first byte of the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nh", false},
      {"between chunks", std::string{chunked_head} + chunk("h"), false},
      {"before a byte, on a new connection", "", true},
      {"in the body, on a new connection", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nh", true},
  }));
  const bool is_reset = GENERATE(false, true);
  RawServer server{[&](Connection& connection) {
    if (!row.is_first && connection.read_request()) connection.send(http_response(200, "first"));
    if (connection.read_request()) connection.send(row.answer);
    connection.pause(50ms);
    if (is_reset) connection.reset();
  }};
  HttpClient client{direct()};
  if (!row.is_first) CHECK(post(client, server).body == "first");
  std::string text;
  const Error error =
      error_of([&] { return post(client, server, until(patience), [&](std::string_view bytes) { text += bytes; }); });
  CAPTURE(row.phase, is_reset, error.what());
  CHECK(error.code() == Errc::unavailable);
  CHECK(text.size() <= 1);
  CHECK(server.requests().size() == (row.is_first ? 1 : 2));
  CHECK(server.connections() == 1);
}

TEST_CASE("A get asks for a path, has no body and follows no redirect", "[http][client]") {
  RawServer server{RawServer::always(http_response(302, "moved", "text/plain", "Location: /other\r\nserver:llama.cpp\r\n"))};
  HttpClient client{direct()};
  const HttpHeader header{"Authorization", "Bearer key"};
  const HttpResponse response =
      client.get(Url::parse(server.url()).with_path("/props").with_query("model=a"), {&header, 1}, until(patience));
  CHECK(response.status == 302);
  CHECK(response.body == "moved");
  CHECK(response.server == "llama.cpp");
  CHECK(response.location == server.url() + "/other");
  REQUIRE(server.requests().size() == 1);
  CHECK_THAT(server.requests().front().head, StartsWith("GET /props?model=a HTTP/1.1\r\n") &&
                                                 ContainsSubstring("\r\nAuthorization: Bearer key") &&
                                                 !ContainsSubstring("Content-Length"));
}

TEST_CASE("A largest size beyond all sizes is no limit", "[http][client]") {
  HttpOptions http = direct();
  http.max_response_bytes = static_cast<std::size_t>(-1);
  HttpClient client{http};
  RawServer server{RawServer::always(http_response(200, "ok"))};
  CHECK(post(client, server).body == "ok");
  RawServer liar{after_request("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\nhalf", [](Connection&) {})};
  CHECK(error_of([&] { return post(client, liar); }).code() == Errc::unavailable);
}

TEST_CASE("Streams of many threads are cancelled, broken and read side by side", "[http][stream]") {
  std::atomic<int> came{0};
  RawServer server{[&](Connection& connection) {
    ++came;
    while (came < 3 && connection.pause(1ms)) {}  // one of each kind
    while (connection.read_request()) {
      const std::size_t kind = connection.number() % 3;
      connection.send(chunked_head);
      for (int i = 0; i < 5; ++i) connection.send(chunk(kind == 2 ? "stall" : "piece")), connection.pause(1ms);
      if (kind == 1) return;
      if (kind == 2) connection.stall();
      connection.send(chunk(""));
    }
  }};
  HttpClient client{direct()};
  std::atomic<int> whole{0};
  std::atomic<int> broken{0};
  std::atomic<int> cancelled{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) {
          std::stop_source source;
          std::string taken;
          std::counting_semaphore<> may_stop{0};
          std::jthread canceller{[&] {
            may_stop.acquire();
            source.request_stop();
          }};
          try {
            const auto on_body = [&](std::string_view bytes) {
              taken += bytes;
              if (taken == "stallstallstallstallstall") may_stop.release();
            };
            static_cast<void>(post(client, server, {.stop = source.get_token()}, on_body));
            whole += taken == "piecepiecepiecepiecepiece" ? 1 : 0;
          } catch (const Error& error) {
            broken += error.code() == Errc::unavailable ? 1 : 0;
            cancelled += error.code() == Errc::cancelled ? 1 : 0;
          }
          may_stop.release();
        }
      });
    }
  }
  CHECK(whole + broken + cancelled == 80);
  CHECK(whole > 0);
  CHECK(broken > 0);
  CHECK(cancelled > 0);
}

}  // namespace survival_test
