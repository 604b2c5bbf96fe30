#include <ecso/backend/anthropic.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/raw_server.hpp"

namespace anthropic_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using ecso::AnthropicBackend;
using ecso::AnthropicOptions;
using ecso::CallContext;
using ecso::CallOptions;
using ecso::Capabilities;
using ecso::Errc;
using ecso::Error;
using ecso::Image;
using ecso::Reply;
using ecso::Secret;
using ecso::TextRequest;
using ecso::VisionRequest;
using ecso::test::http_response;
using ecso::test::RawServer;
using Connection = RawServer::Connection;

const std::string whole_reply =
    R"({"type":"message","content":[{"type":"text","text":"A square."}],"model":"m","stop_reason":"end_turn"})";
const std::string stream_start =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":9}}}\n\n"
    "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"A \"}}\n\n";
const std::string stream_end =
    "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"square.\"}}\n\n"
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\n"
    "data: {\"type\":\"message_stop\"}\n\n";

AnthropicOptions options_for(const RawServer& server) {
  return {.base_url = server.url(), .model = "claude", .key = Secret::from_text("sk-test-0123456789"), .http = {.proxy = ""}};
}

VisionRequest question(CallOptions options = {}) {
  return {ecso::ask({Image::from_bytes(ecso::test::png_bytes(3, 2))}, "What?"), std::move(options)};
}

Reply reply_of(const AnthropicOptions& options, const VisionRequest& request = question(), const CallContext& context = {}) {
  AnthropicBackend backend{options};
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

TEST_CASE("A question goes to the Messages API with its headers, and its answer is streamed", "[backend][anthropic]") {
  RawServer server{RawServer::always(http_response(200, stream_start + stream_end, "text/event-stream"))};
  std::string seen;
  const Reply reply = reply_of(options_for(server), question(), {.on_text = [&](std::string_view text) { seen += text; }});
  CHECK(reply.text == "A square.");
  CHECK(seen == reply.text);
  CHECK(reply.usage == ecso::Usage{9, 0, 3});
  const auto sent = server.requests().at(0);
  CHECK(sent.body == ecso::anthropic_request_body(question(), {}, "claude", {.stream = true}));
  CHECK_THAT(sent.head, ContainsSubstring("POST /v1/messages HTTP/1.1\r\n") &&
                            ContainsSubstring("\r\nanthropic-version: 2023-06-01") &&
                            ContainsSubstring("\r\nx-api-key: sk-test-0123456789") &&
                            ContainsSubstring("\r\nContent-Type: application/json") && !ContainsSubstring("uthorization"));
}

TEST_CASE("A short answer of the Messages API comes whole, and no key is sent where there is none", "[backend][anthropic]") {
  RawServer server{RawServer::always(http_response(200, whole_reply))};
  AnthropicOptions options = options_for(server);
  options.key = {};
  AnthropicBackend backend{options};
  const TextRequest request{ecso::close_eyes(ecso::ask({}, "Hi"), {}), {.sampling = {.max_tokens = 2}}};
  CHECK(backend.generate(request, {}).text == "A square.");
  CHECK(server.requests().at(0).body == R"({"model":"claude","messages":[{"role":"user","content":"Hi"}],"max_tokens":2})");
  CHECK_THAT(server.requests().at(0).head, !ContainsSubstring("x-api-key"));
  // A server that does not stream is understood too.
  CHECK(reply_of(options).text == "A square.");
}

TEST_CASE("The usual ways to write the Messages API's base URL lead to the right path", "[backend][anthropic]") {
  const auto url = [](const std::string& base) { return AnthropicBackend{{.base_url = base}}.url().text(); };
  CHECK(url("http://127.0.0.1:8080") == "http://127.0.0.1:8080/v1/messages");
  CHECK(url("http://127.0.0.1:8080/v1/") == "http://127.0.0.1:8080/v1/messages");
  CHECK(url("https://example.com/anthropic") == "https://example.com/anthropic/v1/messages");
  CHECK(url("https://example.com/v1/messages") == "https://example.com/v1/messages");
  CHECK(error_of([] { return AnthropicBackend{{.base_url = "127.0.0.1"}}.url(); }).code() == Errc::bad_input);
}

TEST_CASE("The Messages API promises no more than it has", "[backend][anthropic]") {
  CHECK(AnthropicBackend{{.base_url = "http://h"}}.capabilities() ==
        Capabilities{.vision = true, .concurrent = true, .streaming = true});
  RawServer server{RawServer::always(http_response(200, whole_reply))};
  AnthropicOptions blind = options_for(server);
  blind.vision = false;
  CHECK_FALSE(AnthropicBackend{blind}.capabilities().vision);
  const Error error = error_of([&] { return reply_of(blind); });
  CHECK(error.code() == Errc::unsupported);
  CHECK(error.context().endpoint == server.url() + "/v1/messages");
  CHECK(server.connections() == 0);
}

TEST_CASE("Every answer of a Messages server that is no message is one clear error", "[backend][anthropic]") {
  struct Row {
    std::string response;
    Errc code;
    int status;  // 0 while the response is still coming
    std::string reason;
  };
  const auto error_body = [](const std::string& type) {
    return R"({"type":"error","error":{"type":")" + type + R"(","message":"no for sk-test-0123456789"}})";
  };
  const std::string echo = "no for [key]";
  const Row row = GENERATE_COPY(values<Row>({
      {http_response(400, error_body("invalid_request_error")), Errc::bad_request, 400, echo},
      {http_response(401, error_body("authentication_error")), Errc::unauthorized, 401, echo},
      {http_response(404, error_body("not_found_error")), Errc::not_found, 404, echo},
      {http_response(413, error_body("request_too_large")), Errc::too_large, 413, echo},
      {http_response(429, error_body("rate_limit_error"), "application/json", "Retry-After: 3\r\n"), Errc::rate_limited, 429,
       echo},
      {http_response(500, error_body("api_error")), Errc::server_error, 500, echo},
      {http_response(529, error_body("overloaded_error")), Errc::unavailable, 529, echo},
      {http_response(200, error_body("overloaded_error")), Errc::unavailable, 200, echo},
      {http_response(200, stream_start + "event: error\ndata: " + error_body("overloaded_error") + "\n\n", "text/event-stream"),
       Errc::unavailable, 0, echo},
      {http_response(200, stream_start, "text/event-stream"), Errc::bad_reply, 200, "ended before the answer did, after 2 bytes"},
      {http_response(200, "event: x\ndata: sk-test-0123456789\n\n", "text/event-stream"), Errc::bad_reply, 0, "not JSON: [key]"},
      {http_response(200, R"({"content":[]})"), Errc::bad_reply, 200, "empty content"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + stream_start, Errc::unavailable, 200,
       "the response was cut short, after "},
  }));
  RawServer server{[&](Connection& connection) { connection.read_request() && connection.send(row.response); }};
  const Error error = error_of([&] { return reply_of(options_for(server)); });
  CAPTURE(error.what());
  CHECK(error.code() == row.code);
  CHECK(error.context().http_status == row.status);
  CHECK(error.context().endpoint == server.url() + "/v1/messages");
  CHECK_THAT(error.what(), ContainsSubstring(row.reason));
  CHECK(error.context().retry_after.has_value() == (row.status == 429));
}

TEST_CASE("A message that was complete survives a broken connection", "[backend][anthropic]") {
  RawServer server{[&](Connection& connection) {
    connection.read_request() && connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + stream_start + stream_end);
  }};
  CHECK(reply_of(options_for(server)).text == "A square.");
}

TEST_CASE("A model that refuses temperature is asked without it, once and for all", "[backend][anthropic]") {
  const std::string refused =
      R"({"type":"error","error":{"type":"invalid_request_error","message":"`temperature` is deprecated for this model."}})";
  RawServer server{[&](Connection& connection) {
    connection.read_request() && connection.send(http_response(400, refused));
    while (connection.read_request() && connection.send(http_response(200, whole_reply))) {}
  }};
  AnthropicBackend backend{options_for(server)};
  const VisionRequest request = question({.sampling = {.temperature = 0.0, .max_tokens = 4}});
  CHECK(backend.generate(request, {}).text == "A square.");
  CHECK(server.requests().size() == 2);
  CHECK_FALSE(backend.dialect().sampling);
  CHECK(backend.generate(request, {}).text == "A square.");
  REQUIRE(server.requests().size() == 3);
  CHECK_THAT(server.requests()[0].body, ContainsSubstring("temperature"));
  CHECK_THAT(server.requests()[1].body, !ContainsSubstring("temperature"));
  CHECK_THAT(server.requests()[2].body, !ContainsSubstring("temperature"));
}

TEST_CASE("A check by the Messages API is not to think, until a model refuses that", "[backend][anthropic][thinking]") {
  const std::string refused =
      R"({"type":"error","error":{"type":"invalid_request_error","message":"thinking.type: disabled is not supported"}})";
  const std::string cut = R"({"type":"message","content":[],"model":"m","stop_reason":"max_tokens"})";
  RawServer server{[&](Connection& connection) {
    while (connection.read_request()) {
      const bool is_off = connection.last_body().find("disabled") != std::string::npos;
      if (!connection.send(is_off ? http_response(400, refused) : http_response(200, cut))) return;
    }
  }};
  AnthropicOptions options = options_for(server);
  options.dialect.extra = {{"thinking", {{"type", "enabled"}, {"budget_tokens", 2048}}}};
  AnthropicBackend backend{options};
  const VisionRequest check = question({.step = ecso::Step::check, .sampling = {.max_tokens = 4}});
  for (int i = 0; i < 2; ++i) static_cast<void>(backend.generate(check, {}));
  REQUIRE(server.requests().size() == 3);
  CHECK_THAT(server.requests()[0].body, ContainsSubstring(R"("thinking":{"type":"disabled"})") && !ContainsSubstring("2048"));
  CHECK_THAT(server.requests()[1].body, !ContainsSubstring("disabled") && ContainsSubstring(R"("max_tokens":4,)"));
  CHECK_THAT(server.requests()[2].body, ContainsSubstring(R"("max_tokens":4096)"));
  CHECK_THAT(ecso::anthropic_request_body(question(), options.dialect, "m"), ContainsSubstring("2048"));
}

}  // namespace anthropic_test
