// Packed responses: gzip and deflate.
#include <ecso/http/transfer.hpp>

#include <ecso/http/client.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/http_calls.hpp"
#include "support/patience.hpp"
#include "support/raw_server.hpp"

namespace packed_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Clock = std::chrono::steady_clock;
using ecso::CallContext;
using ecso::Errc;
using ecso::Error;
using ecso::HttpClient;
using ecso::HttpResponse;
using ecso::OnBody;
using ecso::Url;
using ecso::test::direct;
using ecso::test::error_of;
using ecso::test::http_response;
using ecso::test::patience;
using ecso::test::RawServer;
using ecso::test::since;
using ecso::test::until;
using Connection = RawServer::Connection;

HttpResponse post(HttpClient& client, const RawServer& server, const CallContext& context = {}, const OnBody& on_body = {}) {
  return client.post(Url::parse(server.url()), "{}", {}, context, on_body);
}

/// The largest amount of memory this process has used since the last call of forget_peak_memory, where the kernel says.
std::size_t peak_memory_kib() {
  std::ifstream status{"/proc/self/status"};
  for (std::string word; status >> word;) {
    if (word == "VmHWM:") {
      std::size_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

void forget_peak_memory() { std::ofstream{"/proc/self/clear_refs"} << "5"; }

/// The start of a gzip file of endless zeros: fixed Huffman codes, a literal zero, then copies of 258 bytes from one byte before,
/// each of which takes 13 bits.
class ZeroBomb {
 public:
  static constexpr std::size_t unpacked_by_piece = std::size_t{8} * 1024 * 258;

  [[nodiscard]] std::string head() {
    std::string bytes{"\x1f\x8b\x08\0\0\0\0\0\0\xff", 10};
    put(bytes, 0b011, 3);              // the last block, of fixed codes
    put(bytes, reversed(0x30, 8), 8);  // the literal 0
    return bytes;
  }

  /// 8192 copies.
  [[nodiscard]] std::string piece() {
    std::string bytes;
    for (int i = 0; i < 8192; ++i) {
      put(bytes, reversed(0b11000101, 8), 8);  // length 258
      put(bytes, 0, 5);                        // distance 1
    }
    return bytes;
  }

 private:
  static unsigned reversed(unsigned code, int bits) {
    unsigned result = 0;
    for (int i = 0; i < bits; ++i) result |= ((code >> i) & 1U) << (bits - 1 - i);
    return result;
  }

  void put(std::string& bytes, unsigned code, int bits) {
    pending_ |= code << count_;
    for (count_ += bits; count_ >= 8; count_ -= 8, pending_ >>= 8) bytes.push_back(static_cast<char>(pending_ & 0xFFU));
  }

  unsigned pending_ = 0;
  int count_ = 0;
};

}  // namespace

TEST_CASE("A packed body is unpacked", "[http][gzip]") {
  using namespace std::string_view_literals;
  const auto [coding, packed] = GENERATE(table<std::string, std::string_view>({
      {"gzip",
       "\x1f\x8b\x08\0\0\0\0\0\x02\x03\xf3\x48\xcd\xc9\xc9\xd7\x51\x48\xaf\xca\x2c\xd0\x03\0\xaf\x20\xb0\x80\x0c\0\0\0"sv},
      {"deflate", "\x78\x9c\xf3\x48\xcd\xc9\xc9\xd7\x51\x48\xaf\xca\x2c\xd0\x03\0\x1b\x67\x04\x29"sv},
      {"deflate", "\xf3\x48\xcd\xc9\xc9\xd7\x51\x48\xaf\xca\x2c\xd0\x03\0"sv},  // without the zlib header, as some send it
      {"identity", "Hello, gzip."sv},
  }));
  CAPTURE(coding, packed.size());
  RawServer server{RawServer::always(http_response(200, packed, "text/plain", "Content-Encoding: " + coding + "\r\n"))};
  HttpClient client{direct()};
  CHECK(post(client, server).body == "Hello, gzip.");
  std::string text;
  CHECK(post(client, server, {}, [&](std::string_view bytes) { text += bytes; }).body.empty());
  CHECK(text == "Hello, gzip.");
  CHECK_THAT(server.requests().front().head, ContainsSubstring("\r\nAccept-Encoding: gzip, deflate"));
}

TEST_CASE("A packed error is unpacked", "[http][gzip]") {
  const std::string packed{"\x78\x9c\xf3\x48\xcd\xc9\xc9\xd7\x51\x48\xaf\xca\x2c\xd0\x03\0\x1b\x67\x04\x29", 20};
  RawServer server{RawServer::always(http_response(400, packed, "text/plain", "Content-Encoding: deflate\r\n"))};
  HttpClient client{direct()};
  CHECK(post(client, server, {}, [](std::string_view) {}).body == "Hello, gzip.");
}

TEST_CASE("A body that cannot be unpacked is a bad reply", "[http][gzip]") {
  using namespace std::string_view_literals;
  const auto [what, coding, packed] = GENERATE(table<std::string, std::string, std::string_view>({
      {"not gzip", "gzip", "Hello"sv},
      {"a broken block", "gzip", "\x1f\x8b\x08\0\0\0\0\0\x02\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"sv},
      {"a wrong checksum", "gzip",
       "\x1f\x8b\x08\0\0\0\0\0\x02\x03\xf3\x48\xcd\xc9\xc9\xd7\x51\x48\xaf\xca\x2c\xd0\x03\0\xaf\x20\xb0\x81\x0c\0\0\0"sv},
      {"a wrong checksum", "deflate", "\x78\x9c\xf3\x48\xcd\xc9\xc9\xd7\x51\x48\xaf\xca\x2c\xd0\x03\0\x1b\x67\x04\x2a"sv},
      {"more after its end", "gzip",
       "\x1f\x8b\x08\0\0\0\0\0\x02\x03\xf3\x48\xcd\xc9\xc9\xd7\x51\x48\xaf\xca\x2c\xd0\x03\0\xaf\x20\xb0\x80\x0c\0\0\0more"sv},
      {"nothing that there is", "zebra", "Hello"sv},
  }));
  CAPTURE(what, coding);
  RawServer server{RawServer::always(http_response(200, packed, "text/plain", "Content-Encoding: " + coding + "\r\n"))};
  HttpClient client{direct()};
  const Error error = error_of([&] { return post(client, server, until(patience)); });
  CHECK(error.code() == Errc::bad_reply);
  CAPTURE(error.what());
  CHECK_THAT(error.what(), StartsWith(server.url() + ": HTTP 200: ") && !ContainsSubstring("disk"));
}

TEST_CASE("A bomb of a gigabyte of zeros is refused at the largest size, without the memory", "[http][gzip]") {
  const bool is_stream = GENERATE(false, true);
  constexpr std::size_t gigabyte = std::size_t{1024} * 1024 * 1024;
  std::atomic<std::size_t> unpacked{0};
  RawServer server{[&](Connection& connection) {
    ZeroBomb bomb;
    if (!connection.read_request() || !connection.send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + bomb.head())) return;
    while (unpacked < gigabyte && connection.send(bomb.piece())) unpacked += ZeroBomb::unpacked_by_piece;
  }};
  HttpClient client{direct()};
  std::size_t taken = 0;
  forget_peak_memory();
  const std::size_t before = peak_memory_kib();
  const auto start = Clock::now();
  const Error error = error_of([&] {
    return post(client, server, until(patience), is_stream ? [&](std::string_view bytes) { taken += bytes.size(); } : OnBody{});
  });
  const std::size_t used = peak_memory_kib() - before;
  std::cout << "gzip bomb, " << (is_stream ? "streamed" : "kept") << ": refused after " << since(start).count() << " ms, "
            << used / 1024 << " MiB used\n";
  CHECK(error.code() == Errc::bad_reply);
  CHECK(error.message() == "the response is larger than 16777216 bytes");
  CHECK(used < std::size_t{128} * 1024);
  CHECK(unpacked <= gigabyte);
  CHECK(taken <= std::size_t{16} * 1024 * 1024);
  CHECK(taken >= (is_stream ? std::size_t{15} * 1024 * 1024 : 0));
}

}  // namespace packed_test
