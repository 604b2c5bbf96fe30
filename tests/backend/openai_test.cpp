#include <ecso/backend/openai.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/patience.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

namespace openai_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Clock = std::chrono::steady_clock;
using ecso::CallContext;
using ecso::CallOptions;
using ecso::Capabilities;
using ecso::ChoiceStyle;
using ecso::Conversation;
using ecso::Errc;
using ecso::Error;
using ecso::Image;
using ecso::LogprobStyle;
using ecso::OpenAiBackend;
using ecso::OpenAiOptions;
using ecso::Reply;
using ecso::Secret;
using ecso::TextRequest;
using ecso::VisionRequest;
using ecso::test::comes_true;
using ecso::test::http_response;
using ecso::test::patience;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using ecso::test::succeeds_in_time;
using Connection = RawServer::Connection;

constexpr std::string_view key = "sk-test-0123456789";

std::string reply_body(std::string_view content) {
  return nlohmann::json{{"choices", {{{"message", {{"content", content}}}, {"finish_reason", "stop"}}}}, {"model", "tiny"}}
      .dump();
}

OpenAiOptions options_for(const std::string& base_url) {
  return {.base_url = base_url, .key = Secret::from_text(std::string{key}), .http = {.proxy = ""}};
}

VisionRequest question(CallOptions options = {}) {
  static const Image image = Image::from_bytes(ecso::test::png_bytes(3, 2));
  return {ecso::ask({image}, "What?"), std::move(options)};
}

Reply reply_of(const OpenAiOptions& options, const VisionRequest& request = question(), const CallContext& context = {}) {
  OpenAiBackend backend{options};
  return backend.generate(request, context);
}

/// The error, of which no part holds the key.
template <typename Call>
Error error_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    CHECK_THAT(error.what(), !ContainsSubstring("sk-test"));
    CHECK_THAT(error.context().endpoint, !ContainsSubstring("sk-test"));
    return error;
  }
  return Error{Errc::internal, "the call did not fail"};
}

Error error_from(const RawServer& server, std::chrono::milliseconds time = patience) {
  return error_of([&] { return reply_of(options_for(server.url()), question(), {.deadline = Clock::now() + time}); });
}

}  // namespace

TEST_CASE("A question with an image goes out as written and the reply comes back", "[backend][openai]") {
  RawServer server{RawServer::always(http_response(200, reply_body("A square.")))};
  OpenAiOptions options = options_for(server.url());
  options.model = "llava";
  options.dialect = ecso::llama_server_dialect();
  const VisionRequest request = question({.sampling = {.temperature = 0}, .choices = {"yes", "no"}, .top_logprobs = 3});
  const Reply reply = reply_of(options, request);
  CHECK(reply.text == "A square.");
  CHECK(reply.model == "tiny");
  CHECK(reply.finish_reason == ecso::FinishReason::stop);
  REQUIRE(server.requests().size() == 1);
  const auto sent = server.requests().front();
  CHECK(sent.body == ecso::openai_request_body(request, options.dialect, "llava"));
  CHECK_THAT(sent.head, ContainsSubstring("POST /v1/chat/completions HTTP/1.1\r\n") &&
                            ContainsSubstring("\r\nContent-Type: application/json") &&
                            ContainsSubstring("\r\nAuthorization: Bearer sk-test-0123456789"));
}

TEST_CASE("A request without images goes the same way", "[backend][openai]") {
  RawServer server{RawServer::always(http_response(200, reply_body("Hello.")))};
  OpenAiBackend backend{options_for(server.url())};
  const TextRequest request{ecso::close_eyes(ecso::ask({}, "Hi"), {}), {}};
  CHECK(backend.generate(request, {}).text == "Hello.");
  CHECK(server.requests().front().body == R"({"messages":[{"role":"user","content":"Hi"}]})");
}

TEST_CASE("Without a key no Authorization header is sent", "[backend][openai]") {
  RawServer server{RawServer::always(http_response(200, reply_body("ok")))};
  OpenAiOptions options = options_for(server.url());
  options.key = {};
  CHECK(reply_of(options).text == "ok");
  CHECK_THAT(server.requests().front().head, !ContainsSubstring("uthorization"));
}

TEST_CASE("The usual ways to write a base URL all lead to the right path", "[backend][openai]") {
  const auto url = [](const std::string& base) { return OpenAiBackend{{.base_url = base}}.url().text(); };
  CHECK(url("http://127.0.0.1:8080") == "http://127.0.0.1:8080/v1/chat/completions");
  CHECK(url("http://127.0.0.1:8080/") == "http://127.0.0.1:8080/v1/chat/completions");
  CHECK(url("http://127.0.0.1:8080/v1") == "http://127.0.0.1:8080/v1/chat/completions");
  CHECK(url("http://127.0.0.1:8080/v1/") == "http://127.0.0.1:8080/v1/chat/completions");
  CHECK(url("https://example.com/api/v3/chat/completions") == "https://example.com/api/v3/chat/completions");
  CHECK(url("https://example.com/v1beta/openai/") == "https://example.com/v1beta/openai/chat/completions");
  CHECK(error_of([] { return OpenAiBackend{{.base_url = "127.0.0.1:8080"}}.url(); }).code() == Errc::bad_input);
}

TEST_CASE("Capabilities follow from the options", "[backend][openai]") {
  CHECK(OpenAiBackend{{.base_url = "http://h"}}.capabilities() == Capabilities{.vision = true,
                                                                               .logprobs = false,
                                                                               .forced_choice = false,
                                                                               .concurrent = true,
                                                                               .streaming = true,
                                                                               .slots = 0,
                                                                               .may_cut = true});
  CHECK(OpenAiBackend{{.base_url = "http://h", .vision = false, .slots = 4, .dialect = ecso::vllm_dialect()}}.capabilities() ==
        Capabilities{.vision = false,
                     .logprobs = true,
                     .forced_choice = true,
                     .concurrent = true,
                     .streaming = true,
                     .prefix_cache = true,
                     .slots = 4});
}

TEST_CASE("A model without vision is not sent an image", "[backend][openai]") {
  RawServer server{RawServer::always(http_response(200, reply_body("ok")))};
  OpenAiOptions blind = options_for(server.url());
  blind.vision = false;
  CHECK(error_of([&] { return reply_of(blind); }).code() == Errc::unsupported);
  CHECK(server.connections() == 0);
  CHECK(reply_of(blind, {ecso::ask({}, "Hi"), {}}).text == "ok");
}

TEST_CASE("A choice forced by a schema comes back as the bare choice", "[backend][openai]") {
  RawServer server{RawServer::always(http_response(200, reply_body(R"({"answer": "yes"})")))};
  OpenAiOptions options = options_for(server.url());
  options.dialect = {.choices = ecso::ChoiceStyle::response_format, .logprobs = ecso::LogprobStyle::top_logprobs};
  // The first token of a schema's JSON says nothing of yes or no.
  CHECK_FALSE(OpenAiBackend{options}.capabilities().logprobs);
  CHECK(reply_of(options, question({.choices = {"yes", "no"}})).text == "yes");
  CHECK(reply_of(options).text == R"({"answer": "yes"})");
}

TEST_CASE("Every answer that is not a reply is one clear error", "[backend][openai]") {
  struct Row {
    std::string response;
    Errc code;
    int status;
    std::string reason;
  };
  const std::string echo = R"({"error":{"message":"bad key sk-test-0123456789"}})";
  const Row row = GENERATE_COPY(values<Row>({
      {http_response(400, R"({"error":{"message":"Failed to load image or audio file"}})"), Errc::bad_request, 400,
       "Failed to load image"},
      {http_response(401, echo), Errc::unauthorized, 401, "bad key [key]"},
      {http_response(403, "<html>sk-test-0123456789</html>", "text/html"), Errc::unauthorized, 403, "<html>[key]</html>"},
      {http_response(404, R"({"detail":"Not Found"})"), Errc::not_found, 404, "Not Found"},
      {http_response(413, ""), Errc::too_large, 413, "larger than the server's limit"},
      {http_response(422, R"({"detail":[{"msg":"field required"}]})"), Errc::bad_request, 422, "field required"},
      {http_response(429, R"({"error":"slow down"})", "application/json", "Retry-After: 3\r\n"), Errc::rate_limited, 429,
       "slow down"},
      {http_response(500, R"({"error":{"message":"oops"}})"), Errc::server_error, 500, "oops"},
      {http_response(503, R"({"error":{"message":"Loading model"}})"), Errc::unavailable, 503, "Loading model"},
      {http_response(308, "", "text/html", "Location: https://h/v1?k=sk-test-0123456789\r\n"), Errc::not_found, 308,
       "https://h/v1?k=[key]"},
      {http_response(200, "<html>It works! sk-test-0123456789</html>", "text/html"), Errc::bad_reply, 200,
       "not JSON: <html>It works! [key]"},
      {http_response(200, R"({"object":"list"})"), Errc::bad_reply, 200, "no choices"},
      {http_response(200, reply_body("")), Errc::bad_reply, 200, "empty content"},
      {http_response(200, echo), Errc::server_error, 200, "bad key [key]"},
      {http_response(204, ""), Errc::bad_reply, 204, "an empty response"},
      {"HTTP/1.1 200 OK\r\nContent-Le", Errc::bad_reply, 200, "an empty response"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"choi", Errc::unavailable, 200, "the response was cut short, after "},
      {"", Errc::unavailable, 0, "Empty reply"},
  }));
  RawServer server{[&](Connection& connection) { connection.read_request() && connection.send(row.response); }};
  const Error error = error_from(server);
  CAPTURE(error.what());
  CHECK(error.code() == row.code);
  CHECK(error.context().http_status == row.status);
  CHECK(error.context().endpoint == server.url() + "/v1/chat/completions");
  CHECK_THAT(error.what(), ContainsSubstring(row.reason));
  CHECK(error.context().retry_after.has_value() == (row.status == 429));
}

TEST_CASE("A connection that is refused or speaks no TLS, and a server that stalls, are one clear error", "[backend][openai]") {
  const ReservedPort nobody;
  CHECK(error_of([&] { return reply_of(options_for(nobody.url())); }).code() == Errc::unavailable);
  RawServer plain{RawServer::always(http_response(200, reply_body("ok")))};
  RawServer garbage{[](Connection& connection) { connection.send("HTTP/1.1 400 Bad Request\r\n\r\n"); }};
  CHECK(error_of([&] { return reply_of(options_for(garbage.url("https"))); }).code() == Errc::tls);
  RawServer silent{[](Connection& connection) { connection.stall(); }};
  CHECK(succeeds_in_time(150ms, [&](std::chrono::milliseconds limit) {
    const Error error = error_from(silent, limit);
    CHECK(error.code() == Errc::timeout);
    const std::string_view what = error.what();
    return what.find("/v1/chat/completions: no complete response within") != what.npos;  // if the call began in time
  }));
}

TEST_CASE("A cancelled call is cancelled, and the server sees it", "[backend][openai]") {
  std::atomic<bool> was_closed{false};
  RawServer server{
      [&](Connection& connection) { was_closed = connection.read_request() && connection.wait_for_close(patience); }};
  std::stop_source source;
  const std::jthread canceller{[&] {
    static_cast<void>(comes_true([&] { return !server.requests().empty(); }));
    source.request_stop();
  }};
  CHECK(error_of([&] { return reply_of(options_for(server.url()), question(), {.stop = source.get_token()}); }).code() ==
        Errc::cancelled);
  CHECK(comes_true([&] { return was_closed.load(); }));
}

TEST_CASE("One backend serves eight threads", "[backend][openai]") {
  RawServer server{[](Connection& connection) {
    while (connection.read_request() && connection.pause(1ms) && connection.send(http_response(200, reply_body("ok")))) {}
  }};
  OpenAiBackend backend{options_for(server.url())};
  const VisionRequest request = question();
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) good += backend.generate(request, {}).text == "ok" ? 1 : 0;
      });
    }
  }
  CHECK(good == 80);
  CHECK(server.connections() <= 8);
}

}  // namespace openai_test
