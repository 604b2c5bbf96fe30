// TLS beyond the certificate of a server, which client_test.cpp has: time limits, certificates of clients, HTTP/2.
#include <ecso/http/client.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
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
#include "support/reserved_port.hpp"
#include "support/tls_server.hpp"

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Clock = std::chrono::steady_clock;
using ecso::Errc;
using ecso::Error;
using ecso::HttpClient;
using ecso::HttpOptions;
using ecso::HttpResponse;
using ecso::Url;
using ecso::test::Certificate;
using ecso::test::Child;
using ecso::test::direct;
using ecso::test::error_of;
using ecso::test::patience;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using ecso::test::TlsServer;
using ecso::test::until;

HttpOptions trusting(const Certificate& certificate) {
  HttpOptions options = direct();
  options.ca_file = certificate.certificate();
  return options;
}

bool is_skipped(const Certificate& certificate) {
  if (!certificate.exists()) WARN("skipped: no openssl command");
  return !certificate.exists();
}

}  // namespace

TEST_CASE("The times for the first byte and between bytes hold over TLS", "[http][tls]") {
  const Certificate certificate;
  if (is_skipped(certificate)) return;
  HttpOptions hasty = trusting(certificate);
  {
    hasty.first_byte_timeout = 300ms;
    HttpClient client{hasty};
    TlsServer silent{certificate};
    const Error error = error_of([&] { return client.post(Url::parse(silent.url()), "{}", {}, until(patience)); });
    CHECK(error.code() == Errc::timeout);
    CHECK(error.message() == "no byte of a response within 300 ms");
    CHECK(error.context().endpoint == silent.url());
  }
  hasty.first_byte_timeout = patience;
  hasty.between_bytes_timeout = 200ms;
  HttpClient client{hasty};
  TlsServer stopping{certificate};
  const std::jthread answering{[&] {
    if (stopping.wait_for("{\"a\": 1}")) stopping.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  }};
  std::string text;
  const Error error = error_of([&] {
    return client.post(Url::parse(stopping.url()), "{\"a\": 1}", {}, until(patience),
                       [&](std::string_view bytes) { text += bytes; });
  });
  CHECK(error.code() == Errc::timeout);
  CHECK(error.message() == "the response stopped: no byte for 200 ms, after 4 bytes of it");
  CHECK(text == "half");
}

TEST_CASE("A call over TLS is cancelled within 50 ms once it is connected", "[http][tls]") {
  const Certificate certificate;
  if (is_skipped(certificate)) return;
  TlsServer silent{certificate};
  // The best of many: a busy machine is late now and then, a wait that does not listen always.
  auto best = std::chrono::microseconds::max();
  for (int i = 0; i < 50 && best >= 50ms; ++i) {
    HttpClient client{trusting(certificate)};
    std::stop_source source;
    Clock::time_point asked;
    const std::string body = "{\"number\": " + std::to_string(i) + "}";
    std::jthread canceller{[&] {
      silent.wait_for(body);
      asked = Clock::now();
      source.request_stop();
    }};
    const Error error = error_of([&] { return client.post(Url::parse(silent.url()), body, {}, {.stop = source.get_token()}); });
    const auto ended = Clock::now();
    canceller.join();
    CHECK(error.code() == Errc::cancelled);
    best = std::min(best, std::chrono::duration_cast<std::chrono::microseconds>(ended - asked));
  }
  std::cout << "cancelled over TLS: " << best.count() << " us\n";
  CHECK(best < 50ms);
}

TEST_CASE("A client proves who it is by its certificate", "[http][tls]") {
  const Certificate certificate;
  const Certificate other;
  if (is_skipped(certificate)) return;
  const std::string version = GENERATE("-tls1_2", "-tls1_3");
  CAPTURE(version);
  TlsServer server{certificate, {"-www", version, "-Verify", "1", "-verify_return_error", "-CAfile", certificate.certificate()}};
  const auto get_with = [&](const HttpOptions& options) {
    return HttpClient{options}.get(Url::parse(server.url()), {}, until(patience));
  };
  // With TLS 1.3 the request may be on its way when the server hangs up, which now and then hides its reason.
  const auto refusal = [&](const HttpOptions& options) {
    Error error = error_of([&] { return get_with(options); });
    for (int i = 0; i < 5 && error.code() == Errc::unavailable; ++i) error = error_of([&] { return get_with(options); });
    return error;
  };

  HttpOptions options = trusting(certificate);
  const Error absent = refusal(options);
  CAPTURE(absent.what());
  CHECK(absent.code() == Errc::tls);
  CHECK_THAT(absent.what(), ContainsSubstring("alert"));

  options.client_certificate_file = certificate.certificate();
  options.client_key_file = certificate.key();
  const HttpResponse response = get_with(options);
  CHECK(response.status == 200);
  CHECK_THAT(response.body, ContainsSubstring("Client certificate"));

  const std::string both = (certificate.folder() / "both.pem").string();
  std::ofstream{both} << std::ifstream{certificate.certificate()}.rdbuf() << std::ifstream{certificate.key()}.rdbuf();
  HttpOptions one_file = trusting(certificate);
  one_file.client_certificate_file = both;
  CHECK(get_with(one_file).status == 200);

  options.client_certificate_file = other.certificate();
  options.client_key_file = other.key();
  const Error unknown = refusal(options);
  CAPTURE(unknown.what());
  CHECK(unknown.code() == Errc::tls);
}

TEST_CASE("A client certificate or key that cannot be used is bad input, and the file is named", "[http][tls]") {
  const Certificate certificate;
  const Certificate other;
  if (is_skipped(certificate)) return;
  const TlsServer server{certificate, {"-www"}};
  const std::string garbage = (certificate.folder() / "garbage.pem").string();
  std::ofstream{garbage} << "-----BEGIN CERTIFICATE-----\nnonsense\n";
  const std::string missing = (certificate.folder() / "missing.pem").string();
  struct Row {
    std::string certificate_file;
    std::string key_file;
    std::string named;
  };
  const std::string folder = certificate.folder().string();
  const std::vector<Row> rows{
      {missing, certificate.key(), missing},
      {garbage, certificate.key(), garbage},
      {folder, certificate.key(), folder},
      {certificate.certificate(), missing, missing},
      {certificate.certificate(), garbage, garbage},
      {certificate.certificate(), other.key(), other.key()},
      {certificate.certificate(), "", certificate.certificate()},
  };
  for (const Row& row : rows) {
    HttpOptions options = trusting(certificate);
    options.client_certificate_file = row.certificate_file;
    options.client_key_file = row.key_file;
    const Error error = error_of([&] { return HttpClient{options}.get(Url::parse(server.url()), {}, until(patience)); });
    CAPTURE(row.certificate_file, row.key_file, error.what());
    CHECK(error.code() == Errc::bad_input);
    CHECK_THAT(error.what(), ContainsSubstring(row.named));
  }
}

TEST_CASE("HTTP/2 is spoken with a server that offers it over TLS", "[http][tls]") {
  const Certificate certificate;
  if (is_skipped(certificate)) return;
  std::ofstream{certificate.folder() / "hello.txt"} << "hello over two";
  const ReservedPort reserved;
  // It speaks nothing but HTTP/2.
  const std::vector<std::string> arguments{"--address=127.0.0.1", "--htdocs=" + certificate.folder().string(),
                                           std::to_string(reserved.port()), certificate.key(), certificate.certificate()};
  std::optional<Child> server;
  for (const std::string program : {"nghttpd", "/usr/sbin/nghttpd"}) {
    std::vector<std::string> words{program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    server.emplace(std::move(words));
    if (server->is_listening(reserved.port())) break;
    server.reset();
  }
  if (!server) {
    WARN("skipped: no nghttpd command (package nghttp2-server)");
    return;
  }
  HttpClient client{trusting(certificate)};
  const Url url = Url::parse("https://127.0.0.1:" + std::to_string(reserved.port())).with_path("/hello.txt");
  for (int i = 0; i < 3; ++i) {
    const HttpResponse response = client.get(url, {}, until(patience));
    CHECK(response.status == 200);
    CHECK(response.body == "hello over two");
    CHECK_THAT(response.server, ContainsSubstring("nghttpd"));
  }
  std::string text;
  CHECK(client.post(url, "{}", {}, until(patience), [&](std::string_view bytes) { text += bytes; }).status == 200);
  CHECK(text == "hello over two");
}
