#include <ecso/gateway/anthropic_answer.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ecso/backend/anthropic_wire.hpp>
#include <ecso/backend/framing.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/anthropic_answer_stream.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"

namespace anthropic_answer_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::FinishReason;
using ecso::Path;
using ecso::Usage;
using ecso::gateway::AnswerText;
using ecso::gateway::AnthropicAnswer;
using ecso::gateway::AnthropicAnswerStream;
using ecso::gateway::Release;
using ecso::gateway::ReleaseNote;
using ecso::gateway::UpstreamAnswer;
using nlohmann::json;

constexpr std::string_view note = R"({"path":"direct"})";
constexpr Usage sum{.prompt_tokens = 300, .cached_tokens = 100, .completion_tokens = 50};

json text_block(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

json message(const json& content) {
  return {{"id", "msg_1"},
          {"type", "message"},
          {"role", "assistant"},
          {"model", "claude"},
          {"content", content},
          {"stop_reason", "end_turn"},
          {"stop_sequence", nullptr},
          {"usage", {{"input_tokens", 10}, {"output_tokens", 5}}}};
}

json message_of(const std::string& text) { return message(json::array({text_block(text)})); }

void give(UpstreamAnswer& answer, std::string_view body) {
  answer.feed(body);
  answer.finish();
}

template <typename Answer>
Error failure(std::string_view body) {
  Answer answer;
  try {
    give(answer, body);
  } catch (const Error& error) {
    return error;
  }
  return Error{Errc::internal, "it was accepted"};
}

std::string text_in(const UpstreamAnswer& answer, AnswerText which = AnswerText::everything) {
  return answer.reply(0, which).text;
}

std::string released(UpstreamAnswer& answer, const Release& release, const ReleaseNote& beside = {.ecso = note, .usage = sum}) {
  return answer.release(std::vector<Release>{release}, beside);
}

std::string event(const json& data) { return "event: " + data["type"].get<std::string>() + "\ndata: " + data.dump() + "\n\n"; }

json start_event(const json& usage = {{"input_tokens", 10}, {"output_tokens", 1}}) {
  json start = message(json::array());
  start["stop_reason"] = nullptr;
  start["usage"] = usage;
  return {{"type", "message_start"}, {"message", start}};
}
json block_event(int index, const json& block) {
  return {{"type", "content_block_start"}, {"index", index}, {"content_block", block}};
}
json delta_event(int index, const json& delta) { return {{"type", "content_block_delta"}, {"index", index}, {"delta", delta}}; }
json text_event(int index, const std::string& text) { return delta_event(index, {{"type", "text_delta"}, {"text", text}}); }
json stop_event(int index) { return {{"type", "content_block_stop"}, {"index", index}}; }
json end_event(const json& usage = {{"output_tokens", 5}}, const std::string& reason = "end_turn") {
  return {{"type", "message_delta"}, {"delta", {{"stop_reason", reason}, {"stop_sequence", nullptr}}}, {"usage", usage}};
}
json last_event() { return {{"type", "message_stop"}}; }
json ping() { return {{"type", "ping"}}; }

std::string stream_of(const std::vector<json>& events) {
  std::string text;
  for (const json& each : events) text += event(each);
  return text;
}

/// A streamed answer of one text.
std::vector<json> text_events(const std::vector<std::string>& pieces) {
  std::vector<json> events{start_event(), block_event(0, text_block("")), ping()};
  for (const std::string& piece : pieces) events.push_back(text_event(0, piece));
  events.insert(events.end(), {stop_event(0), end_event(), last_event()});
  return events;
}

std::vector<json> events_of(std::string_view stream) {
  std::vector<json> events;
  ecso::SseFraming framing;
  framing.feed(stream, [&](std::string_view name, std::string_view data) {
    events.push_back(json::parse(data));
    CHECK(events.back()["type"] == name);
  });
  return events;
}

/// The message that a client makes of a stream, by the API's rules.
json assembled(const std::vector<json>& events) {
  REQUIRE(events.size() >= 3);
  REQUIRE(events.front()["type"] == "message_start");
  REQUIRE(events.back()["type"] == "message_stop");
  json message = events.front()["message"];
  std::vector<std::string> inputs;
  std::vector<bool> open;
  for (const json& each : events) {
    const auto type = each["type"].get<std::string>();
    const std::size_t index = each.value("index", std::size_t{0});
    if (type == "content_block_start") {
      REQUIRE(index == message["content"].size());
      message["content"].push_back(each["content_block"]);
      inputs.emplace_back();
      open.push_back(true);
    } else if (type == "content_block_delta") {
      REQUIRE(open.at(index));
      json& block = message["content"].at(index);
      const json& delta = each["delta"];
      if (delta["type"] == "text_delta") block["text"] = block["text"].get<std::string>() + delta["text"].get<std::string>();
      if (delta["type"] == "thinking_delta") {
        block["thinking"] = block["thinking"].get<std::string>() + delta["thinking"].get<std::string>();
      }
      if (delta["type"] == "signature_delta") block["signature"] = delta["signature"];
      if (delta["type"] == "citations_delta") block["citations"].push_back(delta["citation"]);
      if (delta["type"] == "input_json_delta") inputs.at(index) += delta["partial_json"].get<std::string>();
    } else if (type == "content_block_stop") {
      REQUIRE(open.at(index));
      open[index] = false;
      if (!inputs.at(index).empty()) message["content"][index]["input"] = json::parse(inputs[index]);
    } else if (type == "message_delta") {
      message.update(each["delta"]);
      message["usage"].update(each["usage"]);
      if (each.contains("ecso")) message["ecso"] = each["ecso"];
    }
  }
  for (const bool is_open : open) CHECK_FALSE(is_open);
  return message;
}

}  // namespace

TEST_CASE("a whole message is read as the backend reads it", "[gateway][anthropic_answer]") {
  json body =
      message({{{"type", "thinking"}, {"thinking", "hm"}, {"signature", "c2ln"}}, text_block("One. "), text_block("Two.")});
  body["usage"] = {
      {"input_tokens", 10}, {"cache_read_input_tokens", 3}, {"cache_creation_input_tokens", 2}, {"output_tokens", 5}};
  body["stop_reason"] = GENERATE("end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence", "pause_turn");
  AnthropicAnswer answer;
  give(answer, body.dump());
  CHECK(answer.choices() == 1);
  ecso::Reply expected = ecso::parse_anthropic_reply(body.dump());
  expected.counts = {.prompt = 15};
  CHECK(answer.reply(0, AnswerText::content) == expected);
  CHECK(text_in(answer) == "hm\nOne. \nTwo.");
}

TEST_CASE("everything that a message says is for the check", "[gateway][anthropic_answer]") {
  json body = message({text_block("I call it."),
                       {{"type", "tool_use"}, {"id", "t1"}, {"name", "mail"}, {"input", {{"body", "caf\u00e9"}, {"n", 1}}}},
                       {{"type", "redacted_thinking"}, {"data", "b3BhcXVl"}},
                       {{"type", "later_type"}, {"nested", {{{"words", "deep"}}, "flat"}}}});
  body["content"][0]["citations"] = json::array({{{"type", "char_location"}, {"cited_text", "quoted"}}});
  body["notes"] = "beside";
  AnthropicAnswer answer;
  give(answer, body.dump());
  const std::string text = text_in(answer);
  CHECK_THAT(text, ContainsSubstring("mail({\"body\":\"caf\u00e9\",\"n\":1})"));
  for (const char* part : {"I call it.", "b3BhcXVl", "deep", "flat", "quoted", "beside"})
    CHECK_THAT(text, ContainsSubstring(part));
  CHECK(text_in(answer, AnswerText::content) == "I call it.");
}

TEST_CASE("a tool's input is checked with its escapes read", "[gateway][anthropic_answer]") {
  AnthropicAnswer answer;
  give(answer, R"({"content":[{"type":"tool_use","name":"f","input":{"\u0061":"b\u006Fmb\n"}}]})");
  CHECK(text_in(answer) == R"(f({"a":"bomb\n"}))");
}

TEST_CASE("what is no message is none", "[gateway][anthropic_answer]") {
  const std::vector<std::pair<std::string, Errc>> cases{
      {"", Errc::bad_reply},
      {"<html>", Errc::bad_reply},
      {"[]", Errc::bad_reply},
      {"{}", Errc::bad_reply},
      {R"({"content":"hello"})", Errc::bad_reply},
      {R"({"content":[],"content":[]})", Errc::bad_reply},
      {message_of("cut").dump().substr(0, 40), Errc::bad_reply},
      {R"({"type":"error","error":{"type":"overloaded_error","message":"busy"}})", Errc::server_error},
      {R"({"type":"error"})", Errc::server_error}};
  for (const auto& [body, code] : cases) CHECK(failure<AnthropicAnswer>(body).code() == code);
  CHECK_THAT(failure<AnthropicAnswer>(cases[7].first).what(), ContainsSubstring("busy"));
  AnthropicAnswer unfinished;
  unfinished.feed(message_of("a").dump());
  CHECK_THROWS_AS(text_in(unfinished), Error);
  CHECK_THROWS_AS(released(unfinished, {.path = Path::direct}), Error);
}

TEST_CASE("a message leaves as it came, with usage and note", "[gateway][anthropic_answer]") {
  json body = message_of("hello");
  body["unknown"] = {{"a", 1}};
  body["usage"]["service_tier"] = "standard";
  AnthropicAnswer answer;
  give(answer, body.dump(2));
  const std::string text = released(answer, {.path = Path::direct});
  json expected = body;
  expected["ecso"] = json::parse(note);
  expected["usage"]["input_tokens"] = 200;
  expected["usage"]["cache_read_input_tokens"] = 100;
  expected["usage"]["output_tokens"] = 50;
  CHECK(json::parse(text) == expected);
  CHECK(text.starts_with(body.dump(2).substr(0, 40)));
  CHECK(released(answer, {.path = Path::direct}, {.ecso = {}, .replace_usage = false}) == body.dump(2));
}

TEST_CASE("what an answer wrote to the prompt cache stays counted apart", "[gateway][anthropic_answer]") {
  json body = message_of("hello");
  body["usage"] = {
      {"input_tokens", 10}, {"cache_creation_input_tokens", 90}, {"cache_read_input_tokens", 0}, {"output_tokens", 5}};
  AnthropicAnswer answer;
  give(answer, body.dump());
  const json usage = json::parse(released(answer, {.path = Path::direct}))["usage"];
  CHECK(
      usage ==
      json{{"input_tokens", 110}, {"cache_creation_input_tokens", 90}, {"cache_read_input_tokens", 100}, {"output_tokens", 50}});
}

TEST_CASE("a message without usage gets one, and another note gives way", "[gateway][anthropic_answer]") {
  AnthropicAnswer answer;
  give(answer, R"({"content":[],"ecso":{"path":"refused"}})");
  const json left = json::parse(released(answer, {.path = Path::direct}));
  CHECK(left["ecso"] == json::parse(note));
  CHECK(left["usage"] == json{{"input_tokens", 200}, {"cache_read_input_tokens", 100}, {"output_tokens", 50}});
}

TEST_CASE("a repaired message has the repaired content and nothing else of the answer but its name",
          "[gateway][anthropic_answer]") {
  json body = message_of("harmful");
  body["beside"] = "harmful";
  AnthropicAnswer answer;
  give(answer, body.dump());
  json other = message({text_block("kind"), {{"type", "tool_use"}, {"id", "t"}, {"name", "f"}, {"input", {{"a", 1}}}}});
  other["id"] = "msg_2";
  other["stop_reason"] = "tool_use";
  AnthropicAnswer repaired;
  give(repaired, other.dump());
  json expected = message(other["content"]);
  expected["stop_reason"] = "tool_use";
  expected["usage"] = {{"input_tokens", 200}, {"cache_read_input_tokens", 100}, {"output_tokens", 50}};
  expected["ecso"] = json::parse(note);
  CHECK(json::parse(released(answer, {.path = Path::eyes_closed, .regenerated = &repaired})) == expected);
  CHECK_THROWS_AS(released(answer, {.path = Path::eyes_closed}), Error);
}

TEST_CASE("a refused message has the refusal", "[gateway][anthropic_answer]") {
  AnthropicAnswer answer;
  give(answer, message_of("harmful").dump());
  json expected = message_of("No \"way\".");
  expected["usage"] = {{"input_tokens", 200}, {"cache_read_input_tokens", 100}, {"output_tokens", 50}};
  CHECK(json::parse(released(answer, {.path = Path::refused, .refusal = "No \"way\"."}, {.ecso = {}, .usage = sum})) == expected);
  CHECK_THROWS_AS(released(answer, {.path = Path::failed}), Error);
  CHECK_THROWS_AS(answer.release({}, {}), Error);
}

TEST_CASE("a streamed message is read wherever its bytes are cut", "[gateway][anthropic_answer]") {
  const std::string stream = stream_of(text_events({"Hel", "lo ", "w\u00f6rld"}));
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    AnthropicAnswerStream answer;
    answer.feed(std::string_view{stream}.substr(0, cut));
    answer.feed(std::string_view{stream}.substr(cut));
    answer.finish();
    const ecso::Reply reply = answer.reply(0, AnswerText::everything);
    REQUIRE(reply.text == "Hello w\u00f6rld");
    REQUIRE(reply.usage == Usage{.prompt_tokens = 10, .completion_tokens = 5});
    REQUIRE(reply.finish_reason == FinishReason::stop);
    REQUIRE(reply.model == "claude");
    REQUIRE(answer.text_so_far() == reply.text);
    REQUIRE(answer.reply(0, AnswerText::content) == reply);
  }
}

TEST_CASE("everything that a stream says is for the check", "[gateway][anthropic_answer]") {
  AnthropicAnswerStream answer;
  give(answer, stream_of({start_event(),
                          block_event(0, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}),
                          delta_event(0, {{"type", "thinking_delta"}, {"thinking", "let me "}}),
                          delta_event(0, {{"type", "thinking_delta"}, {"thinking", "see"}}),
                          delta_event(0, {{"type", "signature_delta"}, {"signature", "c2ln"}}),
                          stop_event(0),
                          block_event(1, text_block("One")),
                          text_event(1, " two"),
                          delta_event(1, {{"type", "citations_delta"}, {"citation", {{"cited_text", "quoted"}}}}),
                          text_event(1, "three"),
                          stop_event(1),
                          block_event(2, {{"type", "tool_use"}, {"id", "t"}, {"name", "f"}, {"input", json::object()}}),
                          delta_event(2, {{"type", "input_json_delta"}, {"partial_json", R"({"a":)"}}),
                          delta_event(2, {{"type", "input_json_delta"}, {"partial_json", "1}"}}),
                          stop_event(2),
                          block_event(3, {{"type", "later_type"}, {"words", "deep"}}),
                          stop_event(3),
                          {{"type", "later_event"}, {"words", "beside"}},
                          end_event({{"output_tokens", 5}}, "tool_use"),
                          last_event()}));
  CHECK(text_in(answer) == "let me see\nOne two\n{\"cited_text\":\"quoted\"}\nthree\nt\nf({\"a\":1})\ndeep\nbeside");
  CHECK(text_in(answer, AnswerText::content) == "One twothree");
  CHECK(answer.reply(0, AnswerText::content).finish_reason == FinishReason::other);
}

TEST_CASE("pieces of blocks that take turns are not run together", "[gateway][anthropic_answer]") {
  AnthropicAnswerStream answer;
  give(answer, stream_of({start_event(), block_event(0, text_block("")), text_event(0, "a"), block_event(1, text_block("")),
                          text_event(1, "b"), text_event(0, "c"), stop_event(0), stop_event(1), end_event(), last_event()}));
  CHECK(text_in(answer) == "a\nb\nc");
}

TEST_CASE("what is no stream of a message is none", "[gateway][anthropic_answer]") {
  const json text = text_event(0, "a");
  const std::string fine = stream_of(text_events({"a"}));
  const std::vector<std::string> bad{
      "",
      stream_of({start_event()}),
      stream_of({start_event(), block_event(0, text_block("a")), stop_event(0), end_event()}),
      fine.substr(0, fine.size() - 2),
      stream_of({block_event(0, text_block("a")), last_event()}),
      stream_of({start_event(), start_event(), last_event()}),
      stream_of({{{"type", "message_start"}}, last_event()}),
      stream_of({start_event(), {{"type", "content_block_start"}, {"content_block", text_block("a")}}, last_event()}),
      stream_of({start_event(), {{"type", "content_block_start"}, {"index", -1}}, last_event()}),
      event(start_event()) + "event: ping\ndata: " + text.dump() + "\n\n" + event(last_event()),
      event(start_event()) + "data: {\"type\":\"a\\nb\"}\n\n" + event(last_event()),
      event(start_event()) + "data: {\"type\":7}\n\n" + event(last_event()),
      event(start_event()) + "data: hello\n\n" + event(last_event()),
      event(start_event()) + "data: {\"type\":\"ping\",\"type\":\"ping\"}\n\n" + event(last_event()),
  };
  for (const std::string& stream : bad) {
    CAPTURE(stream);
    CHECK(failure<AnthropicAnswerStream>(stream).code() == Errc::bad_reply);
  }
  const std::string error = R"(data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}})"
                            "\n\n";
  CHECK(failure<AnthropicAnswerStream>("event: error\n" + error).code() == Errc::server_error);
  CHECK_THAT(failure<AnthropicAnswerStream>(event(start_event()) + error + event(last_event())).what(),
             ContainsSubstring("busy"));
}

TEST_CASE("a stream leaves as it came, with usage and note in its message_delta", "[gateway][anthropic_answer]") {
  const std::vector<json> events = text_events({"Hello", " world"});
  AnthropicAnswerStream answer;
  give(answer, ": comment\n\n" + stream_of(events) + "data: [DONE]\n\n");
  const std::vector<json> left = events_of(released(answer, {.path = Path::direct}));
  std::vector<json> expected = events;
  expected[expected.size() - 2]["usage"] = {{"input_tokens", 200}, {"cache_read_input_tokens", 100}, {"output_tokens", 50}};
  expected[expected.size() - 2]["ecso"] = json::parse(note);
  CHECK(left == expected);
  AnthropicAnswerStream same;
  give(same, stream_of(events));
  CHECK(released(same, {.path = Path::direct}, {.ecso = {}, .replace_usage = false}) == stream_of(events));
}

TEST_CASE("a stream without event lines, with line breaks in its JSON, leaves in the API's form", "[gateway][anthropic_answer]") {
  std::string stream;
  for (const json& each : text_events({"a"})) {
    std::string data = each.dump(1);
    for (std::size_t at = 0; (at = data.find('\n', at)) != std::string::npos; at += 7) data.insert(at + 1, "data: ");
    stream += "data: " + data + "\r\n\r\n";
  }
  AnthropicAnswerStream answer;
  give(answer, stream);
  const std::string left = released(answer, {.path = Path::direct}, {.ecso = {}, .replace_usage = false});
  CHECK(events_of(left) == text_events({"a"}));
}

TEST_CASE("of an event that spans lines, what is checked is what leaves", "[gateway][anthropic_answer]") {
  const std::string unknown = "data: {\"type\":\"news\",\ndata: \"words\": {\ndata: \"a\": [\"b\",\ndata: \"c\"]}}\n\n";
  AnthropicAnswerStream answer;
  give(answer, event(start_event()) + unknown + event(end_event()) + event(last_event()));
  CHECK_THAT(text_in(answer), ContainsSubstring(R"({"a": ["b","c"]})"));
  AnthropicAnswerStream left;
  give(left, released(answer, {.path = Path::direct}));
  CHECK(text_in(left) == text_in(answer));
  // Within a string there is none, and none is taken away.
  const std::string broken = "data: {\"type\":\"news\",\"words\":\"a\ndata: b\"}\n\n";
  CHECK(failure<AnthropicAnswerStream>(event(start_event()) + broken + event(last_event())).code() == Errc::bad_reply);
}

TEST_CASE("a stream without a message_delta gets one", "[gateway][anthropic_answer]") {
  AnthropicAnswerStream answer;
  give(answer, stream_of({start_event(), block_event(0, text_block("a")), stop_event(0), last_event()}));
  const json left = assembled(events_of(released(answer, {.path = Path::direct})));
  CHECK(left["content"] == json::array({text_block("a")}));
  CHECK(left["stop_reason"] == "end_turn");
  CHECK(left["ecso"] == json::parse(note));
}

TEST_CASE("a repaired stream is the repaired message in pieces", "[gateway][anthropic_answer]") {
  std::vector<json> events = text_events({"harm", "ful"});
  events[0]["message"]["content"].push_back(text_block("harmful"));
  events[0]["message"]["beside"] = "harmful";
  AnthropicAnswerStream answer;
  give(answer, stream_of(events));
  std::string words;
  for (int i = 0; i < 40; ++i) words += "kind w\u00f6rds ";
  words += std::string(300, 'x') + "\u4f60\u597d\n\nend";
  json citing = text_block("cited");
  citing["citations"] = json::array({{{"type", "char_location"}, {"cited_text", "source"}}});
  json other = message({{{"type", "thinking"}, {"thinking", words}, {"signature", "c2ln"}},
                        text_block(words),
                        {{"type", "tool_use"}, {"id", "t"}, {"name", "f"}, {"input", {{"a", "\n"}, {"b", {1, 2}}}}},
                        {{"type", "later_type"}, {"words", "deep"}}});
  other["id"] = "msg_2";
  other["stop_reason"] = "tool_use";
  AnthropicAnswer repaired;
  give(repaired, other.dump(1));
  const std::string left = released(answer, {.path = Path::eyes_closed, .regenerated = &repaired});
  CHECK(left.find("harmful") == std::string::npos);
  json expected = other;
  expected["id"] = "msg_1";
  expected["ecso"] = json::parse(note);
  expected["usage"] = {{"input_tokens", 200}, {"cache_read_input_tokens", 100}, {"output_tokens", 50}};
  CHECK(assembled(events_of(left)) == expected);
  CHECK(events_of(left).size() > 60);
}

TEST_CASE("a refused stream says the refusal, also before the answer is over", "[gateway][anthropic_answer]") {
  AnthropicAnswerStream answer;
  answer.feed(stream_of({start_event(), block_event(0, text_block("")), text_event(0, "harmful")}));
  const std::string left = released(answer, {.path = Path::refused, .refusal = "I can't help with that."});
  CHECK(left.find("harmful") == std::string::npos);
  const json message = assembled(events_of(left));
  CHECK(message["content"] == json::array({text_block("I can't help with that.")}));
  CHECK(message["stop_reason"] == "end_turn");
  CHECK(message["id"] == "msg_1");
  CHECK_THROWS_AS(released(answer, {.path = Path::direct}), Error);
}

TEST_CASE("of a stream, events leave up to what is verified", "[gateway][anthropic_answer]") {
  const std::vector<json> events = text_events({"Hello", " wide", " world"});
  AnthropicAnswerStream answer;
  answer.feed(stream_of({events.begin(), events.begin() + 5}));
  CHECK(answer.text_so_far() == "Hello wide");
  CHECK(events_of(answer.release_some(4)).size() == 3);  // all before the first text
  CHECK(answer.release_some(4).empty());
  const std::string hello = answer.release_some(9);
  CHECK(events_of(hello) == std::vector<json>{events[3]});
  answer.feed(stream_of({events.begin() + 5, events.end()}));
  answer.finish();
  const std::string rest = answer.release_some(1000);
  CHECK(events_of(rest) == std::vector<json>{events[4], events[5], events[6]});
  const std::vector<json> end = events_of(released(answer, {.path = Path::direct}));
  REQUIRE(end.size() == 2);
  CHECK(end[0]["ecso"] == json::parse(note));
  CHECK(end[0]["delta"] == events[7]["delta"]);
  CHECK(end[1] == last_event());
}

TEST_CASE("a stream of which some has left ends as one that was cut", "[gateway][anthropic_answer]") {
  const std::vector<json> events = text_events({"Hello", " harmful"});
  const std::string last_words = GENERATE(as<std::string>{}, "", "\n\nSomething kind instead.");
  const bool is_whole = GENERATE(false, true);
  AnthropicAnswerStream answer;
  answer.feed(stream_of({events.begin(), events.begin() + (is_whole ? 8 : 5)}));
  std::string left = answer.release_some(5);
  left += answer.release_end(last_words, {.ecso = note, .usage = sum});
  CHECK(left.find("harmful") == std::string::npos);
  const json message = assembled(events_of(left));
  CHECK(message["content"] == json::array({text_block("Hello" + last_words)}));
  CHECK(message["stop_reason"] == "refusal");
  CHECK(message["usage"]["output_tokens"] == 50);
  CHECK(message["ecso"] == json::parse(note));
}

TEST_CASE("last words after a block of another kind are a block of their own", "[gateway][anthropic_answer]") {
  AnthropicAnswerStream answer;
  answer.feed(stream_of({start_event(), block_event(0, text_block("a")), stop_event(0),
                         block_event(1, {{"type", "thinking"}, {"thinking", "b"}, {"signature", ""}})}));
  std::string left = answer.release_some(answer.text_so_far().size());
  left += answer.release_end("kind", {});
  const json message = assembled(events_of(left));
  CHECK(message["content"].size() == 3);
  CHECK(message["content"][2] == text_block("kind"));
}

TEST_CASE("a refusal after some has left begins a block of its own", "[gateway][anthropic_answer]") {
  AnthropicAnswerStream answer;
  answer.feed(stream_of({start_event(), block_event(0, text_block("")), text_event(0, "Hello"), text_event(0, " harmful")}));
  std::string left = answer.release_some(5);
  left += released(answer, {.path = Path::refused, .refusal = "No."});
  CHECK(assembled(events_of(left))["content"] == json::array({text_block("Hello"), text_block("No.")}));
}

TEST_CASE("what a stream says of tokens at both ends is put together", "[gateway][anthropic_answer]") {
  AnthropicAnswerStream answer;
  give(answer, stream_of({start_event({{"input_tokens", 10},
                                       {"cache_creation_input_tokens", 20},
                                       {"cache_read_input_tokens", 30},
                                       {"output_tokens", 1}}),
                          block_event(0, text_block("a")), stop_event(0), end_event({{"output_tokens", 7}}), last_event()}));
  CHECK(answer.reply(0, AnswerText::content).usage == Usage{.prompt_tokens = 60, .cached_tokens = 30, .completion_tokens = 7});
  const json usage = assembled(events_of(released(answer, {.path = Path::direct})))["usage"];
  CHECK(
      usage ==
      json{{"input_tokens", 180}, {"cache_creation_input_tokens", 20}, {"cache_read_input_tokens", 100}, {"output_tokens", 50}});
}

}  // namespace anthropic_answer_test
