#include <ecso/gateway/openai_answer.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace openai_answer_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using Json = nlohmann::ordered_json;
using Catch::Matchers::ContainsSubstring;

/// An answer read in pieces of a few bytes.
struct Read {
  OpenAiAnswer answer;

  explicit Read(std::string_view body, std::size_t max_choices = 1) : answer{max_choices} {
    for (; !body.empty(); body.remove_prefix(std::min<std::size_t>(7, body.size()))) answer.feed(body.substr(0, 7));
    answer.finish();
  }

  [[nodiscard]] std::string text(AnswerText which, std::size_t choice = 0) const { return answer.reply(choice, which).text; }
};

Error error_of(const std::string& body, std::size_t max_choices = 1) {
  try {
    const Read read{body, max_choices};
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error: " << body);
  return Error{Errc::internal, ""};
}

std::string choice(const std::string& message, const std::string& more = "") {
  return R"({"index":0,"message":)" + message + more + "}";
}

std::string body_of(const std::string& choices, const std::string& more = "") {
  return R"({"id":"c1","object":"chat.completion","model":"tiny","choices":[)" + choices + "]" + more + "}";
}

const std::string usage =
    R"(,"usage":{"prompt_tokens":30,"completion_tokens":2,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":16,"audio_tokens":0},"x":"y"})";

}  // namespace

TEST_CASE("a whole answer is read", "[gateway][openai]") {
  const Read read{body_of(
      choice(
          R"({"role":"assistant","content":"A \u0072ed square"})",
          R"(,"finish_reason":"length","logprobs":{"content":[{"token":"A","logprob":-0.5,"top_logprobs":[{"token":"B","logprob":-1}]}]})"),
      usage)};
  const Reply reply = read.answer.reply(0, AnswerText::content);
  CHECK(reply.text == "A red square");
  CHECK(reply.finish_reason == FinishReason::length);
  CHECK(reply.usage == Usage{.prompt_tokens = 30, .cached_tokens = 16, .completion_tokens = 2});
  CHECK(reply.model == "tiny");
  REQUIRE(reply.logprobs.size() == 1);
  CHECK(reply.logprobs[0] == TokenLogprobs{"A", -0.5, {{"B", -1.0}}});
  CHECK(read.text(AnswerText::everything) == "A red square");
  CHECK(read.answer.choices() == 1);
  CHECK(read.answer.text_so_far().empty());

  const Read refused{body_of(choice(R"({"content":null,"refusal":"No."})"))};
  CHECK(refused.text(AnswerText::content) == "No.");
  CHECK(refused.answer.reply(0, AnswerText::content).finish_reason == FinishReason::content_filter);
  const Read calling{body_of(
      choice(R"({"content":"no","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]})"))};
  CHECK(calling.answer.reply(0, AnswerText::content).finish_reason == FinishReason::other);
  CHECK(Read{body_of(choice(R"({"content":[{"type":"text","text":"a"},"b"]})"))}.text(AnswerText::content) == "ab");
  const Read llama{
      body_of(choice(R"({"content":""})"), R"(,"timings":{"cache_n":5},"usage":{"prompt_tokens":7,"completion_tokens":null})")};
  CHECK(llama.answer.reply(0, AnswerText::content).usage == Usage{.prompt_tokens = 7, .cached_tokens = 5});
}

TEST_CASE("a check sees all that the client would", "[gateway][openai]") {
  const auto everything = [](const std::string& message, const std::string& more = "") {
    return Read{body_of(choice(message, more))}.text(AnswerText::everything);
  };
  CHECK(everything(R"({"role":"assistant","content":"a","reasoning_content":"think","refusal":"no"})") == "a\nthink\nno");
  CHECK(everything(
            R"({"content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"run","arguments":"{\"a\":1}"}},)"
            R"({"type":"custom","custom":{"name":"sh","input":"ls"}}]})") == "run({\"a\":1})\nx\nsh(ls)");
  CHECK(everything(R"({"content":"","function_call":{"name":"f","arguments":{"a":"\u0062"}}})") == "f({\"a\":\"b\"})");
  // Wherever it hides.
  for (const std::string hidden : {
           R"({"content":"a","x":"HARM"})",
           R"({"content":"a","x":[[{"y":"HARM"}]]})",
           R"({"content":{"x":"HARM"}})",
           R"({"content":[{"type":"text","text":"a","x":"HARM"}]})",
           R"({"content":[{"text":{"value":"HARM"}}]})",
           R"({"content":[["HARM"]]})",
           R"({"content":"a","refusal":["HARM"]})",
           R"({"content":"a","tool_calls":"HARM"})",
           R"({"content":"a","tool_calls":{"x":"HARM"}})",
           R"({"content":"a","tool_calls":["HARM"]})",
           R"({"content":"a","tool_calls":[{"x":"HARM"}]})",
           R"({"content":"a","tool_calls":[{"function":"HARM"}]})",
           R"({"content":"a","tool_calls":[{"function":{"name":["HARM"]}}]})",
           R"({"content":"a","tool_calls":[{"function":{"name":"f","arguments":{"HARM":1}}}]})",
           R"({"content":"a","tool_calls":[{"function":{"name":"f","arguments":"","x":"HARM"}}]})",
           R"({"content":"a","function_call":"HARM"})",
           R"({"content":"a","function_call":{"name":{"x":"HARM"}}})",
           R"({"content":"a","reasoning_details":[{"type":"reasoning.text","text":"HARM"}]})",
       }) {
    CAPTURE(hidden);
    CHECK_THAT(everything(hidden), ContainsSubstring("HARM"));
  }
  CHECK_THAT(everything(R"({"content":"a"})", R"(,"text":"HARM")"), ContainsSubstring("HARM"));
  CHECK_THAT(Read{body_of(choice(R"({"content":"a"})"), R"(,"__verbose":{"content":"HARM"})")}.text(AnswerText::everything),
             ContainsSubstring("HARM"));
  CHECK(everything(R"({"role":"assistant","content":"a","tool_calls":[{"type":"function","index":0}]})",
                   R"(,"finish_reason":"stop","stop_reason":"</s>","content_filter_results":{"hate":{"severity":"safe"}},)"
                   R"("logprobs":{"content":[{"token":"a"}]})") == "a");
}

TEST_CASE("a whole answer that is none is refused", "[gateway][openai]") {
  for (const std::string body : {
           "",
           "nonsense",
           "[]",
           "7",
           "{}",
           R"({"choices":[]})",
           R"({"choices":{}})",
           R"({"choices":[7]})",
           R"({"choices":[{}]})",
           R"({"choices":[{"message":"x"}]})",
           R"({"choices":[{"message":{}}]} x)",
           R"({"choices":[{"message":{}}],"choices":[]})",
           R"({"choices":[{"message":{"content":"a","c\u006fntent":"b"}}]})",
           R"({"choices":[{"index":1,"message":{}}]})",
           R"({"choices":[{"index":-1,"message":{}}]})",
           R"({"choices":[{"index":"0","message":{}}]})",
           R"({"choices":[{"message":{}},{"message":{}}]})",
           R"({"choices":[{"message":{"content":"\ud800"}}]})",
       }) {
    CAPTURE(body);
    CHECK(error_of(body).code() == Errc::bad_reply);
  }
  CHECK(error_of(R"({"choices":[{"index":0,"message":{}},{"index":0,"message":{}}]})", 2).code() == Errc::bad_reply);
  CHECK(error_of(R"({"choices":[{"index":2,"message":{}},{"index":0,"message":{}}]})", 2).code() == Errc::bad_reply);
  CHECK(error_of("{\"choices\":" + std::string(100'000, '[')).code() == Errc::bad_reply);
  const Error error = error_of(R"({"error":{"message":"out of memory","code":500},"choices":[]})");
  CHECK(error.code() == Errc::server_error);
  CHECK(error.message() == "out of memory");
  CHECK(error_of(R"({"error":"x"})").message() == "x");
  CHECK(error_of(R"({"error":{}})").code() == Errc::server_error);
  CHECK(Read{R"({"error":null,"choices":[{"message":{"content":"a"}}]})"}.text(AnswerText::content) == "a");
}

TEST_CASE("choices are found by their index", "[gateway][openai]") {
  const Read read{
      R"({"choices":[{"index":1,"message":{"content":"b"}},{"index":0,"message":{"content":"a"}}],"usage":{"prompt_tokens":3}})",
      3};
  REQUIRE(read.answer.choices() == 2);
  CHECK(read.text(AnswerText::content, 0) == "a");
  CHECK(read.text(AnswerText::content, 1) == "b");
  CHECK(read.answer.reply(0, AnswerText::content).usage.prompt_tokens == 3);
  CHECK(read.answer.reply(1, AnswerText::content).usage == Usage{});
  const Read unnumbered{R"({"choices":[{"message":{"content":"a"}},{"index":null,"message":{"content":"b"}}]})", 2};
  CHECK(unnumbered.text(AnswerText::content, 1) == "b");
}

TEST_CASE("a direct answer leaves as it came", "[gateway][openai]") {
  const std::string body = " {\"choices\" : [ {\"message\":{\"content\":\"a\"}} ],\n \"__verbose\":{\"x\":1e2}" + usage + " } \n";
  const std::vector<Release> direct{{.path = Path::direct}};
  const Usage same{.prompt_tokens = 30, .cached_tokens = 16, .completion_tokens = 2};
  CHECK(Read{body}.answer.release(direct, {.ecso = {}, .replace_usage = false}) == body);
  CHECK(Read{body}.answer.release(direct, {.ecso = {}, .usage = same}) == body);

  Json expected = Json::parse(body);
  expected["usage"]["prompt_tokens"] = 100;
  expected["usage"]["completion_tokens"] = 20;
  expected["usage"]["total_tokens"] = 120;
  expected["usage"]["prompt_tokens_details"]["cached_tokens"] = 50;
  expected["ecso"] = {{"path", "direct"}};
  const ReleaseNote note{.ecso = R"({"path":"direct"})",
                         .usage = {.prompt_tokens = 100, .cached_tokens = 50, .completion_tokens = 20}};
  CHECK(Json::parse(Read{body}.answer.release(direct, note)) == expected);
}

TEST_CASE("a harmful choice leaves replaced, with nothing of it beside", "[gateway][openai]") {
  const std::string body =
      R"({"id":"c1","choices":[{"index":2,"message":{"content":"HARM2"},"logprobs":{"content":[{"token":"HARM2"}]}},)"
      R"({"index":0,"message":{"content":"good"},"x":1},{"index":1,"message":{"content":"HARM1"}}],)"
      R"("timings":{"cache_n":1},"__verbose":{"content":"HARM"},"y":{"HARM":1},"ecso":{},"x":[null]})";
  const Read again{
      R"({"id":"c2","choices":[{"index":0,"message":{"role":"assistant","content":"fine"},"finish_reason":"stop","y":{}},)"
      R"({"index":1,"message":{"content":"more"}}],"usage":{"prompt_tokens":1}})",
      2};
  Read read{body, 3};
  const std::vector<Release> releases{{.path = Path::direct},
                                      {.path = Path::eyes_closed, .regenerated = &again.answer},
                                      {.path = Path::refused, .refusal = "I \"can't\"."}};
  const std::string text = read.answer.release(releases, {.ecso = "{\"a\":1}", .usage = {.prompt_tokens = 5}});
  CHECK(
      Json::parse(text) ==
      Json::parse(
          R"({"id":"c1","choices":[{"index":2,"message":{"role":"assistant","content":"I \"can't\"."},"logprobs":null,"finish_reason":"stop"},)"
          R"({"index":0,"message":{"content":"good"},"x":1},)"
          R"({"index":1,"message":{"role":"assistant","content":"fine"},"finish_reason":"stop","y":{}}],)"
          R"("timings":{"cache_n":1},"x":[null],"ecso":{"a":1}})"));
  CHECK(text.find("HARM") == std::string::npos);
}

TEST_CASE("a repaired choice gets the number of the one it replaces", "[gateway][openai]") {
  const Read unnumbered{R"({"choices":[{"message":{"content":"fine"}}]})"};
  Read read{R"({"choices":[{"message":{"content":"HARM"}}],"usage":{"prompt_tokens":1,"total_tokens":null}})"};
  const std::vector<Release> releases{{.path = Path::eyes_closed, .regenerated = &unnumbered.answer}};
  CHECK(read.answer.release(releases, {.ecso = {}, .usage = {.prompt_tokens = 9}}) ==
        R"({"choices":[{"message":{"content":"fine"},"index":0}],"usage":{"prompt_tokens":9,"total_tokens":null}})");
}

TEST_CASE("what did not end well cannot leave", "[gateway][openai]") {
  Read read{body_of(choice(R"({"content":"a"})"))};
  CHECK_THROWS_AS(read.answer.release(std::vector<Release>{}, {}), Error);
  CHECK_THROWS_AS(read.answer.release(std::vector<Release>{Release{}}, {}), Error);
  CHECK_THROWS_AS(read.answer.release(std::vector<Release>{{.path = Path::eyes_closed}}, {}), Error);
  CHECK_THROWS_AS(read.answer.release(std::vector<Release>{{.path = Path::direct}, {.path = Path::direct}}, {}), Error);
  const OpenAiAnswer unfinished;
  CHECK_THROWS_AS(read.answer.release(std::vector<Release>{{.path = Path::eyes_closed, .regenerated = &unfinished}}, {}), Error);
}

}  // namespace openai_answer_test
