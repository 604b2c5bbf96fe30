// What an answer says: the check is shown all that would leave, or nothing leaves.

#include <ecso/error.hpp>
#include <ecso/gateway/anthropic_answer.hpp>
#include <ecso/gateway/anthropic_answer_stream.hpp>
#include <ecso/gateway/openai_answer.hpp>
#include <ecso/gateway/openai_answer_stream.hpp>
#include <ecso/gateway/readable.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace answer_text_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

const std::vector<Release> direct{{.path = Path::direct}};
constexpr ReleaseNote as_it_came{.ecso = {}, .replace_usage = false};

template <typename Answer>
std::unique_ptr<Answer> read(const std::string& body) {
  auto answer = std::make_unique<Answer>();
  answer->feed(body);
  answer->finish();
  return answer;
}

template <typename Answer>
std::string said(const std::string& body) {
  return read<Answer>(body)->reply(0, AnswerText::everything).text;
}

template <typename Answer>
std::string refusal_of(const std::string& body) {
  try {
    static_cast<void>(read<Answer>(body));
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_reply);
    return error.message();
  }
  return "it was accepted";
}

// Chat completions.

const std::string done = "data: [DONE]\n\n";

std::string whole(const std::string& message, const std::string& choice = "", const std::string& root = "") {
  return R"({"choices":[{"message":)" + message + choice + "}]" + root + "}";
}
std::string chunk(const std::string& delta, const std::string& choice = "", const std::string& root = "") {
  return R"(data: {"choices":[{"index":0,"delta":)" + delta + choice + "}]" + root + "}\n\n";
}
std::string stream(const std::string& delta, const std::string& choice = "", const std::string& root = "") {
  return chunk(delta, choice, root) + done;
}

std::string logprobs(const std::vector<std::string>& tokens, const std::string& list = "content") {
  std::string items;
  for (const std::string& token : tokens) {
    items += (items.empty() ? "" : ",") + (R"({"token":")" + token) + R"(","logprob":-1,"bytes":[72],"top_logprobs":[]})";
  }
  return R"(,"logprobs":{")" + list + "\":[" + items + "]}";
}

/// What both forms of an answer say with these members in message or delta, choice and completion.
std::vector<std::string> both_said(const std::string& message, const std::string& choice = "", const std::string& root = "") {
  return {said<OpenAiAnswer>(whole(message, choice, root)), said<OpenAiStreamAnswer>(stream(message, choice, root))};
}
std::vector<std::string> both_refuse(const std::string& message, const std::string& choice = "", const std::string& root = "") {
  return {refusal_of<OpenAiAnswer>(whole(message, choice, root)), refusal_of<OpenAiStreamAnswer>(stream(message, choice, root))};
}

// The Messages API.

std::string message(const std::string& blocks, const std::string& more = "") {
  return R"({"type":"message","content":[)" + blocks + "]" + more + "}";
}
std::string event(const std::string& type, const std::string& members) {
  return "event: " + type + "\ndata: {\"type\":\"" + type + "\"" + (members.empty() ? "" : "," + members) + "}\n\n";
}
const std::string start = event("message_start", R"("message":{"content":[],"usage":{"input_tokens":10,"output_tokens":1}})");
std::string block(const std::string& json, int index = 0) {
  return event("content_block_start", "\"index\":" + std::to_string(index) + ",\"content_block\":" + json);
}
std::string delta(const std::string& json, int index = 0) {
  return event("content_block_delta", "\"index\":" + std::to_string(index) + ",\"delta\":" + json);
}
std::string text(const std::string& words, int index = 0) {
  return delta(R"({"type":"text_delta","text":")" + words + "\"}", index);
}
std::string piece(const std::string& json, int index = 0) {
  return delta(R"({"type":"input_json_delta","partial_json":")" + json + "\"}", index);
}
std::string stop(int index = 0) { return event("content_block_stop", "\"index\":" + std::to_string(index)); }
const std::string end =
    event("message_delta", R"("delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7})") + event("message_stop", "");
const std::string text_block = R"({"type":"text","text":""})";

}  // namespace

TEST_CASE("Escapes are read that JSON can do without", "[gateway][answer_text]") {
  CHECK(with_escapes_read(R"({"a":"\u0062\u006fmb\/\ud83d\ude00"})") == "{\"a\":\"bomb/\U0001F600\"}");
  CHECK(with_escapes_read(R"(\u0022\u005c\u000a\n\"\\u0062)") == R"(\"\\\n\n\"\\u0062)");
  // Text that is none, or is cut.
  CHECK(with_escapes_read(R"(C:\users\bob \ud800 \u00)") == R"(C:\users\bob \ud800 \u00)");
  CHECK(with_escapes_read("plain") == "plain");
  CHECK(with_escapes_read("\\") == "\\");
}

TEST_CASE("Log-probabilities that tell the text once more add nothing", "[gateway][answer_text][openai]") {
  for (const std::string& all : both_said(R"({"content":"a bomb"})", logprobs({"a", " bo", "mb", ""}))) CHECK(all == "a bomb");
  for (const std::string& all : both_said(R"({"refusal":"No."})", logprobs({"No", "."}, "refusal"))) CHECK(all == "No.");
  for (const std::string& all : both_said(R"({"content":"a"})", R"(,"logprobs":null)")) CHECK(all == "a");
}

TEST_CASE("Tokens that are not those of the text are checked", "[gateway][answer_text][openai]") {
  for (const std::string list : {"content", "refusal"}) {
    for (const std::string& all : both_said(R"({"content":"a"})", logprobs({"HA", "RM"}, list))) CHECK(all == "a\nHARM");
  }
  // Of a stream, as all chunks tell them.
  CHECK(said<OpenAiStreamAnswer>(chunk(R"({"content":"a"})", logprobs({"HA"})) + chunk(R"({"content":"b"})", logprobs({"RM"})) +
                                 done) == "ab\nHARM");
  CHECK(said<OpenAiStreamAnswer>(chunk(R"({"content":"HA"})", logprobs({"HA", "RM"})) + chunk(R"({"content":"RM"})") + done) ==
        "HARM");
  for (const std::string odd :
       {R"(,"logprobs":"HARM")", R"(,"logprobs":{"x":"HARM"})", R"(,"logprobs":{"content":"HARM"})",
        R"(,"logprobs":{"content":[{"token":"a","x":"HARM"}]})", R"(,"logprobs":{"content":["HARM"]})",
        R"(,"logprobs":{"content":[{"token":["HARM"]}]})", R"(,"logprobs":{"content":[{"bytes":["HARM"]}]})",
        R"(,"logprobs":{"content":[{"token":"a","top_logprobs":[{"token":"b","x":"HARM"}]}]})",
        R"(,"logprobs":{"content":[{"token":"a","bytes":"HARM"}]})",
        R"(,"logprobs":{"content":[{"token":"a","logprob":"HARM"}]})"}) {
    CAPTURE(odd);
    for (const std::string& all : both_said(R"({"content":"a"})", odd)) CHECK_THAT(all, ContainsSubstring("HARM"));
  }
}

TEST_CASE("Tokens that nobody can read are refused", "[gateway][answer_text][openai]") {
  const std::string a = R"({"content":"a"})";
  for (const auto& [in_message, in_choice, in_root] : std::vector<std::array<std::string, 3>>{
           {R"({"content":"a","token_ids":[1,2]})", "", ""},
           {R"({"content":"a","x":{"y":[["z",7]]}})", "", ""},
           {R"({"content":[{"type":"text","text":"a","tokens":[1]}]})", "", ""},
           {R"({"content":"a","tool_calls":[{"function":{"name":"f","arguments":"{}","ids":[1]}}]})", "", ""},
           {a, R"(,"token_ids":[1])", ""},
           {a, R"(,"hidden_states":[[0.5]])", ""},
           {a, R"(,"content_filter_results":{"x":[1]})", ""},
           {a, R"(,"logprobs":{"content":[{"token":"a","token_ids":[1]}]})", ""},
           {a, R"(,"logprobs":{"tokens":[1]})", ""},
           {a, R"(,"logprobs":{"content":[{"token":5}]})", ""},
           {a, logprobs({"token_id:15"}), ""},
           {a, logprobs({"token_id:15"}, "refusal"), ""},
           {a, R"(,"logprobs":{"content":[{"token":"a","top_logprobs":[{"token":"token_id:7"}]}]})", ""},
           {a, "", R"(,"prompt_token_ids":[1,2])"},
           {a, "", R"(,"usage":{"x":[1]})"},
       }) {
    for (const std::string& message : both_refuse(in_message, in_choice, in_root))
      CHECK(message == "the answer has token ids, which cannot be checked");
  }
  for (const std::string& all :
       both_said(R"({"content":"a","token_ids":null,"x":[]})", logprobs({"a"}), R"(,"usage":{"total_tokens":7})"))
    CHECK(all == "a");
  // Arguments are JSON that a check can read.
  CHECK(said<OpenAiAnswer>(whole(R"({"tool_calls":[{"function":{"name":"f","arguments":{"a":[1]}}}]})")) == R"(f({"a":[1]}))");
}

TEST_CASE("What nobody knows counts, with the names and types in it", "[gateway][answer_text][openai]") {
  for (const std::string& all : both_said(R"({"content":"a","x":{"HARMKEY":1,"type":"HARM","id":"HURT","role":"BAD"}})"))
    CHECK(all == R"(a
{"HARMKEY":1,"type":"HARM","id":"HURT","role":"BAD"})");
  for (const std::string hidden : {
           R"({"content":"a","x":{"logprobs":"HARM"}})",
           R"({"content":"a","x":[{"signature":"HARM words"}]})",
           R"({"content":"a","signature":"HARM words"})",
           R"({"content":"a","role":["HARM"]})",
           R"({"content":"a","id":{"HARM":1}})",
           R"({"content":[{"type":"HARM","text":"a"}]})",
           R"({"content":"a","tool_calls":[{"id":"HARM","function":{"name":"f"}}]})",
           R"({"content":"a","tool_calls":[{"type":"HARM","function":{"name":"f"}}]})",
           R"({"content":"a","tool_calls":[{"function":{"name":"f","role":"HARM"}}]})",
           R"({"content":"a","x":"\u0048ARM"})",
           R"({"content":"a","":"HARM"})",
           R"({"content":"a","x":{"":{"y":"\u0048ARM"}}})",
       }) {
    CAPTURE(hidden);
    for (const std::string& all : both_said(hidden)) CHECK_THAT(all, ContainsSubstring("HARM"));
  }
  for (const std::string& all : both_said(R"({"content":"a"})", R"(,"x":{"type":"HARM"})", R"(,"y":{"HURT":1})"))
    CHECK(all == "a\n{\"type\":\"HARM\"}\n{\"HURT\":1}");
}

TEST_CASE("The API's own words and signatures do not count", "[gateway][answer_text][openai]") {
  for (const std::string& all : both_said(
           R"({"role":"assistant","content":"a","id":"m1","type":"message","signature":"c2ln+/=_-","x":[],"y":null})",
           R"(,"finish_reason":"stop","native_finish_reason":"STOP","stop_reason":"</s>","matched_stop":"</s>")",
           R"(,"id":"c1","object":"chat.completion","model":"m","system_fingerprint":"f","timings":{"cache_n":1},"z":[])")) {
    CHECK(all == "a");
  }
  for (const std::string& all : both_said(R"({"content":"a","x":{"google":{"thought_signature":"c2ln"}}})"))
    CHECK(all == "a\n{\"google\":{\"thought_signature\":\"\"}}");
}

TEST_CASE("Thoughts that a server says under several names stand once", "[gateway][answer_text][openai]") {
  for (
      const std::string& all : both_said(
          R"({"reasoning":"hm","reasoning_content":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"c2ln"}]})"))
    CHECK(all == "hm");
  for (const std::string& all :
       both_said(R"({"reasoning":"HARM","reasoning_content":"hm","reasoning_details":[{"summary":"HURT","text":"BAD"}]})")) {
    for (const char* part : {"HARM", "hm", "HURT", "BAD"}) CHECK_THAT(all, ContainsSubstring(part));
  }
}

TEST_CASE("An answer with an image is refused", "[gateway][answer_text]") {
  const std::string uri = "\"DATA:image/png;base64,AAAA\"";
  for (const std::string& message : {
           R"({"content":"a","x":)" + uri + "}",
           R"({"content":"a","x":[{"y":)" + uri + "}]}",
           std::string{R"({"content":"a","images":[{"type":"image_url"}]})"},
           std::string{R"({"content":"a","audio":{"id":"x","data":"AAAA"}})"},
           std::string{R"({"content":[{"type":"image_url","image_url":{"url":"https://example.org/"}}]})"},
           std::string{R"({"content":[{"type":"output_image","x":"AAAA"}]})"},
           std::string{R"({"content":"a","x":{"type":"video","y":"z"}})"},
           std::string{R"({"content":"a","x":{"b64_json":"AAAA"}})"},
       }) {
    CAPTURE(message);
    for (const std::string& why : both_refuse(message))
      CHECK_THAT(why, ContainsSubstring("image") && EndsWith("cannot be checked"));
  }
  for (const std::string& all : both_said(R"({"content":"data:image/png;base64,AAAA","images":[],"audio":null})"))
    CHECK(all == "data:image/png;base64,AAAA");
  const std::string image = R"({"type":"image","source":{"type":"base64","data":"AAAA"}})";
  CHECK_THAT(refusal_of<AnthropicAnswer>(message(image)), ContainsSubstring("image"));
  CHECK_THAT(refusal_of<AnthropicAnswer>(message(R"({"type":"later","content":[)" + image + "]}")), ContainsSubstring("image"));
  CHECK_THAT(refusal_of<AnthropicAnswerStream>(start + block(image) + end), ContainsSubstring("image"));
  CHECK_THAT(refusal_of<AnthropicAnswerStream>(start + block(R"({"type":"later","x":)" + uri + "}") + end),
             ContainsSubstring("image"));
  // What a tool is called with is the client's to judge.
  CHECK(said<AnthropicAnswer>(message(R"({"type":"tool_use","name":"f","input":{"file":"a.txt","ids":[1]}})")) ==
        R"(f({"file":"a.txt","ids":[1]}))");
}

TEST_CASE("A note of the upstream's own never leaves", "[gateway][answer_text]") {
  const std::string note = R"({"path":"direct","x":"HARM"})";
  for (const std::string name : {"ecso", "ECSO", "\\u0065c\\u017fo"}) {
    CAPTURE(name);
    const std::string member = ",\"" + name + "\":" + note;
    const auto answer = read<OpenAiAnswer>(whole(R"({"content":"a"})", "", member));
    CHECK(answer->reply(0, AnswerText::everything).text == "a");
    CHECK(answer->release(direct, as_it_came) == whole(R"({"content":"a"})"));
    CHECK_THAT(answer->release(direct, {.ecso = R"({"a":1})", .replace_usage = false}), EndsWith(R"(],"ecso":{"a":1}})"));

    const auto streamed = read<OpenAiStreamAnswer>(chunk(R"({"content":"a"})", "", member) + chunk("{}", "", member) + done);
    CHECK(streamed->reply(0, AnswerText::everything).text == "a");
    CHECK(streamed->release(direct, as_it_came) == chunk(R"({"content":"a"})") + chunk("{}") + done);

    const std::string text = R"({"type":"text","text":"a"})";
    const auto anthropic = read<AnthropicAnswer>(message(text, member));
    CHECK(anthropic->reply(0, AnswerText::everything).text == "a");
    CHECK(anthropic->release(direct, as_it_came) == message(text));

    const std::string noted = event("ping", member.substr(1)) + event("content_block_stop", "\"index\":0" + member);
    const auto events = read<AnthropicAnswerStream>(start + block(text) + noted + end);
    CHECK(events->reply(0, AnswerText::everything).text == "a");
    CHECK(events->release(direct, as_it_came) == start + block(text) + event("ping", "") + stop() + end);
  }
  OpenAiStreamAnswer under_way;
  under_way.feed(chunk(R"({"content":"a"})", "", R"(,"ecso":{"x":"HARM"})"));
  CHECK(under_way.release_some(1) == chunk(R"({"content":"a"})"));
}

TEST_CASE("The arguments of a call are checked with their escapes read", "[gateway][answer_text]") {
  const std::string call = R"("function":{"name":"f","arguments":"{\"a\":\"\\u0062omb\"}"})";
  CHECK(said<OpenAiAnswer>(whole(R"({"tool_calls":[{)" + call + "}]}")) == R"(f({"a":"bomb"}))");
  CHECK(said<OpenAiAnswer>(whole(R"({"tool_calls":[{"custom":{"name":"f","input":"\\u0062omb"}}]})")) == "f(bomb)");
  // Of a stream once more at its end, wherever the escapes are cut.
  CHECK(said<OpenAiStreamAnswer>(chunk(R"({"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\":\"\\u00"}}]})") +
                                 chunk(R"({"tool_calls":[{"index":1,"function":{"name":"g","arguments":"{}"}}]})") +
                                 chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"62omb\"}"}}]})") + done) ==
        "f({\"a\":\"\\u00)\ng({})\n(62omb\"})\nf({\"a\":\"bomb\"})");
  CHECK(said<OpenAiStreamAnswer>(stream("{\"function_call\":{" + call.substr(call.find("\"name\"")) + "}")) ==
        "f({\"a\":\"\\u0062omb\"})\nf({\"a\":\"bomb\"})");
  const std::string tool = R"({"type":"tool_use","id":"","name":"f","input":{}})";
  CHECK(said<AnthropicAnswerStream>(start + block(tool) + piece(R"({\"a\":\"\\u006)") + piece(R"(2omb\"})") + stop() + end) ==
        "f({\"a\":\"\\u0062omb\"})\nf({\"a\":\"bomb\"})");
  CHECK(said<AnthropicAnswerStream>(start + block(tool) + piece(R"({\"a\":1})") + stop() + end) == "f({\"a\":1})");
}

TEST_CASE("The id of a streamed call stands once, however often it comes", "[gateway][answer_text][openai]") {
  CHECK(said<OpenAiStreamAnswer>(chunk(R"({"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"ab"}}]})") +
                                 chunk(R"({"tool_calls":[{"index":0,"id":"x","function":{"name":null,"arguments":"cd"}}]})") +
                                 chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"ef"}}]})") +
                                 chunk(R"({"tool_calls":[{"index":0,"id":"x","function":{"arguments":"gh"}}]})") + done) ==
        "x\nf(abcdefgh)");
}

TEST_CASE("Of a stream nothing leaves from a call on before all is verified", "[gateway][answer_text]") {
  const std::string hello = chunk(R"({"content":"Hello"})");
  for (const std::string call : {R"({"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]})",
                                 R"({"function_call":{"name":"f"}})", R"({"tool_calls":"f"})"}) {
    OpenAiStreamAnswer answer;
    answer.feed(hello + chunk(call) + chunk(R"({"content":"after"})"));
    CHECK(answer.release_some(1000) == hello);
    answer.feed(chunk(R"({"content":"more"})") + done);
    CHECK(answer.release_some(1000).empty());
    CHECK(answer.released_bytes() == 5);
    answer.finish();
    CHECK(answer.release(direct, as_it_came) ==
          chunk(call) + chunk(R"({"content":"after"})") + chunk(R"({"content":"more"})") + done);
  }
  const std::string before = start + block(text_block) + text("Hello") + stop();
  for (const std::string& call :
       {block(R"({"type":"tool_use","id":"t","name":"f","input":{}})", 1), block(R"({"type":"server_tool_use","id":"t"})", 1),
        block(R"({"type":"text","text":"","name":"f","input":{}})", 1), block(R"({"type":"later"})", 1), piece("{}", 0)}) {
    CAPTURE(call);
    AnthropicAnswerStream answer;
    const std::string after = block(text_block, 2) + text("after", 2) + stop(2);
    answer.feed(before + call + after);
    CHECK(answer.release_some(1000) == before);
    CHECK(answer.released_bytes() == 5);
    answer.feed(end);
    CHECK(answer.release_some(1000).empty());
    answer.finish();
    CHECK(answer.release(direct, as_it_came) == call + after + end);
  }
}

TEST_CASE("Tokens of a stream under way leave only with the text that they tell", "[gateway][answer_text][openai]") {
  const std::string a = chunk(R"({"content":"a "})", logprobs({"a", " "}));
  OpenAiStreamAnswer good;
  good.feed(chunk(R"({"role":"assistant"})") + a + chunk(R"({"content":"b"})", logprobs({"b", " c"})));
  CHECK_THAT(good.release_some(3), EndsWith(a));
  CHECK(good.released_bytes() == 2);
  good.feed(chunk(R"({"content":" c"})", R"(,"logprobs":{"content":[]})"));
  CHECK_FALSE(good.release_some(5).empty());
  CHECK(good.released_bytes() == 5);

  OpenAiStreamAnswer other;
  other.feed(a);
  CHECK(other.release_some(1000) == a);
  other.feed(chunk(R"({"content":"fine"})", logprobs({"HARM"})) + chunk(R"({"content":"b"})"));
  CHECK(other.release_some(1000).empty());
  CHECK(other.released_bytes() == 2);
  other.feed(done);
  other.finish();
  CHECK(other.reply(0, AnswerText::everything).text == "a fineb\na HARM");

  OpenAiStreamAnswer ahead;
  ahead.feed(chunk(R"({"content":"a"})", logprobs({"a", "HARM"})));
  ahead.feed(chunk(R"({"content":"fine"})"));
  CHECK(ahead.release_some(1000).empty());

  OpenAiStreamAnswer before_text;
  before_text.feed(chunk(R"({"content":""})", logprobs({"HA"})) + chunk(R"({"content":"HA"})"));
  CHECK(before_text.release_some(1).empty());
  before_text.feed(chunk(R"({"content":" ha ha"})"));
  CHECK_FALSE(before_text.release_some(8).empty());
}

TEST_CASE("A stream tells how much of its text has been given out", "[gateway][answer_text]") {
  OpenAiStreamAnswer answer;
  CHECK(answer.released_bytes() == 0);
  answer.feed(chunk(R"({"content":"one "})") + chunk(R"({"content":"two"})"));
  CHECK(answer.released_bytes() == 0);
  static_cast<void>(answer.release_some(3));
  CHECK(answer.released_bytes() == 0);
  static_cast<void>(answer.release_some(6));
  CHECK(answer.released_bytes() == 4);
  static_cast<void>(answer.release_some(7));
  CHECK(answer.released_bytes() == 7);

  AnthropicAnswerStream events;
  CHECK(events.released_bytes() == 0);
  events.feed(start + block(text_block) + text("one ") + text("two"));
  static_cast<void>(events.release_some(3));
  CHECK(events.released_bytes() == 0);
  static_cast<void>(events.release_some(6));
  CHECK(events.released_bytes() == 4);
  static_cast<void>(events.release_some(7));
  CHECK(events.released_bytes() == 7);

  CHECK(OpenAiAnswer{}.released_bytes() == 0);
}

TEST_CASE("A stream that is cut before its call is one that a filter cut", "[gateway][answer_text]") {
  OpenAiStreamAnswer answer;
  answer.feed(chunk(R"({"content":"Hello"})") + chunk(R"({"tool_calls":[{"function":{"name":"HARM"}}]})"));
  std::string left = answer.release_some(1000);
  left += answer.release_end("", {});
  CHECK(left.find("HARM") == std::string::npos);
  CHECK_THAT(left, ContainsSubstring(R"("finish_reason":"content_filter")") && EndsWith(done));

  AnthropicAnswerStream events;
  events.feed(start + block(text_block) + text("Hello") + stop() + block(R"({"type":"tool_use","name":"HARM","input":{}})", 1) +
              piece("{}", 1));
  std::string rest = events.release_some(1000);
  rest += events.release_end("Sorry.", {});
  CHECK(rest.find("HARM") == std::string::npos);
  CHECK(read<AnthropicAnswerStream>(rest)->reply(0, AnswerText::everything).text == "Hello\nSorry.");
}

TEST_CASE("What was read and written is counted", "[gateway][answer_text]") {
  const auto counts = [](const std::string& message, const std::string& usage, AnswerText which = AnswerText::everything) {
    const std::string root = R"(,"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4})" + usage + "}";
    const TokenCounts counted = read<OpenAiAnswer>(whole(message, "", root))->reply(0, which).counts;
    CHECK(read<OpenAiStreamAnswer>(stream(message, "", root))->reply(0, which).counts == counted);
    return counted;
  };
  const std::string of_reasoning = R"(,"completion_tokens":70,"completion_tokens_details":{"reasoning_tokens":60})";
  CHECK(counts(R"({"content":"x"})", R"(,"completion_tokens":70)") == TokenCounts{9, 70});
  CHECK(counts(R"({"content":"x"})", of_reasoning) == TokenCounts{9, 10});
  CHECK(counts(R"({"content":"x","reasoning_content":")" + std::string(200, 'y') + "\"}", of_reasoning) == TokenCounts{9, 70});
  CHECK(counts(R"({"content":"x","reasoning":"a summary"})", of_reasoning) == TokenCounts{9, 10});
  CHECK(counts(R"({"content":"x","reasoning":"hm"})", R"(,"completion_tokens":70)") == TokenCounts{9, 70});
  CHECK(counts(R"({"content":"x","reasoning":"hm"})", R"(,"completion_tokens":70)", AnswerText::content) == TokenCounts{9, 0});
  CHECK(counts(R"({"content":"x"})", of_reasoning, AnswerText::content) == TokenCounts{9, 10});
  CHECK(counts(R"({"content":"x"})", "") == TokenCounts{9, 0});

  const std::string two =
      R"({"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}],"usage":{"prompt_tokens":9,"completion_tokens":7}})";
  OpenAiAnswer several{2};
  several.feed(two);
  several.finish();
  CHECK(several.reply(0, AnswerText::everything).counts == TokenCounts{9, 0});

  const std::string usage =
      R"(,"usage":{"input_tokens":10,"cache_read_input_tokens":3,"cache_creation_input_tokens":2,"output_tokens":7})";
  const std::string one = R"({"type":"text","text":"a"})";
  const auto of_message = [&](const std::string& blocks) {
    return read<AnthropicAnswer>(message(blocks, usage))->reply(0, AnswerText::everything).counts;
  };
  CHECK(of_message(one) == TokenCounts{15, 7});
  CHECK(of_message(R"({"type":"thinking","thinking":"hm"},)" + one) == TokenCounts{15, 0});
  CHECK(of_message(R"({"type":"redacted_thinking","data":"c2ln"},)" + one) == TokenCounts{15, 0});
  const auto of_events = [&](const std::string& events) {
    return read<AnthropicAnswerStream>(start + events + end)->reply(0, AnswerText::everything).counts;
  };
  CHECK(of_events(block(text_block) + text("a") + stop()) == TokenCounts{10, 7});
  CHECK(of_events(block(R"({"type":"thinking","thinking":""})") + stop()) == TokenCounts{10, 0});
}

TEST_CASE("All that a message of the Messages API says counts", "[gateway][answer_text][anthropic]") {
  const std::string a = R"({"type":"text","text":"a"})";
  CHECK(said<AnthropicAnswer>(
            message(a, R"(,"id":"m1","model":"m","stop_sequence":"x","stop_reason":"y","usage":{"service_tier":"z"})")) == "a");
  for (const std::string& hidden : {
           message(a, R"(,"x":{"type":"HARM"})"),
           message(a, R"(,"role":{"HARM":1})"),
           message(R"({"type":"text","text":"a","x":{"HARM":1}})"),
           message(R"({"type":"text","text":"a","signature":"HARM words"})"),
           message(R"({"type":"tool_use","id":"HARM","name":"f","input":{}})"),
           message(R"({"type":"later","content":{"id":"HARM"}})"),
           message(R"("HARM")"),
           message(R"({"type":"text","text":["HARM"]})"),
       }) {
    CAPTURE(hidden);
    CHECK_THAT(said<AnthropicAnswer>(hidden), ContainsSubstring("HARM"));
  }
  for (const std::string& hidden : {
           block(R"({"type":"text","text":"","x":{"HARM":1}})"),
           block(R"({"type":"tool_use","id":"HARM","name":"f","input":{}})"),
           block(R"({"type":"later","x":{"type":"HARM"}})"),
           block(text_block) + delta(R"({"type":"later","x":[{"role":"HARM"}]})"),
           block(text_block) + delta(R"({"type":"signature_delta","signature":"HARM words"})"),
           event("ping", R"("x":{"HARM":1})"),
           event("later", R"("id":"HARM")"),
           event("message_delta", R"("delta":{"stop_reason":"x","container":{"id":"HARM"}})"),
           event("message_delta", R"("delta":"HARM")"),
       }) {
    CAPTURE(hidden);
    CHECK_THAT(said<AnthropicAnswerStream>(start + hidden + end), ContainsSubstring("HARM"));
  }
  CHECK_THAT(said<AnthropicAnswerStream>(
                 event("message_start", R"("message":{"content":[{"type":"text","text":"HARM"}],"x":{"type":"HURT"}})") + end),
             ContainsSubstring("HARM") && ContainsSubstring("HURT"));
  for (const std::string& bad :
       {block(R"({"type":"text","text":"","tokens":[1]})"), block(text_block) + delta(R"({"type":"x","y":[1]})"),
        event("message_delta", R"("usage":{"x":[1]})"), event("ping", R"("x":[1])")}) {
    CAPTURE(bad);
    CHECK_THAT(refusal_of<AnthropicAnswerStream>(start + bad + end), ContainsSubstring("token ids"));
  }
  CHECK_THAT(refusal_of<AnthropicAnswer>(message(a, R"(,"token_ids":[1])")), ContainsSubstring("token ids"));
}

}  // namespace answer_text_test
