// TLS on both sides: what is shown to clients, and what is believed of upstreams.

#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/url.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/tls_server.hpp"

namespace tls_test {

namespace {

using namespace std::chrono_literals;
using ecso::Errc;
using ecso::test::Api;
using ecso::test::Certificate;
using ecso::test::chat_body;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::GatewayUnderTest;
using ecso::test::HttpReply;

ecso::gateway::Options served_by_tls(const std::string& upstream, const Certificate& certificate) {
  auto options = ecso::test::options_for(upstream);
  options.certificate_file = certificate.certificate();
  options.private_key_file = certificate.key();
  return options;
}

/// A chat through libcurl, which verifies the gateway's certificate.
std::string ask(const GatewayUnderTest& gateway, const std::string& trusted, bool stream = false) {
  ecso::HttpClient client{ecso::HttpOptions{.ca_file = trusted, .proxy = ""}};
  const auto url = ecso::Url::parse("https://127.0.0.1:" + std::to_string(gateway.port()) + "/v1/chat/completions");
  const std::string body = chat_body(Api::chat, stream);
  const auto response = client.post(url, body);
  return response.status == 200 ? response.body : std::to_string(response.status);
}

}  // namespace

TEST_CASE("Clients that trust its certificate talk to the gateway by TLS, whole and streamed", "[gateway][tls]") {
  const Certificate certificate;
  if (!certificate.exists()) {
    WARN("no openssl here");
    return;
  }
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{served_by_tls(upstream.url(), certificate)};
  for (int i = 0; i < 3; ++i) {
    CHECK(ask(under_test, certificate.certificate()).find("A plain answer.") != std::string::npos);
    CHECK(ask(under_test, certificate.certificate(), true).find("data: [DONE]") != std::string::npos);
  }
  const Certificate other;
  CHECK_THROWS_AS(ask(under_test, other.certificate()), ecso::Error);
  // Whoever speaks plain HTTP to it gets nothing.
  const HttpReply plain = under_test.ask(chat_request());
  CHECK(plain.status == 0);
}

TEST_CASE("An upstream is believed if its certificate is trusted and is of its name", "[gateway][tls]") {
  const Certificate certificate;
  const Certificate other;
  if (!certificate.exists() || !other.exists()) {
    WARN("no openssl here");
    return;
  }
  const ChatUpstream model;
  // A gateway that serves TLS is the upstream of another.
  const GatewayUnderTest inner{served_by_tls(model.url(), certificate)};
  const std::string url = "https://127.0.0.1:" + std::to_string(inner.port());
  const auto through = [&](const std::string& to, const std::string& ca_file, bool verify) {
    auto options = ecso::test::options_for(to);
    options.upstreams.front().ca_file = ca_file;
    options.upstreams.front().verify_certificate = verify;
    const GatewayUnderTest outer{options};
    const HttpReply reply = outer.ask(chat_request());
    return std::pair{reply.status, read_said(reply, Api::chat).text};
  };
  const std::pair good{200, std::string{"A plain answer."}};
  CHECK(through(url, certificate.certificate(), true) == good);
  CHECK(through(url, other.certificate(), false) == good);
  CHECK(through(url, other.certificate(), true).first == 502);
  CHECK(through(url, "", true).first == 502);
  // It is for the address, not for this name.
  std::string by_name = url;
  by_name.replace(by_name.find("127.0.0.1"), 9, "localhost");
  CHECK(through(by_name, certificate.certificate(), true).first == 502);
  CHECK(through(by_name, certificate.certificate(), false) == good);
}

TEST_CASE("A large body goes to an upstream by TLS, and its answer comes back", "[gateway][tls]") {
  const Certificate certificate;
  if (!certificate.exists()) {
    WARN("no openssl here");
    return;
  }
  const ChatUpstream model;
  const GatewayUnderTest inner{served_by_tls(model.url(), certificate)};
  auto options = ecso::test::options_for("https://127.0.0.1:" + std::to_string(inner.port()));
  options.upstreams.front().ca_file = certificate.certificate();
  const GatewayUnderTest outer{options};
  std::string body = R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}],"user":")";
  body.append(4'000'000, 'x').append("\"}");
  for (int i = 0; i < 3; ++i) {
    const HttpReply reply = outer.ask(ecso::test::http_request("POST", "/v1/chat/completions", body));
    CHECK(read_said(reply, Api::chat).text == "A plain answer.");
  }
}

TEST_CASE("Certificates that cannot be used are refused when they are given, and a reload with them changes nothing",
          "[gateway][tls][reload]") {
  const Certificate certificate;
  if (!certificate.exists()) {
    WARN("no openssl here");
    return;
  }
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  GatewayUnderTest under_test{options};
  const auto is_refused = [&](const auto& change, const std::string& file) {
    auto next = options;
    change(next);
    try {
      under_test.gateway.reload(next);
    } catch (const ecso::Error& error) {
      CHECK(error.code() == Errc::tls);
      CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring(file));
      return true;
    }
    return false;
  };
  CHECK(is_refused(
      [](auto& next) {
        next.upstreams.front().url = "https://127.0.0.1/v1";
        next.upstreams.front().ca_file = "no-such.pem";
      },
      "no-such.pem"));
  CHECK(read_said(under_test.ask(chat_request()), Api::chat).text == "A plain answer.");

  GatewayUnderTest by_tls{served_by_tls(upstream.url(), certificate)};
  auto next = served_by_tls(upstream.url(), certificate);
  next.private_key_file = "no-such-key.pem";
  CHECK_THROWS_AS(by_tls.gateway.reload(next), ecso::Error);
  CHECK(ask(by_tls, certificate.certificate()).find("A plain answer.") != std::string::npos);
}

TEST_CASE("A new certificate is shown to clients that come after the reload", "[gateway][tls][reload]") {
  const Certificate before;
  const Certificate after;
  if (!before.exists() || !after.exists()) {
    WARN("no openssl here");
    return;
  }
  const ChatUpstream upstream;
  GatewayUnderTest under_test{served_by_tls(upstream.url(), before)};
  CHECK(ask(under_test, before.certificate()).find("A plain answer.") != std::string::npos);
  under_test.gateway.reload(served_by_tls(upstream.url(), after));
  CHECK(ecso::test::comes_true([&] {
    try {
      return ask(under_test, after.certificate()).find("A plain answer.") != std::string::npos;
    } catch (const ecso::Error&) {
      return false;
    }
  }));
  CHECK_THROWS_AS(ask(under_test, before.certificate()), ecso::Error);
}

}  // namespace tls_test
