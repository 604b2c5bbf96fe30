#include <ecso/backend/ollama_wire.hpp>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
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

namespace ollama_wire_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::ask;
using ecso::CallOptions;
using ecso::Conversation;
using ecso::Errc;
using ecso::Error;
using ecso::FinishReason;
using ecso::Image;
using ecso::Message;
using ecso::ollama_choice;
using ecso::ollama_request_body;
using ecso::OllamaDialect;
using ecso::OllamaStream;
using ecso::parse_ollama_reply;
using ecso::Reply;
using ecso::Role;
using ecso::Secret;
using ecso::TextRequest;
using ecso::TokenLogprobs;
using ecso::Usage;
using ecso::VisionRequest;
using nlohmann::json;

Image png() { return Image::from_bytes(ecso::test::png_bytes(3, 2)); }

std::string body_of(Conversation conversation, CallOptions options = {}, const OllamaDialect& dialect = {}) {
  return ollama_request_body(VisionRequest{std::move(conversation), std::move(options)}, dialect, "llava");
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

/// The request's fields after the messages.
json fields(CallOptions options, const OllamaDialect& dialect = {}) {
  json body = json::parse(body_of(ask({}, "?"), std::move(options), dialect));
  body.erase("model");
  body.erase("messages");
  return body;
}

Reply done_with(const std::string& members) {
  return parse_ollama_reply(R"({"message":{"role":"assistant","content":"x"},"done":true)" + members + "}");
}

/// What a stream of these pieces gives, and in `seen` what it called `on_text` with.
Reply streamed(const std::vector<std::string_view>& pieces, std::string& seen) {
  OllamaStream stream{Secret::from_text("sk-key")};
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
    R"({"model":"llava","created_at":"2025-01-01T00:00:00Z","message":{"role":"assistant","content":"","thinking":"hm"},"done":false})"
    "\n"
    R"({"model":"llava","message":{"role":"assistant","content":"Grün"},"done":false,"logprobs":[{"token":"Grün","logprob":-0.5,)"
    R"("bytes":[71],"top_logprobs":[{"token":"Grün","logprob":-0.5},{"token":"Rot","logprob":-1.5}]}]})"
    "\n"
    R"({"model":"llava","message":{"role":"assistant","content":" 草"},"done":false,"logprobs":[{"token":" 草","logprob":-1}]})"
    "\n"
    R"({"model":"llava","message":{"role":"assistant","content":""},"done":true,"done_reason":"length","total_duration":5,)"
    R"("load_duration":1,"prompt_eval_count":600,"prompt_eval_duration":2,"eval_count":2,"eval_duration":2})"
    "\n";

}  // namespace

TEST_CASE("A question about an image becomes bare base64 for Ollama, byte for byte", "[backend][ollama]") {
  const Image image = png();
  CHECK(body_of(ask({image}, "What?")) ==
        R"({"model":"llava","messages":[{"role":"user","images":[")" + std::string{image.base64()} +
            R"("],"content":"What?"}],"truncate":false,"shift":false,"stream":false,"think":false,"options":{}})");
}

TEST_CASE("Turns and images keep their order for Ollama", "[backend][ollama]") {
  const Image a = png();
  const Image b = Image::from_bytes(ecso::test::bmp_bytes(4, 4));
  const Conversation chat{{Message{Role::system, {"Be \"kind\"."}}, Message{Role::user, {a, "first", b, "second"}},
                           Message{Role::assistant, {"x"}}, Message{Role::user, {"1", "2"}}}};
  CHECK(json::parse(body_of(chat))["messages"] ==
        json{{{"role", "system"}, {"content", "Be \"kind\"."}},
             {{"role", "user"}, {"images", {a.base64(), b.base64()}}, {"content", "first\nsecond"}},
             {{"role", "assistant"}, {"content", "x"}},
             {{"role", "user"}, {"content", "1\n2"}}});
  const Conversation texts{{Message{Role::system, {"s"}}, Message{Role::user, {"1", "2"}}}};
  CHECK(ollama_request_body(TextRequest{ecso::close_eyes(texts, {}), {}}, {}, "llava") == body_of(texts));
}

TEST_CASE("Options are written as Ollama names them", "[backend][ollama]") {
  const json plain{{"truncate", false}, {"shift", false}, {"stream", false}, {"think", false}, {"options", json::object()}};
  CHECK(fields({}) == plain);
  CHECK(fields({.sampling =
                    {.temperature = 0.5, .top_p = 0.25, .max_tokens = 7, .seed = 0x1'8000'0005, .stop = {"END"}}})["options"] ==
        json{{"temperature", 0.5}, {"top_p", 0.25}, {"num_predict", 7}, {"seed", 5}, {"stop", {"END"}}});
  const ecso::CallOptions check{.choices = {"yes", "no"}, .top_logprobs = 25};
  CHECK(fields(check)["logprobs"] == true);
  CHECK(fields(check)["top_logprobs"] == 20);
  CHECK_FALSE(fields(check).contains("format"));
  const json forced = fields(check, {.logprobs = false});
  CHECK(forced["format"] == json{{"type", "string"}, {"enum", {"yes", "no"}}});
  CHECK_FALSE(forced.contains("logprobs"));
  CHECK(fields({.choices = {"yes", "no"}}) == fields({.choices = {"yes", "no"}}, {.logprobs = false}));
  CHECK(fields(check, {.logprobs = false, .choices = false}) == plain);
  CHECK(json::parse(ollama_request_body(VisionRequest{ask({}, "?"), {.model = "m"}}, {}, "l", {.stream = true}))["stream"] ==
        true);
  CHECK(json::parse(body_of(ask({}, "?"), {.model = "m"}))["model"] == "m");
}

TEST_CASE("Ollama is told how to run the model", "[backend][ollama]") {
  const json body =
      fields({.sampling = {.temperature = 0.5, .max_tokens = 7}}, {.think = true,
                                                                   .num_ctx = 8192,
                                                                   .keep_alive = std::chrono::seconds{-1},
                                                                   .model_options = {{"temperature", 0}, {"top_k", 1}}});
  CHECK(body["think"] == true);
  CHECK(body["keep_alive"] == -1);
  CHECK(body["options"] == json{{"num_predict", 7}, {"num_ctx", 8192}, {"temperature", 0}, {"top_k", 1}});
  CHECK_FALSE(fields({}, {.think = std::nullopt}).contains("think"));
  CHECK(fields({.step = ecso::Step::check}, {.think = true})["think"] == false);
  CHECK_FALSE(fields({.step = ecso::Step::recheck}, {.check_thinks = std::nullopt}).contains("think"));
  CHECK(fields({}, {.model_options = {{"top_k", 1}}})["options"] == json{{"top_k", 1}});
  CHECK(refusal([] { return body_of(ask({}, "?"), {}, {.model_options = 1}); }).code() == Errc::bad_input);
}

TEST_CASE("What JSON cannot say does not go to Ollama", "[backend][ollama]") {
  CHECK(refusal([] { return body_of({}); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of(ask({png()}, "\xFF")); }).code() == Errc::bad_input);
  CHECK(refusal([] { return body_of(ask({}, "?"), {.sampling = {.temperature = std::nan("")}}); }).code() == Errc::bad_input);
}

TEST_CASE("Ollama requests about the same image begin alike, and are as long as reserved", "[backend][ollama]") {
  const std::string a = body_of(ask({png()}, "one"));
  const std::string b = body_of(ask({png()}, "two"), {.sampling = {.max_tokens = 3, .seed = 1}, .choices = {"yes"}});
  const std::size_t same = a.find("one");
  CHECK(a.substr(0, same) == b.substr(0, same));
  CHECK(b.capacity() == b.size());
}

TEST_CASE("A whole reply of Ollama is read", "[backend][ollama]") {
  const Reply reply = parse_ollama_reply(R"({"model":"llava:7b","created_at":"2025-01-01T00:00:00Z",
    "message":{"role":"assistant","content":"Yes","thinking":"hm"},"done":true,"done_reason":"stop","total_duration":4883583458,
    "load_duration":1334875,"prompt_eval_count":600,"prompt_eval_duration":342546000,"eval_count":2,"eval_duration":4535599000,
    "logprobs":[{"token":"Yes","logprob":-0.25,"bytes":[89],"top_logprobs":[{"token":"No","logprob":-1.5}]},{"token":"","logprob":0}]})"
                                         "\n");
  CHECK(reply.text == "Yes");
  CHECK(reply.finish_reason == FinishReason::stop);
  CHECK(reply.model == "llava:7b");
  CHECK(reply.usage == Usage{600, 0, 2});
  CHECK(reply.logprobs == std::vector{TokenLogprobs{"Yes", -0.25, {{"No", -1.5}}}, TokenLogprobs{"", 0, {}}});
}

TEST_CASE("Done reasons of Ollama are told apart, and odd counts do no harm", "[backend][ollama]") {
  CHECK(done_with(R"(,"done_reason":"stop")").finish_reason == FinishReason::stop);
  CHECK(done_with(R"(,"done_reason":"length")").finish_reason == FinishReason::length);
  CHECK(done_with(R"(,"done_reason":"load")").finish_reason == FinishReason::other);
  CHECK(done_with("").finish_reason == FinishReason::unknown);
  CHECK(done_with(R"(,"done_reason":7)").finish_reason == FinishReason::unknown);
  CHECK(done_with(R"(,"prompt_eval_count":"9","eval_count":-3)").usage == Usage{});
  CHECK(done_with(R"(,"eval_count":18446744073709551615)").usage == Usage{0, 0, std::int64_t{1} << 40});
  CHECK(done_with(R"(,"logprobs":{})").logprobs.empty());
  CHECK(done_with(R"(,"logprobs":[1,{"token":"a","top_logprobs":[2]}])").logprobs ==
        std::vector{TokenLogprobs{"", -9999.0, {}}, TokenLogprobs{"a", -9999.0, {{"", -9999.0}}}});
}

TEST_CASE("What is not a reply of Ollama is refused with its reason", "[backend][ollama]") {
  const auto [body, reason] = GENERATE(table<std::string, std::string>({
      {"", "an empty response"},
      {"Ollama is running", "not JSON: Ollama is running"},
      {R"({"message":{"content":"half)", "not JSON"},
      {R"({"message":{"content":"x"}})", "ended before the answer did, after 1 bytes"},
      {R"({"message":{"content":"x"},"done":false})", "ended before the answer did"},
      {R"({"message":{"content":"x"},"done":"true"})", "ended before the answer did"},
      {"null", "ended before the answer did"},
      {"[]", "ended before the answer did"},
      {R"({"message":{"content":""},"done":true,"done_reason":"load"})", "empty content (finish reason: other)"},
      {R"({"message":{"content":"","thinking":"hm"},"done":true,"done_reason":"stop"})", "empty content (finish reason: stop)"},
      {R"({"message":"x","done":true})", "empty content"},
      {R"({"message":{"content":["x"]},"done":true})", "empty content"},
      {R"({"done":true})", "empty content"},
      {std::string(1'000'000, '['), "64 levels"},
  }));
  CAPTURE(body.substr(0, 80));
  const Error error = refusal([&text = body] { return parse_ollama_reply(text); });
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.what(), ContainsSubstring(reason));
  CHECK(stream_refusal(body + "\n").code() == Errc::bad_reply);
}

TEST_CASE("An error of Ollama is an error at any time, and does not hold the key", "[backend][ollama]") {
  const std::string body = R"({"error":"out of memory: sk-key"})";
  const Error expected{Errc::server_error, "out of memory: [key]"};
  CHECK(refusal([&] { return parse_ollama_reply(body, Secret::from_text("sk-key")); }) == expected);
  const std::string begun{whole_stream.substr(0, whole_stream.rfind("{\"model\""))};
  CHECK(stream_refusal(begun + body + "\n") == expected);
  CHECK(stream_refusal(begun + body) == expected);
}

TEST_CASE("A streamed reply of Ollama reads the same however its bytes are cut", "[backend][ollama]") {
  const auto check = [](const std::vector<std::string_view>& pieces) {
    std::string seen;
    const Reply reply = streamed(pieces, seen);
    REQUIRE(reply.text == "Grün 草");
    REQUIRE(seen == reply.text);
    REQUIRE(reply.finish_reason == FinishReason::length);
    REQUIRE(reply.usage == Usage{600, 0, 2});
    REQUIRE(reply.model == "llava");
    REQUIRE(reply.logprobs ==
            std::vector{TokenLogprobs{"Grün", -0.5, {{"Grün", -0.5}, {"Rot", -1.5}}}, TokenLogprobs{" 草", -1, {}}});
  };
  check({whole_stream});
  for (std::size_t cut = 0; cut <= whole_stream.size(); ++cut) check({whole_stream.substr(0, cut), whole_stream.substr(cut)});
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < whole_stream.size(); ++i) bytes.push_back(whole_stream.substr(i, 1));
  check(bytes);
  check({whole_stream.substr(0, whole_stream.size() - 1)});
  const std::string trailing = "\r\n\n" + std::string{whole_stream} + "garbage\n";
  check({trailing});
}

TEST_CASE("An Ollama stream that ends before it is done is no reply, wherever it ends", "[backend][ollama]") {
  for (std::size_t size = 0; size < whole_stream.size() - 1; ++size) {
    REQUIRE(stream_refusal(whole_stream.substr(0, size)).code() == Errc::bad_reply);
  }
  // Nobody saw the text of the last line.
  CHECK_THAT(stream_refusal(R"({"message":{"content":"x"},"done":true})").what(), ContainsSubstring("inside a line"));
}

TEST_CASE("A choice is taken out of the JSON string that Ollama's format forces", "[backend][ollama]") {
  CHECK(ollama_choice(R"("yes")") == "yes");
  CHECK(ollama_choice(" \"n\\u006f\"\n") == "no");
  CHECK(ollama_choice("yes") == "yes");
  CHECK(ollama_choice(R"("ye)") == R"("ye)");
  CHECK(ollama_choice(R"("yes" or "no")") == R"("yes" or "no")");
  CHECK(ollama_choice(R"("")") == R"("")");
  CHECK(ollama_choice(std::string(1'000'000, '[')).size() == 1'000'000);
  CHECK(ollama_choice("").empty());
}

}  // namespace ollama_wire_test
