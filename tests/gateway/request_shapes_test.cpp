// Requests that are no HTTP, contradict themselves or are too large: refused, the connection closed, and nothing in a body is
// ever taken for a request.

#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/gateway/request_record.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/image_bytes.hpp"

namespace request_shapes_test {

namespace {

using namespace std::chrono_literals;
using ecso::test::Api;
using ecso::test::chat_body;
using ecso::test::ChatUpstream;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::patience;
using ecso::test::raw;

/// What a body that hides a request would make of a server that is misled.
const std::string smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Shape {
  std::string name;
  std::string bytes;
};

const std::string post = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

std::string in_chunks(std::string_view body) { return ecso::test::chunk(body) + ecso::test::chunk(""); }

/// Header lines that say how long the body is, in ways that two servers may read differently.
std::vector<Shape> lengths() {
  const std::string body = chat_body(Api::chat, false);
  const std::string size = std::to_string(body.size());
  const std::string length = "Content-Length: " + size + "\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  const auto length_of = [](const std::string& value) { return "Content-Length: " + value + "\r\n"; };
  std::vector<Shape> all;
  const auto add = [&](std::string name, const std::string& lines, const std::string& bytes) {
    all.push_back({std::move(name), post + lines + "\r\n" + bytes + smuggled});
  };
  add("a length, then chunks", length + chunked, in_chunks(body));
  add("chunks, then a length", chunked + length, in_chunks(body));
  add("a length of nothing and chunks", length_of("0") + chunked, in_chunks(body));
  add("a length of the chunks and chunks", length_of("4") + chunked, in_chunks(body));
  add("two lengths, the right one first", length + length_of("3"), body);
  add("two lengths, the right one last", length_of("3") + length, body);
  add("two lengths under other cases", length + "CONTENT-LENGTH: 3\r\n", body);
  for (const std::string& value : std::vector<std::string>{
           size + ", " + size, size + ", 3", "+" + size, "-" + size, "-1", "0x40", size + "a", "1e3", "abc", std::string{},
           "99999999999999999999999999", "18446744073709551616", "9223372036854775808", size + "\x0b", size + " 3"}) {
    add("a length of \"" + value + "\"", length_of(value), body);
  }
  for (const std::string value : {"chunked, identity", "identity, chunked", "identity", "gzip, chunked", "xchunked", "chunked2",
                                  "chunked, chunked", "\vchunked", "chunked;a=b", "\"chunked\"", "chu nked"}) {
    add("Transfer-Encoding: " + value, "Transfer-Encoding: " + value + "\r\n", in_chunks(body));
    add("a length and Transfer-Encoding: " + value, length + "Transfer-Encoding: " + value + "\r\n", body);
  }
  add("two Transfer-Encoding lines", chunked + chunked, in_chunks(body));
  add("Transfer-Encoding with a space before the colon", "Transfer-Encoding : chunked\r\n", in_chunks(body));
  add("a length with a space before the colon", "Content-Length : " + size + "\r\n", body);
  add("a folded Transfer-Encoding", "Transfer-Encoding:\r\n chunked\r\n", in_chunks(body));
  add("a length folded into another", "X-A: b\r\n Content-Length: 3\r\n" + length, body);
  add("a length after a bare line feed", "X-A: b\nContent-Length: 3\r\n" + length, body);
  add("a length after a bare return", "X-A: b\rContent-Length: 3\r\n" + length, body);
  add("a length after a NUL", raw("X-A: b\0Content-Length: 3\r\n") + length, body);
  all.push_back({"chunks in HTTP/1.0", "POST /v1/chat/completions HTTP/1.0\r\n" + chunked + "\r\n" + in_chunks(body) + smuggled});
  return all;
}

/// Bodies in chunks that are none.
std::vector<Shape> chunks() {
  const std::string body = chat_body(Api::chat, false);
  const std::string head = post + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string first = ecso::test::chunk(body.substr(0, 20));
  const std::string rest = body.substr(20);
  std::vector<Shape> all;
  for (const std::string size : {"zz", "-5", "", ";", "0x20", " 20", "ffffffffffffffff", "10000000000000000000",
                                 "7fffffffffffffff", "fffffffffffffffffffffffffffffffff", "5_", "+5"}) {
    all.push_back({"a chunk of size \"" + size + "\"", head + first + size + "\r\n" + rest + "\r\n0\r\n\r\n" + smuggled});
  }
  all.push_back({"a chunk longer than its size", head + "5\r\n" + body + "\r\n0\r\n\r\n" + smuggled});
  all.push_back({"a chunk without its end", head + "5\r\n" + body.substr(0, 5) + "0\r\n\r\n" + smuggled});
  all.push_back({"a chunk size with a bare line feed", head + "5\n" + body.substr(0, 5) + "\n0\n\n" + smuggled});
  all.push_back({"a megabyte of chunk extension",
                 head + ecso::test::chunk(body, ";a=" + std::string(1 << 20, 'x')) + "0\r\n\r\n" + smuggled});
  std::string trailers;
  for (int i = 0; i < 10'000; ++i) trailers += "X-Trailer-" + std::to_string(i) + ": " + std::string(90, 'x') + "\r\n";
  all.push_back({"a megabyte of trailers", head + ecso::test::chunk(body) + "0\r\n" + trailers + "\r\n" + smuggled});
  return all;
}

/// Heads that are none.
std::vector<Shape> heads() {
  const std::string end = "\r\nContent-Length: 0\r\n\r\n";
  std::vector<Shape> all;
  const auto line = [&](std::string name, const std::string& header) {
    all.push_back({std::move(name), "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + header + end + smuggled});
  };
  line("a folded header", "X-A: b\r\n c");
  line("a header that begins with a tab", "\tX-A: b");
  line("a header with a space before the colon", "X-A : b");
  line("a header with a space in its name", "X A: b");
  line("a header without a colon", "X-A");
  line("a header without a name", ": b");
  line("a NUL in a header", raw("X-A: b\0c"));
  line("a NUL in a header's name", raw("X\0A: b"));
  line("a bare return in a header", "X-A: b\rc");
  line("a bell in a header", "X-A: b\x07");
  line("a delete in a header", "X-A: b\x7f");
  line("a name that is no ASCII", "X-\xc3\xa9: b");
  line("two hosts", "Host: elsewhere");
  line("a megabyte in a header", "X-A: " + std::string(1 << 20, 'x'));
  line("a megabyte in a header's name", std::string(1 << 20, 'x') + ": b");
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "X-" + std::to_string(i) + ": b\r\n";
  line("ten thousand headers", many + "X-A: b");
  line("a compressed body", "Content-Encoding: gzip");
  const auto first = [&](std::string name, const std::string& request_line) {
    all.push_back({std::move(name), request_line + "\r\nHost: localhost" + end + smuggled});
  };
  first("two spaces", "GET  /healthz HTTP/1.1");
  first("a space in the target", "GET /heal thz HTTP/1.1");
  first("a tab in place of a space", "GET\t/healthz HTTP/1.1");
  first("a NUL in the target", raw("GET /healthz\0 HTTP/1.1"));
  first("a control character in the target", "GET /healthz\x01 HTTP/1.1");
  first("a target that is no ASCII", "GET /\xff HTTP/1.1");
  first("a megabyte of target", "GET /" + std::string(1 << 20, 'x') + " HTTP/1.1");
  first("no target", "GET HTTP/1.1");
  first("no version", "GET /healthz");
  first("HTTP/1.2", "GET /healthz HTTP/1.2");
  first("HTTP/2.0", "GET /healthz HTTP/2.0");
  first("HTTP/0.9", "GET /healthz HTTP/0.9");
  first("HTTP/1.1 and more", "GET /healthz HTTP/1.1x");
  first("a lower-case http/1.1", "GET /healthz http/1.1");
  first("a method that is none", "GE(T /healthz HTTP/1.1");
  first("a megabyte of method", std::string(1 << 20, 'G') + " /healthz HTTP/1.1");
  all.push_back({"no host", "GET /healthz HTTP/1.1" + end + smuggled});
  all.push_back({"bare line feeds", "GET /healthz HTTP/1.1\nHost: localhost\n\n" + smuggled});
  all.push_back({"the beginning of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled});
  all.push_back({"a TLS hello", raw("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n") + smuggled});
  all.push_back({"garbage", raw("\x00\xff\x13\x80\r\n\r\n") + smuggled});
  return all;
}

bool is_refusal(int status) {
  constexpr int refusals[] = {400, 411, 413, 414, 415, 417, 431, 501, 505};
  return std::find(std::begin(refusals), std::end(refusals), status) != std::end(refusals);
}

/// What is wrong with what came back of a shape; empty if nothing is.
std::string wrong_with(const Shape& shape, int port) {
  HttpSocket socket{port};
  socket.send(shape.bytes);
  const HttpReply reply = socket.read();
  // Without an answer it must have been cut off at least.
  if (reply.status == 0 && reply.closed) return {};
  if (!is_refusal(reply.status)) return "no refusal: " + socket.all().substr(0, 300);
  if (!reply.whole) return "half a response: " + socket.all().substr(0, 300);
  if (!socket.is_closed()) return "the connection stays open";
  if (!socket.rest().empty()) return "a second response: " + socket.rest().substr(0, 300);
  return {};
}

}  // namespace

TEST_CASE("A request that can be read in two ways is refused, and what its body hides is never served", "[gateway][smuggling]") {
  const ChatUpstream upstream;
  std::atomic<int> smuggled_requests{0};
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.header_timeout = 2'000ms;
  options.bounds.body_timeout = 2'000ms;
  const GatewayUnderTest under_test{options, [&](const ecso::gateway::RequestRecord& record) {
                                      if (record.target == "/smuggled") ++smuggled_requests;
                                    }};
  std::size_t count = 0;
  for (const auto& shapes : {lengths(), chunks(), heads()}) {
    for (const Shape& shape : shapes) {
      ++count;
      INFO(shape.name);
      CHECK(wrong_with(shape, under_test.port()) == "");
      CHECK(smuggled_requests.exchange(0) == 0);
    }
  }
  CHECK(upstream.requests().empty());
  CHECK(under_test.ask(ecso::test::chat_request()).status == 200);
  WARN(count << " shapes of requests were refused");
}

TEST_CASE("A body that nobody reads is not taken for a request", "[gateway][smuggling]") {
  ChatUpstream upstream;
  std::atomic<int> smuggled_requests{0};
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_in_flight = 1;
  options.bounds.max_queued = 0;
  const GatewayUnderTest under_test{options, [&](const ecso::gateway::RequestRecord& record) {
                                      if (record.target == "/smuggled") ++smuggled_requests;
                                    }};
  const std::string length = "Content-Length: " + std::to_string(smuggled.size()) + "\r\n\r\n" + smuggled;
  const std::string chunks = "Transfer-Encoding: chunked\r\n\r\n" + in_chunks(smuggled);
  for (const std::string& first : {std::string{}, ecso::test::chat_request(), ecso::test::chat_request(Api::chat, true)}) {
    for (const std::string line :
         {"GET /healthz", "GET /metrics", "HEAD /healthz", "GET /nothing", "POST /nothing", "POST /healthz",
          "PUT /v1/chat/completions", "OPTIONS /v1/chat/completions", "GET /v1/models", "GET /", "POST /v1/chat/completions"}) {
      for (const std::string& body : {length, chunks}) {
        CAPTURE(first.size(), line, body);
        HttpSocket socket{under_test.port()};
        socket.send(first + line + " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.test\r\n" + body);
        if (!first.empty()) CHECK(socket.read().status == 200);
        CHECK(socket.read(patience, line.starts_with("HEAD")).whole);
        // A body that was read may be followed by another request.
        const bool is_kept = line == "POST /v1/chat/completions";
        CHECK((socket.is_closed_within(is_kept ? 50ms : patience) || is_kept));
        CHECK(socket.rest().empty());
        CHECK(smuggled_requests.exchange(0) == 0);
      }
    }
  }
  // Turned away at the door, when all places are taken.
  upstream.hold(ecso::Step::answer);
  HttpSocket busy{under_test.port()};
  busy.send(ecso::test::chat_request());
  REQUIRE(ecso::test::comes_true([&] { return upstream.waiting() == 1; }));
  HttpSocket turned_away{under_test.port()};
  turned_away.send(ecso::test::chat_request() + http_request("GET", "/healthz"));
  CHECK(turned_away.read().status == 429);
  CHECK(turned_away.read().body.starts_with("ok"));
  upstream.let_go();
  CHECK(busy.read().status == 200);
}

TEST_CASE("The spellings that HTTP allows are served", "[gateway]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const std::string body = chat_body(Api::chat, false);
  const std::string size = std::to_string(body.size());
  const std::string one_by_one = [&] {
    std::string chunks;
    for (const char c : body) chunks += ecso::test::chunk({&c, 1});
    return chunks + ecso::test::chunk("");
  }();
  const Shape shapes[] = {
      {"a length", post + "Content-Length: " + size + "\r\n\r\n" + body},
      {"a length after more spaces", post + "content-length:   " + size + "  \r\n\r\n" + body},
      {"a length with zeros", post + "Content-Length: 000" + size + "\r\n\r\n" + body},
      {"chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body)},
      {"chunks under another case", post + "TRANSFER-ENCODING: Chunked\r\n\r\n" + in_chunks(body)},
      {"a chunk a byte", post + "Transfer-Encoding: chunked\r\n\r\n" + one_by_one},
      {"chunk extensions",
       post + "Transfer-Encoding: chunked\r\n\r\n" + ecso::test::chunk(body, ";a=\"b c\"") + "0;last\r\n\r\n"},
      {"trailers", post + "Transfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n" + ecso::test::chunk(body) + "0\r\nX-A: b\r\n\r\n"},
      {"the absolute form",
       "POST http://localhost/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + size + "\r\n\r\n" + body},
      {"another content type",
       "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
       "Content-Length: " +
           size + "\r\n\r\n" + body}};
  for (const Shape& shape : shapes) {
    CAPTURE(shape.name);
    HttpSocket socket{under_test.port()};
    // Twice on one connection: the first must have ended where it ends.
    for (int i = 0; i < 2; ++i) {
      socket.send(shape.bytes);
      const HttpReply reply = socket.read();
      CHECK(reply.status == 200);
      CHECK(read_said(reply, Api::chat).text == "A plain answer.");
    }
    CHECK(socket.rest().empty());
  }
}

TEST_CASE("A body beyond the bound is refused before it is read", "[gateway]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.bounds.max_body_bytes = 100'000;
  const GatewayUnderTest under_test{options};
  const std::string large = "{\"a\":\"" + std::string(200'000, 'x') + "\"}";
  for (const std::string& bytes : {post + "Content-Length: 100001\r\n\r\n", post + "Content-Length: 1099511627776\r\n\r\n{",
                                   post + "Content-Length: " + std::to_string(large.size()) + "\r\n\r\n" + large,
                                   post + "Transfer-Encoding: chunked\r\n\r\n" + in_chunks(large)}) {
    CAPTURE(bytes.substr(0, 200));
    HttpSocket socket{under_test.port()};
    socket.send(bytes);
    const HttpReply reply = socket.read();
    CHECK(reply.status == 413);
    CHECK(reply.body.find("error") != std::string::npos);
    CHECK(socket.is_closed());
  }
  CHECK(upstream.requests().empty());
}

}  // namespace request_shapes_test
