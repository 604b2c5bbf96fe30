#include <ecso/backend/openai_wire.hpp>

#include <string>
#include <string_view>
#include <utility>

#include "support/catch.hpp"

namespace openai_servers_test {

// Replies of the servers that speak chat completions, as their documentation or source has them.

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

struct Shape {
  std::string server;
  std::string reply;
  std::string stream;
  Usage usage;
};

Reply read_stream(const std::string& bytes, std::string* heard) {
  OpenAiStream stream;
  stream.feed(bytes, [&](std::string_view text) { heard->append(text); });
  return std::move(stream).finish();
}

std::string event(const std::string& json) { return "data: " + json + "\n\n"; }

const std::string end = "data: [DONE]\n\n";

}  // namespace

TEST_CASE("whole and streamed replies of the servers of the field are read", "[backend][openai][servers]") {
  const Shape
      shape =
          GENERATE(Shape{"vLLM",
                         R"({"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":null,"content":"A cat.","tool_calls":[]},"logprobs":null,"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":10,"total_tokens":13,"completion_tokens":3,"prompt_tokens_details":null},"prompt_logprobs":null})",
                         event(
                             R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]})") +
                             event(
                                 R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"A cat."},"logprobs":null,"finish_reason":"stop","stop_reason":null}]})") +
                             event(
                                 R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":10,"total_tokens":13,"completion_tokens":3}})") +
                             end,
                         {10, 0, 3}},
                   Shape{
                       "SGLang",
                       R"({"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"A cat.","reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":"stop","matched_stop":2}],"usage":{"prompt_tokens":10,"total_tokens":13,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}})",
                       event(
                           R"({"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null,"matched_stop":null}],"usage":null})") +
                           event(
                               R"({"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":null,"content":"A cat."},"finish_reason":null}]})") +
                           event(
                               R"({"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":null,"content":null},"finish_reason":"stop","matched_stop":2}]})") +
                           event(
                               R"({"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":10,"total_tokens":13,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}})") +
                           end,
                       {10, 8, 3}},
                   Shape{
                       "Ollama",
                       R"({"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"message":{"role":"assistant","content":"A cat."},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}})",
                       event(
                           R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"A cat."},"finish_reason":null}]})") +
                           event(
                               R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]})") +
                           event(
                               R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}})") +
                           end,
                       {10, 0, 3}},
                   Shape{"OpenAI",
                         R"({"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"A cat.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"accepted_prediction_tokens":0}},"service_tier":"default","system_fingerprint":null})",
                         event(
                             R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"})") +
                             event(
                                 R"({"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"A cat."},"logprobs":null,"finish_reason":null}],"usage":null})") +
                             event(
                                 R"({"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null})") +
                             event(
                                 R"({"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0}}})") +
                             end,
                         {10, 8, 3}},
                   Shape{
                       "Azure",
                       R"({"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"finish_reason":"stop","index":0,"logprobs":null,"message":{"content":"A cat.","refusal":null,"role":"assistant"}}],"created":1,"id":"1","model":"m","object":"chat.completion","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}],"usage":{"completion_tokens":3,"prompt_tokens":10,"total_tokens":13}})",
                       event(
                           R"({"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]})") +
                           event(
                               R"({"choices":[{"content_filter_results":{},"delta":{"content":"A cat."},"finish_reason":null,"index":0}],"id":"1"})") +
                           event(
                               R"({"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0}],"id":"1","usage":{"completion_tokens":3,"prompt_tokens":10,"total_tokens":13}})") +
                           end,
                       {10, 0, 3}},
                   Shape{
                       "OpenRouter",
                       R"({"id":"gen-1","provider":"P","model":"m","object":"chat.completion","created":1,"choices":[{"logprobs":null,"finish_reason":"stop","native_finish_reason":"STOP","index":0,"message":{"role":"assistant","content":"A cat.","refusal":null,"reasoning":null}}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}})",
                       ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" +
                           event(
                               R"({"id":"gen-1","provider":"P","model":"m","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"role":"assistant","content":"A cat."},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]})") +
                           event(
                               R"({"id":"gen-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"STOP","logprobs":null}]})") +
                           event(
                               R"({"id":"gen-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}})") +
                           end,
                       {10, 0, 3}});
  CAPTURE(shape.server);
  const Reply whole = parse_openai_reply(shape.reply);
  CHECK(whole.text == "A cat.");
  CHECK(whole.finish_reason == FinishReason::stop);
  CHECK(whole.usage == shape.usage);
  CHECK(whole.model == "m");
  std::string heard;
  const Reply streamed = read_stream(shape.stream, &heard);
  CHECK(heard == "A cat.");
  CHECK(streamed.text == "A cat.");
  CHECK(streamed.finish_reason == FinishReason::stop);
  CHECK(streamed.usage == shape.usage);
}

TEST_CASE("an error that comes as an event of a stream is the call's", "[backend][openai][servers]") {
  std::string heard;
  const std::string openrouter =
      R"({"id":"gen-1","error":{"code":429,"message":"Rate limit exceeded"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]})";
  CHECK_THROWS_WITH(read_stream(event(R"({"choices":[{"delta":{"content":"A"}}]})") + event(openrouter), &heard),
                    ContainsSubstring("Rate limit exceeded"));
  const std::string vllm =
      R"({"error":{"object":"error","message":"engine died","type":"InternalServerError","param":null,"code":500}})";
  CHECK_THROWS_WITH(read_stream(event(vllm) + end, &heard), ContainsSubstring("engine died"));
}

TEST_CASE("errors of the servers of the field give their own words", "[backend][openai][servers]") {
  const auto said = [](int status, const std::string& body) { return server_error(status, body).message(); };
  CHECK_THAT(
      said(
          400,
          R"({"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400})"),
      ContainsSubstring("maximum context length"));
  CHECK_THAT(
      said(
          400,
          R"({"error":{"message":"The response was filtered due to the prompt","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}})"),
      ContainsSubstring("was filtered"));
  CHECK_THAT(said(404, R"({"error":{"message":"model 'x' not found","type":"api_error","param":null,"code":null}})"),
             ContainsSubstring("model 'x' not found"));
  CHECK_THAT(said(401, R"({"error":{"message":"No auth credentials found","code":401},"user_id":"u"})"),
             ContainsSubstring("No auth"));
}

}  // namespace openai_servers_test
