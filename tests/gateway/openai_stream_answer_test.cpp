#include <ecso/gateway/openai_answer.hpp>
#include <ecso/gateway/openai_answer_stream.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace openai_stream_answer_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using Json = nlohmann::ordered_json;
using Catch::Matchers::ContainsSubstring;

std::string event(const std::string& data) { return "data: " + data + "\n\n"; }

const std::string done = "data: [DONE]\n\n";

std::string chunk(const std::string& delta, const std::string& finish = "null", int index = 0, const std::string& more = "") {
  return event(R"({"id":"c1","object":"chat.completion.chunk","created":5,"model":"tiny","choices":[{"index":)" +
               std::to_string(index) + R"(,"delta":)" + delta + R"(,"finish_reason":)" + finish + "}]" + more + "}");
}

std::string says(const std::string& text, int index = 0) { return chunk(R"({"content":")" + text + "\"}", "null", index); }

const std::string usage_chunk = event(
    R"({"id":"c1","choices":[],"usage":{"prompt_tokens":30,"completion_tokens":2,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":16}}})");

const std::vector<Release> direct{{.path = Path::direct}};

struct Read {
  OpenAiStreamAnswer answer;

  explicit Read(std::string_view bytes, std::size_t max_choices = 1, std::size_t piece = 1 << 20, bool wants_usage = false)
      : answer{max_choices, wants_usage ? UsageChunk::due : UsageChunk::passes} {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) answer.feed(bytes.substr(0, piece));
    answer.finish();
  }

  [[nodiscard]] std::string text(AnswerText which = AnswerText::everything, std::size_t choice = 0) const {
    return answer.reply(choice, which).text;
  }
};

Error error_of(const std::string& bytes, std::size_t max_choices = 1) {
  try {
    const Read read{bytes, max_choices};
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error: " << bytes);
  return Error{Errc::internal, ""};
}

/// The JSON of all events of a stream that ends with the end mark and has nothing but events of one line.
std::vector<Json> events_of(std::string_view stream, bool has_end = true) {
  std::vector<Json> events;
  bool is_over = false;
  while (!stream.empty()) {
    const std::size_t end = stream.find("\n\n");
    REQUIRE(end != stream.npos);
    std::string_view line = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    REQUIRE(line.starts_with("data: "));
    REQUIRE(line.find('\n') == line.npos);
    line.remove_prefix(6);
    REQUIRE_FALSE(is_over);
    is_over = line == "[DONE]";
    if (!is_over) events.push_back(Json::parse(line));
  }
  REQUIRE(is_over == has_end);
  return events;
}

/// What a client puts together of a choice.
struct Assembled {
  std::string content;
  std::string finish;
  std::string tools;
  int chunks = 0;
};

Assembled assembled(const std::vector<Json>& events, int index = 0) {
  Assembled all;
  for (const Json& event : events) {
    for (const Json& choice : event["choices"]) {
      if (choice["index"] != index) continue;
      ++all.chunks;
      const Json& delta = choice["delta"];
      if (delta.contains("content") && delta["content"].is_string()) all.content += delta["content"].get<std::string>();
      if (delta.contains("tool_calls")) all.tools += delta["tool_calls"].dump();
      if (choice.contains("finish_reason") && choice["finish_reason"].is_string()) all.finish = choice["finish_reason"];
    }
  }
  return all;
}

const std::string whole_stream = chunk(R"({"role":"assistant","content":null})") + says("A r") + ": keep-alive\n\n" +
                                 says("ed square") + chunk("{}", "\"stop\"") + usage_chunk + done;

OpenAiAnswer& whole(OpenAiAnswer& answer, const std::string& choice) {
  answer.feed(R"({"choices":[)" + choice + "]}");
  answer.finish();
  return answer;
}

}  // namespace

TEST_CASE("a streamed answer is the same wherever its bytes are cut", "[gateway][openai][stream]") {
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 100'000U}) {
    Read read{whole_stream, 1, piece};
    const Reply reply = read.answer.reply(0, AnswerText::content);
    CHECK(reply.text == "A red square");
    CHECK(reply.finish_reason == FinishReason::stop);
    CHECK(reply.usage == Usage{.prompt_tokens = 30, .cached_tokens = 16, .completion_tokens = 2});
    CHECK(reply.model == "tiny");
    CHECK(read.text() == "A red square");
    CHECK(read.answer.text_so_far() == "A red square");
    std::string expected = whole_stream;
    expected.erase(expected.find(": keep-alive"), 14);
    CHECK(read.answer.release(direct, {.ecso = {}, .replace_usage = false}) == expected);
  }
}

TEST_CASE("streams with other line ends leave as one line an event", "[gateway][openai][stream]") {
  Read read{
      "event: x\r\nid: 7\r\ndata: {\"choices\":\r\ndata:[{\"delta\":{\"content\":\"a\"},\r\ndata: "
      "\"finish_reason\":\"stop\"}]}\r\n\r\ndata:[DONE]\r\r"};
  CHECK(read.text() == "a");
  const auto events = events_of(read.answer.release(direct, {}));
  REQUIRE(events.size() == 1);
  CHECK(events[0] == Json::parse(R"({"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]})"));
}

TEST_CASE("a stream that is cut, empty or odd is refused", "[gateway][openai][stream]") {
  for (const std::string& stream : {
           std::string{},
           done,
           usage_chunk + done,
           says("Hi"),
           says("Hi") + usage_chunk,
           says("Hi", 1) + done,
           says("Hi") + event("{nonsense") + done,
           says("Hi") + event("[]") + done,
           says("Hi") + event("7") + done,
           event(R"({"choices":{"0":{"delta":{"content":"x"}}}})") + says("Hi") + done,
           event(R"({"choices":[7]})") + done,
           event(R"({"choices":[{"index":"0","delta":{}}]})") + done,
           event(R"({"choices":[{"index":-1,"delta":{}}]})") + done,
           event(R"({"choices":[{"delta":{}},{"delta":{}}]})") + done,
           event(R"({"choices":[{"delta":{"content":"a","c\u006fntent":"b"}}]})") + done,
           event(std::string(100'000, '[')) + done,
       }) {
    CAPTURE(stream.substr(0, 200));
    CHECK(error_of(stream).code() == Errc::bad_reply);
  }
  CHECK_THAT(error_of(says("Hi")).message(), ContainsSubstring("ended before the answer did, after 2 bytes"));
  CHECK(error_of(says("a", 0) + says("c", 2) + done, 3).code() == Errc::bad_reply);
  CHECK(error_of(says("a", 0) + says("b", 1) + chunk("{}", "\"stop\"", 0), 2).code() == Errc::bad_reply);
  const Error error = error_of(says("Hi") + event(R"({"error":{"message":"out of memory"}})") + done);
  CHECK(error.code() == Errc::server_error);
  CHECK(error.message() == "out of memory");
  CHECK(Read{says("Hi") + done}.text() == "Hi");
  CHECK(Read{chunk(R"({"content":"Hi"})", "\"stop\"")}.text() == "Hi");
  CHECK(Read{says("Hi") + done + says("more") + event("{nonsense")}.text() == "Hi");
}

TEST_CASE("a check sees all that was streamed, in order", "[gateway][openai][stream]") {
  const auto everything = [](const std::string& chunks) { return Read{chunks + done}.text(); };
  CHECK(everything(chunk(R"({"reasoning_content":"thi"})") + chunk(R"({"reasoning_content":"nk"})") + says("an") +
                   says("swer")) == "think\nanswer");
  CHECK(
      everything(
          chunk(R"({"reasoning":"thi","reasoning_content":"thi","reasoning_details":[{"type":"reasoning.text","text":"thi"}]})") +
          chunk(R"({"reasoning":"nk","reasoning_content":"nk"})") + says("a")) == "think\na");
  CHECK(
      everything(
          says("a") +
          chunk(R"({"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"run","arguments":""}}]})") +
          chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]})") +
          chunk(
              R"({"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"function":{"name":"go","arguments":"{}"}}]})")) ==
      "a\nx\nrun({\"a\":1})\ngo({})");
  CHECK(everything(chunk(R"({"refusal":"No"})") + chunk(R"({"refusal":"."})")) == "No.");
  CHECK(Read{chunk(R"({"refusal":"No"})") + done}.text(AnswerText::content) == "No");
  CHECK(Read{chunk(R"({"reasoning_content":"x"})") + says("a") + done}.text(AnswerText::content) == "a");
  CHECK(everything(chunk(R"({"function_call":{"name":"f"}})") + chunk(R"({"function_call":{"arguments":"{}"}})")) == "f({})");
  for (const std::string delta : {
           R"({"content":"a","x":"HARM"})",
           R"({"content":{"x":"HARM"}})",
           R"({"content":[{"type":"text","text":"a","x":"HARM"}]})",
           R"({"x":[[{"y":"HARM"}]]})",
           R"({"refusal":["HARM"]})",
           R"({"reasoning":["HARM"]})",
           R"({"reasoning":"HARM","reasoning_content":"a"})",
           R"({"tool_calls":"HARM"})",
           R"({"tool_calls":["HARM"]})",
           R"({"tool_calls":[{"x":"HARM"}]})",
           R"({"tool_calls":[{"function":"HARM"}]})",
           R"({"tool_calls":[{"function":{"name":["HARM"]}}]})",
           R"({"tool_calls":[{"function":{"arguments":{"HARM":1}}}]})",
           R"({"tool_calls":[{"function":{"x":"HARM"}}]})",
           R"({"tool_calls":[{"custom":{"input":"HARM"}}]})",
           R"({"function_call":"HARM"})",
           R"("HARM")",
           R"(["HARM"])",
       }) {
    CAPTURE(delta);
    CHECK_THAT(everything(chunk(delta)), ContainsSubstring("HARM"));
  }
  CHECK_THAT(everything(event(R"({"choices":[{"delta":{"content":"a"},"text":"HARM"}]})")), ContainsSubstring("HARM"));
  CHECK_THAT(everything(says("a") + event(R"({"content":"HARM"})")), ContainsSubstring("HARM"));
}

TEST_CASE("a direct stream leaves with the sum of the usage and a note in its last chunk", "[gateway][openai][stream]") {
  Read read{whole_stream};
  const ReleaseNote note{.ecso = R"({"path":"direct"})",
                         .usage = {.prompt_tokens = 100, .cached_tokens = 50, .completion_tokens = 20}};
  const std::string text = read.answer.release(direct, note);
  CHECK(text.starts_with(whole_stream.substr(0, whole_stream.find(": keep-alive"))));
  const auto events = events_of(text);
  REQUIRE(events.size() == 5);
  CHECK(events[4] ==
        Json::parse(R"({"id":"c1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,)"
                    R"("prompt_tokens_details":{"cached_tokens":50}},"ecso":{"path":"direct"}})"));
  CHECK(read.answer.release(direct, {}) == done);

  Read bare{says("Hi") + chunk("{}", "\"stop\"") + done};
  const auto last = events_of(bare.answer.release(direct, note));
  REQUIRE(last.size() == 2);
  CHECK(last[1]["ecso"]["path"] == "direct");
  CHECK(last[1]["choices"][0]["finish_reason"] == "stop");
}

TEST_CASE("a harmful stream leaves replaced, with nothing of it", "[gateway][openai][stream]") {
  const std::string harmful =
      chunk(R"({"role":"assistant","content":"HARM"})", "null", 0, R"(,"__verbose":{"content":"HARM"})") + says("HARM") +
      chunk("{}", "\"length\"") +
      event(
          R"({"id":"c1","model":"tiny","choices":[],"usage":{"prompt_tokens":3},"__verbose":{"content":"HARM"},"ecso":{"x":"HARM"}})") +
      done;
  const ReleaseNote note{.ecso = R"({"path":"x"})", .usage = {.prompt_tokens = 9}};
  SECTION("by a refusal") {
    Read read{harmful};
    const std::string text = read.answer.release(
        std::vector<Release>{{.path = Path::refused, .refusal = "I can't help with \"that\", ö, or anything like it."}}, note);
    CHECK(text.find("HARM") == std::string::npos);
    const auto events = events_of(text);
    const Assembled all = assembled(events);
    CHECK(all.content == "I can't help with \"that\", ö, or anything like it.");
    CHECK(all.finish == "stop");
    CHECK(all.chunks >= 4);
    for (const Json& each : events) {
      CHECK(each["id"] == "c1");
      CHECK(each["model"] == "tiny");
    }
    CHECK(events.back() ==
          Json::parse(R"({"id":"c1","model":"tiny","choices":[],"usage":{"prompt_tokens":9},"ecso":{"path":"x"}})"));
  }
  SECTION("by a repaired answer") {
    OpenAiAnswer again;
    whole(
        again,
        R"({"index":0,"message":{"role":"assistant","content":"All is well, )" + std::string(300, 'x') +
            R"( and good.","reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"index":5,"id":"b"}],"x":{"y":1},"z":null},)"
            R"("finish_reason":"tool_calls","logprobs":{"content":[]}})");
    Read read{harmful};
    const std::string text = read.answer.release(std::vector<Release>{{.path = Path::eyes_closed, .regenerated = &again}}, note);
    CHECK(text.find("HARM") == std::string::npos);
    const auto events = events_of(text);
    const Assembled all = assembled(events);
    CHECK(all.content == "All is well, " + std::string(300, 'x') + " and good.");
    CHECK(all.finish == "tool_calls");
    CHECK(all.tools ==
          R"([{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"index":0}][{"index":1,"id":"b"}])");
    CHECK_THAT(text, ContainsSubstring(R"("delta":{"reasoning_content":"hm"})"));
    CHECK_THAT(text, ContainsSubstring(R"("delta":{"x":{"y":1}})"));
    CHECK_THAT(text, ContainsSubstring(R"("delta":{},"logprobs":{"content":[]},"finish_reason":"tool_calls")"));
    CHECK(events.front()["choices"][0]["delta"]["role"] == "assistant");
    CHECK(events.back()["ecso"]["path"] == "x");
  }
}

TEST_CASE("each choice of a stream leaves on its own", "[gateway][openai][stream]") {
  const std::string both =
      R"({"id":"c1","choices":[{"index":1,"delta":{"content":"HARM"}},{"index":0,"delta":{"content":"good "}}],"timings":{"n":1},"y":"HARM"})";
  Read read{event(both) + says("one", 0) + says("HARM", 1) + chunk("{}", "\"stop\"", 1) + chunk("{}", "\"length\"", 0) +
                event(R"({"choices":[{"index":1,"delta":{},"finish_reason":null}],"usage":{"prompt_tokens":3}})") + done,
            2};
  REQUIRE(read.answer.choices() == 2);
  CHECK(read.text(AnswerText::content, 0) == "good one");
  CHECK(read.text(AnswerText::content, 1) == "HARMHARM");
  const std::string text =
      read.answer.release(std::vector<Release>{{.path = Path::direct}, {.path = Path::refused, .refusal = "No."}},
                          {.ecso = "{}", .usage = {.prompt_tokens = 8}});
  CHECK(text.find("HARM") == std::string::npos);
  const auto events = events_of(text);
  CHECK(assembled(events, 0).content == "good one");
  CHECK(assembled(events, 0).finish == "length");
  CHECK(assembled(events, 1).content == "No.");
  CHECK(assembled(events, 1).finish == "stop");
  CHECK_THAT(text,
             ContainsSubstring(event(R"({"id":"c1","choices":[{"index":0,"delta":{"content":"good "}}],"timings":{"n":1}})")));
  CHECK(events.back() == Json::parse(R"({"choices":[],"usage":{"prompt_tokens":8},"ecso":{}})"));
}

TEST_CASE("choices that are numbered by their place keep their numbers", "[gateway][openai][stream]") {
  Read read{event(R"({"choices":[{"delta":{"content":"HARM"}},{"delta":{"content":"good"}}]})") + done, 2};
  const auto releases = std::vector<Release>{{.path = Path::refused, .refusal = "No."}, {.path = Path::direct}};
  const auto events = events_of(read.answer.release(releases, {.ecso = {}}));
  CHECK(assembled(events, 0).content == "No.");
  CHECK(assembled(events, 1).content == "good");
}

TEST_CASE("of a stream under way only verified text leaves", "[gateway][openai][stream]") {
  OpenAiStreamAnswer answer{1, UsageChunk::due};
  CHECK(answer.release_some(100).empty());
  CHECK(answer.text_so_far().empty());
  const std::string role = chunk(R"({"role":"assistant"})");
  answer.feed(role + says("one ") + says("two ") + says("three"));
  CHECK(answer.text_so_far() == "one two three");
  CHECK(answer.release_some(3) == role);
  CHECK(answer.release_some(3).empty());
  CHECK(answer.release_some(4) == says("one "));
  CHECK(answer.release_some(12) == says("two "));
  answer.feed(chunk("{}", "\"stop\""));
  CHECK(answer.release_some(1000) == says("three"));
  answer.feed(usage_chunk + done);
  CHECK(answer.release_some(1000).empty());
  answer.finish();
  CHECK_THROWS_AS(answer.release(std::vector<Release>{{.path = Path::refused, .refusal = "x"}}, {}), Error);
  const auto events =
      events_of(answer.release(direct, {.ecso = "{\"a\":1}", .usage = {.prompt_tokens = 40, .completion_tokens = 2}}));
  REQUIRE(events.size() == 2);
  CHECK(events[0]["choices"][0]["finish_reason"] == "stop");
  CHECK(events[1]["usage"]["prompt_tokens"] == 40);
  CHECK(events[1]["ecso"]["a"] == 1);
}

TEST_CASE("nothing unverified leaves beside the verified text", "[gateway][openai][stream]") {
  OpenAiStreamAnswer answer;
  answer.feed(chunk(R"({"role":"assistant"})", "null", 0, R"(,"__verbose":{"content":"HARM"},"ecso":{"x":"HARM"},"y":1)"));
  CHECK_THAT(answer.release_some(0), ContainsSubstring(R"("y":1})") && !ContainsSubstring("HARM"));
  // Log-probabilities that run ahead of the text.
  answer.feed(event(R"({"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"},{"token":"HARM"}]}}]})"));
  CHECK(answer.text_so_far() == "a");
  CHECK(answer.release_some(1).empty());
  CHECK(answer.release_some(4).empty());
  answer.feed(says("HARM"));
  CHECK_FALSE(answer.release_some(5).empty());

  OpenAiStreamAnswer two{2};
  two.feed(says("a") + says("b", 1));
  CHECK(two.release_some(100).empty());
}

TEST_CASE("a stream of which something has left ends as a filter would end it", "[gateway][openai][stream]") {
  const ReleaseNote note{.ecso = "{\"a\":1}", .usage = {.prompt_tokens = 4, .cached_tokens = 1, .completion_tokens = 2}};
  for (const bool wants_usage : {false, true}) {
    OpenAiStreamAnswer answer{1, wants_usage ? UsageChunk::due : UsageChunk::passes};
    answer.feed(says("one ") + says("HARM"));
    CHECK(answer.release_some(4) == says("one "));
    const std::string text = answer.release_end("\n\nNo.", note);
    CHECK(text.find("HARM") == std::string::npos);
    const auto events = events_of(text);
    REQUIRE(events.size() == (wants_usage ? 3 : 2));
    CHECK(events[0]["id"] == "c1");
    CHECK(events[0]["choices"][0]["delta"]["content"] == "\n\nNo.");
    CHECK(events[1]["choices"][0]["finish_reason"] == "content_filter");
    CHECK(events.back()["ecso"]["a"] == 1);
    if (wants_usage) CHECK(events[2]["usage"]["total_tokens"] == 6);
    CHECK(answer.release_some(1000).empty());
  }
  OpenAiStreamAnswer empty;
  CHECK(events_of(empty.release_end("", {})).size() == 1);
}

TEST_CASE("a usage that the client has not asked for is counted and stays", "[gateway][openai][stream]") {
  const std::string text = event(R"({"id":"c1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]})");
  const std::string usage = event(R"({"id":"c1","choices":[],"usage":{"prompt_tokens":30,"completion_tokens":2}})");
  OpenAiStreamAnswer answer{1, UsageChunk::stays};
  answer.feed(text + usage + done);
  answer.finish();
  CHECK(answer.reply(0, AnswerText::everything).usage.prompt_tokens == 30);
  CHECK(answer.reply(0, AnswerText::everything).counts.text == 2);
  const std::string left = answer.release(direct, {});
  CHECK(left.find("usage") == std::string::npos);
  CHECK(left.find("Hi") != std::string::npos);
}

}  // namespace openai_stream_answer_test
