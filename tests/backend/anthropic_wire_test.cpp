#include <ecso/backend/anthropic_wire.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace anthropic_wire_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::anthropic_request_body;
using ecso::AnthropicDialect;
using ecso::AnthropicStream;
using ecso::ask;
using ecso::CallOptions;
using ecso::Conversation;
using ecso::Errc;
using ecso::Error;
using ecso::FinishReason;
using ecso::Image;
using ecso::Message;
using ecso::parse_anthropic_reply;
using ecso::Reply;
using ecso::Role;
using ecso::Secret;
using ecso::TextRequest;
using ecso::Usage;
using ecso::VisionRequest;
using nlohmann::json;

Image png() { return Image::from_bytes(ecso::test::png_bytes(3, 2)); }

std::string body_of(Conversation conversation, CallOptions options = {}, const AnthropicDialect& dialect = {}) {
  return anthropic_request_body(VisionRequest{std::move(conversation), std::move(options)}, dialect, "claude");
}

template <typename Call>
Error refusal(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    return error;
  }
  return Error{Errc::internal, "the call did not fail"};
}

/// The request's fields beside model and messages.
json fields(CallOptions options, const AnthropicDialect& dialect = {}) {
  json body = json::parse(body_of(ask({}, "?"), std::move(options), dialect));
  body.erase("model");
  body.erase("messages");
  return body;
}

Reply reply_of(const std::string& content, const std::string& more = "") {
  return parse_anthropic_reply(R"({"type":"message","content":[{"type":"text","text":)" + content + "}]" + more + "}");
}

/// What a stream of these pieces gives, and in `seen` what it called `on_text` with.
Reply streamed(const std::vector<std::string_view>& pieces, std::string& seen) {
  AnthropicStream stream{Secret::from_text("sk-key")};
  for (const std::string_view piece : pieces) {
    stream.feed(piece, [&](std::string_view text) { seen += text; });
  }
  return std::move(stream).finish();
}

Error stream_refusal(std::string_view bytes) {
  std::string seen;
  return refusal([&] { return streamed({bytes}, seen); });
}

constexpr std::string_view whole_stream =
    "event: message_start\n"
    R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude",)"
    R"("stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":20,"cache_creation_input_tokens":300,)"
    R"("cache_read_input_tokens":1000,"output_tokens":1}}})"
    "\n\n"
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})"
    "\n\n"
    "event: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}})"
    "\n\n"
    "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})"
    "\n\n"
    "event: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Grün"}})"
    "\r\n\r\n"
    "event: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":" 草"}})"
    "\n\n"
    "event: content_block_stop\n"
    R"(data: {"type":"content_block_stop","index":1})"
    "\n\n"
    "event: message_delta\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":15}})"
    "\n\n"
    "event: message_stop\n"
    R"(data: {"type":"message_stop"})"
    "\n\n";

}  // namespace

TEST_CASE("A question about an image becomes blocks for the Messages API, byte for byte", "[backend][anthropic]") {
  const Image image = png();
  const std::string source =
      R"("source":{"type":"base64","media_type":"image/png","data":")" + std::string{image.base64()} + "\"}";
  CHECK(body_of(ask({image}, "What?")) == R"({"model":"claude","messages":[{"role":"user","content":[{"type":"image",)" + source +
                                              R"(,"cache_control":{"type":"ephemeral"}},{"type":"text","text":"What?"}]}],)" +
                                              R"("max_tokens":4096})");
  CHECK(body_of(ask({image}, "What?"), {}, {.max_tokens = 7, .cache_images = false}) ==
        R"({"model":"claude","messages":[{"role":"user","content":[{"type":"image",)" + source +
            R"(},{"type":"text","text":"What?"}]}],"max_tokens":7})");
}

TEST_CASE("Only the last image of a chat is marked for the Messages API's cache, and an empty text is no block",
          "[backend][anthropic]") {
  const Image a = png();
  const Image b = Image::from_bytes(ecso::test::jpeg_bytes(8, 8));
  const json body = json::parse(body_of(
      {{Message{Role::user, {a, b, ""}}, Message{Role::assistant, {"x", "y"}}, Message{Role::user, {"look", a, "well"}}}}));
  const json& messages = body["messages"];
  REQUIRE(messages.size() == 3);
  REQUIRE(messages[0]["content"].size() == 2);
  CHECK_FALSE(messages[0]["content"][0].contains("cache_control"));
  CHECK_FALSE(messages[0]["content"][1].contains("cache_control"));
  CHECK(messages[0]["content"][1]["source"]["media_type"] == "image/jpeg");
  CHECK(messages[1] == json{{"role", "assistant"}, {"content", "x\ny"}});
  CHECK(messages[2]["content"][0] == json{{"type", "text"}, {"text", "look"}});
  CHECK(messages[2]["content"][1]["cache_control"]["type"] == "ephemeral");
  CHECK(messages[2]["content"][2]["text"] == "well");
}

TEST_CASE("System turns go before all others in a Messages request, wherever they stand", "[backend][anthropic]") {
  const Conversation chat{{Message{Role::system, {"Be \"kind\"."}}, Message{Role::user, {"1"}}, Message{Role::system, {""}},
                           Message{Role::assistant, {"2"}}, Message{Role::system, {"Be", "brief."}}, Message{Role::user, {"3"}}}};
  const std::string expected = R"({"model":"m","system":"Be \"kind\".\n\nBe\nbrief.","messages":[{"role":"user","content":"1"},)"
                               R"({"role":"assistant","content":"2"},{"role":"user","content":"3"}],"max_tokens":4096})";
  CHECK(body_of(chat, {.model = "m"}) == expected);
  CHECK(anthropic_request_body(TextRequest{ecso::close_eyes(chat, {}), {}}, {}, "m") == expected);
}

TEST_CASE("Options are written as the Messages API names them, and what it lacks is left out", "[backend][anthropic]") {
  CHECK(fields({}) == json{{"max_tokens", 4096}});
  CHECK(fields({.sampling = {.temperature = 0.5, .top_p = 0.25, .max_tokens = 7, .seed = 3, .stop = {"END"}},
                .choices = {"yes", "no"},
                .top_logprobs = 5}) ==
        json{{"temperature", 0.5}, {"top_p", 0.25}, {"max_tokens", 7}, {"stop_sequences", {"END"}}});
  CHECK(fields({.sampling = {.temperature = 1.7}})["temperature"] == 1);
  CHECK(fields({.sampling = {.temperature = -1}})["temperature"] == 0);
  CHECK(fields({.sampling = {.temperature = 0.5, .top_p = 0.25}}, {.sampling = false}) == json{{"max_tokens", 4096}});
  CHECK(json::parse(anthropic_request_body(VisionRequest{ask({}, "?"), {}}, {}, "", {.stream = true}))["stream"] == true);
}

TEST_CASE("Extra fields of a Messages request replace ours, but not its messages", "[backend][anthropic]") {
  CHECK(fields({}, {.extra = {{"max_tokens", 1}, {"thinking", {{"type", "disabled"}}}}}) ==
        json{{"max_tokens", 1}, {"thinking", {{"type", "disabled"}}}});
  CHECK(json::parse(body_of(ask({}, "?"), {}, {.extra = {{"model", "other"}}}))["model"] == "other");
  CHECK(refusal([] { return body_of(ask({}, "?"), {}, {.extra = {{"messages", 1}}}); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of(ask({}, "?"), {}, {.extra = 1}); }).code() == Errc::bad_input);
}

TEST_CASE("What the Messages API cannot take is refused before it is sent", "[backend][anthropic]") {
  for (const std::string& bytes :
       {ecso::test::png_bytes(3, 2), ecso::test::jpeg_bytes(8, 8), ecso::test::gif_bytes(1, 1), ecso::test::webp_bytes(8, 8)}) {
    const Image image = Image::from_bytes(bytes);
    CHECK_THAT(body_of(ask({image}, "?")), ContainsSubstring(std::string{to_string(image.media_type())}));
  }
  const Error bmp = refusal([] { return body_of(ask({Image::from_bytes(ecso::test::bmp_bytes(4, 4))}, "?")); });
  CHECK(bmp.code() == Errc::unsupported);
  CHECK_THAT(bmp.what(), ContainsSubstring("image/bmp"));
  const Conversation image_in_system{{Message{Role::system, {png()}}, Message{Role::user, {"?"}}}};
  CHECK(refusal([&] { return body_of(image_in_system); }).code() == Errc::unsupported);
  CHECK(refusal([] { return body_of({}); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of({{Message{Role::system, {"s"}}}}); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of(ask({png()}, "\xFF")); }).code() == Errc::bad_input);
  for (const double value : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    CHECK(refusal([&] { return body_of(ask({}, "?"), {.sampling = {.temperature = value}}); }).code() == Errc::bad_input);
  }
}

TEST_CASE("Messages requests about the same image begin alike, and are as long as reserved", "[backend][anthropic]") {
  const std::string a = body_of(ask({png()}, "one"));
  const std::string b = body_of(ask({png()}, "two"), {.sampling = {.temperature = 0.5, .max_tokens = 3, .stop = {"\n"}}});
  const std::size_t same = a.find("one");
  CHECK(a.substr(0, same) == b.substr(0, same));
  CHECK(b.capacity() == b.size());
}

TEST_CASE("A refused temperature is not sent again to the Messages API", "[backend][anthropic]") {
  const Error deprecated{Errc::bad_request, "`temperature` is deprecated for this model.", {.http_status = 400}};
  const CallOptions cold{.sampling = {.temperature = 0.0}};
  const auto plainer = ecso::anthropic_fallback({}, cold, deprecated);
  REQUIRE(plainer);
  CHECK_FALSE(plainer->sampling);
  CHECK(ecso::anthropic_fallback(*plainer, cold, deprecated) == std::nullopt);
  CHECK(ecso::anthropic_fallback({}, {}, deprecated) == std::nullopt);
  CHECK(ecso::anthropic_fallback({}, cold, Error{Errc::server_error, "temperature", {.http_status = 500}}) == std::nullopt);
  CHECK(ecso::anthropic_fallback({}, cold, Error{Errc::bad_request, "image too large", {.http_status = 400}}) == std::nullopt);
  CHECK(ecso::anthropic_fallback({}, {.sampling = {.top_p = 1}}, Error{Errc::bad_request, "top_p: no", {.http_status = 400}}));
}

TEST_CASE("A whole message of the Messages API is read", "[backend][anthropic]") {
  const Reply reply = parse_anthropic_reply(R"({"id":"msg_1","type":"message","role":"assistant","model":"claude-x",
    "content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"A ","citations":null},
               {"type":"tool_use","id":"1","name":"n","input":{}},{"type":"text","text":"square."}],
    "stop_reason":"end_turn","stop_sequence":null,"stop_details":null,
    "usage":{"input_tokens":20,"cache_creation_input_tokens":300,"cache_read_input_tokens":1000,"output_tokens":4,
             "cache_creation":{"ephemeral_5m_input_tokens":300},"service_tier":"standard"}})");
  CHECK(reply.text == "A square.");
  CHECK(reply.finish_reason == FinishReason::stop);
  CHECK(reply.model == "claude-x");
  CHECK(reply.usage == Usage{1320, 1000, 4});
  CHECK(reply.logprobs.empty());
}

TEST_CASE("Stop reasons of the Messages API are told apart", "[backend][anthropic]") {
  const auto reason = [](const std::string& name) { return reply_of("\"x\"", ",\"stop_reason\":" + name).finish_reason; };
  CHECK(reason("\"end_turn\"") == FinishReason::stop);
  CHECK(reason("\"stop_sequence\"") == FinishReason::stop);
  CHECK(reason("\"max_tokens\"") == FinishReason::length);
  CHECK(reason("\"model_context_window_exceeded\"") == FinishReason::length);
  CHECK(reason("\"refusal\"") == FinishReason::content_filter);
  CHECK(reason("\"tool_use\"") == FinishReason::other);
  CHECK(reason("\"pause_turn\"") == FinishReason::other);
  CHECK(reason("null") == FinishReason::unknown);
  CHECK(reason("[1]") == FinishReason::unknown);
}

TEST_CASE("Token counts of any type in a message do no harm", "[backend][anthropic]") {
  const auto usage = [](const std::string& json_text) { return reply_of("\"x\"", ",\"usage\":" + json_text).usage; };
  CHECK(usage("null") == Usage{});
  CHECK(usage("[1]") == Usage{});
  CHECK(usage(R"({"input_tokens":-5,"output_tokens":"7"})") == Usage{});
  CHECK(usage(R"({"input_tokens":5,"cache_read_input_tokens":null})") == Usage{5, 0, 0});
  const Usage huge = usage(
      R"({"input_tokens":18446744073709551615,"cache_read_input_tokens":9223372036854775807,"cache_creation_input_tokens":1e300})");
  CHECK(huge.prompt_tokens > 0);
  CHECK(huge.cached_tokens > 0);
}

TEST_CASE("What is not a message of the Messages API is refused with its reason", "[backend][anthropic]") {
  const auto [body, reason] = GENERATE(table<std::string, std::string>({
      {"", "an empty response"},
      {"<html>It works!</html>", "not JSON: <html>"},
      {R"({"content":[{"type":"text","text":"half)", "not JSON"},
      {"null", "no content"},
      {"[]", "no content"},
      {"{}", "no content"},
      {R"({"content":"x"})", "no content"},
      {R"({"content":{}})", "no content"},
      {R"({"content":[]})", "empty content"},
      {R"({"content":[null,1,"x",[]]})", "empty content"},
      {R"({"content":[{"type":"text","text":""}],"stop_reason":"refusal"})", "empty content (finish reason: content_filter)"},
      {R"({"content":[{"type":"text","text":7}]})", "empty content"},
      {R"({"content":[{"text":"x"}]})", "empty content"},
      {R"({"content":[{"type":"tool_use","input":{}}],"stop_reason":"tool_use"})", "empty content (finish reason: other)"},
      {std::string(1'000'000, '['), "64 levels"},
  }));
  CAPTURE(body.substr(0, 80));
  const Error error = refusal([&text = body] { return parse_anthropic_reply(text); });
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.what(), ContainsSubstring(reason));
}

TEST_CASE("An error of the Messages API is what its type says, and does not hold the key", "[backend][anthropic]") {
  const auto [type, code] = GENERATE(table<std::string, Errc>({
      {"invalid_request_error", Errc::bad_request},
      {"billing_error", Errc::bad_request},
      {"authentication_error", Errc::unauthorized},
      {"permission_error", Errc::unauthorized},
      {"not_found_error", Errc::not_found},
      {"request_too_large", Errc::too_large},
      {"rate_limit_error", Errc::rate_limited},
      {"timeout_error", Errc::timeout},
      {"overloaded_error", Errc::unavailable},
      {"api_error", Errc::server_error},
      {"news", Errc::server_error},
  }));
  CAPTURE(type);
  const std::string body = R"({"type":"error","error":{"type":")" + type + R"(","message":"no: sk-key"},"request_id":"r"})";
  CHECK(refusal([&] { return parse_anthropic_reply(body, Secret::from_text("sk-key")); }) == Error{code, "no: [key]"});
  const std::string begun{whole_stream.substr(0, whole_stream.find("event: content_block_stop"))};
  CHECK(stream_refusal(begun + "event: error\ndata: " + body + "\n\n") == Error{code, "no: [key]"});
  CHECK(refusal([] { return parse_anthropic_reply(R"({"error":7})"); }) ==
        Error{Errc::server_error, "an error without a message"});
}

TEST_CASE("A streamed message reads the same however its bytes are cut", "[backend][anthropic]") {
  const auto check = [](const std::vector<std::string_view>& pieces) {
    std::string seen;
    const Reply reply = streamed(pieces, seen);
    REQUIRE(reply.text == "Grün 草");
    REQUIRE(seen == reply.text);
    REQUIRE(reply.finish_reason == FinishReason::length);
    REQUIRE(reply.usage == Usage{1320, 1000, 15});
    REQUIRE(reply.model == "claude");
  };
  check({whole_stream});
  for (std::size_t cut = 0; cut <= whole_stream.size(); ++cut) check({whole_stream.substr(0, cut), whole_stream.substr(cut)});
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < whole_stream.size(); ++i) bytes.push_back(whole_stream.substr(i, 1));
  check(bytes);
}

TEST_CASE("A message stream that ends before its message_stop is no reply, wherever it ends", "[backend][anthropic]") {
  for (std::size_t size = 0; size < whole_stream.size() - 1; ++size) {
    const Error error = stream_refusal(whole_stream.substr(0, size));
    REQUIRE(error.code() == Errc::bad_reply);
    REQUIRE_THAT(error.what(), ContainsSubstring("ended before the answer did"));
  }
}

TEST_CASE("A message stream of odd shapes is refused or passed over, never believed", "[backend][anthropic]") {
  const std::string stop = "data: {\"type\":\"message_stop\"}\n\n";
  CHECK_THAT(stream_refusal(stop).what(), ContainsSubstring("empty content"));
  CHECK_THAT(stream_refusal("data: 1\n\ndata: null\n\ndata: []\n\ndata: {\"type\":7}\n\n" + stop).what(),
             ContainsSubstring("empty content"));
  CHECK_THAT(stream_refusal("data: {\"type\":\"message_start\",\"message\":[]}\n\n"
                            "data: {\"type\":\"content_block_delta\",\"delta\":\"x\"}\n\n"
                            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":1}}\n\n" +
                            stop)
                 .what(),
             ContainsSubstring("empty content"));
  CHECK_THAT(stream_refusal("data: {half\n\n" + stop).what(), ContainsSubstring("not JSON"));
  std::string seen;
  const std::string trailing = std::string{whole_stream} + "data: garbage\n\n";
  CHECK(streamed({trailing}, seen).text == "Grün 草");
}

}  // namespace anthropic_wire_test
