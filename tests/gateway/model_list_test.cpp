// GET /v1/models: of all upstreams, in time, and nothing else of theirs.

#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using ecso::test::ChatUpstream;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::http_response;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::RawServer;
using ecso::test::ReservedPort;

RawServer::Script lists(const std::string& body) { return RawServer::always(http_response(200, body)); }

ecso::gateway::Options options_for(const std::vector<std::string>& urls) {
  auto options = ecso::test::options_for(urls.front());
  options.upstreams.clear();
  for (const std::string& url : urls) options.upstreams.push_back({.name = url, .url = url + "/v1"});
  return options;
}

const std::string models = "/v1/models";

}  // namespace

TEST_CASE("One upstream's list of models goes on as it is", "[gateway][models]") {
  const std::string list = R"({ "object":"list", "data":[{"id":"a","extra":[1,2]}] })";
  const RawServer upstream{lists(list)};
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply reply = under_test.ask(http_request("GET", models));
  CHECK(reply.status == 200);
  CHECK(reply.body == list);
  REQUIRE(upstream.requests().size() == 1);
  CHECK(upstream.requests().front().head.starts_with("GET /v1/models HTTP/1.1\r\n"));
}

TEST_CASE("The lists of several upstreams become one, without what cannot be read", "[gateway][models]") {
  const RawServer one{lists(R"({"data":[{"id":"a"},{"id":"b"}]})")};
  const RawServer two{lists(R"({"data":[{"id":"c"}]})")};
  const RawServer odd{lists(R"({"data":{"id":"d"}})")};
  const RawServer deep{lists(R"({"data":)" + std::string(100'000, '[') + "}")};
  const RawServer page{lists("<html>")};
  const GatewayUnderTest under_test{options_for({one.url(), odd.url(), deep.url(), page.url(), two.url()})};
  const HttpReply reply = under_test.ask(http_request("GET", models));
  CHECK(reply.status == 200);
  CHECK(nlohmann::json::parse(reply.body) ==
        nlohmann::json::parse(R"({"object":"list","data":[{"id":"a"},{"id":"b"},{"id":"c"}]})"));
}

TEST_CASE("An upstream that is silent, down or talks too much keeps nobody from the models of the others", "[gateway][models]") {
  const RawServer silent{[](RawServer::Connection& connection) {
    if (connection.read_request()) connection.stall();
  }};
  const ReservedPort nobody;
  const RawServer talkative{lists(R"({"data":[)" + std::string(std::size_t{5} << 20, ' ') + "]}")};
  const RawServer good{lists(R"({"data":[{"id":"a"}]})")};
  const GatewayUnderTest under_test{options_for({silent.url(), nobody.url(), talkative.url(), good.url()})};
  const HttpReply reply = under_test.ask(http_request("GET", models));
  CHECK(reply.status == 200);
  CHECK(nlohmann::json::parse(reply.body).at("data").size() == 1);
}

TEST_CASE("Where no upstream lists its models, the status of one that refuses is told, and not its words", "[gateway][models]") {
  const RawServer refusing{RawServer::always(http_response(401, R"({"error":{"message":"BADWORDS"}})"))};
  const GatewayUnderTest under_test{refusing.url()};
  const HttpReply reply = under_test.ask(http_request("GET", models));
  CHECK(reply.status == 401);
  CHECK(reply.body.find("BADWORDS") == std::string::npos);
  const ReservedPort nobody;
  CHECK(GatewayUnderTest{nobody.url()}.ask(http_request("GET", models)).status == 503);
}

TEST_CASE("A client that asks for models and goes away frees the calls", "[gateway][models]") {
  std::atomic<int> waiting{0};
  const RawServer silent{[&](RawServer::Connection& connection) {
                           if (!connection.read_request()) return;
                           ++waiting;
                           while (!connection.wait_for_close(20ms) && connection.pause(0ms)) {}
                           --waiting;
                         },
                         {.backlog = 64}};
  auto options = ecso::test::options_for(silent.url());
  options.bounds.max_in_flight = 10;
  const GatewayUnderTest under_test{options};
  // The best of many: of themselves the calls end after five seconds, and a busy machine is late now and then.
  auto best = Clock::duration::max();
  for (int attempt = 0; attempt < 10 && best > 4s; ++attempt) {
    const auto start = Clock::now();
    std::vector<std::unique_ptr<HttpSocket>> clients;
    for (int i = 0; i < 12; ++i) {
      clients.push_back(std::make_unique<HttpSocket>(under_test.port()));
      clients.back()->send(http_request("GET", models));
    }
    REQUIRE(comes_true([&] { return waiting == 10; }));
    clients.clear();
    REQUIRE(comes_true([&] { return waiting == 0; }));
    best = std::min(best, Clock::now() - start);
  }
  CHECK(best < 4s);
}

TEST_CASE("Below the models nothing is served, by whatever spelling", "[gateway][models]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  for (const std::string target :
       {"/v1/models/", "/v1/models/tiny", "/v1/models/../../slots", "/v1/models/%2e%2e/chat/completions/x", "/v1/models/..",
        "/v1/models/../chat/completions/chatcmpl-1", "/v1/models;a", "/v1/models%2f.."}) {
    CAPTURE(target);
    CHECK(under_test.ask(http_request("GET", target)).status == 404);
  }
  CHECK(upstream.requests().empty());
}
