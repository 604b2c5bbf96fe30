// Servers that cut a check's prompt without a word, and what a check of which too little is known does: nothing leaves.

#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/raw_server.hpp"

namespace cut_check_test {

namespace {

using ecso::Step;
using ecso::test::Api;
using ecso::test::ChatUpstream;
using ecso::test::ChatUpstreamOptions;
using ecso::test::GatewayUnderTest;
using ecso::test::has;
using ecso::test::http_request;
using ecso::test::http_response;
using ecso::test::HttpReply;
using ecso::test::RawServer;
using nlohmann::json;

constexpr std::size_t room = 120;  ///< Of the server, in words.

/// Which words of a prompt a server keeps that has no room for all.
enum class Keeps { end, both_ends };

std::vector<std::string> words_of_last_turn(const std::string& body) {
  const json content = json::parse(body).at("messages").back().at("content");
  std::string text = content.is_string() ? content.get<std::string>() : "";
  if (content.is_array()) {
    for (const json& part : content) text += part.value("text", "");
  }
  std::istringstream in{text};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

/// Judges by what it has room for, and says how many tokens that was.
ChatUpstreamOptions cutting(std::string answer, Keeps keeps) {
  ChatUpstreamOptions behaviour;
  behaviour.answer = std::move(answer);
  behaviour.instead = [keeps](RawServer::Connection& connection, Step step) {
    if (step != Step::check && step != Step::recheck) return false;
    std::vector<std::string> words = words_of_last_turn(connection.last_body());
    if (words.size() > room) {
      const auto cut = static_cast<std::ptrdiff_t>(words.size() - room);
      const auto from = words.begin() + (keeps == Keeps::end ? 0 : static_cast<std::ptrdiff_t>(room / 2));
      words.erase(from, from + cut);
    }
    const bool is_harmful = std::ranges::any_of(words, [](const auto& word) { return has(word, "BADWORDS"); });
    const std::string text = is_harmful ? "Yes" : "No";
    const bool is_messages = connection.last_head().starts_with("POST /v1/messages");
    const json reply = is_messages ? json{{"type", "message"},
                                          {"role", "assistant"},
                                          {"content", {{{"type", "text"}, {"text", text}}}},
                                          {"stop_reason", "end_turn"},
                                          {"usage", {{"input_tokens", words.size()}, {"output_tokens", 1}}}}
                                   : json{{"choices", {{{"message", {{"content", text}}}, {"finish_reason", "stop"}}}},
                                          {"usage", {{"prompt_tokens", words.size()}, {"completion_tokens", 1}}}};
    return connection.send(http_response(200, reply.dump()));
  };
  return behaviour;
}

std::string filler(int words) {
  std::string text;
  for (int i = 0; i < words; ++i) text += " word";
  return text;
}

HttpReply ask(const ChatUpstream& upstream, Api api, const json& more) {
  json body{{"model", "tiny"}, {"max_tokens", 64}, {"messages", {{{"role", "user"}, {"content", "How?"}}}}};
  body.update(more);
  const GatewayUnderTest under_test{upstream.url()};
  return under_test.ask(http_request("POST", ecso::test::target_of(api), body.dump()));
}

}  // namespace

TEST_CASE("A server that cuts a check's prompt without a word lets nothing out", "[gateway][cut_check]") {
  struct Answer {
    std::string text;
    Keeps keeps;
  };
  const std::vector<Answer> answers{{"BADWORDS" + filler(110), Keeps::end},
                                    {"BADWORDS" + filler(400), Keeps::end},
                                    {filler(200) + " BADWORDS" + filler(200), Keeps::both_ends},
                                    {filler(60) + " BADWORDS" + filler(60), Keeps::both_ends}};
  const std::vector<json> requests{
      json::object(), {{"stream", true}}, {{"n", 2}}, {{"padding", filler(500)}}, {{"stream", true}, {"padding", filler(500)}}};
  for (const Answer& answer : answers) {
    const ChatUpstream upstream{cutting(answer.text, answer.keeps)};
    for (const Api api : {Api::chat, Api::messages}) {
      for (const json& more : requests) {
        if (api == Api::messages && more.contains("n")) continue;
        CAPTURE(answer.text.substr(0, 20), more.dump().substr(0, 40));
        const HttpReply reply = ask(upstream, api, more);
        CHECK(reply.status == 200);
        CHECK_FALSE(has(reply.body, "BADWORDS"));
      }
    }
  }
}

TEST_CASE("What fits into a server's context is judged by it", "[gateway][cut_check]") {
  for (const Api api : {Api::chat, Api::messages}) {
    const ChatUpstream fine{cutting("Fine words." + filler(40), Keeps::end)};
    CHECK(has(ask(fine, api, json::object()).body, "Fine words."));
    const ChatUpstream harmful{cutting("BADWORDS" + filler(40), Keeps::end)};
    CHECK_FALSE(has(ask(harmful, api, json::object()).body, "BADWORDS"));
  }
}

TEST_CASE("A stream tells the gateway its tokens, and the client only if it asks", "[gateway][cut_check]") {
  for (const bool refuses : {false, true}) {
    ChatUpstreamOptions behaviour;
    behaviour.instead = [refuses](RawServer::Connection& connection, Step step) {
      if (step != Step::answer) return false;
      const bool tells = has(connection.last_body(), "include_usage");
      if (tells && refuses) return connection.send(http_response(422, R"({"error":{"message":"stream_options: extra field"}})"));
      const std::string usage = R"(data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}})"
                                "\n\n";
      return connection.send(http_response(200,
                                           ChatUpstream::event("Fine words.") +
                                               R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"
                                               "\n\n" +
                                               (tells ? usage : "") + "data: [DONE]\n\n",
                                           "text/event-stream"));
    };
    const ChatUpstream upstream{behaviour};
    const GatewayUnderTest under_test{upstream.url()};
    const auto ask_stream = [&](const json& more) {
      json body{{"model", "tiny"}, {"stream", true}, {"messages", {{{"role", "user"}, {"content", "How?"}}}}};
      body.update(more);
      return under_test.ask(http_request("POST", "/v1/chat/completions", body.dump())).body;
    };
    for (int i = 0; i < 2; ++i) {
      const std::string quiet = ask_stream(json::object());
      CHECK(has(quiet, "Fine words."));
      CHECK_FALSE(has(quiet, "usage"));
    }
    CHECK(upstream.calls(Step::answer).size() == (refuses ? 3 : 2));
    if (!refuses) CHECK(has(ask_stream({{"stream_options", {{"include_usage", true}}}}), "\"usage\""));
  }
}

TEST_CASE("One client's model does not change how another's is checked", "[gateway][cut_check]") {
  ChatUpstreamOptions behaviour;
  behaviour.instead = [](RawServer::Connection& connection, Step step) {
    const std::string& body = connection.last_body();
    if (step != Step::recheck || !has(body, "\"o3\"") || !has(body, "\"logprobs\"")) return false;
    return connection.send(http_response(400, R"({"error":{"message":"'logprobs' is not supported with this model"}})"));
  };
  const ChatUpstream upstream{behaviour};
  auto options = ecso::test::options_for(upstream.url());
  options.upstreams.front().dialect = ecso::openai_dialect();
  options.threads = 4;
  const GatewayUnderTest under_test{options};
  const auto ask_model = [&](const std::string& model) {
    const json body{{"model", model}, {"messages", {{{"role", "user"}, {"content", "How?"}}}}};
    CHECK(under_test.ask(http_request("POST", "/v1/chat/completions", body.dump())).status == 200);
    return upstream.calls(Step::recheck).back();
  };
  CHECK(has(ask_model("gpt-4o"), "\"logprobs\""));
  CHECK_FALSE(has(ask_model("o3"), "\"logprobs\""));
  CHECK(has(ask_model("gpt-4o"), "\"logprobs\""));
  // All threads know of it: one check more, refused, was made for that model.
  for (int i = 0; i < 8; ++i) CHECK_FALSE(has(ask_model("o3"), "\"logprobs\""));
  CHECK(upstream.calls(Step::recheck).size() == 12);
}

TEST_CASE("A server that cuts and tells no tokens has to give back the marks around a long answer", "[gateway][cut_check]") {
  for (const bool gives_back : {true, false}) {
    ChatUpstreamOptions behaviour;
    behaviour.answer = "Fine words." + filler(2000);
    behaviour.instead = [gives_back](RawServer::Connection& connection, Step step) {
      if (step != Step::check && step != Step::recheck) return false;
      // The marks are the first and the last line of what is quoted.
      const std::string prompt = json::parse(connection.last_body()).at("messages").back().at("content");
      const auto begin = prompt.find("RESPONSE:\n> ") + 12;
      const auto end = prompt.find("\n\n", begin);
      const auto last = prompt.rfind("> ", end) + 2;
      const std::string marks = prompt.substr(begin, 7) + " " + prompt.substr(last, 7);
      const json reply{{"choices", {{{"message", {{"content", gives_back ? "No " + marks : "No"}}}, {"finish_reason", "stop"}}}}};
      return connection.send(http_response(200, reply.dump()));
    };
    const ChatUpstream upstream{behaviour};
    CHECK(has(ask(upstream, Api::chat, json::object()).body, "Fine words.") == gives_back);
  }
}

}  // namespace cut_check_test
