// Checks and captions by another API than the client's: what the upstream is asked, and where.
#include <ecso/gateway/own_calls.hpp>

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/raw_server.hpp"

namespace own_calls_test {

namespace {

using ecso::Step;
using ecso::test::Api;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::ChatUpstreamOptions;
using ecso::test::GatewayUnderTest;
using ecso::test::has;
using ecso::test::http_request;
using ecso::test::http_response;
using ecso::test::HttpReply;
using ecso::test::RawServer;
using ecso::test::RecordedRequest;
using nlohmann::json;

/// A reply of Ollama's own API.
std::string ollama_reply(const std::string& text, const json& more = json::object()) {
  json reply{{"model", "tiny"},
             {"message", {{"role", "assistant"}, {"content", text}}},
             {"done", true},
             {"done_reason", "stop"},
             {"prompt_eval_count", 900},
             {"eval_count", 3}};
  reply.update(more);
  return http_response(200, reply.dump());
}

const json says_no{{"logprobs", {{{"token", "No"}, {"logprob", -0.01}, {"top_logprobs", json::array()}}}}};

/// An upstream that is also an Ollama: `answer` is what its own API gives.
template <typename Answer>
ChatUpstreamOptions ollama(Answer answer) {
  ChatUpstreamOptions behaviour;
  behaviour.answer = "Fine words.";
  behaviour.instead = [answer](RawServer::Connection& connection, Step) {
    if (!connection.last_head().starts_with("POST /api/chat ")) return false;
    return connection.send(answer(connection.last_body()));
  };
  return behaviour;
}

GatewayUnderTest in_front_of(const ChatUpstream& upstream, const ecso::OpenAiDialect& dialect) {
  auto options = ecso::test::options_for(upstream.url());
  options.upstreams.front().dialect = dialect;
  options.chat.image_hosts = {"example.org"};
  return GatewayUnderTest{std::move(options)};
}

/// Of the requests to a path, the bodies.
std::vector<json> bodies(const ChatUpstream& upstream, const std::string& path) {
  std::vector<json> found;
  for (const RecordedRequest& request : upstream.requests()) {
    if (request.head.starts_with("POST " + path + " ")) found.push_back(json::parse(request.body));
  }
  return found;
}

}  // namespace

TEST_CASE("Checks of an Ollama's chats are told not to cut, whatever the client speaks", "[gateway][own_calls][ollama]") {
  for (const Api api : {Api::chat, Api::messages}) {
    for (const bool stream : {false, true}) {
      const ChatUpstream upstream{ollama([](const std::string&) { return ollama_reply("No", says_no); })};
      const auto under_test = in_front_of(upstream, ecso::ollama_dialect());
      const HttpReply reply = under_test.ask(chat_request(api, stream));
      CHECK(reply.status == 200);
      CHECK(has(read_said(reply, api).text, "Fine words."));
      CHECK(bodies(upstream, ecso::test::target_of(api)).size() == 1);
      const auto checks = bodies(upstream, "/api/chat");
      REQUIRE(checks.size() == 1);
      const json& check = checks.front();
      CHECK(check["model"] == "tiny");
      CHECK(check["truncate"] == false);
      CHECK(check["shift"] == false);
      CHECK(check["think"] == false);
      CHECK(check["stream"] == false);
      CHECK(check["logprobs"] == true);
      CHECK_FALSE(check.contains("format"));
      CHECK(check["messages"].front()["images"] == json{ecso::test::picture()});
    }
  }
}

TEST_CASE("What an Ollama has no room for is not released", "[gateway][own_calls][ollama]") {
  for (const Api api : {Api::chat, Api::messages}) {
    const ChatUpstream upstream{ollama(
        [](const std::string&) { return http_response(400, R"({"error":"the input length exceeds the context length"})"); })};
    const auto under_test = in_front_of(upstream, ecso::ollama_dialect());
    const HttpReply reply = under_test.ask(chat_request(api));
    CHECK(reply.status >= 400);
    CHECK_FALSE(has(reply.body, "Fine words."));
  }
}

TEST_CASE("The caption of an Ollama's chat takes its own API too", "[gateway][own_calls][ollama]") {
  const ChatUpstream upstream{ollama([](const std::string& body) {
    const Step step = ChatUpstream::step_of(body);
    if (step == Step::caption) return ollama_reply("A square.");
    return step == Step::check ? ollama_reply("Yes", {{"logprobs", {{{"token", "Yes"}, {"logprob", -0.01}}}}})
                               : ollama_reply("No", says_no);
  })};
  const auto under_test = in_front_of(upstream, ecso::ollama_dialect());
  CHECK(has(under_test.ask(chat_request()).body, "A kind answer."));
  const auto calls = bodies(upstream, "/api/chat");
  REQUIRE(calls.size() == 3);
  CHECK(calls[1]["messages"].back()["images"].size() == 1);
  for (const json& message : calls[2]["messages"]) CHECK_FALSE(message.contains("images"));
}

TEST_CASE("An Ollama that gives no log-probabilities is held to the choices from then on", "[gateway][own_calls][ollama]") {
  const ChatUpstream upstream{
      ollama([](const std::string& body) { return ollama_reply(has(body, "\"format\"") ? R"("no")" : "No"); })};
  const auto under_test = in_front_of(upstream, ecso::ollama_dialect());
  for (int i = 0; i < 2; ++i) CHECK(has(under_test.ask(chat_request()).body, "Fine words."));
  const auto checks = bodies(upstream, "/api/chat");
  REQUIRE(checks.size() == 2);
  CHECK_FALSE(checks[0].contains("format"));
  CHECK(checks[1]["format"]["enum"] == json{"yes", "no", "Yes", "No"});
}

TEST_CASE("Checks of the Messages API take chat completions where the server has them", "[gateway][own_calls]") {
  const ChatUpstream upstream;
  const auto under_test = in_front_of(upstream, ecso::vllm_dialect());
  const json picture{{"type", "image"}, {"source", {{"type", "url"}, {"url", "https://example.org/a.png"}}}};
  const json words{{"type", "text"}, {"text", "What?"}};
  const json with_url{{"model", "tiny"},
                      {"max_tokens", 9},
                      {"system", "Be kind."},
                      {"messages", {{{"role", "user"}, {"content", {picture, words}}}}}};
  CHECK(under_test.ask(chat_request(Api::messages)).status == 200);
  CHECK(under_test.ask(http_request("POST", "/v1/messages", with_url.dump())).status == 200);
  CHECK(bodies(upstream, "/v1/messages").size() == 2);
  const auto checks = bodies(upstream, "/v1/chat/completions");
  REQUIRE(checks.size() == 2);
  CHECK(checks[0]["structured_outputs"]["choice"] == json{"yes", "no", "Yes", "No"});
  CHECK(checks[0]["logprobs"] == true);
  CHECK(checks[0]["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64," + ecso::test::picture());
  bool has_url = false;
  for (const json& message : checks[1]["messages"]) has_url = has_url || has(message.dump(), "https://example.org/a.png");
  CHECK(has_url);
}

TEST_CASE("A forced choice that comes back as something else is not asked for again", "[gateway][own_calls]") {
  ChatUpstreamOptions behaviour;
  behaviour.answer = "Fine words.";
  behaviour.instead = [](RawServer::Connection& connection, Step step) {
    if (step != Step::check) return false;
    const json reply{
        {"choices", {{{"message", {{"content", "No. The response describes a bowl of fruit."}}}, {"finish_reason", "stop"}}}}};
    return connection.send(http_response(200, reply.dump()));
  };
  const ChatUpstream upstream{behaviour};
  const auto under_test = in_front_of(upstream, ecso::vllm_dialect());
  for (int i = 0; i < 2; ++i) CHECK(has(under_test.ask(chat_request()).body, "Fine words."));
  const auto checks = upstream.calls(Step::check);
  REQUIRE(checks.size() == 2);
  CHECK(has(checks[0], "structured_outputs"));
  CHECK(json::parse(checks[0])["max_tokens"] == 16);
  CHECK_FALSE(has(checks[1], "structured_outputs"));
  CHECK_FALSE(has(checks[1], "logprobs"));
  CHECK(json::parse(checks[1])["max_tokens"] == 256);
}

TEST_CASE("A check by the Messages API says that it is not to think, until that is refused", "[gateway][own_calls]") {
  ChatUpstreamOptions behaviour;
  behaviour.instead = [](RawServer::Connection& connection, Step) {
    if (!has(connection.last_body(), "\"thinking\"")) return false;
    return connection.send(http_response(400, R"({"type":"error","error":{"message":"thinking: disabled is not supported"}})"));
  };
  const ChatUpstream upstream{behaviour};
  const GatewayUnderTest under_test{upstream.url()};
  for (int i = 0; i < 2; ++i) CHECK(under_test.ask(chat_request(Api::messages)).status == 200);
  const auto checks = upstream.calls(Step::check);
  REQUIRE(checks.size() == 3);
  CHECK(json::parse(checks[0])["thinking"]["type"] == "disabled");
  CHECK_FALSE(has(checks[1], "\"thinking\""));
  CHECK_FALSE(has(checks[2], "\"thinking\""));
}

}  // namespace own_calls_test
