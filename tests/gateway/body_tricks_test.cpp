// Bodies that mean one thing to one reader and another to the next. Whatever the model is shown, the check has been shown.

#include <ecso/core/step.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace body_tricks_test {

namespace {

using ecso::Step;
using ecso::test::Api;
using ecso::test::ChatUpstream;
using ecso::test::GatewayUnderTest;
using ecso::test::http_request;
using ecso::test::HttpReply;

struct Body {
  std::string name;
  std::string json;
};

std::string with_messages(const std::string& messages, const std::string& more = "") {
  return R"({"model":"tiny","messages":)" + messages + more + "}";
}

std::string user(const std::string& content) { return R"([{"role":"user","content":)" + content + "}]"; }

std::string with_content(const std::string& content) { return with_messages(user(content)); }

std::string image_uri() { return "data:image/png;base64," + ecso::test::picture(); }

/// Bodies that nobody may guess the meaning of.
std::vector<Body> refused() {
  const std::string good = user("\"Hi\"");
  std::vector<Body> all{
      {"nothing", ""},
      {"white space", "  \n"},
      {"no JSON", "Hi"},
      {"an array", "[]"},
      {"a string", "\"Hi\""},
      {"null", "null"},
      {"no messages", R"({"model":"tiny"})"},
      {"messages that are null", with_messages("null")},
      {"messages that are an object", with_messages("{}")},
      {"no message", with_messages("[]")},
      {"a message that is a string", with_messages(R"(["Hi"])")},
      {"a message without a role", with_messages(R"([{"content":"Hi"}])")},
      {"a role of no kind", with_messages(R"([{"role":"root","content":"Hi"}])")},
      {"a role that is a number", with_messages(R"([{"role":1,"content":"Hi"}])")},
      {"content that is a number", with_content("5")},
      {"a part that is a number", with_content("[5]")},
      {"a part without a type", with_content(R"([{"text":"Hi"}])")},
      {"cut in its middle", with_messages(good).substr(0, 40)},
      {"something after it", with_messages(good) + "x"},
      {"two objects", with_messages(good) + with_messages(good)},
      {"a comma too many", R"({"model":"tiny","messages":)" + good + ",}"},
      {"a comment", "/* Hi */" + with_messages(good)},
      {"NaN", with_messages(good, R"(,"temperature":NaN)")},
      {"a number with a zero first", with_messages(good, R"(,"seed":01)")},
      {"single quotes", "{'messages':[]}"},
      {"a byte order mark", "\xEF\xBB\xBF" + with_messages(good)},
      {"a NUL at its end", with_messages(good) + std::string(1, '\0')},
      {"a byte that is no UTF-8", with_content("\"Hi \xFF\"")},
      {"an overlong character", with_content("\"Hi \xC0\xAF\"")},
      {"a surrogate in UTF-8", with_content("\"Hi \xED\xA0\x80\"")},
      {"a character beyond Unicode", with_content("\"Hi \xF4\x90\x80\x80\"")},
      {"half a character", with_content("\"Hi \xE2\x82\"")},
      {"half a surrogate pair", with_content(R"("Hi \ud800")")},
      {"a pair the wrong way round", with_content(R"("Hi \udc00\ud800")")},
      {"an unknown escape", with_content(R"("Hi \x41")")},
      {"a line end in a string", with_content("\"Hi\n\"")},
      {"bytes that are no UTF-8 in an unknown member", with_messages(good, ",\"x\":\"\x80\"")},
      {"a hundred thousand levels", std::string(100'000, '[')},
      {"a hundred thousand levels, well closed", std::string(100'000, '[') + std::string(100'000, ']')},
      {"a hundred thousand levels in an unknown member",
       with_messages(good, ",\"x\":" + std::string(100'000, '[') + std::string(100'000, ']'))},
      {"a hundred thousand objects in each other",
       [] {
         std::string json;
         for (int i = 0; i < 100'000; ++i) json += "{\"a\":";
         return json;
       }()},
      {"messages twice", with_messages(good, ",\"messages\":" + user("\"Bye\""))},
      {"messages twice, once in escapes", with_messages(good, ",\"mess\\u0061ges\":" + user("\"Bye\""))},
      {"content twice", with_messages(R"([{"role":"user","content":"Hi","content":"Bye"}])")},
      {"content twice, once in escapes", with_messages(R"([{"role":"user","content":"Hi","\u0063ontent":"Bye"}])")},
      {"a role twice", with_messages(R"([{"role":"user","role":"system","content":"Hi"}])")},
      {"stream twice", with_messages(good, R"(,"stream":false,"stream":true)")},
      {"stream as a text", with_messages(good, R"(,"stream":"true")")},
      {"stream as a number", with_messages(good, R"(,"stream":1)")},
      {"choices without number", with_messages(good, R"(,"n":1000000000)")},
      {"choices below none", with_messages(good, R"(,"n":-1)")},
      {"no choice", with_messages(good, R"(,"n":0)")},
      {"one and a half choices", with_messages(good, R"(,"n":1.5)")},
      {"choices as a text", with_messages(good, R"(,"n":"2")")},
      {"an image's type twice",
       with_content(R"([{"type":"text","type":"image_url","text":"Hi","image_url":{"url":")" + image_uri() + "\"}}]")},
      {"an image's URL twice",
       with_content(R"([{"type":"image_url","image_url":{"url":"data:,","url":")" + image_uri() + "\"}}]")},
      {"an image that is none", with_content(R"([{"type":"image_url","image_url":{"url":"data:image/png;base64,SGk="}}])")},
      {"an image in a script",
       with_content(R"([{"type":"image_url","image_url":{"url":"data:image/svg+xml;base64,PHN2Zz4="}}])")},
      {"an image of no size", with_content(R"([{"type":"image_url","image_url":{"url":"data:image/png;base64,"}}])")},
      {"an image from a file", with_content(R"([{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}])")},
      {"an image from a host", with_content(R"([{"type":"image_url","image_url":{"url":"http://example.org/a.png"}}])")},
      {"seventeen images", [] {
         std::string parts = R"({"type":"text","text":"Hi"})";
         for (int i = 0; i < 17; ++i) parts += R"(,{"type":"image_url","image_url":{"url":")" + image_uri() + "\"}}";
         return with_content("[" + parts + "]");
       }()}};
  return all;
}

/// Bodies that show an image in a way that a reader may overlook. Each may be refused; if it is not, the check has to see it.
std::vector<Body> hidden() {
  const std::string data = ecso::test::picture();
  const std::string text = R"({"type":"text","text":"Hi"})";
  const auto parts = [&](const std::string& part) { return with_content("[" + text + "," + part + "]"); };
  const auto part_of = [&](const std::string& type, const std::string& member, const std::string& url) {
    return "{\"type\":\"" + type + "\",\"" + member + "\":{\"url\":\"" + url + "\"}}";
  };
  std::string escaped_data;
  for (const char c : data) escaped_data += c == '/' ? std::string{"\\/"} : std::string(1, c);
  std::string hexed_data;
  constexpr std::string_view digits = "0123456789abcdef";
  for (const char c : data) {
    const auto code = static_cast<unsigned char>(c);
    hexed_data += std::string{"\\u00"} + digits[code >> 4] + digits[code & 15];
  }
  return {
      {"a plain image", parts(part_of("image_url", "image_url", image_uri()))},
      {"the member in escapes", parts(part_of("image_url", "\\u0069mage_url", image_uri()))},
      {"the type in escapes", parts(part_of("\\u0069mage_url", "image_url", image_uri()))},
      {"both in escapes", parts(part_of("image_ur\\u006c", "im\\u0061ge_url", image_uri()))},
      {"the URL's member in escapes", parts(R"({"type":"image_url","image_url":{"\u0075rl":")" + image_uri() + "\"}}")},
      {"the scheme in escapes", parts(part_of("image_url", "image_url", "\\u0064ata:image\\/png;base64," + data))},
      {"the data with escaped slashes", parts(part_of("image_url", "image_url", "data:image/png;base64," + escaped_data))},
      {"the data in escapes", parts(part_of("image_url", "image_url", "data:image/png;base64," + hexed_data))},
      {"an upper-case scheme", parts(part_of("image_url", "image_url", "DATA:image/png;BASE64," + data))},
      {"another media type", parts(part_of("image_url", "image_url", "data:image/jpeg;base64," + data))},
      {"a media type with a parameter", parts(part_of("image_url", "image_url", "data:image/png;a=b;base64," + data))},
      {"white space before the URL", parts(part_of("image_url", "image_url", " " + image_uri()))},
      {"bare base64", parts(part_of("image_url", "image_url", data))},
      {"the URL as a string", parts(R"({"type":"image_url","image_url":")" + image_uri() + "\"}")},
      {"an image beside a text", parts(R"({"type":"text","text":"Hi","image_url":{"url":")" + image_uri() + "\"}}")},
      {"a part of another API",
       parts(R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":")" + data + "\"}}")},
      {"a part of a newer API", parts(R"({"type":"input_image","image_url":")" + image_uri() + "\"}")},
      {"a part of a type nobody knows", parts(part_of("picture", "image_url", image_uri()))},
      {"a file", parts(R"({"type":"file","file":{"file_data":")" + image_uri() + "\"}}")},
      {"images as a member of the message", with_messages(R"([{"role":"user","content":"Hi","images":[")" + data + "\"]}]")},
      {"images as a member of the request", with_messages(user("\"Hi\""), R"(,"images":[")" + data + "\"]")},
      {"an image in the first turn",
       with_messages(R"([{"role":"user","content":[)" + text + "," + part_of("image_url", "image_url", image_uri()) +
                     R"(]},{"role":"assistant","content":"Yes."},{"role":"user","content":"And?"}])")},
      {"an image in the assistant's turn",
       with_messages(R"([{"role":"user","content":"Hi"},{"role":"assistant","content":[)" +
                     part_of("image_url", "image_url", image_uri()) + R"(]},{"role":"user","content":"And?"}])")},
      {"an image in a system turn",
       with_messages(R"([{"role":"system","content":[)" + part_of("image_url", "image_url", image_uri()) +
                     R"(]},{"role":"user","content":"Hi"}])")},
      {"an image in a tool's turn",
       with_messages(
           R"([{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":[)" +
           part_of("image_url", "image_url", image_uri()) + "]}]")},
      {"an image after the last user's turn", with_messages(R"([{"role":"user","content":"Hi"},{"role":"assistant","content":[)" +
                                                            part_of("image_url", "image_url", image_uri()) + "]}]")}};
}

/// Whether a text of this JSON, read as any reader would, holds `needle`.
bool shows(const nlohmann::json& json, const std::string& needle) {
  if (json.is_string()) return json.get_ref<const std::string&>().find(needle) != std::string::npos;
  if (!json.is_structured()) return false;
  for (const auto& [key, value] : json.items()) {
    if (shows(value, needle)) return true;
  }
  return false;
}

bool shows(const std::string& body, const std::string& needle) { return shows(nlohmann::json::parse(body), needle); }

}  // namespace

TEST_CASE("A body whose meaning is not plain is refused, and no upstream sees it", "[gateway][json]") {
  const ChatUpstream upstream;
  const GatewayUnderTest under_test{upstream.url()};
  for (const auto& [name, json] : refused()) {
    CAPTURE(name);
    const HttpReply reply = under_test.ask(http_request("POST", "/v1/chat/completions", json));
    CHECK(reply.status == 400);
    const auto error = nlohmann::json::parse(reply.body).at("error");
    CHECK(error.at("type") == "invalid_request_error");
    CHECK(error.at("message").get<std::string>().size() > 5);
  }
  CHECK(upstream.requests().empty());
}

TEST_CASE("An image that the model is shown is shown to the check, however it is hidden", "[gateway][json]") {
  const std::string data = ecso::test::picture();
  int served = 0;
  for (const auto& [name, json] : hidden()) {
    CAPTURE(name);
    const ChatUpstream upstream;
    const GatewayUnderTest under_test{upstream.url()};
    const HttpReply reply = under_test.ask(http_request("POST", "/v1/chat/completions", json));
    CAPTURE(reply.body);
    const auto requests = upstream.requests();
    if (reply.status == 400) {
      CHECK(requests.empty());
      continue;
    }
    ++served;
    CHECK(reply.status == 200);
    REQUIRE(requests.size() == 2);
    CHECK(nlohmann::json::parse(requests[0].body) == nlohmann::json::parse(json));
    REQUIRE(shows(requests[0].body, data));
    CHECK(shows(requests[1].body, "You review an assistant's answer"));
    CHECK(shows(requests[1].body, data));
  }
  CHECK(served >= 3);
  WARN(served << " of " << hidden().size()
              << " ways to hide an image were served, with the image in the check; the others refused");
}

TEST_CASE("An image's bytes go to every call that shows it as they came", "[gateway][json]") {
  const ChatUpstream upstream{{.is_harmful = [](const std::string& body) { return ChatUpstream::step_of(body) == Step::check; }}};
  const GatewayUnderTest under_test{upstream.url()};
  const HttpReply reply = under_test.ask(ecso::test::chat_request());
  CHECK(reply.header("x-ecso-path") == "eyes_closed");
  const std::string uri = '"' + image_uri() + '"';
  for (const Step step : {Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck}) {
    CAPTURE(to_string(step));
    const auto calls = upstream.calls(step);
    REQUIRE(calls.size() == 1);
    const bool has_eyes = step == Step::answer || step == Step::check || step == Step::caption;
    CHECK((calls.front().find(uri) != std::string::npos) == has_eyes);
    CHECK((calls.front().find("base64") != std::string::npos) == has_eyes);
  }
}

}  // namespace body_tricks_test
