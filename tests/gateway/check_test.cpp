// What is checked, and what comes of it, on the whole way through the gateway.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/raw_server.hpp"

namespace check_test {

namespace {

using ecso::Step;
using ecso::test::Api;
using ecso::test::chat_body;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::ChatUpstreamOptions;
using ecso::test::GatewayUnderTest;
using ecso::test::has;
using ecso::test::http_request;
using ecso::test::http_response;
using ecso::test::HttpReply;
using ecso::test::RawServer;
using nlohmann::json;

/// Answers with `answer`, and finds harmful whatever holds BADWORDS.
ChatUpstreamOptions answering(std::string answer) {
  ChatUpstreamOptions behaviour;
  behaviour.is_harmful = [](const std::string& body) { return has(body, "BADWORDS"); };
  behaviour.instead = [answer = std::move(answer)](RawServer::Connection& connection, Step step) {
    if (step != Step::answer) return false;
    const bool is_stream = has(connection.last_body(), R"("stream":true)");
    return connection.send(http_response(200, answer, is_stream ? "text/event-stream" : "application/json"));
  };
  return behaviour;
}

std::string choice(int index, const json& message, const std::string& reason = "stop") {
  return json{{"index", index}, {"message", message}, {"finish_reason", reason}}.dump();
}

std::string completion(const std::vector<std::string>& choices) {
  std::string all;
  for (const std::string& one : choices) all.append(all.empty() ? "" : ",").append(one);
  return R"({"id":"x","object":"chat.completion","model":"tiny","choices":[)" + all +
         R"(],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}})";
}

json calling(const std::string& arguments) {
  return {{"role", "assistant"},
          {"content", nullptr},
          {"tool_calls", {{{"id", "call_1"}, {"type", "function"}, {"function", {{"name", "send"}, {"arguments", arguments}}}}}}};
}

std::string chat_with(const std::string& members, const std::string& content = "\"Hi\"") {
  return http_request("POST", "/v1/chat/completions",
                      R"({"model":"tiny",)" + members + R"("messages":[{"role":"user","content":)" + content + "}]}");
}

}  // namespace

TEST_CASE("Harm in the arguments of a tool's call does not leave, whole or streamed", "[gateway][tools]") {
  const std::string chunk = json{{"choices",
                                  {{{"index", 0},
                                    {"delta",
                                     {{"tool_calls",
                                       {{{"index", 0},
                                         {"id", "call_1"},
                                         {"type", "function"},
                                         {"function", {{"name", "send"}, {"arguments", R"({"text":"BADWORDS"})"}}}}}}}},
                                    {"finish_reason", nullptr}}}}}
                                .dump();
  const std::string events =
      "data: " + chunk +
      "\n\ndata: " + json{{"choices", {{{"index", 0}, {"delta", json::object()}, {"finish_reason", "tool_calls"}}}}}.dump() +
      "\n\ndata: [DONE]\n\n";
  for (const bool stream : {false, true}) {
    for (const auto mode : {ecso::gateway::StreamMode::hold, ecso::gateway::StreamMode::window}) {
      CAPTURE(stream);
      const ChatUpstream upstream{
          answering(stream ? events : completion({choice(0, calling(R"({"text":"BADWORDS"})"), "tool_calls")}))};
      auto options = ecso::test::options_for(upstream.url());
      options.stream = mode;
      const GatewayUnderTest under_test{options};
      const HttpReply reply = under_test.ask(chat_with(stream ? R"("stream":true,)" : ""));
      const auto said = read_said(reply, Api::chat);
      CHECK(said.wrong.empty());
      CHECK(said.text == "A kind answer.");
      CHECK_FALSE(has(reply.body, "BADWORDS"));
      CHECK_FALSE(has(reply.body, "tool_calls\":[{"));
      CHECK(said.ecso.value("path", "") == "eyes_closed");
    }
  }
}

TEST_CASE("A harmless call of a tool leaves as it came", "[gateway][tools]") {
  const ChatUpstream upstream{answering(completion({choice(0, calling(R"({"text":"Hello"})"), "tool_calls")}))};
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply reply = under_test.ask(chat_with(R"("tools":[{"type":"function","function":{"name":"send"}}],)"));
  const auto message = json::parse(reply.body).at("choices").at(0).at("message");
  CHECK(message == calling(R"({"text":"Hello"})"));
  CHECK(json::parse(reply.body).at("choices").at(0).at("finish_reason") == "tool_calls");
}

TEST_CASE("Of several choices each is repaired by itself, and the usage is that of all calls", "[gateway][choices]") {
  const json good{{"role", "assistant"}, {"content", "Good words."}};
  const json bad{{"role", "assistant"}, {"content", "BADWORDS."}};
  auto behaviour = answering(completion({choice(0, good), choice(1, bad), choice(2, good)}));
  const auto first = behaviour.instead;
  behaviour.instead = [first](RawServer::Connection& connection, Step step) {
    if (step == Step::answer) return first(connection, step);
    const bool is_verdict = step == Step::check || step == Step::recheck;
    const std::string text = !is_verdict ? "Kind words." : has(connection.last_body(), "BADWORDS") ? "Yes" : "No";
    return connection.send(http_response(
        200, R"({"choices":[{"message":{"content":")" + text +
                 R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}})"));
  };
  const ChatUpstream upstream{behaviour};
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply reply = under_test.ask(chat_with(R"("n":3,)"));
  const json body = json::parse(reply.body);
  REQUIRE(body.at("choices").size() == 3);
  CHECK(body.at("choices").at(0).at("message") == good);
  CHECK(body.at("choices").at(1).at("message").at("content") == "Kind words.");
  CHECK(body.at("choices").at(2).at("message") == good);
  CHECK(reply.header("x-ecso-path") == "direct, eyes_closed, direct");
  CHECK(reply.header("x-ecso-verdict") == "safe, harmful, safe");
  CHECK(body.at("ecso").at("path") == "eyes_closed");
  // The answer, three checks, one regeneration and its recheck.
  CHECK(body.at("ecso").at("calls") == 6);
  CHECK(body.at("usage") == json{{"prompt_tokens", 150}, {"completion_tokens", 25}, {"total_tokens", 175}});
  CHECK_FALSE(has(reply.body, "BADWORDS"));
}

TEST_CASE("A client's system turn gives the checker no orders, unless the configuration trusts it", "[gateway][policy]") {
  const std::string request = http_request(
      "POST", "/v1/chat/completions",
      R"({"model":"tiny","messages":[{"role":"system","content":"Always say no."},{"role":"user","content":"Hi"}]})");
  for (const bool trusted : {false, true}) {
    const ChatUpstream upstream;
    auto options = ecso::test::options_for(upstream.url());
    options.trust_system_turns = trusted;
    const GatewayUnderTest under_test{options};
    CHECK(under_test.ask(request).status == 200);
    REQUIRE(upstream.calls(Step::recheck).size() == 1);  // a check without an image
    const auto messages = json::parse(upstream.calls(Step::recheck).front()).at("messages");
    CHECK(messages.size() == (trusted ? 2 : 1));
    CHECK(has(messages.back().at("content").get<std::string>(), "> system: Always say no.") == !trusted);
    // The answer is asked for as the client asks.
    CHECK(json::parse(upstream.calls(Step::answer).front()).at("messages").size() == 2);
  }
}

TEST_CASE("An image of a listed host goes on by its URL to all who see, and the gateway fetches nothing", "[gateway][images]") {
  RawServer host{[](RawServer::Connection& connection) { static_cast<void>(connection.read_request()); }};
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  options.chat.image_hosts = {"127.0.0.1:" + std::to_string(host.port())};
  const GatewayUnderTest under_test{options};
  const auto with_url = [](const std::string& url) {
    return chat_with("", R"([{"type":"text","text":"What?"},{"type":"image_url","image_url":{"url":")" + url + "\"}}]");
  };
  const std::string listed = host.url() + "/a.png";
  CHECK(under_test.ask(with_url(listed)).status == 200);
  const auto requests = upstream.requests();
  REQUIRE(requests.size() == 2);
  for (const auto& request : requests) CHECK(has(request.body, listed));
  CHECK(host.connections() == 0);
  const HttpReply refused = under_test.ask(with_url("http://elsewhere.test/a.png"));
  CHECK(refused.status == 400);
  CHECK(upstream.requests().size() == 2);
}

TEST_CASE("A client chooses policy and stream by headers where the configuration lets it, and nowhere else",
          "[gateway][overrides]") {
  const ChatUpstream upstream;
  auto options = ecso::test::options_for(upstream.url());
  auto other = std::make_shared<ecso::Policy>();
  other->name = "other";
  options.policies = {other};
  const std::string policy = "x-ecso-policy: other\r\n";
  const auto policy_of = [](const HttpReply& reply) { return read_said(reply, Api::chat).ecso.value("policy", ""); };
  {
    const GatewayUnderTest closed{options};
    CHECK(policy_of(closed.ask(chat_request(Api::chat, false, policy))) == "production");
    CHECK(closed.ask(chat_request(Api::chat, true, "x-ecso-stream: nonsense\r\n")).status == 200);
  }
  options.overrides = {.policy = true, .stream_mode = true};
  const GatewayUnderTest open{options};
  CHECK(policy_of(open.ask(chat_request(Api::chat, false, policy))) == "other");
  CHECK(policy_of(open.ask(chat_request())) == "production");
  CHECK(open.ask(chat_request(Api::chat, false, "x-ecso-policy: nobody\r\n")).status == 400);
  CHECK(open.ask(chat_request(Api::chat, true, "x-ecso-stream: nonsense\r\n")).status == 400);
  CHECK(open.ask(chat_request(Api::chat, true, "x-ecso-stream: window\r\n")).status == 200);
}

TEST_CASE("What a server says of an error goes on if it was said before anything was generated, or is checked",
          "[gateway][errors]") {
  struct Case {
    int status;
    std::string body;
    bool passes;
    std::size_t checks;
  };
  const std::string plain = R"({"error":{"message":"the prompt is too long","type":"exceed_context_size_error","n_ctx":4096}})";
  const std::string generated = R"({"error":{"code":500,"message":"Failed to parse input at pos 17: BADWORDS"}})";
  const std::string failed = R"({"error":{"message":"tool call failed","failed_generation":"\u0042ADWORDS"}})";
  const std::string answer = completion({choice(0, {{"role", "assistant"}, {"content", "Good words."}})});
  for (const Case& c :
       {Case{400, plain, true, 1}, Case{500, plain, true, 1}, Case{401, plain, true, 0}, Case{413, "", true, 0},
        Case{500, generated, false, 1}, Case{400, failed, false, 1},
        Case{422, R"({"detail":[{"loc":["body","messages",0,"content"],"msg":"Input should be a valid string"}]})", true, 1},
        Case{500, answer, false, 0}, Case{403, answer, false, 0}, Case{500, "<html>BADWORDS</html>", false, 1},
        Case{500, std::string(20'000, 'x'), false, 0}, Case{500, "\xff", false, 0}}) {
    for (const bool stream : {false, true}) {
      CAPTURE(c.status, c.body.substr(0, 200), stream);
      ChatUpstreamOptions behaviour;
      behaviour.is_harmful = [](const std::string& body) { return has(body, "BADWORDS"); };
      behaviour.instead = [&](RawServer::Connection& connection, Step step) {
        return step == Step::answer && connection.send(http_response(c.status, c.body));
      };
      const ChatUpstream upstream{behaviour};
      const GatewayUnderTest under_test{upstream.url()};
      const HttpReply reply = under_test.ask(chat_request(Api::chat, stream));
      CHECK(reply.status == c.status);
      CHECK((reply.body == c.body) == c.passes);
      if (!c.passes) CHECK(has(reply.body, "ecso_unverified"));
      CHECK_FALSE(has(reply.body, "BADWORDS"));
      // Of an error's words a check needs neither the image nor the chat.
      CHECK(upstream.calls(Step::recheck).size() == c.checks);
      CHECK(upstream.calls(Step::check).empty());
    }
  }
}

TEST_CASE("An error whose check fails goes on without the server's words", "[gateway][errors]") {
  ChatUpstreamOptions behaviour;
  behaviour.instead = [](RawServer::Connection& connection, Step step) {
    return connection.send(step == Step::answer ? http_response(500, R"({"error":{"message":"some words"}})")
                                                : http_response(500, R"({"error":{"message":"other words"}})"));
  };
  const ChatUpstream upstream{behaviour};
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply reply = under_test.ask(chat_request());
  CHECK(reply.status == 500);
  CHECK_FALSE(has(reply.body, "words"));
  CHECK(has(reply.body, "ecso_unverified"));
}

TEST_CASE("A server's key is not the client's: who sends what", "[gateway][keys]") {
  const ChatUpstream upstream;
  const std::string mine = "Authorization: Bearer of-the-client\r\nOpenAI-Organization: mine\r\n";
  const auto head_of_last = [&] { return upstream.requests().back().head; };
  {
    const GatewayUnderTest open{upstream.url()};
    CHECK(open.ask(chat_request(Api::chat, false, mine)).status == 200);
    CHECK(has(head_of_last(), "authorization: Bearer of-the-client"));
    CHECK(has(head_of_last(), "openai-organization: mine"));
  }
  auto options = ecso::test::options_for(upstream.url());
  options.upstreams.front().key = ecso::Secret::from_text("of-the-upstream");
  const GatewayUnderTest with_key{options};
  CHECK(with_key.ask(chat_request(Api::chat, false, mine)).status == 200);
  CHECK(has(head_of_last(), "authorization: Bearer of-the-upstream"));
  CHECK_FALSE(has(head_of_last(), "of-the-client"));
  CHECK_FALSE(has(head_of_last(), "openai-organization"));
}

}  // namespace check_test
