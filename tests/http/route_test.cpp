// The ways to a server: IPv6, a Unix socket, a proxy.
#include <ecso/http/client.hpp>

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
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
using Catch::Matchers::StartsWith;
using ecso::Errc;
using ecso::Error;
using ecso::HttpClient;
using ecso::HttpHeader;
using ecso::HttpOptions;
using ecso::HttpResponse;
using ecso::Url;
using ecso::test::Certificate;
using ecso::test::direct;
using ecso::test::error_of;
using ecso::test::http_response;
using ecso::test::patience;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using ecso::test::TlsServer;
using ecso::test::until;
using Connection = RawServer::Connection;

/// The environment's proxies, which are as they were at its end. All that are not named are unset.
class ProxyVariables {
 public:
  using Variable = std::pair<const char*, std::string>;

  explicit ProxyVariables(std::initializer_list<Variable> wanted) {
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}) {
      const char* value = ::getenv(name);
      old_.emplace_back(name, value == nullptr ? std::nullopt : std::optional<std::string>{value});
      ::unsetenv(name);
    }
    for (const Variable& variable : wanted) ::setenv(variable.first, variable.second.c_str(), 1);
  }
  ProxyVariables(const ProxyVariables&) = delete;
  ProxyVariables& operator=(const ProxyVariables&) = delete;
  ~ProxyVariables() {
    for (const auto& [name, value] : old_) value ? ::setenv(name, value->c_str(), 1) : ::unsetenv(name);
  }

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> old_;
};

HttpResponse post(const HttpOptions& options, const std::string& url) {
  HttpClient client{options};
  const HttpHeader key{"Authorization", "Bearer hunter2"};
  return client.post(Url::parse(url).with_path("/v1"), "{}", {&key, 1}, until(patience));
}

HttpOptions through(const std::string& proxy) {
  HttpOptions options;
  options.proxy = proxy;
  return options;
}

/// A proxy that opens tunnels to a port of this machine.
RawServer::Script tunnel(int port) {
  return [port](Connection& connection) {
    if (!connection.read_request()) return;
    connection.send("HTTP/1.1 200 Connection established\r\nServer: the proxy\r\n\r\n");
    connection.tunnel_to(port);
  };
}

}  // namespace

TEST_CASE("A call goes to an IPv6 address", "[http][route]") {
  std::optional<RawServer> server;
  try {
    server.emplace(RawServer::always(http_response(200, "six")), ecso::test::Listen{.on_ipv6 = true});
  } catch (const std::runtime_error&) {
    WARN("skipped: this machine has no ::1");
    return;
  }
  CHECK_THAT(server->url(), StartsWith("http://[::1]:"));
  CHECK(post(direct(), server->url()).body == "six");
  REQUIRE(server->requests().size() == 1);
  CHECK_THAT(server->requests().front().head, ContainsSubstring("\r\nHost: [::1]:"));
  const ReservedPort nobody{AF_INET6};
  const Error refused = error_of([&] { return post(direct(), nobody.url()); });
  CHECK(refused.code() == Errc::unavailable);
  CHECK_THAT(refused.what(), StartsWith(nobody.url() + "/v1: ") && ContainsSubstring("::1"));
}

TEST_CASE("A call goes to a Unix socket, whatever the URL and the proxies say", "[http][route]") {
  std::string pattern = (std::filesystem::temp_directory_path() / "ecso-socket-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  const std::string path = pattern + "/server.sock";
  RawServer proxy{RawServer::always(http_response(200, "proxy"))};
  const ProxyVariables variables{{"http_proxy", proxy.url()}};
  HttpOptions options;
  options.unix_socket = path;
  {
    RawServer server{RawServer::always(http_response(200, "unix")), {.unix_socket = path}};
    HttpClient client{options};
    for (int i = 0; i < 3; ++i)
      CHECK(client.post(Url::parse("http://model.invalid/v1"), "{}", {}, until(patience)).body == "unix");
    CHECK(server.connections() == 1);
    REQUIRE(server.requests().size() == 3);
    CHECK_THAT(server.requests().front().head, StartsWith("POST /v1 HTTP/1.1\r\nHost: model.invalid\r\n"));
    options.proxy = proxy.url();
    CHECK(post(options, "http://model.invalid").body == "unix");
  }
  const Error error = error_of([&] { return post(options, "http://model.invalid"); });
  CHECK(error.code() == Errc::unavailable);
  CHECK_THAT(error.what(), StartsWith("http://model.invalid/v1: "));
  CAPTURE(error.what());
  CHECK_THAT(error.what(), ContainsSubstring(path));
  CHECK(proxy.connections() == 0);
  std::filesystem::remove_all(pattern);
}

TEST_CASE("A path that is too long for a Unix socket is bad input", "[http][route]") {
  HttpOptions options = direct();
  options.unix_socket = "/nonexistent/" + std::string(200, 'x');
  const Error error = error_of([&] { return post(options, "http://model.invalid"); });
  CAPTURE(error.what());
  CHECK(error.code() == Errc::bad_input);
}

TEST_CASE("A proxy gets the whole URL of a plain call", "[http][proxy]") {
  RawServer proxy{RawServer::always(http_response(200, "proxy"))};
  HttpClient client{through(proxy.url())};
  CHECK(client.post(Url::parse("http://model.invalid/v1"), "{}", {}, until(patience)).body == "proxy");
  CHECK(client.get(Url::parse("http://model.invalid/props"), {}, until(patience)).body == "proxy");
  CHECK(proxy.connections() == 1);
  REQUIRE(proxy.requests().size() == 2);
  CHECK_THAT(proxy.requests()[0].head, StartsWith("POST http://model.invalid/v1 HTTP/1.1\r\n"));
  CHECK(proxy.requests()[0].body == "{}");
  CHECK_THAT(proxy.requests()[1].head, StartsWith("GET http://model.invalid/props HTTP/1.1\r\n"));
}

TEST_CASE("The environment names the proxies, and no_proxy the servers without", "[http][proxy]") {
  RawServer proxy{RawServer::always(http_response(200, "proxy"))};
  RawServer server{RawServer::always(http_response(200, "server"))};
  const HttpOptions environment;
  {
    const ProxyVariables variables{{"http_proxy", proxy.url()}};
    CHECK(post(environment, server.url()).body == "proxy");
    CHECK(post(direct(), server.url()).body == "server");
  }
  {
    const ProxyVariables variables{{"http_proxy", proxy.url()}, {"no_proxy", "model.invalid,127.0.0.1"}};
    CHECK(post(environment, server.url()).body == "server");
    CHECK(post(environment, "http://other.invalid").body == "proxy");
  }
  {
    const ProxyVariables variables{{"http_proxy", proxy.url()}, {"no_proxy", "*"}};
    CHECK(post(environment, server.url()).body == "server");
  }
  {
    const ProxyVariables variables{{"https_proxy", proxy.url()}};
    CHECK(post(environment, server.url()).body == "server");
  }
  const ProxyVariables none{};
  CHECK(post(environment, server.url()).body == "server");
}

TEST_CASE("A call over TLS goes through a tunnel of the proxy, which sees neither key nor body", "[http][proxy]") {
  const Certificate certificate;
  if (!certificate.exists()) {
    WARN("skipped: no openssl command");
    return;
  }
  TlsServer server{certificate};
  RawServer proxy{tunnel(server.port())};
  const std::string authority = "127.0.0.1:" + std::to_string(server.port());
  const auto call = [&](HttpOptions options) {
    options.ca_file = certificate.certificate();
    options.between_bytes_timeout = 50ms;
    std::jthread answering{[&] {
      if (!server.wait_for("{\"secret\": 1}")) return;
      // The proxy's answer does not begin the server's.
      std::this_thread::sleep_for(200ms);
      server.send(http_response(200, "tunnelled"));
    }};
    HttpClient client{options};
    const HttpHeader key{"Authorization", "Bearer hunter2"};
    const HttpResponse response =
        client.post(Url::parse(server.url()).with_path("/v1"), "{\"secret\": 1}", {&key, 1}, until(patience));
    CHECK(response.body == "tunnelled");
    CHECK(response.server.empty());
    answering.join();
    CHECK_THAT(server.received(), ContainsSubstring("POST /v1 HTTP/1.1\r\nHost: " + authority + "\r\n") &&
                                      ContainsSubstring("\r\nAuthorization: Bearer hunter2\r\n"));
  };

  SECTION("named by the options") { call(through(proxy.url())); }
  SECTION("named by the environment") {
    const ProxyVariables variables{{"https_proxy", proxy.url()}};
    call({});
  }
  REQUIRE(proxy.requests().size() == 1);
  const std::string head = proxy.requests().front().head;
  CHECK_THAT(head, StartsWith("CONNECT " + authority + " HTTP/1.1\r\n"));
  CHECK_THAT(head, !ContainsSubstring("hunter2") && !ContainsSubstring("Authorization") && !ContainsSubstring("/v1"));
}

TEST_CASE("What is wrong with a proxy is said, without its password", "[http][proxy]") {
  const ReservedPort nobody;
  RawServer refusing{RawServer::always(http_response(407, "who are you?", "text/plain"))};
  RawServer silent{[](Connection& connection) { connection.stall(); }};
  struct Row {
    std::string proxy;
    std::string url;
    Errc code;
    std::string reason;
  };
  const auto with_password = [](std::string url) { return url.insert(url.find("://") + 3, "user:hunter3@"); };
  const std::vector<Row> rows{
      {nobody.url(), "http://model.invalid", Errc::unavailable, "connect"},
      {"http://no-such-proxy.invalid:3128", "http://model.invalid", Errc::unavailable, "proxy: no-such-proxy.invalid"},
      {refusing.url(), "https://model.invalid", Errc::unavailable, "407"},
      {silent.url(), "https://model.invalid", Errc::timeout, "no connection within 300 ms"},
      {"nonsense://proxy.invalid:1", "http://model.invalid", Errc::bad_input, "proxy"},
      {"http://proxy.invalid:99999", "http://model.invalid", Errc::bad_input, "proxy"},
  };
  for (const Row& row : rows) {
    for (const std::string& proxy : {row.proxy, with_password(row.proxy)}) {
      HttpOptions options = through(proxy);
      options.connect_timeout = row.code == Errc::timeout ? 300ms : patience;
      const Error error = error_of([&] { return post(options, row.url); });
      CAPTURE(proxy, error.what());
      CHECK(error.code() == row.code);
      CHECK_THAT(error.what(), StartsWith(row.url + "/v1: ") && ContainsSubstring(row.reason) && !ContainsSubstring("hunter"));
    }
  }
}
