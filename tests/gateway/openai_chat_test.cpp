#include <ecso/core/policy.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/base64.hpp>
#include <ecso/gateway/openai_chat.hpp>

#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace openai_chat_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using Json = nlohmann::ordered_json;
using Catch::Matchers::ContainsSubstring;

std::string base64_of(const std::string& bytes) { return std::string{Image::from_bytes(bytes).base64()}; }

const std::string cat = base64_of(test::png_bytes(3, 2, "a cat on a mat"));
const std::string dog = base64_of(test::jpeg_bytes(5, 4, "a dog"));
const std::string cat_uri = "data:image/png;base64," + cat;

std::string image_part(const std::string& uri) {
  return R"({"type":"image_url","image_url":{"url":")" + uri + R"(","detail":"low"}})";
}

/// A chat of one turn with these parts.
std::string chat_of(const std::string& parts, const std::string& more = "") {
  return R"({"model":"m","messages":[{"role":"user","content":[)" + parts + "]}]" + more + "}";
}

std::string chat_of_messages(const std::string& messages) { return R"({"messages":[)" + messages + "]}"; }

struct Parsed {
  std::shared_ptr<const std::string> body;
  OpenAiChat chat;

  explicit Parsed(std::string text, const ChatLimits& limits = {})
      : body{std::make_shared<const std::string>(std::move(text))}, chat{body, *body, limits} {}
};

Error error_of(const std::string& body, const ChatLimits& limits = {}) {
  try {
    const Parsed parsed{body, limits};
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error;
  }
  FAIL("no error: " << body);
  return Error{Errc::internal, ""};
}

Json answer_of(const std::string& body, std::optional<bool> stream) {
  return Json::parse(Parsed{body}.chat.answer(stream).text());
}

/// What the protocol asks for a step of this chat.
struct Steps {
  const Conversation& conversation;
  Policy policy = {};
  Capabilities capabilities = {};
  std::optional<Sampling> sampling = Sampling{};

  [[nodiscard]] StepRequests requests() const { return {policy, capabilities, sampling}; }

  [[nodiscard]] TextRequest regenerate(const std::vector<std::string_view>& captions, int round = 1) const {
    return std::get<TextRequest>(requests().regenerate(conversation, captions, round));
  }
};

Json regenerated(const Parsed& parsed, const std::vector<std::string_view>& captions) {
  return Json::parse(parsed.chat.regenerate(Steps{parsed.chat.conversation()}.regenerate(captions)).text());
}

}  // namespace

TEST_CASE("the client's request goes on byte for byte", "[gateway][openai]") {
  const std::string body =
      " {\n\"model\" : \"m\", \"messages\":[ {\"content\":\"Hi\\u0021\",\"role\":\"user\"} ] ,\t\"x\":{\"y\" :1e2}} \n";
  const Parsed parsed{body};
  CHECK(parsed.chat.answer(std::nullopt).text() == body);
  CHECK(parsed.chat.answer(false).text() == body);
  CHECK(parsed.chat.model() == "m");
  CHECK_FALSE(parsed.chat.stream());
  CHECK(parsed.chat.choices() == 1);
  CHECK(parsed.chat.path() == "/chat/completions");
  CHECK(parsed.chat.prefill().empty());
  CHECK(parsed.chat.conversation().messages == ask({}, "Hi!").messages);
  CHECK(Parsed{chat_of_messages(R"({"role":"user","content":"Hi"})")}.chat.model().empty());
  CHECK(Parsed{R"({"model":null,"stream":null,"n":null,"messages":[{"role":"user","content":"Hi"}]})"}.chat.choices() == 1);
}

TEST_CASE("another delivery changes the delivery alone", "[gateway][openai]") {
  const std::string body =
      R"({"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}],"st\u0072eam":true,)"
      R"("tools":[{"x":1}],"response_format":{"type":"json_object"},"n":2,"seed":7,"what":{"ever":[null]}})";
  Json expected = Json::parse(body);
  CHECK(answer_of(body, true) == expected);
  expected["stream"] = false;
  expected.erase("stream_options");
  CHECK(answer_of(body, false) == expected);
  CHECK(Parsed{body}.chat.stream());
  CHECK(Parsed{body}.chat.choices() == 2);

  const std::string whole = R"({"messages":[{"role":"user","content":"Hi"}],"stream":null})";
  CHECK(answer_of(whole, true) == Json::parse(R"({"messages":[{"role":"user","content":"Hi"}],"stream":true})"));
  const std::string silent = chat_of_messages(R"({"role":"user","content":"Hi"})");
  CHECK(answer_of(silent, true) == Json::parse(R"({"messages":[{"role":"user","content":"Hi"}],"stream":true})"));
}

TEST_CASE("images stay where the client's bytes are", "[gateway][openai]") {
  const std::string body = chat_of(R"({"type":"text","text":"What is it?"},)" + image_part(cat_uri));
  const Parsed parsed{body};
  const auto images = images_of(parsed.chat.conversation());
  REQUIRE(images.size() == 1);
  CHECK(images[0].media_type() == MediaType::png);
  CHECK(images[0].width() == 3);
  CHECK(images[0].base64().data() >= parsed.body->data());
  CHECK(images[0].base64().data() < parsed.body->data() + parsed.body->size());
  CHECK(images[0] == Image::from_bytes(test::png_bytes(3, 2, "a cat on a mat")));
  CHECK(query_of(parsed.chat.conversation()) == "What is it?");
}

TEST_CASE("an image is found however its JSON is written", "[gateway][openai]") {
  const Image expected = Image::from_base64(cat);
  std::string slashes;
  for (const char c : cat_uri) slashes += c == '/' ? "\\/" : std::string(1, c);
  std::string unpadded = cat_uri;
  unpadded.erase(unpadded.find_last_not_of('=') + 1);
  for (const std::string& part : {
           R"({"\u0074ype":"im\u0061ge_url","\u0069mage_url":{"\u0075rl":")" + cat_uri + R"("}})",
           R"({"type":"image_url","image_url":{"url":")" + slashes + R"("}})",
           R"({"type":"image_url","image_url":")" + cat_uri + R"("})",
           R"( { "image_url" :{ "detail" : "high","url":"DATA:;BASE64,)" + cat + "\"}\n,\"type\":\t\"image_url\" } ",
           image_part("data:text/html;base64," + cat),
           image_part(unpadded),
           image_part("\\u0064ata:image/png;base64," + cat),
           image_part("data:image/png;base64, " + cat),
       }) {
    CAPTURE(part);
    const Parsed parsed{chat_of(part)};
    const auto images = images_of(parsed.chat.conversation());
    REQUIRE(images.size() == 1);
    CHECK(images[0] == expected);
    CHECK(query_of(parsed.chat.conversation()) == "(no words, only the image)");
    CHECK(parsed.chat.answer({}).text() == *parsed.body);
    CHECK(regenerated(parsed, {"a caption"}).dump().find(cat.substr(0, 40)) == std::string::npos);
  }
}

TEST_CASE("what could not be checked is refused, by its place", "[gateway][openai]") {
  const auto says = [](const std::string& body, const std::string& message) {
    CAPTURE(body);
    CHECK_THAT(error_of(body).message(), ContainsSubstring(message));
  };
  says("", "JSON: ");
  says("[]", "the body must be a JSON object");
  says("{}", "messages: is missing");
  says(R"({"messages":{}})", "messages: must be an array");
  says(R"({"messages":[]})", "messages: no turn of the user");
  says(chat_of_messages(R"({"role":"system","content":"x"})"), "messages: no turn of the user");
  says(chat_of_messages(R"({"role":"user","content":"x"},7)"), "messages[1]: must be an object");
  says(chat_of_messages(R"({"content":"x"})"), "messages[0].role: is missing");
  says(chat_of_messages(R"({"role":"critic","content":"x"})"), "messages[0].role: \"critic\" is none of");
  says(chat_of_messages(R"({"role":"user"})"), "messages[0].content: is missing");
  says(chat_of_messages(R"({"role":"user","content":null})"), "messages[0].content: must be a string");
  says(chat_of_messages(R"({"role":"assistant","content":{}},{"role":"user","content":"x"})"), "messages[0].content: must be");
  says(chat_of("7"), "messages[0].content[0]: must be an object");
  says(chat_of(R"({"text":"x"})"), "messages[0].content[0].type: is missing");
  says(chat_of(R"({"type":"text"})"), "messages[0].content[0].text: is missing");
  says(chat_of(R"({"type":"text","text":7})"), "messages[0].content[0].text: must be a string");
  for (const std::string type : {"input_audio", "file", "video_url", "image_embeds", "image", "input_image", ""}) {
    says(chat_of(R"("x",{"type":")" + type + "\"}"), "messages[0].content[1].type: \"" + type + "\" cannot be checked");
  }
  says(chat_of(R"({"type":"image_url"})"), "messages[0].content[0].image_url: is missing");
  says(chat_of(R"({"type":"image_url","image_url":{}})"), "messages[0].content[0].image_url.url: is missing");
  says(chat_of(image_part("data:image/png;base64,AAAA")), "messages[0].content[0].image_url.url: ");
  says(chat_of(image_part("data:image/png;base64,A*")), "messages[0].content[0].image_url.url: ");
  says(chat_of(image_part("data:image/png,x")), "not base64");
  says(chat_of(image_part(cat)), "messages[0].content[0].image_url.url: ");
  says(chat_of(image_part("https://example.org/cat.png")), "image URLs are not fetched; send");
  says(chat_of(image_part("http://127.0.0.1/")), "image URLs are not fetched");
  says(chat_of(image_part("file:///etc/passwd")), "image URLs are not fetched");
  says(chat_of(R"({"type":"text","text":"x","image_url":{"url":"y"}})"), "messages[0].content[0].image_url: cannot be checked");
  says(chat_of_messages(R"({"role":"user","content":"x","im\u0061ges":["y"]})"), "messages[0].images: cannot be checked here");
  says(R"({"image_data":[{}],"messages":[{"role":"user","content":"x"}]})", "image_data: cannot be checked here");
  says(chat_of("\"x\"", R"(,"modalities":["text","audio"])"), "modalities: only answers of text");
  says(chat_of("\"x\"", R"(,"n":0)"), "n: must be a whole number from 1 to 8");
  says(chat_of("\"x\"", R"(,"n":9)"), "n: must be");
  says(chat_of("\"x\"", R"(,"n":1.5)"), "n: must be");
  says(chat_of("\"x\"", R"(,"n":"2")"), "n: must be");
  says(chat_of("\"x\"", R"(,"stream":1)"), "stream: must be true or false");
  says(R"({"model":7,"messages":[{"role":"user","content":"x"}]})", "model: must be a string");
  says(chat_of_messages(R"({"role":"user","content":"x"},{"role":"assistant","content":[)" + image_part(cat_uri) + "]}"),
       "messages[1]: images in the assistant's last turn");
}

TEST_CASE("one way only to read a body", "[gateway][openai]") {
  for (const std::string body : {
           R"({"messages":[{"role":"user","content":"x"}],"messages":[]})",
           R"({"messages":[{"role":"user","content":"x"}],"\u006dessages":[]})",
           R"({"messages":[{"role":"user","content":"x","content":"y"}]})",
           R"({"messages":[{"role":"user","content":"x"}]} {})",
           "{\"messages\":[{\"role\":\"user\",\"content\":\"\xFF\"}]}",
           R"({"messages":[{"role":"user","content":"\ud800"}]})",
           // For servers that do not mind the case of names.
           R"({"messages":[{"role":"user","content":"x"}],"Messages":[]})",
           R"({"messages":[{"role":"user","content":"x","Content":"y"}]})",
           R"({"messages":[{"role":"user","content":"x"}],"STREAM":true})",
       }) {
    CAPTURE(body);
    (void)error_of(body);
  }
  const std::string deep = R"({"messages":[{"role":"user","content":"x"}],"x":)" + std::string(100'000, '[');
  CHECK_THAT(error_of(deep).message(), ContainsSubstring("JSON: "));
}

TEST_CASE("the number and the size of images are bounded", "[gateway][openai]") {
  const std::string two = chat_of(image_part(cat_uri) + "," + image_part(cat_uri));
  CHECK_THAT(error_of(two, {.max_images = 1}).message(), ContainsSubstring("messages[0].content[1]"));
  CHECK_THAT(error_of(two, {.max_images = 1}).message(), ContainsSubstring("more images than the limit of 1"));
  CHECK_THAT(error_of(two, {.image = {.max_bytes = 20}}).message(), ContainsSubstring("the limit is 20"));
  CHECK_THAT(error_of(two, {.image = {.max_pixels = 5}}).message(), ContainsSubstring("messages[0].content[0].image_url.url"));
  CHECK(images_of(Parsed{two}.chat.conversation()).size() == 2);
}

TEST_CASE("an image URL goes on only to a listed host", "[gateway][openai]") {
  const ChatLimits limits{.image_hosts = {"Example.org", "example.org:8080"}};
  const auto passes = [&](const std::string& url) {
    try {
      const Parsed parsed{chat_of(image_part(url)), limits};
      CHECK(images_of(parsed.chat.conversation()).size() == 1);
      CHECK(parsed.chat.answer({}).text() == *parsed.body);
      CHECK(regenerated(parsed, {"a cat"}).dump().find("example") == std::string::npos);
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  for (const char* url : {"https://example.org/cat.png?x=@y", "http://EXAMPLE.ORG", "https:\\/\\/example.org/%41#\\u0040",
                          "http://example.org:80/", "https://example.org:443/", "https://example.org:8080/a"}) {
    CAPTURE(url);
    CHECK(passes(url));
  }
  for (const char* url : {"https://example.org.evil.test/",
                          "https://evil/example.org",
                          "https://example.org.evil.test/",
                          "https://evil@example.org/",
                          "https://evil\\\\@example.org/",
                          "https://example.org\\\\@evil/",
                          "https:/example.org/",
                          "https:example.org",
                          "//example.org/",
                          "ftp://example.org/",
                          "https://example.org:22/",
                          "https://example.org:/",
                          "https://example.org:80x/",
                          "https://example.org:443:1/",
                          "https://%65xample.org/",
                          "https://example.org./",
                          " https://example.org/",
                          "https://example.org/\\t",
                          "https://ex\u0430mple.org/",
                          "https://[::1]/",
                          "https://",
                          "https://example.org:65979/",
                          "https://example.org:0/",
                          "ht\\ntps://example.org/"}) {
    CAPTURE(url);
    CHECK_FALSE(passes(url));
  }
}

TEST_CASE("every kind of turn is read", "[gateway][openai]") {
  const Parsed parsed{chat_of_messages(
      R"({"role":"developer","content":"Be kind."},)"
      R"({"role":"user","name":"ann","content":[{"type":"text","text":"Look"},)" +
      image_part(cat_uri) +
      R"(,"again"]},)"
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"find","arguments":"{\"q\":1}"}},)"
      R"({"id":"2","type":"custom","custom":{"name":"run","input":"ls"}}]},)"
      R"({"role":"tool","tool_call_id":"1","content":"found"},)"
      R"({"role":"assistant","content":[{"type":"refusal","refusal":"No."}],"function_call":{"name":"f","arguments":"{}"}},)"
      R"({"role":"function","name":"f","content":"done"})")};
  const auto& messages = parsed.chat.conversation().messages;
  REQUIRE(messages.size() == 6);
  CHECK(messages[0].role == Role::system);
  CHECK(messages[1].role == Role::user);
  CHECK(messages[1].text() == "Look\nagain");
  CHECK(messages[2].role == Role::assistant);
  CHECK(messages[2].text() == "find({\"q\":1})\nrun(ls)");
  CHECK(messages[3].role == Role::user);
  CHECK(messages[4].text() == "No.\nf({})");
  CHECK(messages[5].role == Role::user);
}

TEST_CASE("an assistant's turns at the end are a prefill", "[gateway][openai]") {
  const Parsed parsed{chat_of_messages(R"({"role":"user","content":"Hi"},{"role":"assistant","content":"Sure,"},)"
                                       R"({"role":"assistant","content":"here"})")};
  CHECK(parsed.chat.prefill() == "Sure,\nhere");
  CHECK(parsed.chat.conversation() == ask({}, "Hi"));
  CHECK(parsed.chat.answer({}).text() == *parsed.body);
  const Json again = regenerated(parsed, {});
  REQUIRE(again["messages"].size() == 1);
  CHECK_THAT(again["messages"][0]["content"].get<std::string>(), ContainsSubstring("Hi"));
}

TEST_CASE("what the system says behind the query stands before it for the protocol", "[gateway][openai]") {
  const Parsed parsed{chat_of_messages(R"({"role":"user","content":"Hi"},{"role":"assistant","content":"Ho"},)"
                                       R"({"role":"user","content":"Go on"},{"role":"system","content":"Be kind."})")};
  const auto& messages = parsed.chat.conversation().messages;
  REQUIRE(messages.size() == 4);
  CHECK(messages[2].role == Role::system);
  CHECK(messages[3].text() == "Go on");
  const Json again = regenerated(parsed, {});
  REQUIRE(again["messages"].size() == 4);
  CHECK_THAT(again["messages"][2]["content"].get<std::string>(), ContainsSubstring("Go on"));
  CHECK(again["messages"][3] == Json::parse(R"({"role":"system","content":"Be kind."})"));
}

TEST_CASE("the eyes-closed request has the client's fields and no image", "[gateway][openai]") {
  const std::string body =
      R"({"model":"m","n":2,"stream":true,"stream_options":{"include_usage":true},"temperature":0.5,"messages":[)"
      R"({"role":"system","content":"Be \u006bind.","x":{"y":1}},)"
      R"({"role":"user","name":"ann","content":[)" +
      image_part(cat_uri) +
      R"(,{"type":"text","text":"Look"}]},)"
      R"({"role":"assistant","content":"A cat.","tool_calls":[]},)"
      R"({"role":"user","content":[{"type":"text","text":"And this?"},)" +
      image_part("data:image/jpeg;base64," + dog) +
      R"(],"name":"bob"}],)"
      R"("tools":[{"type":"function"}],"seed":7,"response_format":{"type":"json_object"},"add_generation_prompt":false,)"
      R"("continue_final_message":true,"\u0077hat":"ever"})";
  const Parsed parsed{body};
  const std::string text = parsed.chat.regenerate(Steps{parsed.chat.conversation()}.regenerate({"a cat", "a dog"})).text();
  const Json again = Json::parse(text);
  Json expected = Json::parse(body);
  for (const char* name : {"n", "stream", "stream_options", "add_generation_prompt", "continue_final_message"})
    expected.erase(name);
  const std::string last = again["messages"][3]["content"];
  CHECK_THAT(last, ContainsSubstring("And this?"));
  CHECK_THAT(last, ContainsSubstring("a dog"));
  expected["messages"][1]["content"] = "[image 1]\nLook";
  expected["messages"][3]["content"] = last;
  CHECK(again == expected);
  // Not a piece of either image, however it is cut.
  for (const std::string& image : {cat, dog}) {
    for (std::size_t at = 0; at + 12 <= image.size(); ++at) {
      if (text.find(image.substr(at, 12)) != std::string::npos) FAIL("the image at " << at);
    }
  }
  CHECK(text.find("data:image") == std::string::npos);
  CHECK(text.find("image_url") == std::string::npos);
}

TEST_CASE("sampling of the protocol replaces the client's, field by field", "[gateway][openai]") {
  const Parsed parsed{chat_of("\"Hi\"", R"(,"temperature":0.1,"seed":7,"max_completion_tokens":50)")};
  TextRequest request = Steps{parsed.chat.conversation()}.regenerate({}, 3);
  CHECK(request.options.sampling.seed == 3U);
  Json again = Json::parse(parsed.chat.regenerate(request).text());
  CHECK(again["temperature"] == 1.0);
  CHECK(again["seed"] == 3);
  CHECK(again["max_completion_tokens"] == 50);
  request.options.sampling = {.top_p = 0.5, .max_tokens = 9, .stop = {"a", "\""}};
  request.options.model = "other";
  again = Json::parse(parsed.chat.regenerate(request).text());
  CHECK(again["temperature"] == 0.1);
  CHECK(again["top_p"] == 0.5);
  CHECK(again["max_completion_tokens"] == 9);
  CHECK_FALSE(again.contains("max_tokens"));
  CHECK(again["stop"] == Json::parse(R"(["a","\""])"));
  CHECK(again["model"] == "other");
  const Parsed plain{chat_of_messages(R"({"role":"user","content":"Hi"})")};
  CHECK(Json::parse(plain.chat.regenerate(request).text())["max_tokens"] == 9);
  const Conversation longer{{Message{Role::user, {"a"}}, Message{Role::user, {"b"}}}};
  CHECK_THROWS_AS(plain.chat.regenerate(Steps{longer}.regenerate({})), Error);
}

TEST_CASE("a tool's result that is the query keeps what ties it to its call", "[gateway][openai]") {
  const Parsed parsed{chat_of_messages(
      R"({"role":"user","content":"Look it up"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",)"
      R"("function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"","tool_call_id":"1"})")};
  CHECK(query_of(parsed.chat.conversation()) == "(no words)");
  const Json again = regenerated(parsed, {});
  CHECK(again["messages"][1] == Json::parse(*parsed.body)["messages"][1]);
  CHECK(again["messages"][2]["role"] == "tool");
  CHECK(again["messages"][2]["tool_call_id"] == "1");
  CHECK_THAT(again["messages"][2]["content"].get<std::string>(), ContainsSubstring("(no words)"));
}

TEST_CASE("a stream is asked for its tokens though the client did not ask", "[gateway][openai]") {
  const auto sent = [](const std::string& members) {
    const Parsed parsed{R"({)" + members + R"("messages":[{"role":"user","content":"Hi"}]})"};
    return Json::parse(parsed.chat.answer(std::nullopt, TokenReport::always).text());
  };
  const Json wish{{"include_usage", true}};
  CHECK(sent(R"("stream":true,)")["stream_options"] == wish);
  CHECK(sent(R"("stream":true,"stream_options":null,)")["stream_options"] == wish);
  CHECK(sent(R"("stream":true,"stream_options":{"include_usage":false},)")["stream_options"] == wish);
  CHECK(sent(R"("stream":true,"stream_options":{"include_usage":true},)")["stream_options"] == wish);
  CHECK(sent(R"("stream":true,"stream_options":{"x":[1]},)")["stream_options"] == Json{{"include_usage", true}, {"x", {1}}});
  CHECK_FALSE(sent("").contains("stream_options"));
  CHECK(sent(R"("stream":true,)")["stream"] == true);
}

TEST_CASE("a check that is the chat's next turn begins with the client's own bytes", "[gateway][openai][next_turn]") {
  const std::string turns = R"({"role":"user","content":"Hi"}, {"content":"Hello.","role":"assistant"},)"
                            R"({"role":"user","content":[{"type":"text","text":"Which?"},)" +
                            image_part(cat_uri) + "]}";
  const Parsed parsed{R"({"temperature":1.5,"messages":[)" + turns + R"(],"model":"m"})"};
  Policy policy;
  policy.check_form = CheckForm::next_turn;
  const std::optional<Sampling> sampling;
  const Capabilities able;
  const ModelRequest check = StepRequests{policy, able, sampling}.check(parsed.chat.conversation(), "The \"first\".");
  const Json json = Json::parse(parsed.chat.ask(check, llama_server_dialect()).text());
  const Json sent = Json::parse(*parsed.body)["messages"];
  REQUIRE(json["messages"].size() == sent.size() + 2);
  for (std::size_t i = 0; i < sent.size(); ++i) CHECK(json["messages"][i] == sent[i]);
  CHECK(json["messages"][3] == Json::parse(R"({"role":"assistant","content":"The \"first\"."})"));
  CHECK(json["messages"][4] == Json{{"role", "user"}, {"content", policy.prompts.next_turn_check.text()}});
  CHECK(json["temperature"] == 0.0);
}

TEST_CASE("a caption in the query's own turn begins with the client's own bytes", "[gateway][openai][same_turn]") {
  Policy policy;
  policy.caption_form = CaptionForm::same_turn;
  const std::optional<Sampling> sampling;
  const Capabilities able;
  const std::string text = policy.prompts.same_turn_caption.text();
  const auto asked = [&](const std::string& messages) {
    const Parsed parsed{R"({"temperature":1.5,"messages":)" + messages + R"(,"model":"m"})"};
    const Conversation& chat = parsed.chat.conversation();
    const ModelRequest caption = StepRequests{policy, able, sampling}.caption(chat, images_of(chat).front(), 1);
    CHECK(options_of(caption).continues_chat);
    return Json::parse(parsed.chat.ask(caption, llama_server_dialect()).text());
  };
  SECTION("text before the image, as clients write it") {
    const std::string turns = R"([{"role":"user","content":"Hi"}, {"content":"Hello.","role":"assistant"},)"
                              R"({"role":"user","content":[ {"type":"text","text":"Which?"},)" +
                              image_part(cat_uri) + " ] }]";
    const Json sent = Json::parse(turns);
    Json last = sent[2];
    last["content"].push_back({{"type", "text"}, {"text", text}});
    const Json json = asked(turns);
    REQUIRE(json["messages"].size() == 3);
    CHECK(json["messages"][0] == sent[0]);
    CHECK(json["messages"][1] == sent[1]);
    CHECK(json["messages"][2] == last);
    CHECK(json["temperature"] == 0.0);
    CHECK(json["model"] == "m");
  }
  SECTION("a turn that is one string stays one") {
    const Json json = asked(R"([{"role":"user","content":[)" + image_part(cat_uri) +
                            R"(,{"type":"text","text":"Hi"}]},{"role":"user","content":"Which \"one\"\u003f"}])");
    CHECK(json["messages"][1] == Json{{"role", "user"}, {"content", "Which \"one\"?\n" + text}});
  }
  SECTION("a turn of the image alone") {
    const Json json = asked(R"([{"role":"user","content":[)" + image_part(cat_uri) + "]}]");
    REQUIRE(json["messages"][0]["content"].size() == 2);
    CHECK(json["messages"][0]["content"][1] == Json{{"type", "text"}, {"text", text}});
  }
  SECTION("what the client puts into the assistant's mouth is left out") {
    const Json json = asked(R"([{"role":"user","content":[)" + image_part(cat_uri) +
                            R"(,{"type":"text","text":"Which?"}]},{"role":"assistant","content":"Sure"}])");
    CHECK(json["messages"].size() == 1);
  }
}

TEST_CASE("checks and captions show the client's own image parts", "[gateway][openai]") {
  const std::string odd = R"({ "type":"image_\u0075rl", "image_url":{"url":"data:image/jpeg;base64,)" + dog +
                          R"(","detail":"high"},"cache_control":{"type":"ephemeral"} })";
  const Parsed parsed{
      R"({"temperature":1.5,"model":"m","messages":[{"role":"system","content":["Be","kind"]},{"role":"user","content":[)" +
      image_part(cat_uri) + "," + odd + R"(,{"type":"text","text":"Which \"one\"?"}]}]})"};
  const Steps steps{parsed.chat.conversation()};
  const auto images = images_of(parsed.chat.conversation());
  const ModelRequest check = steps.requests().check(parsed.chat.conversation(), "The first.");
  const std::string text = parsed.chat.ask(check, llama_server_dialect()).text();
  CHECK(text.find(odd) != std::string::npos);
  const Json json = Json::parse(text);
  CHECK(json["model"] == "m");
  REQUIRE(json["messages"].size() == 2);
  CHECK(json["messages"][0] == Json::parse(R"({"role":"system","content":"Be\nkind"})"));
  const Json& content = json["messages"][1]["content"];
  REQUIRE(content.size() == 3);
  CHECK(content[0] == Json::parse(image_part(cat_uri)));
  CHECK(content[1] == Json::parse(odd));
  CHECK_THAT(content[2]["text"].get<std::string>(), ContainsSubstring("The first."));
  CHECK(json["temperature"] == 0.0);
  CHECK(json["cache_prompt"] == true);
  CHECK_FALSE(json.contains("stream"));

  const ModelRequest caption = steps.requests().caption(parsed.chat.conversation(), images[1], 1);
  const Json shown = Json::parse(parsed.chat.ask(caption, {}).text());
  REQUIRE(shown["messages"][1]["content"].size() == 2);
  CHECK(shown["messages"][1]["content"][0] == Json::parse(odd));

  const Json blind = Json::parse(parsed.chat.ask(steps.requests().recheck(parsed.chat.conversation(), "x"), {}).text());
  CHECK(blind["messages"][1]["content"].is_string());

  ModelRequest foreign = steps.requests().caption(parsed.chat.conversation(), Image::from_base64(cat), 1);
  CHECK_THROWS_AS(parsed.chat.ask(foreign, {}), Error);
}

TEST_CASE("check and caption of one image begin alike", "[gateway][openai]") {
  const Parsed parsed{chat_of(image_part(cat_uri) + ",\"What is it?\"")};
  const Steps steps{parsed.chat.conversation()};
  const std::string check = parsed.chat.ask(steps.requests().check(parsed.chat.conversation(), "A cat."), {}).text();
  const std::string caption =
      parsed.chat.ask(steps.requests().caption(parsed.chat.conversation(), images_of(parsed.chat.conversation())[0], 1), {})
          .text();
  const std::size_t end = check.find(cat) + cat.size();
  CHECK(check.substr(0, end) == caption.substr(0, end));
}

TEST_CASE("a step may have a model of its own", "[gateway][openai]") {
  const Parsed parsed{chat_of("\"Hi\"")};
  Steps steps{parsed.chat.conversation()};
  steps.policy.models = {.check = "judge", .regenerate = "writer"};
  const ModelRequest check = steps.requests().check(parsed.chat.conversation(), "x");
  CHECK(Json::parse(parsed.chat.ask(check, {}).text())["model"] == "judge");
  CHECK(Json::parse(parsed.chat.ask(check, {.extra = {{"model", "forced"}}}).text())["model"] == "forced");
  CHECK(Json::parse(parsed.chat.regenerate(steps.regenerate({})).text())["model"] == "writer");
}

TEST_CASE("a blank answer can stand in for one of the upstream's", "[gateway][openai]") {
  const Parsed parsed{chat_of("\"Hi\"", R"(,"n":2)")};
  for (const bool stream : {false, true}) {
    const auto answer = parsed.chat.reader(stream);
    answer->feed(parsed.chat.blank_answer(stream));
    answer->finish();
    REQUIRE(answer->choices() == 2);
    CHECK(answer->reply(1, AnswerText::everything).text.empty());
    CHECK(answer->reply(0, AnswerText::everything).model == "m");
    const std::vector<Release> refused(2, {.path = Path::refused, .refusal = "No."});
    CHECK_THAT(answer->release(refused, {.ecso = "{}"}), ContainsSubstring("No."));
  }
}

TEST_CASE("errors have the API's shape", "[gateway][openai]") {
  const Parsed parsed{chat_of("\"Hi\"")};
  const std::string body = parsed.chat.error_body(400, "invalid_request_error", "no \"good\"\n\xFF");
  const Json json = Json::parse(body);
  CHECK(json["error"]["message"] == "no \"good\" ?");
  CHECK(json["error"]["type"] == "invalid_request_error");
  CHECK(json["error"]["param"].is_null());
  CHECK(parsed.chat.error_event(400, "invalid_request_error", "no \"good\"\n\xFF") == "data: " + body + "\n\n");
}

}  // namespace openai_chat_test
