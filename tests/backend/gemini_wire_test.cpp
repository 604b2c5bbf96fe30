#include <ecso/backend/gemini_wire.hpp>

#include <cmath>
#include <cstddef>
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

namespace gemini_wire_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::ask;
using ecso::CallOptions;
using ecso::Conversation;
using ecso::Errc;
using ecso::Error;
using ecso::FinishReason;
using ecso::gemini_model_path;
using ecso::gemini_request_body;
using ecso::GeminiDialect;
using ecso::GeminiStream;
using ecso::Image;
using ecso::Message;
using ecso::parse_gemini_reply;
using ecso::Reply;
using ecso::Role;
using ecso::Secret;
using ecso::TextRequest;
using ecso::TokenLogprobs;
using ecso::Usage;
using ecso::VisionRequest;
using nlohmann::json;

Image png() { return Image::from_bytes(ecso::test::png_bytes(3, 2)); }

std::string body_of(Conversation conversation, CallOptions options = {}, const GeminiDialect& dialect = {}) {
  return gemini_request_body(VisionRequest{std::move(conversation), std::move(options)}, dialect);
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

json config(CallOptions options, const GeminiDialect& dialect = {}) {
  return json::parse(body_of(ask({}, "?"), std::move(options), dialect))["generationConfig"];
}

Reply with_finish_reason(const std::string& reason) {
  return parse_gemini_reply(R"({"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":)" + reason + "}]}");
}

Reply with_usage(const std::string& usage) {
  return parse_gemini_reply(R"({"candidates":[{"content":{"parts":[{"text":"x"}]}}],"usageMetadata":)" + usage + "}");
}

/// What a stream of these pieces gives, and in `seen` what it called `on_text` with.
Reply streamed(const std::vector<std::string_view>& pieces, std::string& seen) {
  GeminiStream stream{Secret::from_text("sk-key")};
  for (const std::string_view piece : pieces) {
    stream.feed(piece, [&](std::string_view text) { seen += text; });
    CHECK_FALSE(stream.is_complete());
  }
  return std::move(stream).finish();
}

Error stream_refusal(std::string_view bytes) {
  std::string seen;
  return refusal([&] { return streamed({bytes}, seen); });
}

constexpr std::string_view whole_stream =
    R"(data: {"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}],)"
    R"("usageMetadata":{"promptTokenCount":300,"totalTokenCount":300},"modelVersion":"gemini-x","responseId":"r"})"
    "\r\n\r\n"
    R"(data: {"candidates":[{"content":{"parts":[{"text":"Grün"}],"role":"model"},"index":0,)"
    R"("logprobsResult":{"chosenCandidates":[{"token":"Grün","tokenId":1,"logProbability":-0.5}],)"
    R"("topCandidates":[{"candidates":[{"token":"Grün","tokenId":1,"logProbability":-0.5}]}]}}],)"
    R"("usageMetadata":{"promptTokenCount":300,"candidatesTokenCount":1,"thoughtsTokenCount":7},"modelVersion":"gemini-x"})"
    "\r\n\r\n"
    R"(data: {"candidates":[{"content":{"parts":[{"text":" 草"}],"role":"model"},"finishReason":"MAX_TOKENS","index":0,)"
    R"("logprobsResult":{"chosenCandidates":[{"token":" 草","logProbability":-1}]}}],)"
    R"("usageMetadata":{"promptTokenCount":300,"cachedContentTokenCount":256,"candidatesTokenCount":2,"thoughtsTokenCount":7}})"
    "\r\n\r\n";

}  // namespace

TEST_CASE("A question about an image becomes parts for Gemini, byte for byte", "[backend][gemini]") {
  const Image image = png();
  CHECK(body_of(ask({image}, "What?")) ==
        R"({"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":")" + std::string{image.base64()} +
            R"("}},{"text":"What?"}]}],"generationConfig":{}})");
}

TEST_CASE("Turns, images and texts keep their order for Gemini, and system turns go before all", "[backend][gemini]") {
  const Image a = png();
  const Image b = Image::from_bytes(ecso::test::jpeg_bytes(8, 8));
  const Conversation chat{{Message{Role::system, {"Be \"kind\"."}}, Message{Role::user, {a, b, ""}},
                           Message{Role::assistant, {"x", "y"}}, Message{Role::system, {"Be brief."}},
                           Message{Role::user, {"look", a}}}};
  const auto inline_data = [](const Image& image) {
    return json{{"inlineData", {{"mimeType", to_string(image.media_type())}, {"data", image.base64()}}}};
  };
  const auto text = [](const std::string& t) { return json{{"text", t}}; };
  CHECK(json::parse(body_of(chat)) == json{{"systemInstruction", {{"parts", {text("Be \"kind\"."), text("Be brief.")}}}},
                                           {"contents",
                                            {{{"role", "user"}, {"parts", {inline_data(a), inline_data(b)}}},
                                             {{"role", "model"}, {"parts", json::array({text("x\ny")})}},
                                             {{"role", "user"}, {"parts", {text("look"), inline_data(a)}}}}},
                                           {"generationConfig", json::object()}});
  const Conversation texts{{Message{Role::system, {"s"}}, Message{Role::user, {"1", "2"}}}};
  CHECK(gemini_request_body(TextRequest{ecso::close_eyes(texts, {}), {}}) == body_of(texts));
}

TEST_CASE("Options are written as Gemini names them", "[backend][gemini]") {
  CHECK(config({.sampling = {.temperature = 0.5, .top_p = 0.25, .max_tokens = 7, .seed = 0x1'8000'0005, .stop = {"END"}}}) ==
        json{{"temperature", 0.5}, {"topP", 0.25}, {"maxOutputTokens", 7}, {"seed", 5}, {"stopSequences", {"END"}}});
  const CallOptions check{.choices = {"yes", "no"}, .top_logprobs = 25};
  const json choices{{"responseMimeType", "text/x.enum"}, {"responseSchema", {{"type", "STRING"}, {"enum", {"yes", "no"}}}}};
  CHECK(config(check) == choices);
  CHECK(config(check, {.logprobs = true, .choices = false}) == json{{"responseLogprobs", true}, {"logprobs", 20}});
  CHECK(config({}, {.logprobs = true}) == json::object());
}

TEST_CASE("More fields for Gemini are added, in the configuration also in place of ours", "[backend][gemini]") {
  CHECK(config({.sampling = {.temperature = 0.5, .max_tokens = 7}},
               {.generation_config = {{"temperature", 0}, {"thinkingConfig", {{"thinkingBudget", 0}}}}}) ==
        json{{"maxOutputTokens", 7}, {"temperature", 0}, {"thinkingConfig", {{"thinkingBudget", 0}}}});
  CHECK(config({}, {.generation_config = {{"topK", 1}}}) == json{{"topK", 1}});
  const nlohmann::ordered_json settings = {{{"category", "HARM_CATEGORY_HARASSMENT"}, {"threshold", "BLOCK_NONE"}}};
  CHECK(json::parse(body_of(ask({}, "?"), {}, {.extra = {{"safetySettings", settings}}}))["safetySettings"][0]["threshold"] ==
        "BLOCK_NONE");
  for (const char* ours : {"contents", "systemInstruction", "system_instruction", "generationConfig", "generation_config"}) {
    CHECK(refusal([&] { return body_of(ask({}, "?"), {}, {.extra = {{ours, 1}}}); }).code() == Errc::bad_input);
  }
  CHECK(refusal([] { return body_of(ask({}, "?"), {}, {.extra = "x"}); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of(ask({}, "?"), {}, {.generation_config = 1}); }).code() == Errc::bad_input);
}

TEST_CASE("What Gemini cannot take is refused before it is sent", "[backend][gemini]") {
  CHECK_THAT(body_of(ask({Image::from_bytes(ecso::test::webp_bytes(8, 8))}, "?")), ContainsSubstring("image/webp"));
  for (const std::string& bytes : {ecso::test::gif_bytes(1, 1), ecso::test::bmp_bytes(4, 4)}) {
    const Image image = Image::from_bytes(bytes);
    const Error error = refusal([&] { return body_of(ask({image}, "?")); });
    CHECK(error.code() == Errc::unsupported);
    CHECK_THAT(error.what(), ContainsSubstring(std::string{to_string(image.media_type())}));
  }
  const Conversation image_in_system{{Message{Role::system, {png()}}, Message{Role::user, {"?"}}}};
  CHECK(refusal([&] { return body_of(image_in_system); }).code() == Errc::unsupported);
  CHECK(refusal([] { return body_of({}); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of({{Message{Role::system, {"s"}}}}); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of(ask({png()}, "\xFF")); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of(ask({}, "?"), {.sampling = {.temperature = std::nan("")}}); }).code() == Errc::bad_input);
}

TEST_CASE("Gemini requests about the same image begin alike, and are as long as reserved", "[backend][gemini]") {
  const std::string a = body_of(ask({png()}, "one"));
  const std::string b = body_of(ask({png()}, "two"), {.sampling = {.max_tokens = 3, .seed = 1}, .choices = {"yes"}});
  const std::size_t same = a.find("one");
  CHECK(a.substr(0, same) == b.substr(0, same));
  CHECK(b.capacity() == b.size());
}

TEST_CASE("A model's name becomes a path, or is refused", "[backend][gemini]") {
  CHECK(gemini_model_path("gemini-2.5-flash") == "/models/gemini-2.5-flash");
  CHECK(gemini_model_path("models/gemini-2.5-flash") == "/models/gemini-2.5-flash");
  CHECK(gemini_model_path("tunedModels/my_model@1:x") == "/tunedModels/my_model@1:x");
  for (const std::string_view name :
       {"", "a b", "a?key=1", "a#b", "a%2fb", "a\nb", "é", "../x", "x/..", "a/./b", "/x", "x/", "a//b"}) {
    CAPTURE(name);
    CHECK(refusal([&] { return gemini_model_path(name); }).code() == Errc::bad_input);
  }
}

TEST_CASE("What Gemini refuses is not sent again", "[backend][gemini]") {
  const CallOptions check{.choices = {"yes", "no"}, .top_logprobs = 5};
  const GeminiDialect all{.logprobs = true};
  const auto refused = [](const std::string& message) { return Error{Errc::bad_request, message, {.http_status = 400}}; };
  const auto plainer = ecso::gemini_fallback(all, check, refused("Logprobs is not enabled for models/gemini-2.5-pro"));
  REQUIRE(plainer);
  CHECK_FALSE(plainer->logprobs);
  CHECK(plainer->choices);
  CHECK_FALSE(ecso::gemini_fallback(*plainer, check, refused("Logprobs is not enabled")));
  const auto plainest = ecso::gemini_fallback(*plainer, check, refused("* generation_config.response_mime_type: allowed are"));
  REQUIRE(plainest);
  CHECK_FALSE(plainest->choices);
  CHECK_FALSE(ecso::gemini_fallback(*plainest, check, refused("response_mime_type")));
  CHECK_FALSE(ecso::gemini_fallback(all, {}, refused("Logprobs, response_mime_type")));
  CHECK_FALSE(ecso::gemini_fallback(all, check, refused("API key not valid. Please pass a valid API key.")));
  CHECK_FALSE(ecso::gemini_fallback(all, check, Error{Errc::server_error, "logprobs", {.http_status = 500}}));
}

TEST_CASE("A whole reply of Gemini is read", "[backend][gemini]") {
  const Reply reply = parse_gemini_reply(R"({"candidates":[{"content":{"parts":[{"text":"thinking","thought":true},{"text":"y"},
      {"functionCall":{"name":"f"}},{"text":"es","thoughtSignature":"s"}],"role":"model"},"finishReason":"STOP","index":0,"avgLogprobs":-0.5,
      "logprobsResult":{"chosenCandidates":[{"token":"y","tokenId":1,"logProbability":-0.25},{"token":"es","logProbability":0}],
                        "topCandidates":[{"candidates":[{"token":"y","logProbability":-0.25},{"token":"n","logProbability":-1.5}]}]}}],
    "usageMetadata":{"promptTokenCount":300,"cachedContentTokenCount":256,"candidatesTokenCount":2,"thoughtsTokenCount":40,"totalTokenCount":342},
    "modelVersion":"gemini-2.5-flash","responseId":"r"})");
  CHECK(reply.text == "yes");
  CHECK(reply.finish_reason == FinishReason::stop);
  CHECK(reply.model == "gemini-2.5-flash");
  CHECK(reply.usage == Usage{300, 256, 42});
  CHECK(reply.logprobs == std::vector{TokenLogprobs{"y", -0.25, {{"y", -0.25}, {"n", -1.5}}}, TokenLogprobs{"es", 0, {}}});
}

TEST_CASE("Finish reasons of Gemini are told apart", "[backend][gemini]") {
  CHECK(with_finish_reason("\"STOP\"").finish_reason == FinishReason::stop);
  CHECK(with_finish_reason("\"MAX_TOKENS\"").finish_reason == FinishReason::length);
  CHECK(with_finish_reason("\"CONTINUATION\"").finish_reason == FinishReason::length);
  for (const char* filter : {"SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "IMAGE_SAFETY"}) {
    CHECK(with_finish_reason('"' + std::string{filter} + '"').finish_reason == FinishReason::content_filter);
  }
  CHECK(with_finish_reason("\"LANGUAGE\"").finish_reason == FinishReason::other);
  CHECK(with_finish_reason("\"MALFORMED_FUNCTION_CALL\"").finish_reason == FinishReason::other);
  CHECK(with_finish_reason("\"FINISH_REASON_UNSPECIFIED\"").finish_reason == FinishReason::unknown);
  CHECK(with_finish_reason("null").finish_reason == FinishReason::unknown);
  CHECK(with_finish_reason("2").finish_reason == FinishReason::unknown);
}

TEST_CASE("Token counts and log-probabilities of any type from Gemini do no harm", "[backend][gemini]") {
  CHECK(with_usage("null").usage == Usage{});
  CHECK(with_usage("[]").usage == Usage{});
  CHECK(with_usage(R"({"promptTokenCount":"7","candidatesTokenCount":-3})").usage == Usage{});
  CHECK(with_usage(R"({"candidatesTokenCount":9223372036854775807,"thoughtsTokenCount":18446744073709551615})")
            .usage.completion_tokens > 0);
  const auto logprobs = [](const std::string& result) {
    return parse_gemini_reply(R"({"candidates":[{"content":{"parts":[{"text":"x"}]},"logprobsResult":)" + result + "}]}")
        .logprobs;
  };
  CHECK(logprobs("null").empty());
  CHECK(logprobs(R"({"chosenCandidates":{}})").empty());
  CHECK(logprobs(R"({"chosenCandidates":[1],"topCandidates":[2]})") == std::vector{TokenLogprobs{"", -9999.0, {}}});
  CHECK(logprobs(R"({"chosenCandidates":[{"token":"a"}],"topCandidates":[{"candidates":[7]}]})") ==
        std::vector{TokenLogprobs{"a", -9999.0, {{"", -9999.0}}}});
}

TEST_CASE("What is not a reply of Gemini is refused with its reason", "[backend][gemini]") {
  const auto [body, reason] = GENERATE(table<std::string, std::string>({
      {"", "an empty response"},
      {"<html>It works!</html>", "not JSON: <html>"},
      {R"({"candidates":[{"content":{"parts":[{"text":"half)", "not JSON"},
      {"null", "no candidates"},
      {"[]", "no candidates"},
      {"{}", "no candidates"},
      {R"({"candidates":{}})", "no candidates"},
      {R"({"candidates":[]})", "no candidates"},
      {R"({"candidates":[null]})", "empty content"},
      {R"({"candidates":[{"content":{"parts":[]}}]})", "empty content (finish reason: unknown)"},
      {R"({"candidates":[{"content":{"parts":[1,null,{"text":7},[]]}}]})", "empty content"},
      {R"({"candidates":[{"finishReason":"SAFETY"}]})", "empty content (finish reason: SAFETY)"},
      {R"({"candidates":[{"content":{},"finishReason":"SAFETY"}],"usageMetadata":{"thoughtsTokenCount":253}})",
       "empty content (finish reason: SAFETY) after 253 tokens of thoughts"},
      {R"({"candidates":[{"content":{"parts":[{"text":"hm","thought":true}]},"finishReason":"STOP"}]})", "empty content"},
      {R"({"promptFeedback":{"blockReason":"SAFETY"}})", "the server's filter blocked the prompt: SAFETY"},
      {R"({"promptFeedback":{"blockReason":"OTHER"},"candidates":[{"content":{"parts":[{"text":"x"}]}}]})",
       "blocked the prompt: OTHER"},
      {std::string(1'000'000, '['), "64 levels"},
  }));
  CAPTURE(body.substr(0, 80));
  const Error error = refusal([&text = body] { return parse_gemini_reply(text); });
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.what(), ContainsSubstring(reason));
  if (!body.starts_with('[')) CHECK(stream_refusal("data: " + body + "\n\n").code() == Errc::bad_reply);
}

TEST_CASE("An error of Gemini is what its status says, and does not hold the key", "[backend][gemini]") {
  const auto [status, code] = GENERATE(table<std::string, Errc>({
      {"INVALID_ARGUMENT", Errc::bad_request},
      {"FAILED_PRECONDITION", Errc::bad_request},
      {"UNAUTHENTICATED", Errc::unauthorized},
      {"PERMISSION_DENIED", Errc::unauthorized},
      {"NOT_FOUND", Errc::not_found},
      {"RESOURCE_EXHAUSTED", Errc::rate_limited},
      {"DEADLINE_EXCEEDED", Errc::timeout},
      {"UNAVAILABLE", Errc::unavailable},
      {"INTERNAL", Errc::server_error},
      {"NEWS", Errc::server_error},
  }));
  CAPTURE(status);
  const std::string body = R"({"error":{"code":503,"message":"no: sk-key","status":")" + status + R"("}})";
  CHECK(refusal([&] { return parse_gemini_reply(body, Secret::from_text("sk-key")); }) == Error{code, "no: [key]"});
  const std::string begun{whole_stream.substr(0, whole_stream.rfind("data:"))};
  CHECK(stream_refusal(begun + "data: " + body + "\n\n") == Error{code, "no: [key]"});
}

TEST_CASE("A filter that cuts in leaves what it let through, and says so", "[backend][gemini]") {
  CHECK(with_finish_reason("\"SAFETY\"").text == "x");
  std::string seen;
  const std::string_view cut = whole_stream.substr(0, whole_stream.rfind("data:"));
  const std::string filtered = std::string{cut} + "data: {\"candidates\":[{\"finishReason\":\"PROHIBITED_CONTENT\"}]}\n\n";
  const Reply reply = streamed({filtered}, seen);
  CHECK(reply.text == "Grün");
  CHECK(reply.finish_reason == FinishReason::content_filter);
}

TEST_CASE("A streamed reply of Gemini reads the same however its bytes are cut", "[backend][gemini]") {
  const auto check = [](const std::vector<std::string_view>& pieces) {
    std::string seen;
    const Reply reply = streamed(pieces, seen);
    REQUIRE(reply.text == "Grün 草");
    REQUIRE(seen == reply.text);
    REQUIRE(reply.finish_reason == FinishReason::length);
    REQUIRE(reply.usage == Usage{300, 256, 9});
    REQUIRE(reply.model == "gemini-x");
    REQUIRE(reply.logprobs == std::vector{TokenLogprobs{"Grün", -0.5, {{"Grün", -0.5}}}, TokenLogprobs{" 草", -1, {}}});
  };
  check({whole_stream});
  for (std::size_t cut = 0; cut <= whole_stream.size(); ++cut) check({whole_stream.substr(0, cut), whole_stream.substr(cut)});
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < whole_stream.size(); ++i) bytes.push_back(whole_stream.substr(i, 1));
  check(bytes);
}

TEST_CASE("A Gemini stream that ends before its finish reason is no reply, wherever it ends", "[backend][gemini]") {
  // The last line feed may be missing: a carriage return ends a line too.
  for (std::size_t size = 0; size < whole_stream.size() - 1; ++size) {
    const Error error = stream_refusal(whole_stream.substr(0, size));
    REQUIRE(error.code() == Errc::bad_reply);
    REQUIRE_THAT(error.what(), ContainsSubstring("ended before the answer did"));
  }
  CHECK_THAT(stream_refusal("data: {half\n\n").what(), ContainsSubstring("not JSON"));
}

}  // namespace gemini_wire_test
