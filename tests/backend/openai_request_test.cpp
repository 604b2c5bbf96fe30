#include <ecso/backend/openai_request.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
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

namespace openai_request_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::ask;
using ecso::CallOptions;
using ecso::ChoiceStyle;
using ecso::Conversation;
using ecso::Errc;
using ecso::Error;
using ecso::Image;
using ecso::LogprobStyle;
using ecso::Message;
using ecso::openai_request_body;
using ecso::OpenAiDialect;
using ecso::Role;
using ecso::TextRequest;
using ecso::VisionRequest;
using nlohmann::json;

Image png() { return Image::from_bytes(ecso::test::png_bytes(3, 2)); }

std::string uri(const Image& image) {
  return "data:" + std::string{to_string(image.media_type())} + ";base64," + std::string{image.base64()};
}

std::string body_of(Conversation conversation, CallOptions options = {}, const OpenAiDialect& dialect = {}) {
  return openai_request_body(VisionRequest{std::move(conversation), std::move(options)}, dialect);
}

Error refusal(Conversation conversation, CallOptions options = {}, const OpenAiDialect& dialect = {}) {
  try {
    return Error{Errc::internal, body_of(std::move(conversation), std::move(options), dialect)};
  } catch (const Error& error) {
    return error;
  }
}

/// The request's fields after the messages.
json fields(CallOptions options, const OpenAiDialect& dialect = {}) {
  json body = json::parse(body_of(ask({}, "?"), std::move(options), dialect));
  body.erase("messages");
  return body;
}

/// Valid UTF-8 with everything that JSON has to escape.
std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> pieces{
      "\"",      "\\", "\n",     "\r",   "\t", std::string(1, '\0'),    "\x01", "\x1F", "\x7F", "</s>",
      "\\u0041", "é",  "\u2028", "答案", "😀", "{\"role\":\"system\"}", " ",    "a"};
  std::string text;
  for (std::size_t i = random() % 20; i > 0; --i) text += pieces[random() % pieces.size()];
  return text;
}

}  // namespace

TEST_CASE("A turn of one image and one text is written byte for byte", "[backend][openai]") {
  const Image image = png();
  CHECK(body_of(ask({image}, "What?")) ==
        R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,)" +
            std::string{image.base64()} + R"("}},{"type":"text","text":"What?"}]}]})");
}

TEST_CASE("A turn of texts alone is one string", "[backend][openai]") {
  CHECK(body_of(ask({}, "Hi")) == R"({"messages":[{"role":"user","content":"Hi"}]})");
  CHECK(body_of({{Message{Role::user, {"a", "b"}}}}) == R"({"messages":[{"role":"user","content":"a\nb"}]})");
  CHECK(body_of({{Message{Role::user, {}}}}) == R"({"messages":[{"role":"user","content":""}]})");
}

TEST_CASE("A request without images is written like one whose turns have none", "[backend][openai]") {
  const Conversation chat{{Message{Role::system, {"Be \"kind\"."}}, Message{Role::user, {"1"}}, Message{Role::assistant, {"2"}},
                           Message{Role::user, {"3"}}}};
  const std::string expected =
      R"({"messages":[{"role":"system","content":"Be \"kind\"."},{"role":"user","content":"1"},{"role":"assistant","content":"2"},)"
      R"({"role":"user","content":"3"}]})";
  CHECK(body_of(chat) == expected);
  CHECK(openai_request_body(TextRequest{ecso::close_eyes(chat, {}), {}}) == expected);
}

TEST_CASE("Several turns, images and texts keep their order", "[backend][openai]") {
  const Image a = png();
  const Image b = Image::from_bytes(ecso::test::jpeg_bytes(8, 8));
  const Image c = Image::from_bytes(ecso::test::gif_bytes(1, 1));
  const Conversation chat{{Message{Role::system, {"s"}}, Message{Role::user, {a, b, "first"}}, Message{Role::assistant, {"x"}},
                           Message{Role::user, {"look", c, "well"}}}};
  const auto image = [](const Image& i) { return json{{"type", "image_url"}, {"image_url", {{"url", uri(i)}}}}; };
  const auto text = [](const std::string& t) { return json{{"type", "text"}, {"text", t}}; };
  const json expected{{"messages",
                       {{{"role", "system"}, {"content", "s"}},
                        {{"role", "user"}, {"content", json::array({image(a), image(b), text("first")})}},
                        {{"role", "assistant"}, {"content", "x"}},
                        {{"role", "user"}, {"content", json::array({text("look"), image(c), text("well")})}}}}};
  CHECK(json::parse(body_of(chat)) == expected);
}

TEST_CASE("Requests about the same image begin alike, whatever the options", "[backend][openai]") {
  const std::string a = body_of(ask({png()}, "one"));
  const std::string b = body_of(
      ask({png()}, "two"), {.sampling = {.temperature = 0.5, .max_tokens = 3, .seed = 1}, .choices = {"yes"}, .top_logprobs = 5},
      ecso::llama_server_dialect());
  const std::size_t same = a.find("one");
  CHECK(a.substr(0, same) == b.substr(0, same));
}

TEST_CASE("The model is the request's, else the backend's, else left out", "[backend][openai]") {
  const auto model = [](std::string requested, std::string_view own) {
    const json body = json::parse(openai_request_body(VisionRequest{ask({}, "?"), {.model = std::move(requested)}}, {}, own));
    return body.contains("model") ? body["model"].get<std::string>() : "-";
  };
  CHECK(model("a", "b") == "a");
  CHECK(model("", "b\"") == "b\"");
  CHECK(model("", "") == "-");
  CHECK(body_of(ask({}, "?"), {.model = "m"}).starts_with(R"({"model":"m","messages":)"));
}

TEST_CASE("Sampling options are written as the API names them, and only if set", "[backend][openai]") {
  CHECK(fields({}) == json::object());
  CHECK(fields({.sampling = {.temperature = 0.1,
                             .top_p = 1,
                             .max_tokens = 7,
                             .seed = 18'446'744'073'709'551'615U,
                             .stop = {"\n", "\"END\""}}}) == json{{"temperature", 0.1},
                                                                  {"top_p", 1},
                                                                  {"max_tokens", 7},
                                                                  {"seed", 18'446'744'073'709'551'615U},
                                                                  {"stop", {"\n", "\"END\""}}});
  CHECK(fields({.sampling = {.max_tokens = 7}}, ecso::openai_dialect()) == json{{"max_completion_tokens", 7}});
  CHECK(body_of(ask({}, "?"), {.sampling = {.temperature = 0.1}}).ends_with(R"(],"temperature":0.1})"));
}

TEST_CASE("Log-probabilities are asked for where the server has them", "[backend][openai]") {
  CHECK(fields({.top_logprobs = 5}) == json::object());
  CHECK(fields({.top_logprobs = 5}, {.logprobs = LogprobStyle::top_logprobs}) == json{{"logprobs", true}, {"top_logprobs", 5}});
  CHECK(fields({.top_logprobs = 0}, {.logprobs = LogprobStyle::top_logprobs}) == json::object());
}

TEST_CASE("Forced choices are sent as each server wants them", "[backend][openai]") {
  const CallOptions options{.choices = {"yes", "no"}};
  const json list{"yes", "no"};
  CHECK(fields(options) == json::object());
  CHECK(fields(options, {.choices = ChoiceStyle::grammar}) == json{{"grammar", R"(root ::= "yes" | "no")"}});
  CHECK(fields(options, {.choices = ChoiceStyle::structured_outputs}) == json{{"structured_outputs", {{"choice", list}}}});
  CHECK(fields(options, {.choices = ChoiceStyle::guided_choice}) == json{{"guided_choice", list}});
  const json format = fields(options, {.choices = ChoiceStyle::response_format})["response_format"];
  CHECK(format["type"] == "json_schema");
  CHECK(format["json_schema"]["strict"] == true);
  CHECK(format["json_schema"]["schema"]["properties"]["answer"] == json{{"type", "string"}, {"enum", list}});
  CHECK(format["json_schema"]["schema"]["required"] == json::array({"answer"}));
  CHECK(format["json_schema"]["schema"]["additionalProperties"] == false);
  for (const auto style : {ChoiceStyle::none, ChoiceStyle::grammar, ChoiceStyle::structured_outputs, ChoiceStyle::guided_choice,
                           ChoiceStyle::response_format}) {
    CHECK(fields({}, {.choices = style}) == json::object());
  }
}

TEST_CASE("Choices cannot break out of the grammar", "[backend][openai]") {
  const json body = fields({.choices = {"a\"b", "c\\d", "e\nf\x7F", "答", ""}}, {.choices = ChoiceStyle::grammar});
  CHECK(body["grammar"] == "root ::= \"a\\\"b\" | \"c\\\\d\" | \"e\\x0af\\x7f\" | \"答\" | \"\"");
}

TEST_CASE("Extra fields go to the end and in place of ours, but not of the messages", "[backend][openai]") {
  CHECK(body_of(ask({}, "?"), {}, {.extra = {{"cache_prompt", true}, {"id_slot", 3}}}) ==
        R"({"messages":[{"role":"user","content":"?"}],"cache_prompt":true,"id_slot":3})");
  CHECK(body_of(ask({}, "?"), {.model = "m", .sampling = {.temperature = 1}}, {.extra = {{"temperature", 0}, {"model", "n"}}}) ==
        R"({"messages":[{"role":"user","content":"?"}],"temperature":0,"model":"n"})");
  CHECK(fields({}, {.extra = nlohmann::ordered_json::object()}) == json::object());
  CHECK(refusal(ask({}, "?"), {}, {.extra = {{"messages", 1}}}).code() == Errc::bad_input);
  CHECK(refusal(ask({}, "?"), {}, {.extra = "text"}).code() == Errc::bad_input);
  CHECK(refusal(ask({}, "?"), {}, {.extra = {{"a", "\xFF"}}}).code() == Errc::bad_input);
}

TEST_CASE("What JSON cannot say is refused", "[backend][openai]") {
  CHECK(refusal({}).code() == Errc::bad_input);
  const Error text = refusal(ask({png()}, "ab\xFFz"));
  CHECK(text.code() == Errc::bad_input);
  CHECK_THAT(text.what(), ContainsSubstring("byte 2"));
  CHECK(refusal(ask({}, "?"), {.model = "\xC3"}).code() == Errc::bad_input);
  CHECK(refusal(ask({}, "?"), {.sampling = {.stop = {"\xED\xA0\x80"}}}).code() == Errc::bad_input);
  CHECK(refusal(ask({}, "?"), {.choices = {"\xFF"}}, ecso::llama_server_dialect()).code() == Errc::bad_input);
  for (const double value : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    CHECK(refusal(ask({}, "?"), {.sampling = {.temperature = value}}).code() == Errc::bad_input);
    CHECK(refusal(ask({}, "?"), {.sampling = {.top_p = value}}).code() == Errc::bad_input);
  }
}

TEST_CASE("Random texts in every place come out as they went in, and the body is just as long as reserved", "[backend][openai]") {
  std::mt19937 random{20240314};
  const Image image = png();
  for (int round = 0; round < 2000; ++round) {
    Conversation chat;
    json expected = json::array();
    for (std::size_t turn = 1 + random() % 3; turn > 0; --turn) {
      const Role role = std::vector{Role::system, Role::user, Role::assistant}[random() % 3];
      const std::string text = random_text(random);
      if (random() % 2 == 0) {
        chat.messages.push_back(Message{role, {text}});
        expected.push_back({{"role", to_string(role)}, {"content", text}});
      } else {
        chat.messages.push_back(Message{role, {image, text}});
        expected.push_back({{"role", to_string(role)},
                            {"content", json::array({{{"type", "image_url"}, {"image_url", {{"url", uri(image)}}}},
                                                     {{"type", "text"}, {"text", text}}})}});
      }
    }
    const CallOptions options{
        .model = "m" + random_text(random), .sampling = {.stop = {random_text(random)}}, .choices = {random_text(random)}};
    const std::string body = body_of(chat, options, {.choices = ChoiceStyle::guided_choice});
    const json parsed = json::parse(body);
    REQUIRE(parsed["messages"] == expected);
    REQUIRE(parsed["model"] == options.model);
    REQUIRE(parsed["stop"] == options.sampling.stop);
    REQUIRE(parsed["guided_choice"] == options.choices);
    if (body.size() > 64) REQUIRE(body.capacity() == body.size());
  }
}

}  // namespace openai_request_test
