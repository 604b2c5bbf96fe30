#include <ecso/backend/openai_reply.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace openai_reply_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::FinishReason;
using ecso::openai_choice;
using ecso::parse_openai_reply;
using ecso::Reply;
using ecso::Secret;
using ecso::TokenLogprobs;
using ecso::Usage;

Error refusal(std::string_view body, const Secret& key = {}) {
  try {
    return Error{Errc::internal, "accepted: " + parse_openai_reply(body, key).text};
  } catch (const Error& error) {
    return error;
  }
}

Reply with_content(const std::string& content) {
  return parse_openai_reply(R"({"choices":[{"message":{"content":)" + content + "}}]}");
}

Reply with_finish_reason(const std::string& reason) {
  return parse_openai_reply(R"({"choices":[{"message":{"content":"x"},"finish_reason":)" + reason + "}]}");
}

Reply with_usage(const std::string& members) {
  return parse_openai_reply(R"({"choices":[{"message":{"content":"x"}}],)" + members + "}");
}

std::string repeated(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("A whole reply of llama-server is read", "[backend][openai]") {
  const Reply reply = parse_openai_reply(R"({
    "choices": [{"finish_reason": "length", "index": 0, "message": {"role": "assistant", "content": "Yes"},
                 "logprobs": {"content": [
                   {"id": 1, "token": "Yes", "bytes": [89, 101, 115], "logprob": -0.25,
                    "top_logprobs": [{"id": 1, "token": "Yes", "bytes": [], "logprob": -0.25}, {"id": 2, "token": "No", "bytes": [], "logprob": -1.5}]},
                   {"id": 0, "token": "", "bytes": [], "logprob": 0, "top_logprobs": []}]}}],
    "created": 1, "model": "tiny", "system_fingerprint": "b1", "object": "chat.completion",
    "usage": {"completion_tokens": 2, "prompt_tokens": 600, "total_tokens": 602, "prompt_tokens_details": {"cached_tokens": 576}},
    "id": "chatcmpl-1", "timings": {"cache_n": 1, "prompt_n": 24}})");
  CHECK(reply.text == "Yes");
  CHECK(reply.finish_reason == FinishReason::length);
  CHECK(reply.model == "tiny");
  CHECK(reply.usage == Usage{600, 576, 2});
  REQUIRE(reply.logprobs.size() == 2);
  CHECK(reply.logprobs[0] == TokenLogprobs{"Yes", -0.25, {{"Yes", -0.25}, {"No", -1.5}}});
  CHECK(reply.logprobs[1] == TokenLogprobs{"", 0, {}});
}

TEST_CASE("Content is a string, an array of texts, or a refusal in its place", "[backend][openai]") {
  CHECK(with_content(R"("a\n\u0000é😀")").text == std::string{"a\n\0é😀", 9});
  CHECK(with_content(R"([{"type":"text","text":"a"},{"type":"image"},"b",7,{"type":"text","text":null},{"text":"c"}])").text ==
        "abc");
  CHECK(with_content(R"(null,"refusal":"I cannot.")").text == "I cannot.");
  CHECK(with_content(R"("","refusal":"I cannot.")").text == "I cannot.");
  CHECK(with_content(R"("yes","refusal":null)").text == "yes");
  CHECK(with_content(R"(" ")").text == " ");
}

TEST_CASE("The tokens of the text are counted where all that was generated is in it", "[backend][openai]") {
  const auto counts = [](const std::string& message, const std::string& more, const std::string& usage) {
    return parse_openai_reply(R"({"choices":[{"message":{"content":"x")" + message + "}}" + more +
                              R"(],"usage":{"prompt_tokens":9,)" + usage + "}}")
        .counts;
  };
  using ecso::TokenCounts;
  CHECK(counts("", "", R"("completion_tokens":70)") == TokenCounts{9, 70});
  CHECK(counts("", "", R"("completion_tokens":70,"completion_tokens_details":{"reasoning_tokens":60})") == TokenCounts{9, 10});
  CHECK(counts("", "", R"("completion_tokens":70,"completion_tokens_details":{"reasoning_tokens":90})") == TokenCounts{9, 0});
  CHECK(counts(R"(,"reasoning_content":"Hm.")", "", R"("completion_tokens":70)") == TokenCounts{9, 0});
  CHECK(counts("", R"(,{"message":{"content":"y"}})", R"("completion_tokens":70)") == TokenCounts{9, 0});
}

TEST_CASE("Finish reasons are those of the API, and others are told as such", "[backend][openai]") {
  CHECK(with_finish_reason(R"("stop")").finish_reason == FinishReason::stop);
  CHECK(with_finish_reason(R"("content_filter")").finish_reason == FinishReason::content_filter);
  CHECK(with_finish_reason(R"("tool_calls")").finish_reason == FinishReason::other);
  CHECK(with_finish_reason("null").finish_reason == FinishReason::unknown);
  CHECK(with_finish_reason("17").finish_reason == FinishReason::unknown);
  for (const char* name : {R"("eos_token")", R"("stop_sequence")", R"("end_turn")", R"("STOP")"})
    CHECK(with_finish_reason(name).finish_reason == FinishReason::stop);
  CHECK(with_finish_reason(R"("max_tokens")").finish_reason == FinishReason::length);
  CHECK(with_finish_reason(R"("MAX_TOKENS")").finish_reason == FinishReason::length);
}

TEST_CASE("A reply that calls a tool says so, whatever its finish reason", "[backend][openai]") {
  const auto with = [](const std::string& member) {
    return parse_openai_reply(R"({"choices":[{"message":{"content":"no",)" + member + R"(},"finish_reason":"stop"}]})")
        .finish_reason;
  };
  CHECK(with(R"("tool_calls":[{"type":"function","function":{"name":"report","arguments":"{}"}}])") == FinishReason::other);
  CHECK(with(R"("function_call":{"name":"report","arguments":"{}"})") == FinishReason::other);
  CHECK(with(R"("tool_calls":[])") == FinishReason::stop);
  CHECK(with(R"("tool_calls":null,"function_call":null)") == FinishReason::stop);
}

TEST_CASE("A refusal that the server marks as one is told as such", "[backend][openai]") {
  const auto with = [](const std::string& message) {
    return parse_openai_reply(R"({"choices":[{"message":{)" + message + R"(},"finish_reason":"stop"}]})");
  };
  CHECK(with(R"("content":null,"refusal":"No.")").text == "No.");
  CHECK(with(R"("content":null,"refusal":"No.")").finish_reason == FinishReason::content_filter);
  CHECK(with(R"("content":"no","refusal":"I can't")").finish_reason == FinishReason::content_filter);
  CHECK(with(R"("content":"no","refusal":null)").finish_reason == FinishReason::stop);
}

TEST_CASE("Token counts of any type are read without harm", "[backend][openai]") {
  constexpr auto most = std::int64_t{1} << 40;  // a sum of them cannot overflow
  CHECK(with_usage(R"("usage":null)").usage == Usage{});
  CHECK(with_usage(R"("usage":[1,2])").usage == Usage{});
  CHECK(with_usage(R"("usage":{"prompt_tokens":-5,"completion_tokens":"7"})").usage == Usage{});
  CHECK(with_usage(R"("usage":{"prompt_tokens":18446744073709551615,"completion_tokens":2.9})").usage == Usage{most, 0, 2});
  CHECK(with_usage(R"("usage":{"prompt_tokens":1e300,"completion_tokens":-1e300})").usage == Usage{most, 0, 0});
  CHECK(with_usage(R"("usage":{"prompt_tokens":9},"timings":{"cache_n":4})").usage == Usage{9, 4, 0});
  CHECK(with_usage(R"("usage":{"prompt_tokens_details":null},"timings":{"cache_n":4})").usage == Usage{0, 4, 0});
}

TEST_CASE("Log-probabilities of a wrong type are all but impossible, or none", "[backend][openai]") {
  const auto logprobs = [](const std::string& json) {
    return parse_openai_reply(R"({"choices":[{"message":{"content":"x"},"logprobs":)" + json + "}]}").logprobs;
  };
  CHECK(logprobs("null").empty());
  CHECK(logprobs(R"({"content":{}})").empty());
  CHECK(logprobs(R"({"content":[1]})") == std::vector{TokenLogprobs{"", -9999.0, {}}});
  CHECK(logprobs(R"({"content":[{"token":"a","logprob":null,"top_logprobs":[{"token":7,"logprob":-1}]}]})") ==
        std::vector{TokenLogprobs{"a", -9999.0, {{"", -1}}}});
}

TEST_CASE("What is not a reply is refused with its reason", "[backend][openai]") {
  const auto [body, reason] = GENERATE(table<std::string, std::string>({
      {"", "an empty response"},
      {" \n", "an empty response"},
      {"<html>\n<body><h1>It works!</h1></body></html>", "not JSON: <html> <body><h1>It works!</h1></body></html>"},
      {R"({"choices":[{"message":{"content":"half)", "not JSON"},
      {R"({"choices":[{"message":{"content":"x"}}]} trailing)", "not JSON"},
      {"{\"choices\":[{\"message\":{\"content\":\"\xFF\"}}]}", "not JSON"},
      {R"({"choices":[{"message":{"content":1e999}}]})", "not JSON"},
      {"null", "no choices"},
      {"[]", "no choices"},
      {"{}", "no choices"},
      {R"({"object":"list"})", "no choices"},
      {R"({"choices":null})", "no choices"},
      {R"({"choices":[]})", "no choices"},
      {R"({"choices":{"0":{}}})", "no choices"},
      {R"({"choices":[null]})", "empty content"},
      {R"({"choices":[{"message":"x"}]})", "empty content"},
      {R"({"choices":[{"message":{"content":null}}]})", "empty content (finish reason: unknown)"},
      {R"({"choices":[{"message":{"content":""},"finish_reason":"stop"}]})", "empty content (finish reason: stop)"},
      {R"({"choices":[{"message":{"content":[]}}]})", "empty content"},
      {R"({"choices":[{"message":{"content":42}}]})", "empty content"},
  }));
  CAPTURE(body);
  const Error error = refusal(body);
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.what(), ContainsSubstring(reason));
}

TEST_CASE("An error in a response that claims success is an error", "[backend][openai]") {
  CHECK(refusal(R"({"error":{"message":"out of memory"}})") == Error{Errc::server_error, "out of memory"});
  CHECK(refusal(R"({"error":"busy","choices":[{"message":{"content":"x"}}]})") == Error{Errc::server_error, "busy"});
  CHECK(refusal(R"({"error":{"code":7}})") == Error{Errc::server_error, "an error without a message"});
  CHECK(parse_openai_reply(R"({"error":null,"choices":[{"message":{"content":"x"}}]})").text == "x");
}

TEST_CASE("JSON of any depth is refused without using the stack", "[backend][openai]") {
  constexpr int depth = 1'000'000;
  const std::string arrays = repeated("[", depth);
  for (const std::string& body : {arrays, arrays + repeated("]", depth), repeated(R"({"choices":)", depth),
                                  R"({"unknown":)" + arrays, R"({"choices":[{"message":{"content":)" + arrays}) {
    const Error error = refusal(body);
    CHECK(error.code() == Errc::bad_reply);
    CHECK_THAT(error.what(), ContainsSubstring("64 levels"));
  }
  CHECK(
      parse_openai_reply(R"({"choices":[{"message":{"content":"x"}}],"x":)" + repeated("[", 50) + repeated("]", 50) + "}").text ==
      "x");
}

TEST_CASE("A reply of many megabytes of other members is read without keeping them", "[backend][openai]") {
  std::string body = R"({"choices":[{"message":{"content":"x","junk":[)" + repeated("0,", 2'000'000) + R"(0]}}],"more":")" +
                     std::string(4'000'000, 'y') + "\"}";
  CHECK(parse_openai_reply(body).text == "x");
}

TEST_CASE("What a message quotes is one line, cut, and without the key", "[backend][openai]") {
  const Secret key = Secret::from_text("sk-0123456789");
  const std::string at_the_cut = std::string(195, 'a') + "sk-0123456789";
  const std::string message = refusal(at_the_cut, key).message();
  CHECK_THAT(message, !ContainsSubstring("sk-"));
  CHECK(message == "not JSON: " + std::string(195, 'a') + "[key]");
  CHECK(refusal(R"({"error":"bad key sk-\u00301234\u0035\u003678\u0039"})", key).message() == "bad key [key]");
  CHECK_THAT(refusal(R"({"id":"sk-0123456789"})", key).message(), ContainsSubstring("[key]"));
  CHECK(refusal("a\r\n\tb\x1B[31m\xC2\x9B"
                "c\xFF\x7F答")
            .message() == "not JSON: a b [31m c? 答");
  CHECK(refusal(repeated("答", 300)).message() == "not JSON: " + repeated("答", 200) + "…");
}

TEST_CASE("A choice is taken out of the JSON that a schema forces", "[backend][openai]") {
  CHECK(openai_choice(R"({"answer":"yes"})") == "yes");
  CHECK(openai_choice(" {\n \"answer\" : \"n\\u006f\" }\n") == "no");
  CHECK(openai_choice("yes") == "yes");
  CHECK(openai_choice(R"({"answer":7})") == R"({"answer":7})");
  CHECK(openai_choice(R"({"answer":"ye)") == R"({"answer":"ye)");
  CHECK(openai_choice(R"({"other":"yes"})") == R"({"other":"yes"})");
  CHECK(openai_choice(repeated(R"({"answer":)", 100'000)).size() == 1'000'000);
}

TEST_CASE("A reply that has a member twice is none", "[backend][openai]") {
  const auto code_of = [](const std::string& body) {
    try {
      (void)parse_openai_reply(body);
    } catch (const Error& error) {
      return error.code();
    }
    return Errc::internal;
  };
  CHECK(code_of(R"({"choices":[{"message":{"content":"Yes","content":"No"}}]})") == Errc::bad_reply);
  CHECK(code_of(R"({"choices":[{"message":{"content":"Yes"}}],"choices":[{"message":{"content":"No"}}]})") == Errc::bad_reply);
  CHECK(parse_openai_reply(R"({"x":1,"x":2,"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]})").text == "a");
}

TEST_CASE("A choice that is made twice is none", "[backend][openai]") {
  const std::string twice = R"({"answer":"yes","answer":"no"})";
  CHECK(openai_choice(twice) == twice);
}

TEST_CASE("a reply that was cut in its thoughts has no text and says so", "[backend][openai]") {
  const auto reply =
      parse_openai_reply(R"({"choices":[{"message":{"content":null,"reasoning_content":"Well"},"finish_reason":"length"}]})");
  CHECK(reply.text.empty());
  CHECK(reply.finish_reason == FinishReason::length);
}

}  // namespace openai_reply_test
