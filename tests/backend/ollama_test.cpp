#include <ecso/backend/ollama.hpp>

#include <string>
#include <string_view>
#include <utility>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/raw_server.hpp"

namespace ollama_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::CallContext;
using ecso::CallOptions;
using ecso::Capabilities;
using ecso::Errc;
using ecso::Error;
using ecso::Image;
using ecso::OllamaBackend;
using ecso::OllamaOptions;
using ecso::OllamaVerdict;
using ecso::Reply;
using ecso::Secret;
using ecso::TextRequest;
using ecso::VisionRequest;
using ecso::test::http_response;
using ecso::test::RawServer;
using Connection = RawServer::Connection;

const std::string whole_reply = R"({"model":"llava","message":{"content":"A square."},"done":true,"done_reason":"stop"})";
const std::string stream_start = R"({"model":"llava","message":{"content":"A "},"done":false})"
                                 "\n";
const std::string stream_end = R"({"model":"llava","message":{"content":"square."},"done":false})"
                               "\n"
                               R"({"model":"llava","message":{"content":""},"done":true,"done_reason":"stop","eval_count":3})"
                               "\n";

OllamaOptions options_for(const RawServer& server) {
  return {.base_url = server.url(), .model = "llava", .key = Secret::from_text("sk-test-0123456789"), .http = {.proxy = ""}};
}

VisionRequest question(CallOptions options = {}) {
  return {ecso::ask({Image::from_bytes(ecso::test::png_bytes(3, 2))}, "What?"), std::move(options)};
}

Reply reply_of(const OllamaOptions& options, const VisionRequest& request = question(), const CallContext& context = {}) {
  OllamaBackend backend{options};
  return backend.generate(request, context);
}

/// The error, of which no part holds the key.
template <typename Call>
Error error_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    CHECK_THAT(error.what(), !ContainsSubstring("sk-test"));
    return error;
  }
  return Error{Errc::internal, "the call did not fail"};
}

}  // namespace

TEST_CASE("A question goes to Ollama's own API, and its answer is streamed", "[backend][ollama]") {
  RawServer server{RawServer::always(http_response(200, stream_start + stream_end, "application/x-ndjson"))};
  std::string seen;
  const Reply reply = reply_of(options_for(server), question(), {.on_text = [&](std::string_view text) { seen += text; }});
  CHECK(reply.text == "A square.");
  CHECK(seen == reply.text);
  CHECK(reply.usage.completion_tokens == 3);
  const auto sent = server.requests().at(0);
  CHECK(sent.body == ecso::ollama_request_body(question(), {}, "llava", {.stream = true}));
  CHECK_THAT(sent.head, ContainsSubstring("POST /api/chat HTTP/1.1\r\n") &&
                            ContainsSubstring("\r\nAuthorization: Bearer sk-test-0123456789") &&
                            ContainsSubstring("\r\nContent-Type: application/json"));
}

TEST_CASE("A short answer of Ollama comes whole, and no key is sent where there is none", "[backend][ollama]") {
  RawServer server{RawServer::always(http_response(200, whole_reply))};
  OllamaOptions options = options_for(server);
  options.key = {};
  OllamaBackend backend{options};
  const TextRequest request{ecso::close_eyes(ecso::ask({}, "Hi"), {}), {.sampling = {.max_tokens = 2}}};
  CHECK(backend.generate(request, {}).text == "A square.");
  CHECK(server.requests().at(0).body == ecso::ollama_request_body(request, {}, "llava"));
  CHECK_THAT(server.requests().at(0).head, !ContainsSubstring("uthorization"));
}

TEST_CASE("A choice that Ollama forces is bare, also for who watches the text", "[backend][ollama]") {
  const std::string quoted = R"({"message":{"content":"\"yes\""},"done":true,"done_reason":"stop"})";
  RawServer server{RawServer::always(http_response(200, quoted))};
  std::string seen;
  const CallContext watched{.on_text = [&](std::string_view text) { seen += text; }};
  CHECK(reply_of(options_for(server), question({.choices = {"yes", "no"}}), watched).text == "yes");
  CHECK(seen == "yes");
  CHECK_THAT(server.requests().at(0).body, ContainsSubstring(R"("stream":false)"));
}

TEST_CASE("The usual ways to write Ollama's base URL lead to the right path", "[backend][ollama]") {
  const auto url = [](const std::string& base) { return OllamaBackend{{.base_url = base}}.url().text(); };
  CHECK(url("http://127.0.0.1:11434") == "http://127.0.0.1:11434/api/chat");
  CHECK(url("http://127.0.0.1:11434/api/") == "http://127.0.0.1:11434/api/chat");
  CHECK(url("https://example.com/ollama/api/chat") == "https://example.com/ollama/api/chat");
  CHECK(error_of([] { return OllamaBackend{{.base_url = "127.0.0.1"}}.url(); }).code() == Errc::bad_input);
}

TEST_CASE("Ollama's checks read log-probabilities or force a choice", "[backend][ollama]") {
  Capabilities reads{
      .vision = true, .logprobs = true, .forced_choice = true, .concurrent = true, .streaming = true, .prefix_cache = true};
  CHECK(OllamaBackend{{.base_url = "http://h"}}.capabilities() == reads);
  CHECK(OllamaBackend{{.base_url = "http://h", .dialect = {.think = true}}}.capabilities() == reads);
  reads.logprobs = false;
  CHECK(OllamaBackend{{.base_url = "http://h", .verdict = OllamaVerdict::forced_choice}}.capabilities() == reads);
  CHECK(OllamaBackend{{.base_url = "http://h", .dialect = {.check_thinks = true}}}.capabilities() == reads);
  CHECK(error_of([] { return reply_of({.base_url = "http://h", .vision = false}); }).code() == Errc::unsupported);
}

TEST_CASE("What an Ollama refuses or ignores is left out of the model's next checks", "[backend][ollama]") {
  const CallOptions check{.step = ecso::Step::check, .sampling = {.max_tokens = 16}, .choices = {"yes", "no"}, .top_logprobs = 5};
  const TextRequest asked{ecso::close_eyes(ecso::ask({}, "Hi"), {}), check};
  SECTION("ignored: log-probabilities, then the choice") {
    RawServer server{RawServer::always(http_response(200, whole_reply + "\n"))};
    OllamaBackend backend{options_for(server)};
    for (int i = 0; i < 3; ++i) static_cast<void>(backend.generate(asked, {}));
    const auto sent = server.requests();
    REQUIRE(sent.size() == 3);
    CHECK_THAT(sent[0].body, ContainsSubstring("\"logprobs\"") && !ContainsSubstring("\"format\""));
    CHECK_THAT(sent[1].body, ContainsSubstring("\"format\"") && !ContainsSubstring("\"logprobs\""));
    CHECK_THAT(sent[2].body, !ContainsSubstring("\"format\"") && ContainsSubstring("\"num_predict\":256"));
  }
  SECTION("refused: the word on thinking") {
    RawServer server{[](Connection& connection) {
      while (connection.read_request()) {
        const bool thinks = connection.last_body().find("\"think\"") != std::string::npos;
        if (!connection.send(thinks ? http_response(400, R"({"error":"think value is not supported for this model"})")
                                    : http_response(200, whole_reply))) {
          return;
        }
      }
    }};
    OllamaBackend backend{options_for(server)};
    static_cast<void>(backend.generate(asked, {}));
    CHECK_FALSE(backend.dialect().check_thinks);
    CHECK(server.requests().size() == 2);
  }
  SECTION("a model that thinks all the same gets room") {
    RawServer server{RawServer::always(
        http_response(200, R"({"message":{"content":"","thinking":"Hm"},"done":true,"done_reason":"length"})"))};
    OllamaBackend backend{options_for(server)};
    for (int i = 0; i < 2; ++i) static_cast<void>(backend.generate(asked, {}));
    CHECK_THAT(server.requests().at(1).body, ContainsSubstring("\"num_predict\":4096"));
  }
}

TEST_CASE("Every answer of an Ollama server that is no reply is one clear error", "[backend][ollama]") {
  struct Row {
    std::string response;
    Errc code;
    int status;  // 0 while the response is still coming
    std::string reason;
  };
  const std::string error_body = R"({"error":"no for sk-test-0123456789"})";
  const std::string echo = "no for [key]";
  const Row row = GENERATE_COPY(values<Row>({
      {http_response(400, error_body), Errc::bad_request, 400, echo},
      {http_response(401, error_body), Errc::unauthorized, 401, echo},
      {http_response(404, R"({"error":"model 'llava' not found"})"), Errc::not_found, 404, "model 'llava' not found"},
      {http_response(500, error_body), Errc::server_error, 500, echo},
      {http_response(503, error_body), Errc::unavailable, 503, echo},
      {http_response(200, stream_start + error_body + "\n", "application/x-ndjson"), Errc::server_error, 0, echo},
      {http_response(200, stream_start, "application/x-ndjson"), Errc::bad_reply, 200,
       "ended before the answer did, after 2 bytes"},
      {http_response(200, ""), Errc::bad_reply, 200, ""},
      {http_response(200, "Ollama is running\n", "text/plain"), Errc::bad_reply, 0, "not JSON: Ollama is running"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + stream_start, Errc::unavailable, 200,
       "the response was cut short, after "},
  }));
  RawServer server{[&](Connection& connection) { connection.read_request() && connection.send(row.response); }};
  const Error error = error_of([&] { return reply_of(options_for(server)); });
  CAPTURE(error.what());
  CHECK(error.code() == row.code);
  CHECK(error.context().http_status == row.status);
  CHECK(error.context().endpoint == server.url() + "/api/chat");
  CHECK_THAT(error.what(), ContainsSubstring(row.reason));
}

TEST_CASE("A reply of Ollama that was complete survives a broken connection", "[backend][ollama]") {
  RawServer server{[&](Connection& connection) {
    connection.read_request() && connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + stream_start + stream_end);
  }};
  CHECK(reply_of(options_for(server)).text == "A square.");
}

}  // namespace ollama_test
