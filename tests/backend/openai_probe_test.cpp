#include <ecso/backend/openai_probe.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

namespace openai_probe_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;
using test::http_response;
using test::RawServer;

/// Answers each path of a table, and 404 for others.
RawServer::Script paths(std::vector<std::pair<std::string, std::string>> table) {
  return [table = std::move(table)](RawServer::Connection& connection) {
    while (connection.read_request()) {
      const std::string head = connection.last_head();
      std::string response = http_response(404, R"({"error":{"message":"no such path"}})");
      for (const auto& [start, body] : table) {
        if (head.starts_with(start)) response = http_response(200, body);
      }
      if (!connection.send(response)) return;
    }
  };
}

OpenAiOptions options_for(const std::string& url) {
  return {.base_url = url, .key = Secret::from_text("sk-test-0123456789"), .http = {.proxy = ""}};
}

}  // namespace

TEST_CASE("a llama-server is known after two questions, and its options follow", "[backend][openai][probe]") {
  RawServer server{paths({{"GET /v1/models ", R"({"data":[{"id":"tiny","owned_by":"llamacpp"}]})"},
                          {"GET /props ", R"({"total_slots":3,"modalities":{"vision":false}})"}})};
  const OpenAiOptions options = probed(options_for(server.url()));
  CHECK(options.dialect == llama_server_dialect());
  CHECK(options.slots == 3);
  CHECK_FALSE(options.vision);
  CHECK(options.model == "tiny");
  CHECK(server.requests().size() == 2);
  CHECK_THAT(server.requests().front().head, ContainsSubstring("Authorization: Bearer sk-test-0123456789"));
}

TEST_CASE("paths beside v1 are asked beside it, and a server that has none of them is plain", "[backend][openai][probe]") {
  RawServer server{paths({})};
  const OpenAiServer known = probe_openai_server(options_for(server.url() + "/api/v1"));
  CHECK(known.dialect == OpenAiDialect{});
  CHECK(known.asked == "/api/v1/models: 404, /api/props: 404, /api/version: 404, /api/api/version: 404");
  std::vector<std::string> asked;
  for (const auto& request : server.requests()) asked.push_back(request.head.substr(0, request.head.find(" HTTP")));
  CHECK(asked == std::vector<std::string>{"GET /api/v1/models", "GET /api/props", "GET /api/version", "GET /api/api/version"});
}

TEST_CASE("a refused key and a dead server are errors of the probe", "[backend][openai][probe]") {
  RawServer locked{RawServer::always(http_response(401, R"({"error":{"message":"bad key sk-test-0123456789"}})"))};
  const auto code_of = [](const std::string& url) {
    try {
      (void)probe_openai_server(options_for(url));
    } catch (const Error& error) {
      CHECK_THAT(error.what(), !ContainsSubstring("sk-test"));
      return error.code();
    }
    return Errc::internal;
  };
  CHECK(code_of(locked.url()) == Errc::unauthorized);
  const test::ReservedPort nobody;
  CHECK(code_of(nobody.url()) == Errc::unavailable);
}

TEST_CASE("Azure's URL, query and key header go out as it wants them", "[backend][openai]") {
  RawServer server{RawServer::always(http_response(200, R"({"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]})"))};
  OpenAiOptions options = options_for(server.url() + "/openai/deployments/gpt");
  options.query = "api-version=2024-10-21";
  options.key_header = KeyHeader::api_key;
  OpenAiBackend backend{options};
  CHECK(backend.generate(TextRequest{close_eyes(ask({}, "Hi"), {}), {}}, {}).text == "ok");
  CHECK_THAT(server.requests().front().head,
             ContainsSubstring("POST /openai/deployments/gpt/chat/completions?api-version=2024-10-21 ") &&
                 ContainsSubstring("api-key: sk-test-0123456789") && !ContainsSubstring("uthorization"));
}

TEST_CASE("a field that the server refuses is left out, once, and the query does not notice", "[backend][openai][fallback]") {
  const std::string ok = R"({"choices":[{"message":{"content":"No"},"finish_reason":"stop"}]})";
  const auto refuse = [&](std::string field, std::string message) {
    return [=](RawServer::Connection& connection) {
      while (connection.read_request()) {
        const bool has_field = connection.last_body().find('"' + field + '"') != std::string::npos;
        const std::string body = R"({"error":{"message":")" + message + "\"}}";
        if (!connection.send(has_field ? http_response(400, body) : http_response(200, ok))) return;
      }
    };
  };
  const TextRequest asked{close_eyes(ask({}, "Hi"), {}), {.choices = {"yes", "no"}, .top_logprobs = 5}};
  SECTION("it is named") {
    RawServer server{refuse("top_logprobs", "Unrecognized request argument supplied: top_logprobs")};
    OpenAiOptions options = options_for(server.url());
    options.dialect = vllm_dialect();
    OpenAiBackend backend{options};
    for (int i = 0; i < 3; ++i) CHECK(backend.generate(asked, {}).text == "No");
    CHECK(server.requests().size() == 4);
    CHECK(backend.dialect().logprobs == LogprobStyle::none);
    CHECK(backend.dialect().choices == ChoiceStyle::structured_outputs);
  }
  SECTION("it is not named") {
    RawServer server{refuse("structured_outputs", "invalid request")};
    OpenAiOptions options = options_for(server.url());
    options.dialect = vllm_dialect();
    OpenAiBackend backend{options};
    for (int i = 0; i < 3; ++i) CHECK(backend.generate(asked, {}).text == "No");
    CHECK(server.requests().size() == 4);
  }
  SECTION("a refusal for another reason is the call's error, asked twice at most") {
    RawServer server{RawServer::always(http_response(400, R"({"error":{"message":"the context is full"}})"))};
    OpenAiOptions options = options_for(server.url());
    options.dialect = vllm_dialect();
    OpenAiBackend backend{options};
    CHECK_THROWS_AS(backend.generate(asked, {}), Error);
    CHECK(server.requests().size() == 2);
    CHECK(backend.dialect() == vllm_dialect());
  }
}

TEST_CASE("what one model refuses is still asked of another", "[backend][openai][fallback]") {
  RawServer server{[](RawServer::Connection& connection) {
    while (connection.read_request()) {
      const std::string& body = connection.last_body();
      const bool refuses = body.find("\"o3\"") != body.npos && body.find("\"logprobs\"") != body.npos;
      const std::string refusal = R"({"error":{"message":"Unsupported value: 'logprobs' is not supported with this model."}})";
      const bool tells = body.find("\"logprobs\"") != body.npos;
      const std::string figures = tells ? R"("logprobs":{"content":[{"token":"No","logprob":-0.1}]},)" : "";
      const std::string no = R"({"choices":[{"message":{"content":"No"},)" + figures + R"("finish_reason":"stop"}]})";
      if (!connection.send(refuses ? http_response(400, refusal) : http_response(200, no))) return;
    }
  }};
  OpenAiOptions options = options_for(server.url());
  options.dialect = openai_dialect();
  OpenAiBackend backend{options};
  const auto ask_model = [&](const std::string& model) {
    const TextRequest asked{close_eyes(ask({}, "Hi"), {}), {.step = ecso::Step::check, .model = model, .top_logprobs = 5}};
    return backend.generate(asked, {}).text;
  };
  CHECK(ask_model("o3") == "No");
  CHECK(ask_model("gpt-4o") == "No");
  CHECK(backend.dialect("o3").logprobs == LogprobStyle::none);
  CHECK(backend.dialect("gpt-4o").logprobs == LogprobStyle::top_logprobs);
  CHECK(server.requests().back().body.find("\"logprobs\"") != std::string::npos);
}

TEST_CASE("a model that was cut in its thoughts has room for them from its next check on", "[backend][openai][thinking]") {
  RawServer server{[](RawServer::Connection& connection) {
    while (connection.read_request()) {
      const bool has_room = connection.last_body().find("\"max_tokens\":4096") != std::string::npos;
      const std::string cut = R"({"choices":[{"message":{"content":null,"reasoning_content":"Well"},"finish_reason":"length"}]})";
      const std::string no =
          R"({"choices":[{"message":{"content":"No","reasoning_content":"Well, fruit."},"finish_reason":"stop"}]})";
      if (!connection.send(http_response(200, has_room ? no : cut))) return;
    }
  }};
  OpenAiBackend backend{options_for(server.url())};
  const auto check = [&] {
    const CallOptions options{.step = ecso::Step::check, .sampling = {.max_tokens = 16}, .choices = {"yes", "no"}};
    return backend.generate(TextRequest{close_eyes(ask({}, "Hi"), {}), options}, {});
  };
  CHECK(check().finish_reason == FinishReason::length);
  CHECK(check().text == "No");
  CHECK(backend.dialect().thinks_first);
  CHECK(server.requests().size() == 2);
  const CallOptions other{.sampling = {.max_tokens = 16}};
  CHECK(backend.generate(TextRequest{close_eyes(ask({}, "Hi"), {}), other}, {}).finish_reason == FinishReason::length);
}

TEST_CASE("a check asks not to think where the server knows how, and no other call does", "[backend][openai][thinking]") {
  const auto body = [](ecso::Step step, const ecso::OpenAiDialect& dialect) {
    return openai_request_body(TextRequest{close_eyes(ask({}, "Hi"), {}), {.step = step}}, dialect);
  };
  const std::string off = R"("chat_template_kwargs":{"enable_thinking":false})";
  for (const auto& dialect : {ecso::llama_server_dialect(), vllm_dialect(), ecso::sglang_dialect()}) {
    for (const ecso::Step step : {ecso::Step::check, ecso::Step::recheck})
      CHECK_THAT(body(step, dialect), ContainsSubstring(off));
    for (const ecso::Step step : {ecso::Step::answer, ecso::Step::caption, ecso::Step::regenerate})
      CHECK_THAT(body(step, dialect), !ContainsSubstring("enable_thinking"));
  }
  CHECK_THAT(body(ecso::Step::check, openai_dialect()), !ContainsSubstring("enable_thinking"));
  const auto effort = [](const std::string& model, ecso::Step step = ecso::Step::check) {
    const TextRequest asked{close_eyes(ask({}, "Hi"), {}), {.step = step, .model = model}};
    const std::string sent = openai_request_body(asked, openai_dialect());
    const std::string name = R"("reasoning_effort":")";
    const auto at = sent.find(name);
    return at == sent.npos ? "" : sent.substr(at + name.size(), sent.find('"', at + name.size()) - at - name.size());
  };
  CHECK(effort("gpt-5.2") == "none");
  CHECK(effort("gpt-5-mini") == "minimal");
  CHECK(effort("openai/o4-mini") == "low");
  CHECK(effort("gpt-oss-20b") == "low");
  for (const char* thoughtless : {"", "gpt-4o", "o", "olmo"}) CHECK(effort(thoughtless).empty());
  CHECK(effort("o3", ecso::Step::answer).empty());
  const Error refused{Errc::bad_request, "chat_template_kwargs is not supported", {.http_status = 400}};
  CHECK(ecso::openai_fallback(vllm_dialect(), {.step = ecso::Step::check}, refused)->thinking == ecso::ThinkingSwitch::none);
  CHECK_FALSE(ecso::openai_fallback(vllm_dialect(), {.step = ecso::Step::caption}, refused));
}

TEST_CASE("a call that is asked to tell of its text is streamed", "[backend][openai][stream]") {
  const auto event = [](const std::string& data) { return "data: " + data + "\n\n"; };
  const std::string events = event(R"({"choices":[{"delta":{"content":"A "}}]})") +
                             event(R"({"choices":[{"delta":{"content":"cat"},"finish_reason":"stop"}]})") + event("[DONE]");
  const TextRequest asked{close_eyes(ask({}, "Hi"), {}), {}};
  std::string heard;
  const CallContext context{.on_text = [&](std::string_view piece) { heard += piece; }};
  SECTION("by events") {
    RawServer server{RawServer::always(http_response(200, events, "text/event-stream"))};
    OpenAiBackend backend{options_for(server.url())};
    CHECK(backend.generate(asked, context).text == "A cat");
    CHECK(heard == "A cat");
    CHECK_THAT(server.requests().front().body, ContainsSubstring(R"("stream":true,"stream_options":{"include_usage":true})"));
  }
  SECTION("a server that does not stream is understood") {
    RawServer server{
        RawServer::always(http_response(200, R"( {"choices":[{"message":{"content":"A dog"},"finish_reason":"stop"}]})"))};
    OpenAiBackend backend{options_for(server.url())};
    CHECK(backend.generate(asked, context).text == "A dog");
    CHECK(heard == "A dog");
  }
  SECTION("what the listener throws comes out as it is") {
    RawServer server{RawServer::always(http_response(200, events, "text/event-stream"))};
    OpenAiBackend backend{options_for(server.url())};
    CHECK_THROWS_AS(backend.generate(asked, {.on_text = [](std::string_view) { throw std::runtime_error{"enough"}; }}),
                    std::runtime_error);
    CHECK(backend.generate(asked, context).text == "A cat");
  }
}

}  // namespace openai_probe_test
