// Streams that are held: what they say while nothing may leave, and how they begin and end.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/raw_server.hpp"

namespace stream_test {

namespace {

using namespace std::chrono_literals;
using ecso::Step;
using ecso::test::Api;
using ecso::test::chat_body;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::ChatUpstreamOptions;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::http_response;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::RawServer;

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

ChatUpstreamOptions harmful() {
  return {.answer = "BADWORDS in an answer.",
          .is_harmful = [](const std::string& body) { return ChatUpstream::step_of(body) == Step::check; }};
}

}  // namespace

TEST_CASE("A held stream tells its steps in comments, and then the verified answer", "[gateway][stream]") {
  const ChatUpstream upstream{harmful()};
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply reply = under_test.ask(chat_request(Api::chat, true));
  std::size_t at = 0;
  for (const std::string step : {"check", "caption", "regenerate", "recheck"}) {
    const std::size_t found = reply.body.find(R"(: ecso {"step":")" + step + '"', at);
    CHECK(found != std::string::npos);
    at = found;
  }
  CHECK(reply.body.find("data: ") > at);
  const auto said = read_said(reply, Api::chat);
  CHECK(said.wrong.empty());
  CHECK(said.text == "A kind answer.");
  CHECK(reply.body.find("BADWORDS") == std::string::npos);
}

TEST_CASE("Comments keep a stream alive while it is held", "[gateway][stream]") {
  for (const Api api : {Api::chat, Api::messages}) {
    ChatUpstream upstream;
    auto options = ecso::test::options_for(upstream.url());
    options.keep_alive = 50ms;
    options.begin_after = 50ms;
    const GatewayUnderTest under_test{options};
    upstream.hold(Step::answer);
    HttpSocket client{under_test.port()};
    client.send(chat_request(api, true));
    CHECK(comes_true([&] {
      static_cast<void>(client.is_closed_within(1ms));
      return count_of(client.all(), ": ecso\n\n") >= 3;
    }));
    CHECK(client.all().find("data:") == std::string::npos);
    CHECK(client.all().find("HTTP/1.1 200 ") == 0);
    upstream.let_go();
    if (api == Api::messages) continue;  // the upstream of this test speaks the other API
    CHECK(read_said(client.read(), api).text == "A plain answer.");
  }
}

TEST_CASE("A stream that has begun before its upstream refuses ends with the error, else the refusal goes on as it is",
          "[gateway][stream]") {
  for (const bool begins : {false, true}) {
    CAPTURE(begins);
    std::atomic<bool> may_refuse{!begins};
    const RawServer upstream{[&](RawServer::Connection& connection) {
      while (connection.read_request()) {
        while (!may_refuse && connection.pause(1ms)) {}
        connection.send(http_response(404, R"({"error":{"message":"no such model","type":"not_found"}})"));
      }
    }};
    auto options = ecso::test::options_for(upstream.url());
    options.begin_after = begins ? 30ms : 0ms;
    const GatewayUnderTest under_test{options};
    HttpSocket client{under_test.port()};
    client.send(chat_request(Api::chat, true));
    if (begins) {
      CHECK(comes_true([&] {
        static_cast<void>(client.is_closed_within(1ms));
        return client.all().starts_with("HTTP/1.1 200 ");
      }));
    }
    may_refuse = true;
    const HttpReply reply = client.read();
    CHECK(reply.whole);
    CHECK(reply.status == (begins ? 200 : 404));
    if (!begins) CHECK(reply.body == R"({"error":{"message":"no such model","type":"not_found"}})");
    if (begins) CHECK(read_said(reply, Api::chat).error.find("ecso_unverified") != std::string::npos);
    if (begins) CHECK(reply.body.find("[DONE]") == std::string::npos);
  }
}

TEST_CASE("A stream to an HTTP/1.0 client has no chunks and ends with the connection, even if that was to be kept",
          "[gateway][stream]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  const std::string body = chat_body(Api::chat, true);
  HttpSocket client{under_test.port()};
  client.send("POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: " + std::to_string(body.size()) +
              "\r\n\r\n" + body);
  const HttpReply reply = client.read();
  CHECK(reply.whole);
  CHECK(reply.header("transfer-encoding").empty());
  CHECK(reply.header("connection") == "close");
  CHECK(read_said(reply, Api::chat).text == "A plain answer.");

  const std::string whole = chat_body(Api::chat, false);
  HttpSocket kept{under_test.port()};
  for (int i = 0; i < 2; ++i) {
    kept.send("POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: " + std::to_string(whole.size()) +
              "\r\n\r\n" + whole);
    const HttpReply answer = kept.read();
    CHECK(answer.header("connection") == "keep-alive");
    CHECK(read_said(answer, Api::chat).text == "A plain answer.");
  }
}

TEST_CASE("The steps of a trace hold nothing of an answer before its outcome is known", "[gateway][protect]") {
  auto behaviour = harmful();
  behaviour.instead = [](RawServer::Connection& connection, Step step) {
    if (step != Step::recheck) return false;
    connection.send(http_response(500, R"({"error":{"message":"no more"}})"));
    return true;
  };
  const ChatUpstream upstream{behaviour};
  const GatewayUnderTest under_test{upstream.url()};
  HttpSocket client{under_test.port()};
  client.send(http_request("POST", "/v1/ecso/protect", chat_body(Api::chat, true)));
  const HttpReply reply = client.read();
  CHECK(reply.whole);
  CHECK(count_of(reply.body, "event: step") == 10);
  CHECK(count_of(reply.body, "event: error") == 1);
  CHECK(client.all().find("BADWORDS") == std::string::npos);
  CHECK(client.all().find("A kind answer") == std::string::npos);
  CHECK(client.all().find("A square on a wall.") != std::string::npos);  // the caption
}

TEST_CASE("A trace has all steps, and the withheld answer once the outcome is known", "[gateway][protect]") {
  const ChatUpstream upstream{harmful()};
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply whole = under_test.ask(http_request("POST", "/v1/ecso/protect", chat_body(Api::chat, false)));
  CHECK(whole.status == 200);
  const auto outcome = nlohmann::json::parse(whole.body);
  CHECK(outcome.at("path") == "eyes_closed");
  CHECK(outcome.at("text") == "A kind answer.");
  REQUIRE(outcome.at("steps").size() == 5);
  CHECK(outcome.at("steps").at(0).at("reply") == "BADWORDS in an answer.");
  const HttpReply streamed = under_test.ask(http_request("POST", "/v1/ecso/protect", chat_body(Api::chat, true)));
  const std::size_t last = streamed.body.find("event: outcome\ndata: ");
  REQUIRE(last != std::string::npos);
  CHECK(streamed.body.find("BADWORDS") > last);
  CHECK(streamed.body.substr(0, last).find("BADWORDS") == std::string::npos);
}

}  // namespace stream_test
