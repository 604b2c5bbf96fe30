#include <ecso/gateway/anthropic_chat.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace anthropic_chat_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using ecso::Errc;
using ecso::Error;
using ecso::Image;
using ecso::ModelRequest;
using ecso::Role;
using ecso::Step;
using ecso::TextRequest;
using ecso::VisionRequest;
using ecso::gateway::AnthropicChat;
using ecso::gateway::ChatLimits;
using nlohmann::json;

/// An image that differs from those of other widths.
std::string picture(std::uint32_t width) { return std::string{Image::from_bytes(ecso::test::png_bytes(width, 2)).base64()}; }

json image_block(std::uint32_t width = 3) {
  return {{"type", "image"}, {"source", {{"type", "base64"}, {"media_type", "image/png"}, {"data", picture(width)}}}};
}

json text_block(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

/// A chat that owns its body.
std::unique_ptr<AnthropicChat> chat_of(const std::string& body, const ChatLimits& limits = {}) {
  auto bytes = std::make_shared<const std::string>(body);
  const std::string_view view = *bytes;
  return std::make_unique<AnthropicChat>(std::move(bytes), view, limits);
}

std::unique_ptr<AnthropicChat> chat_of(const json& body, const ChatLimits& limits = {}) { return chat_of(body.dump(), limits); }

/// A chat of these messages.
json with_messages(const json& messages) { return {{"model", "claude"}, {"max_tokens", 64}, {"messages", messages}}; }

json user(const json& content) { return {{"role", "user"}, {"content", content}}; }
json assistant(const json& content) { return {{"role", "assistant"}, {"content", content}}; }

std::string refusal(const json& body, const ChatLimits& limits = {}) {
  try {
    static_cast<void>(chat_of(body, limits));
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.what();
  }
  return "it was accepted";
}

TextRequest closed(const AnthropicChat& chat, const std::vector<std::string>& captions = {}, ecso::Sampling sampling = {}) {
  return {ecso::close_eyes(chat.conversation(), captions), {.step = Step::regenerate, .sampling = std::move(sampling)}};
}

json regenerated(const AnthropicChat& chat, const TextRequest& request) { return json::parse(chat.regenerate(request).text()); }

json asked(const AnthropicChat& chat, const ModelRequest& request, const ecso::OpenAiDialect& dialect = {}) {
  return json::parse(chat.ask(request, dialect).text());
}

}  // namespace

TEST_CASE("a Messages request of one text is a chat of one turn", "[gateway][anthropic_chat]") {
  const auto chat = chat_of(with_messages(json::array({user("hello")})));
  REQUIRE(chat->conversation().messages.size() == 1);
  CHECK(chat->conversation().messages[0].role == Role::user);
  CHECK(chat->conversation().messages[0].text() == "hello");
  CHECK(chat->model() == "claude");
  CHECK(chat->choices() == 1);
  CHECK_FALSE(chat->stream());
  CHECK(chat->prefill().empty());
  CHECK(chat->path() == "/messages");
}

TEST_CASE("the system prompt of a Messages request is the first turn", "[gateway][anthropic_chat]") {
  const json system = GENERATE(json("be kind"), json::array({text_block("be"), text_block("kind")}));
  json body = with_messages(json::array({user("hello")}));
  body["system"] = system;
  const auto chat = chat_of(body);
  REQUIRE(chat->conversation().messages.size() == 2);
  CHECK(chat->conversation().messages[0].role == Role::system);
  CHECK(chat->conversation().messages[0].text() == (system.is_string() ? "be kind" : "be\nkind"));
}

TEST_CASE("the blocks of a Messages request become texts and images", "[gateway][anthropic_chat]") {
  const json messages = {
      user({image_block(3), text_block("what is this?")}),
      assistant({{{"type", "thinking"}, {"thinking", "let me look"}, {"signature", "c2ln"}},
                 {{"type", "redacted_thinking"}, {"data", "b3BhcXVl"}},
                 text_block("I look it up"),
                 {{"type", "tool_use"}, {"id", "t1"}, {"name", "look"}, {"input", {{"q", "caf\u00e9"}}}}}),
      user({{{"type", "tool_result"}, {"tool_use_id", "t1"}, {"content", {text_block("a cat"), image_block(4)}}},
            {{"type", "tool_result"}, {"tool_use_id", "t2"}, {"content", "a dog"}},
            {{"type", "tool_result"}, {"tool_use_id", "t3"}},
            text_block("well?")})};
  const auto chat = chat_of(with_messages(messages));
  const auto& turns = chat->conversation().messages;
  REQUIRE(turns.size() == 3);
  CHECK(std::get<Image>(turns[0].parts[0]).width() == 3);
  CHECK(turns[0].text() == "what is this?");
  CHECK(turns[1].text() == "let me look\nI look it up\nlook({\"q\":\"caf\u00e9\"})");
  CHECK(turns[2].text() == "a cat\na dog\nwell?");
  CHECK(std::get<Image>(turns[2].parts[1]).width() == 4);
  CHECK(images_of(chat->conversation()).size() == 2);
}

TEST_CASE("a tool's input is read with its escapes", "[gateway][anthropic_chat]") {
  const auto chat = chat_of(std::string{
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","name":"f","input":{"a":"\u0062omb"}}]},)"
      R"({"role":"user","content":"b"}]})"});
  CHECK(chat->conversation().messages[1].text() == R"(f({"a":"bomb"}))");
}

TEST_CASE("what the client puts into the assistant's mouth is no turn", "[gateway][anthropic_chat]") {
  const auto chat = chat_of(with_messages({user("how?"), assistant("Sure,"), assistant(json::array({text_block("first")}))}));
  CHECK(chat->conversation().messages.size() == 1);
  CHECK(chat->prefill() == "Sure,\nfirst");
  CHECK(regenerated(*chat, closed(*chat))["messages"] == json::array({user("how?")}));
}

TEST_CASE("a last turn without words gets some", "[gateway][anthropic_chat]") {
  const std::vector<std::pair<json, std::string>> cases{
      {json::array({image_block()}), "(no words, only the image)"},
      {json::array({image_block(), text_block(" ")}), "(no words, only the image)"},
      {json::array({{{"type", "tool_result"}, {"tool_use_id", "t"}}}), "(no words)"}};
  for (const auto& [content, query] : cases) {
    const auto chat = chat_of(with_messages(json::array({user(content)})));
    CHECK(query_of(chat->conversation()) == query);
    CHECK_NOTHROW(ecso::EcsoProtocol{chat->conversation(), std::make_shared<const ecso::Policy>()});
  }
}

TEST_CASE("an image of a Messages request stays where it arrived", "[gateway][anthropic_chat]") {
  const auto body =
      std::make_shared<const std::string>(with_messages(json::array({user({image_block(), text_block("?")})})).dump());
  const AnthropicChat chat{body, *body, {}};
  const Image image = images_of(chat.conversation()).at(0);
  CHECK(image.base64().data() >= body->data());
  CHECK(image.base64().data() < body->data() + body->size());
}

TEST_CASE("base64 of a Messages request may be written in other ways", "[gateway][anthropic_chat]") {
  const std::string plain = picture(3);
  std::string escaped = plain;
  for (std::size_t at = 0; (at = escaped.find('/', at)) != std::string::npos; at += 2) escaped.insert(at, "\\");
  REQUIRE(plain[0] == 'i');
  std::string unpadded = plain;
  while (unpadded.ends_with('=')) unpadded.pop_back();
  for (const std::string& data :
       {plain, escaped, "\\u0069" + plain.substr(1), unpadded, plain.substr(0, 4) + "\\n" + plain.substr(4)}) {
    const auto chat = chat_of(R"({"messages":[{"role":"user","content":[{"\u0074ype":"imag\u0065","source":{"type":"base64",)"
                              R"("media_type":"image/png","data":")" +
                              data + R"("}},{"type":"text","text":"?"}]}]})");
    const auto images = images_of(chat->conversation());
    REQUIRE(images.size() == 1);
    CHECK(images[0].bytes() == ecso::test::png_bytes(3, 2));
    CHECK(chat->regenerate(closed(*chat, {"a cat"})).text().find(data) == std::string::npos);
  }
}

TEST_CASE("an image source that is a URL goes on only to a listed host", "[gateway][anthropic_chat]") {
  const json block = {{"type", "image"}, {"source", {{"type", "url"}, {"url", "https://images.example/cat.png"}}}};
  const json body = with_messages(json::array({user({block, text_block("?")})}));
  CHECK_THAT(refusal(body), StartsWith("messages[0].content[0].source.url: "));
  const auto chat = chat_of(body, {.image_hosts = {"images.example"}});
  const auto images = images_of(chat->conversation());
  REQUIRE(images.size() == 1);
  const json request = asked(*chat, VisionRequest{ecso::ask(images, "harmful?"), {.step = Step::check}});
  CHECK(request["messages"][0]["content"][0] == block);
}

TEST_CASE("what is wrong with a Messages request is said with its place", "[gateway][anthropic_chat]") {
  const std::vector<std::pair<json, std::string>> cases{
      {"hello", "messages: "},
      {nullptr, "messages: "},
      {json::array(), "messages: "},
      {json::array({"hello"}), "messages[0]: "},
      {json::array({assistant("hello")}), "messages: "},
      {json::array({{{"content", "a"}}}), "messages[0].role: "},
      {json::array({{{"role", "system"}, {"content", "a"}}}), "messages[0].role: "},
      {json::array({{{"role", "user"}}}), "messages[0].content: "},
      {json::array({user(7)}), "messages[0].content: "},
      {json::array({user("a"), user(json::array({"b"}))}), "messages[1].content[0]: "},
      {json::array({user(json::array({json::object()}))}), "messages[0].content[0].type: "},
      {json::array({user(json::array({{{"type", "text"}}}))}), "messages[0].content[0].text: "},
      {json::array({user(json::array({{{"type", "document"}, {"source", json::object()}}}))}), "messages[0].content[0].type: "},
      {json::array({user(json::array({{{"type", "search_result"}}}))}), "messages[0].content[0].type: "},
      {json::array({user(json::array({{{"type", "image_url"}}}))}), "messages[0].content[0].type: "},
      {json::array({user(json::array({{{"type", "image"}}}))}), "messages[0].content[0].source: "},
      {json::array({user(json::array({{{"type", "image"}, {"source", json::object()}}}))}),
       "messages[0].content[0].source.type: "},
      {json::array({user(json::array({{{"type", "image"}, {"source", {{"type", "file"}, {"file_id", "f"}}}}}))}),
       "messages[0].content[0].source.type: "},
      {json::array({user(json::array({{{"type", "image"}, {"source", {{"type", "base64"}}}}}))}),
       "messages[0].content[0].source.data: "},
      {json::array({user(json::array({{{"type", "image"}, {"source", {{"type", "base64"}, {"data", "!"}}}}}))}),
       "messages[0].content[0].source.data: "},
      {json::array({user(json::array({{{"type", "image"}, {"source", {{"type", "base64"}, {"data", "aGVsbG8="}}}}}))}),
       "messages[0].content[0].source.data: "},
      {json::array({user("a"), assistant(json::array({image_block()})), user("b")}), "messages[1].content[0].type: "},
      {json::array({user(json::array({{{"type", "tool_use"}, {"name", "f"}}}))}), "messages[0].content[0].type: "},
      {json::array({user(json::array({{{"type", "redacted_thinking"}}}))}), "messages[0].content[0].type: "},
      {json::array({user(json::array({{{"type", "tool_result"}, {"content", 1}}}))}), "messages[0].content[0].content: "},
      {json::array({user(json::array({{{"type", "tool_result"}, {"content", json::array({{{"type", "document"}}})}}}))}),
       "messages[0].content[0].content[0].type: "},
  };
  for (const auto& [messages, place] : cases) CHECK_THAT(refusal({{"messages", messages}}), StartsWith(place));
}

TEST_CASE("other faults of a Messages request are said with their place", "[gateway][anthropic_chat]") {
  const json fine = json::array({user("a")});
  CHECK_THAT(refusal({{"model", "claude"}}), StartsWith("messages: is missing"));
  CHECK_THAT(refusal({{"messages", fine}, {"model", 1}}), StartsWith("model: "));
  CHECK_THAT(refusal({{"messages", fine}, {"stream", "true"}}), StartsWith("stream: "));
  CHECK_THAT(refusal({{"messages", fine}, {"system", 1}}), StartsWith("system: "));
  CHECK_THAT(refusal({{"messages", fine}, {"system", json::array({image_block()})}}), StartsWith("system[0].type: "));
  CHECK_THAT(refusal(json::array()), ContainsSubstring("object"));
  CHECK_THAT(refusal(with_messages(json::array({user({image_block(3), image_block(4)})})), {.max_images = 1}),
             StartsWith("messages[0].content[1].source.data: more images"));
  CHECK_THAT(refusal(with_messages(json::array({user(json::array({image_block(3)}))})), {.image = {.max_bytes = 20}}),
             StartsWith("messages[0].content[0].source.data: "));
  CHECK_THROWS_AS(chat_of(std::string{R"({"messages":[{"role":"user","content":"a","content":"b"}]})"}), Error);
  CHECK_THROWS_AS(chat_of(std::string{R"({"messages":[],"\u006dessages":[]})"}), Error);
  CHECK_THROWS_AS(chat_of(std::string(100'000, '[')), Error);
  CHECK_THROWS_AS(chat_of(std::string{"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}"}), Error);
}

TEST_CASE("a name that a lax server could read for another is refused", "[gateway][anthropic_chat]") {
  const std::string head = R"({"messages":[{"role":"user","content":[{"type":"text","text":"a")";
  CHECK_NOTHROW(chat_of(head + R"(,"Other":1}]}],"Tools":[]})"));
  const std::string tail = GENERATE(as<std::string>{}, R"(,"Type":"image"}]}]})", R"(,"TEXT":"b"}]}]})", R"(}],"Content":"b"}]})",
                                    R"(}]}],"Messages":[]})", R"(}]}],"me\u017f\u017fages":[]})", "}]}],\"me\xC5\xBFsages\":[]}",
                                    R"(}]}],"SYSTEM":"b"})", R"(,"\u0053ource":{}}]}]})");
  CHECK_THROWS_AS(chat_of(head + tail), Error);
}

TEST_CASE("the answer's request is the client's, byte by byte but for the stream", "[gateway][anthropic_chat]") {
  const std::string body = GENERATE(as<std::string>{}, R"( {"messages" : [{"role":"user","content":"a"}],"stream":true, "x":1} )",
                                    R"({"stream":false,"messages":[{"role":"user","content":"a"}]})",
                                    R"({"messages":[{"role":"user","content":"a"}],"\u0073tream":null})",
                                    R"({ "messages":[{"role":"user","content":"a"}]})");
  const auto chat = chat_of(body);
  CHECK(chat->answer(std::nullopt).text() == body);
  CHECK(chat->answer(chat->stream()).text() == body);
  const bool other = !chat->stream();
  json expected = json::parse(body);
  expected["stream"] = other;
  CHECK(json::parse(chat->answer(other).text()) == expected);
}

TEST_CASE("the eyes-closed request keeps all that the client sent but its images", "[gateway][anthropic_chat]") {
  json body = with_messages({user({image_block(3), text_block("first")}),
                             assistant("so"),
                             {{"role", "user"}, {"content", json::array({text_block("plain")})}, {"extra", 1}},
                             assistant("yes"),
                             user({text_block("second"), image_block(4)})});
  body["messages"][2]["content"][0]["cache_control"] = {{"type", "ephemeral"}};
  body["system"] = json::array({{{"type", "text"}, {"text", "be kind"}, {"cache_control", {{"type", "ephemeral"}}}}});
  body["stream"] = true;
  body["temperature"] = 0.5;
  body["tools"] = json::array({{{"name", "f"}, {"input_schema", {{"type", "object"}}}}});
  body["unknown"] = {{"a", 1}};
  const auto chat = chat_of(body);
  const TextRequest request = closed(*chat, {"a cat", "a dog"});
  const json sent = regenerated(*chat, request);
  json expected = body;
  expected.erase("stream");
  expected["messages"][0] = user("[image 1]\nfirst");
  expected["messages"][4] = user(request.conversation.messages().back().text);
  CHECK(sent == expected);
  CHECK_THAT(sent["messages"][4]["content"].get<std::string>(), ContainsSubstring("Image 2: a dog"));
}

TEST_CASE("the eyes-closed request takes the sampling that is set", "[gateway][anthropic_chat]") {
  json body = with_messages(json::array({user("a")}));
  body["temperature"] = 0.1;
  body["top_k"] = 5;
  body["stop_sequences"] = json::array({"x"});
  const auto chat = chat_of(body);
  const json same = regenerated(*chat, closed(*chat));
  CHECK(same == body);
  TextRequest request = closed(*chat, {}, {.temperature = 1.7, .top_p = 0.5, .max_tokens = 7, .seed = 3, .stop = {"y", "z"}});
  request.options.model = "other";
  json expected = body;
  expected["temperature"] = 1.0;
  expected["top_p"] = 0.5;
  expected["max_tokens"] = 7;
  expected["stop_sequences"] = json::array({"y", "z"});
  expected["model"] = "other";
  CHECK(regenerated(*chat, request) == expected);
}

TEST_CASE("the eyes-closed request keeps the results of tools", "[gateway][anthropic_chat]") {
  const auto call = [](const char* id) {
    return assistant(json::array({{{"type", "tool_use"}, {"id", id}, {"name", "f"}, {"input", json::object()}}}));
  };
  const json early = {{"type", "tool_result"},
                      {"tool_use_id", "t1"},
                      {"is_error", false},
                      {"content", {text_block("one"), image_block(3)}},
                      {"cache_control", {{"type", "ephemeral"}}}};
  const json late = {{"type", "tool_result"}, {"tool_use_id", "t2"}, {"content", json::array({image_block(5)})}};
  const auto chat = chat_of(with_messages({user("a"), call("t1"), user({early, image_block(4), text_block("b")}), call("t2"),
                                           user({late, image_block(6), text_block("c")})}));
  const TextRequest request = closed(*chat, {"w", "x", "y", "z"});
  const json sent = regenerated(*chat, request);
  json early_sent = early;
  early_sent["content"][1] = text_block("[image 1]");
  CHECK(sent["messages"][2] == user({early_sent, text_block("[image 2]"), text_block("b")}));
  json late_sent = late;
  late_sent["content"][0] = text_block("[image 3]");
  CHECK(sent["messages"][4] == user({late_sent, text_block(request.conversation.messages().back().text)}));
  CHECK(sent["messages"][3] == call("t2"));
}

TEST_CASE("a request for another chat is refused", "[gateway][anthropic_chat]") {
  const auto chat = chat_of(with_messages(json::array({user("a")})));
  const auto other = chat_of(with_messages({user("a"), assistant("b"), user("c")}));
  CHECK_THROWS_AS(chat->regenerate(closed(*other)), Error);
  const auto seeing = chat_of(with_messages(json::array({user({image_block(), text_block("a")})})));
  CHECK_THROWS_AS(chat->ask(VisionRequest{seeing->conversation(), {}}, {}), Error);
}

TEST_CASE("a check of a Messages request shows the client's own image blocks", "[gateway][anthropic_chat]") {
  json first = image_block(3);
  first["cache_control"] = {{"type", "ephemeral"}};
  const json second = image_block(4);
  json body = with_messages(
      {user({first, text_block("a")}), assistant("b"),
       user({{{"type", "tool_result"}, {"tool_use_id", "t"}, {"content", json::array({second})}}, text_block("c")})});
  body["system"] = "be kind";
  const auto chat = chat_of(body);
  const auto conversation = ask_about(chat->conversation(), images_of(chat->conversation()), "harmful?");
  const json sent = asked(*chat, VisionRequest{conversation,
                                               {.step = Step::check,
                                                .sampling = {.temperature = 0.0, .max_tokens = 9},
                                                .choices = {"yes", "no"},
                                                .top_logprobs = 20}});
  CHECK(sent == json{{"model", "claude"},
                     {"max_tokens", 9},
                     {"system", "be kind"},
                     {"messages", json::array({user({first, second, text_block("harmful?")})})},
                     {"temperature", 0.0},
                     {"thinking", {{"type", "disabled"}}}});
  const json recheck =
      asked(*chat, TextRequest{ecso::close_eyes(ecso::ask({}, "harmful?"), {}), {.step = Step::recheck, .model = "judge"}});
  CHECK(recheck == json{{"model", "judge"},
                        {"max_tokens", 4096},
                        {"messages", json::array({user("harmful?")})},
                        {"thinking", {{"type", "disabled"}}}});
}

TEST_CASE("a check of a Messages request follows the dialect", "[gateway][anthropic_chat]") {
  const auto chat = chat_of(with_messages(json::array({user("a")})));
  const TextRequest request{ecso::close_eyes(chat->conversation(), {}),
                            {.sampling = {.temperature = 0.0, .top_p = 0.1, .max_tokens = 5, .stop = {"x"}}}};
  const json sent = asked(*chat, request, {.omit = {"temperature", "stop"}, .extra = {{"max_tokens", 6}, {"thinking", false}}});
  CHECK(
      sent ==
      json{{"model", "claude"}, {"messages", json::array({user("a")})}, {"top_p", 0.1}, {"max_tokens", 6}, {"thinking", false}});
}

TEST_CASE("errors have the shape of the Messages API", "[gateway][anthropic_chat]") {
  const auto chat = chat_of(with_messages(json::array({user("a")})));
  const std::vector<std::pair<int, std::string>> cases{{400, "invalid_request_error"},
                                                       {401, "authentication_error"},
                                                       {403, "permission_error"},
                                                       {404, "not_found_error"},
                                                       {408, "timeout_error"},
                                                       {413, "request_too_large"},
                                                       {422, "invalid_request_error"},
                                                       {429, "rate_limit_error"},
                                                       {500, "api_error"},
                                                       {502, "api_error"},
                                                       {503, "overloaded_error"},
                                                       {504, "timeout_error"},
                                                       {529, "overloaded_error"}};
  for (const auto& [status, type] : cases) {
    const json expected = {{"type", "error"}, {"error", {{"type", type}, {"message", "not \"now\"\n"}}}};
    CHECK(json::parse(chat->error_body(status, "", "not \"now\"\n")) == expected);
  }
  const std::string event = chat->error_event(502, "ecso_unverified", "no\xff");
  const std::string head = "event: error\ndata: ";
  REQUIRE(event.starts_with(head));
  REQUIRE(event.ends_with("}\n\n"));
  const json data = json::parse(event.substr(head.size()));
  CHECK(data["error"]["code"] == "ecso_unverified");
  CHECK(data["error"]["message"] == "no\uFFFD");
}

}  // namespace anthropic_chat_test
