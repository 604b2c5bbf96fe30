#include <ecso/backend/openai_stream.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace openai_stream_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

/// As llama-server sends it: role, pieces, finish, usage, end.
const std::string stream_text =
    R"(data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"model":"tiny"})"
    "\n\n"
    R"(data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"A r"},"logprobs":{"content":[{"token":"A r","logprob":-0.5,"top_logprobs":[{"token":"A r","logprob":-0.5},{"token":"B","logprob":-1}]}]}}],"model":"tiny"})"
    "\n\n: keep-alive\n\n"
    R"(data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"ed ö square"}}],"model":"tiny","usage":null})"
    "\r\n\r\n"
    R"(data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"model":"tiny"})"
    "\n\n"
    R"(data: {"choices":[],"model":"tiny","usage":{"prompt_tokens":30,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":16}}})"
    "\n\ndata: [DONE]\n\n";

Reply read(const std::vector<std::string>& pieces, std::string* heard = nullptr, const Secret& key = {}) {
  OpenAiStream stream{key};
  for (const std::string& piece : pieces) {
    stream.feed(piece, [&](std::string_view text) {
      if (heard != nullptr) heard->append(text);
    });
  }
  return std::move(stream).finish();
}

Error error_of(const std::string& text, const Secret& key = {}) {
  try {
    (void)read({text}, nullptr, key);
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  return Error{Errc::internal, ""};
}

std::string piece(const std::string& text, const std::string& finish = "null") {
  return R"(data: {"choices":[{"delta":{"content":")" + text + R"("},"finish_reason":)" + finish + "}]}\n\n";
}

}  // namespace

TEST_CASE("a streamed completion is the same wherever its bytes are cut", "[backend][openai][stream]") {
  const Reply whole = read({stream_text});
  CHECK(whole.text == "A red ö square");
  CHECK(whole.finish_reason == FinishReason::length);
  CHECK(whole.usage == Usage{.prompt_tokens = 30, .cached_tokens = 16, .completion_tokens = 2});
  CHECK(whole.model == "tiny");
  REQUIRE(whole.logprobs.size() == 1);
  CHECK(whole.logprobs[0].top.size() == 2);
  for (std::size_t at = 0; at <= stream_text.size(); ++at) {
    std::string heard;
    const Reply cut = read({stream_text.substr(0, at), stream_text.substr(at)}, &heard);
    if (!(cut == whole) || heard != whole.text) FAIL("cut at " << at);
  }
}

TEST_CASE("a missing [DONE] is forgiven after a finish reason, and nothing else is", "[backend][openai][stream]") {
  CHECK(read({piece("Hi", "\"stop\"")}).text == "Hi");
  CHECK(read({piece("Hi") + "data: [DONE]\n\n"}).text == "Hi");
  CHECK_THAT(error_of(piece("Hi")).message(), ContainsSubstring("ended before the answer did, after 2 bytes"));
  CHECK(error_of(piece("Hi")).code() == Errc::bad_reply);
  CHECK(error_of("").code() == Errc::bad_reply);
  CHECK_THAT(error_of(piece("", "\"stop\"")).message(), ContainsSubstring("empty content"));
}

TEST_CASE("a streamed tool call or refusal is told by the finish reason", "[backend][openai][stream]") {
  const auto with = [](const std::string& delta) {
    return read({piece("no") + R"(data: {"choices":[{"delta":{)" + delta + R"(},"finish_reason":"stop"}]})" + "\n\n"})
        .finish_reason;
  };
  CHECK(with(R"("tool_calls":[{"index":0,"function":{"name":"report"}}])") == FinishReason::other);
  CHECK(with(R"("refusal":"I can't")") == FinishReason::content_filter);
  CHECK(with(R"("content":".")") == FinishReason::stop);
}

TEST_CASE("an error in mid-stream is the error of the call", "[backend][openai][stream]") {
  const Secret key = Secret::from_text("sk-secret-1234");
  const Error error =
      error_of(piece("Hi") + "data: {\"error\":{\"message\":\"out of memory for sk-secret-1234\",\"code\":500}}\n\n", key);
  CHECK(error.code() == Errc::server_error);
  CHECK(error.message() == "out of memory for [key]");
  CHECK_THAT(error_of("data: {nonsense sk-secret-1234\n\n", key).message(), ContainsSubstring("not JSON: {nonsense [key]"));
}

TEST_CASE("odd chunks are skipped or refused, never trusted", "[backend][openai][stream]") {
  for (const char* odd : {"{}", "[]", "7", "null", R"({"choices":7})", R"({"choices":[7]})", R"({"choices":[{"delta":[]}]})",
                          R"({"choices":[{"delta":{"content":{"a":1}}}]})"}) {
    CHECK(read({"data: " + std::string{odd} + "\n\n" + piece("Hi", "\"stop\"")}).text == "Hi");
  }
  CHECK(read({piece("Hi", "\"stop\"") + "data: [DONE]\n\n" + piece("more")}).text == "Hi");
  CHECK(read({R"(data: {"choices":[{"delta":{"refusal":"I can't."},"finish_reason":"stop"}]})"
              "\n\n"})
            .text == "I can't.");
  CHECK(error_of("data: " + std::string(100'000, '[') + "\n\n").code() == Errc::bad_reply);
}

}  // namespace openai_stream_test
