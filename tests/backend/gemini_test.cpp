#include <ecso/backend/gemini.hpp>

#include <string>
#include <string_view>
#include <utility>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/raw_server.hpp"

namespace gemini_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::CallContext;
using ecso::CallOptions;
using ecso::Capabilities;
using ecso::Errc;
using ecso::Error;
using ecso::GeminiBackend;
using ecso::GeminiOptions;
using ecso::Image;
using ecso::Reply;
using ecso::Secret;
using ecso::TextRequest;
using ecso::VisionRequest;
using ecso::test::http_response;
using ecso::test::RawServer;
using Connection = RawServer::Connection;

const std::string whole_reply = R"({"candidates":[{"content":{"parts":[{"text":"A square."}]},"finishReason":"STOP"}]})";
const std::string stream_start = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"A \"}]}}]}\r\n\r\n";
const std::string stream_end =
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"square.\"}]},\"finishReason\":\"STOP\"}]}\r\n\r\n";
const std::string stream_path = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse";

GeminiOptions options_for(const RawServer& server) {
  return {.base_url = server.url(), .model = "gemini-x", .key = Secret::from_text("sk-test-0123456789"), .http = {.proxy = ""}};
}

VisionRequest question(CallOptions options = {}) {
  return {ecso::ask({Image::from_bytes(ecso::test::png_bytes(3, 2))}, "What?"), std::move(options)};
}

Reply reply_of(const GeminiOptions& options, const VisionRequest& request = question(), const CallContext& context = {}) {
  GeminiBackend backend{options};
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

TEST_CASE("A question goes to Gemini with its key in a header, and its answer is streamed", "[backend][gemini]") {
  RawServer server{RawServer::always(http_response(200, stream_start + stream_end, "text/event-stream"))};
  std::string seen;
  const Reply reply = reply_of(options_for(server), question(), {.on_text = [&](std::string_view text) { seen += text; }});
  CHECK(reply.text == "A square.");
  CHECK(seen == reply.text);
  const auto sent = server.requests().at(0);
  CHECK(sent.body == ecso::gemini_request_body(question()));
  CHECK_THAT(sent.head, ContainsSubstring("POST " + stream_path + " HTTP/1.1\r\n") &&
                            ContainsSubstring("\r\nx-goog-api-key: sk-test-0123456789") &&
                            ContainsSubstring("\r\nContent-Type: application/json") && !ContainsSubstring("uthorization"));
}

TEST_CASE("A short answer of Gemini comes whole, from the model that the request names", "[backend][gemini]") {
  RawServer server{RawServer::always(http_response(200, whole_reply))};
  GeminiOptions options = options_for(server);
  options.key = {};
  GeminiBackend backend{options};
  const TextRequest request{ecso::close_eyes(ecso::ask({}, "Hi"), {}), {.model = "other", .sampling = {.max_tokens = 2}}};
  CHECK(backend.generate(request, {}).text == "A square.");
  CHECK(server.requests().at(0).body ==
        R"({"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":2}})");
  CHECK_THAT(server.requests().at(0).head,
             ContainsSubstring("POST /v1beta/models/other:generateContent HTTP/1.1\r\n") && !ContainsSubstring("x-goog-api-key"));
  // A server that does not stream is understood too.
  CHECK(reply_of(options).text == "A square.");
}

TEST_CASE("Gemini's base URL may have a path of its own, and its model must have a name", "[backend][gemini]") {
  CHECK(GeminiBackend{{.base_url = "https://h.example"}}.url().text() == "https://h.example/v1beta");
  CHECK(GeminiBackend{{.base_url = "https://h.example/v1/"}}.url().text() == "https://h.example/v1");
  CHECK(error_of([] { return GeminiBackend{{.base_url = "h"}}.url(); }).code() == Errc::bad_input);
  CHECK(error_of([] { return GeminiBackend{{.base_url = "http://h", .model = "a?b"}}.url(); }).code() == Errc::bad_input);
  RawServer server{RawServer::always(http_response(200, whole_reply))};
  GeminiOptions nameless = options_for(server);
  nameless.model = "";
  CHECK(error_of([&] { return reply_of(nameless); }).code() == Errc::bad_input);
  CHECK(error_of([&] { return reply_of(nameless, question({.model = "a/../b"})); }).code() == Errc::bad_input);
  CHECK(server.connections() == 0);
}

TEST_CASE("Gemini promises what its dialect says", "[backend][gemini]") {
  CHECK(GeminiBackend{{.base_url = "http://h"}}.capabilities() ==
        Capabilities{.vision = true, .forced_choice = true, .concurrent = true, .streaming = true});
  CHECK(
      GeminiBackend{{.base_url = "http://h", .vision = false, .dialect = {.logprobs = true, .choices = false}}}.capabilities() ==
      Capabilities{.vision = false, .logprobs = true, .concurrent = true, .streaming = true});
  CHECK(error_of([] { return reply_of({.base_url = "http://h", .model = "m", .vision = false}); }).code() == Errc::unsupported);
}

TEST_CASE("Every answer of a Gemini server that is no reply is one clear error", "[backend][gemini]") {
  struct Row {
    std::string response;
    Errc code;
    int status;  // 0 while the response is still coming
    std::string reason;
  };
  const auto error_body = [](const std::string& status) {
    return R"({"error":{"code":400,"message":"no for sk-test-0123456789","status":")" + status + "\"}}";
  };
  const std::string echo = "no for [key]";
  const Row row = GENERATE_COPY(values<Row>({
      {http_response(400, error_body("INVALID_ARGUMENT")), Errc::bad_request, 400, echo},
      {http_response(403, error_body("PERMISSION_DENIED")), Errc::unauthorized, 403, echo},
      {http_response(404, error_body("NOT_FOUND")), Errc::not_found, 404, echo},
      {http_response(429, error_body("RESOURCE_EXHAUSTED")), Errc::rate_limited, 429, echo},
      {http_response(500, error_body("INTERNAL")), Errc::server_error, 500, echo},
      {http_response(503, error_body("UNAVAILABLE")), Errc::unavailable, 503, echo},
      {http_response(200, error_body("UNAVAILABLE")), Errc::unavailable, 200, echo},
      {http_response(200, stream_start + "data: " + error_body("UNAVAILABLE") + "\n\n", "text/event-stream"), Errc::unavailable,
       0, echo},
      {http_response(200, stream_start, "text/event-stream"), Errc::bad_reply, 200, "ended before the answer did, after 2 bytes"},
      {http_response(200, R"({"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}})"), Errc::bad_reply, 200,
       "blocked the prompt: PROHIBITED_CONTENT"},
      {http_response(200,
                     R"(data: {"promptFeedback":{"blockReason":"SAFETY"}})"
                     "\n\n",
                     "text/event-stream"),
       Errc::bad_reply, 0, "blocked the prompt: SAFETY"},
      {http_response(200, "[" + whole_reply + "]"), Errc::bad_reply, 200, "ended before the answer did"},
      // Some models say STOP in each piece: a broken connection is never taken for the end.
      {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + stream_end, Errc::unavailable, 200,
       "the response was cut short, after "},
  }));
  RawServer server{[&](Connection& connection) { connection.read_request() && connection.send(row.response); }};
  const Error error = error_of([&] { return reply_of(options_for(server)); });
  CAPTURE(error.what());
  CHECK(error.code() == row.code);
  CHECK(error.context().http_status == row.status);
  CHECK(error.context().endpoint == server.url() + stream_path);
  CHECK_THAT(error.what(), ContainsSubstring(row.reason));
}

TEST_CASE("A Gemini model without log-probabilities and choices is asked without them, once and for all", "[backend][gemini]") {
  const auto refused = [](const std::string& message) {
    return http_response(400, R"({"error":{"code":400,"message":")" + message + R"(","status":"INVALID_ARGUMENT"}})");
  };
  RawServer server{[&](Connection& connection) {
    connection.read_request() && connection.send(refused("Logprobs is not enabled for models/gemini-x"));
    connection.read_request() && connection.send(refused("response_mime_type: no such type"));
    while (connection.read_request() && connection.send(http_response(200, whole_reply))) {}
  }};
  GeminiOptions options = options_for(server);
  options.dialect.logprobs = true;
  GeminiBackend backend{options};
  const VisionRequest request = question({.sampling = {.max_tokens = 4}, .choices = {"yes", "no"}, .top_logprobs = 5});
  CHECK(backend.generate(request, {}).text == "A square.");
  CHECK_FALSE(backend.dialect().logprobs);
  CHECK_FALSE(backend.dialect().choices);
  CHECK(backend.generate(request, {}).text == "A square.");
  REQUIRE(server.requests().size() == 4);
  CHECK_THAT(server.requests()[0].body, ContainsSubstring("ogprobs") && ContainsSubstring("x.enum"));
  CHECK_THAT(server.requests()[1].body, !ContainsSubstring("ogprobs") && ContainsSubstring("x.enum"));
  CHECK_THAT(server.requests()[2].body, !ContainsSubstring("x.enum"));
  CHECK(server.requests()[3].body == server.requests()[2].body);
}

TEST_CASE("Gemini's checks have no budget for thoughts, until a model refuses that", "[backend][gemini][thinking]") {
  const std::string refused =
      R"({"error":{"code":400,"message":"Budget 0 is invalid. This model only works in thinking mode.","status":"INVALID_ARGUMENT"}})";
  const std::string cut = R"({"candidates":[{"content":{"parts":[]},"finishReason":"MAX_TOKENS"}]})";
  RawServer server{[&](Connection& connection) {
    while (connection.read_request()) {
      const bool has_budget = connection.last_body().find("thinkingBudget") != std::string::npos;
      if (!connection.send(has_budget ? http_response(400, refused) : http_response(200, cut))) return;
    }
  }};
  GeminiBackend backend{options_for(server)};
  const VisionRequest check = question({.step = ecso::Step::check, .sampling = {.max_tokens = 4}});
  static_cast<void>(backend.generate(check, {}));
  CHECK_FALSE(backend.dialect().no_thoughts);
  CHECK(backend.dialect().thinks_first);
  REQUIRE(server.requests().size() == 2);
  CHECK_THAT(server.requests()[0].body, ContainsSubstring(R"("thinkingConfig":{"thinkingBudget":0})"));
  CHECK_THAT(server.requests()[1].body, ContainsSubstring(R"("maxOutputTokens":4)"));
  CHECK_THAT(ecso::gemini_request_body(question({.sampling = {.max_tokens = 4}})), !ContainsSubstring("thinking"));
  const ecso::GeminiDialect own{.generation_config = {{"thinkingConfig", {{"thinkingBudget", 128}}}}};
  CHECK_THAT(ecso::gemini_request_body(check, own), ContainsSubstring("128") && !ContainsSubstring("\"thinkingBudget\":0"));
}

}  // namespace gemini_test
