// What stands in a request beside the turns: the check is shown it, or the request is refused.

#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/anthropic_chat.hpp>
#include <ecso/gateway/openai_chat.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace client_context_test {

namespace {

using namespace ecso;
using namespace ecso::gateway;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

template <typename Chat>
Conversation conversation_of(const std::string& body) {
  const auto bytes = std::make_shared<const std::string>(body);
  const Chat chat{bytes, *bytes, {}};
  CHECK(chat.answer({}).text() == body);
  return chat.conversation();
}

template <typename Chat>
std::string refusal_of(const std::string& body) {
  try {
    static_cast<void>(conversation_of<Chat>(body));
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.message();
  }
  return "it was accepted";
}

/// A request of one turn with these members beside it.
std::string with_options(const std::string& members) {
  return R"({"messages":[{"role":"user","content":"Hi"}])" + (members.empty() ? "" : "," + members) + "}";
}

std::string with_messages(const std::string& messages) { return R"({"messages":[)" + messages + "]}"; }

/// A chat whose second message, the assistant's, has these members.
std::string with_assistant(const std::string& members) {
  return with_messages(R"({"role":"user","content":"a"},{"role":"assistant",)" + members + R"(},{"role":"user","content":"b"})");
}

/// A chat of one turn of these parts.
std::string with_parts(const std::string& parts) { return with_messages(R"({"role":"user","content":[)" + parts + "]}"); }

std::string openai_context(const std::string& body) { return conversation_of<OpenAiChat>(body).context; }
std::string anthropic_context(const std::string& body) { return conversation_of<AnthropicChat>(body).context; }

std::string image_uri() { return "data:image/png;base64," + std::string{Image::from_bytes(test::png_bytes(3, 2)).base64()}; }

}  // namespace

TEMPLATE_TEST_CASE("A check is shown what the model is shown beside the turns", "[gateway][context]", OpenAiChat, AnthropicChat) {
  const auto context = [](const std::string& members) { return conversation_of<TestType>(with_options(members)).context; };
  CHECK(context("").empty());
  CHECK(context(R"("tools":[{"name":"b\u006fmb","n":[1,2],"d":"\"x\"\n"}])") ==
        R"(tools: [{"name":"bomb","n":[1,2],"d":"\"x\"\n"}])");
  CHECK(context(R"("documents":[{"text":"a"}],"response_format":{"type":"json_object"})") ==
        "documents: [{\"text\":\"a\"}]\nresponse_format: {\"type\":\"json_object\"}");
  CHECK(context(R"("chat_template":"{{ messages }}","chat_template_kwargs":{"a":"b"})") ==
        "chat_template: \"{{ messages }}\"\nchat_template_kwargs: {\"a\":\"b\"}");
  CHECK(context(R"("guided_json":{"enum":[1]},"structured_outputs":{"choice":["a"]},"grammar":"root ::= x")") ==
        "guided_json: {\"enum\":[1]}\nstructured_outputs: {\"choice\":[\"a\"]}\ngrammar: \"root ::= x\"");
  // Whatever it is called, and however its name is written.
  CHECK(context(R"("anything":"x","T\u006fols":["y"])") == "anything: \"x\"\nTools: [\"y\"]");
  // A template may print the names of members as well.
  CHECK(context(R"("anything":{"words":1})") == R"(anything: {"words":1})");
}

TEMPLATE_TEST_CASE("What says nothing to the model adds nothing for the check", "[gateway][context]", OpenAiChat, AnthropicChat) {
  for (
      const std::string members : {
          R"("model":"m","temperature":0.5,"top_p":1,"seed":7,"logprobs":true,"max_tokens":9,"frequency_penalty":null)",
          R"("x":null,"y":[],"z":{},"v":[[],[null,false]],"w":"")",
          R"("stop":["\n","User:"],"user":"ann","metadata":{"a":"b"},"service_tier":"auto","store":true,"request_id":"r 1")",
          R"("stop_token_ids":[1,2],"allowed_token_ids":[3],"bad_words":["x"],"logit_bias":{"5":-1},"cache_salt":"s")",
          R"("stream":false,"stream_options":{"include_usage":true},"prompt_cache_key":"k","safety_identifier":"s","priority":1)",
          R"("tool_choice":"auto","reasoning_effort":"high","verbosity":"low","function_call":"none")",
          R"("tool_choice":{"type":"any"},"thinking":{"type":"enabled","budget_tokens":1024},"reasoning":{"effort":"low"})",
          R"("chat_template_kwargs":{"enable_thinking":false,"reasoning_effort":"high"},"return_token_ids":false)",
          R"("return_tokens":null,"prompt":null,"image_data":null)",
      }) {
    CAPTURE(members);
    CHECK(conversation_of<TestType>(with_options(members)).context.empty());
  }
}

TEMPLATE_TEST_CASE("A word that steers is shown where it is none of those that steer", "[gateway][context]", OpenAiChat,
                   AnthropicChat) {
  for (const std::string name : {"reasoning_effort", "tool_choice", "verbosity", "thinking", "chat_template_kwargs"}) {
    for (const std::string value : {R"("say how")", R"({"type":"say how"})", R"({"say how":1})", R"("h\u0069gh")"}) {
      CAPTURE(name, value);
      CHECK_THAT(conversation_of<TestType>(with_options("\"" + name + "\":" + value)).context, StartsWith(name + ": "));
      CHECK_THAT(conversation_of<TestType>(with_messages(R"({"role":"user","content":"Hi",")" + name + "\":\"auto\"}")).context,
                 StartsWith("messages[0]." + name + ": "));
    }
  }
}

TEST_CASE("A check is shown what messages say beside their content", "[gateway][context][openai]") {
  CHECK(openai_context(with_messages(R"({"role":"user","content":"a","name":"Bob"})")) == R"(messages[0].name: "Bob")");
  CHECK(openai_context(with_assistant(R"("content":"x","reasoning_content":"I \u0077ill","audio":null,"refusal":null)")) ==
        R"(messages[1].reasoning_content: "I will")");
  CHECK(openai_context(with_assistant(R"("content":"x","annotations":[{"url":"u"}],"tool_calls":[])")) ==
        R"(messages[1].annotations: [{"url":"u"}])");
  CHECK(openai_context(with_messages(R"({"role":"user","content":"a","tool_calls":[{"x":"y"}],"refusal":"no"})")) ==
        "messages[0].tool_calls: [{\"x\":\"y\"}]\nmessages[0].refusal: \"no\"");
  // Options come before messages, and those of a prefill count.
  CHECK(openai_context(
            R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","name":"c"}],"tools":["d"]})") ==
        "tools: [\"d\"]\nmessages[1].name: \"c\"");
  CHECK(openai_context(with_messages(R"({"role":"user","content":"a"},{"role":"tool","content":"b","tool_call_id":"call_1:x"})"))
            .empty());
  CHECK(
      openai_context(with_messages(R"({"role":"user","content":"a"},{"role":"tool","content":"b","tool_call_id":"say how"})")) ==
      R"(messages[1].tool_call_id: "say how")");
}

TEST_CASE("A check is shown all that a call in the history says", "[gateway][context][openai]") {
  const auto calls = [](const std::string& json) { return with_assistant("\"tool_calls\":" + json); };
  const Conversation plain = conversation_of<OpenAiChat>(
      calls(R"([{"id":"call_1","type":"function","index":0,"function":{"name":"f","arguments":"{\"a\":\"\\u0062omb\"}"}}])"));
  CHECK(plain.messages[1].text() == R"(f({"a":"bomb"}))");
  CHECK(plain.context.empty());
  for (const auto& [json, line] : std::vector<std::pair<std::string, std::string>>{
           {R"([{"id":"say how","function":{"name":"f"}}])", R"([0].id: "say how")"},
           {R"([{"id":")" + std::string(65, 'x') + R"("}])", "[0].id: \"xxx"},
           {R"([{"id":7,"type":"say how"}])", R"([0].type: "say how")"},
           {R"([{"x":{"y":"z"}}])", R"([0].x: {"y":"z"})"},
           {R"([{"function":{"name":"f","arguments":"{}","x":"y"}}])", R"([0].function.x: "y")"},
           {R"([{"function":{"name":{"x":"y"}}}])", R"([0].function.name: {"x":"y"})"},
           {R"([{"function":["x"]}])", R"([0].function: ["x"])"},
           {R"([{"custom":"x"}])", R"([0].custom: "x")"},
           {R"(["x"])", R"([0]: "x")"},
           {R"("x")", R"(: "x")"},
           {R"({"x":"y"})", R"(: {"x":"y"})"},
       }) {
    CHECK_THAT(openai_context(calls(json)), StartsWith("messages[1].tool_calls" + line));
  }
  CHECK(openai_context(with_assistant(R"("function_call":{"name":"f","arguments":"{}","x":"y"})")) ==
        R"(messages[1].function_call.x: "y")");
  for (const auto& [json, place] : std::vector<std::pair<std::string, std::string>>{
           {R"([{"Function":{"name":"f","arguments":"HARM"}}])", "[0].Function: is to be written \"function\""},
           {R"([{"function":{"Name":"f"}}])", "[0].function.Name: is to be written"},
           {R"([{"function":{"name":"f","\u0041rguments":"HARM"}}])", "[0].function.Arguments: is to be written"},
           {R"([{"custom":{"Input":"HARM"}}])", "[0].custom.Input: is to be written"},
           {R"([{"function":{"name":"f","token_ids":[1]}}])", "[0].function.token_ids: a list of numbers"},
       }) {
    CHECK_THAT(refusal_of<OpenAiChat>(calls(json)), StartsWith("messages[1].tool_calls" + place));
  }
  CHECK_THAT(refusal_of<OpenAiChat>(with_assistant(R"("function_call":{"NAME":"f"})")),
             StartsWith("messages[1].function_call.NAME: "));
}

TEST_CASE("A check is shown all that the blocks of a Messages request say", "[gateway][context][anthropic]") {
  const auto assistant = [](const std::string& blocks) { return with_assistant("\"content\":[" + blocks + "]"); };
  CHECK(anthropic_context(with_messages(R"({"role":"user","content":"a","name":"Bob","id":"msg_1","type":"message"})")) ==
        R"(messages[0].name: "Bob")");
  const std::string block = "messages[1].content[0].";
  CHECK(anthropic_context(
            assistant(R"({"type":"tool_use","id":"toolu_1","name":"f","input":{"a":[1]},"cache_control":{"type":"ephemeral"}})"))
            .empty());
  CHECK(anthropic_context(assistant(R"({"type":"tool_use","id":"say how","name":"f","input":{},"x":{"y":"z"}})")) ==
        block + "id: \"say how\"\n" + block + R"(x: {"y":"z"})");
  CHECK(anthropic_context(assistant(R"({"type":"thinking","thinking":"a","signature":"c2ln/+=="})")).empty());
  CHECK(anthropic_context(assistant(R"({"type":"thinking","thinking":"a","signature":"say how"})")) ==
        block + R"(signature: "say how")");
  CHECK(anthropic_context(assistant(R"({"type":"redacted_thinking","data":"c2ln"})")).empty());
  CHECK(anthropic_context(assistant(R"({"type":"redacted_thinking","data":"say how"})")) == block + R"(data: "say how")");
  CHECK(anthropic_context(assistant(R"({"type":"text","text":"a","citations":[{"cited_text":"b"}]})")) ==
        block + R"(citations: [{"cited_text":"b"}])");
  CHECK(
      anthropic_context(with_parts(R"({"type":"tool_result","tool_use_id":"say how","content":"a","is_error":true,"x":"y"})")) ==
      "messages[0].content[0].tool_use_id: \"say how\"\nmessages[0].content[0].x: \"y\"");
  CHECK(anthropic_context(with_options(R"("system":"s","system_2":"t","container":"c_1","mcp_servers":[{"url":"u"}])")) ==
        "system_2: \"t\"\nmcp_servers: [{\"url\":\"u\"}]");
  CHECK_THAT(refusal_of<AnthropicChat>(assistant(R"({"type":"tool_use","name":"f","input":{},"tokens":[1]})")),
             StartsWith(block + "tokens: a list of numbers"));
}

TEMPLATE_TEST_CASE("What no check can read is refused", "[gateway][context]", OpenAiChat, AnthropicChat) {
  for (const std::string name : {"input_ids", "prompt_token_ids", "token_ids", "anything"}) {
    for (const std::string value : {"[1,2]", "[[1]]", "[\"a\",7]", "{\"x\":[5]}", "[1.5]"}) {
      CAPTURE(name, value);
      CHECK_THAT(refusal_of<TestType>(with_options("\"" + name + "\":" + value)),
                 StartsWith(name) && ContainsSubstring("leave it out"));
      const std::string message = R"({"role":"user","content":"Hi",")" + name + "\":" + value + "}";
      CHECK_THAT(refusal_of<TestType>(with_messages(message)),
                 StartsWith("messages[0]." + name) && ContainsSubstring("leave it out"));
    }
  }
  for (const std::string name : {"prompt", "input", "Prompt", "INPUT_IDS", "session_params", "kv_transfer_params",
                                 "ec_transfer_params", "bootstrap_host"}) {
    for (const std::string value : {R"("x")", "[]", "{}", "0", "false"}) {
      CAPTURE(name, value);
      CHECK_THAT(refusal_of<TestType>(with_options("\"" + name + "\":" + value)),
                 StartsWith(name + ": ") && ContainsSubstring("cannot be checked; leave it out"));
    }
  }
  for (const std::string name : {"prompt_embeds", "Image_Embeds", "input_embedding", "x_embeddings", "image_data", "video_url",
                                 "audio_url", "input_image", "image_pil", "previous_response_id", "file_ids"}) {
    CAPTURE(name);
    CHECK_THAT(refusal_of<TestType>(with_options("\"" + name + "\":\"x\"")),
               StartsWith(name + ": ") && ContainsSubstring("leave it out"));
    CHECK_THAT(refusal_of<TestType>(with_messages(R"({"role":"user","content":"Hi",")" + name + "\":\"x\"}")),
               StartsWith("messages[0]." + name + ": ") && ContainsSubstring("leave it out"));
    CHECK_NOTHROW(conversation_of<TestType>(with_messages(R"({"role":"user","content":"Hi",")" + name + "\":null}")));
  }
  for (const std::string name :
       {"return_token_ids", "return_tokens_as_token_ids", "return_hidden_states", "Return_Tokens", "return_prompt_token_ids"}) {
    CAPTURE(name);
    CHECK_THAT(refusal_of<TestType>(with_options("\"" + name + "\":true")), ContainsSubstring("cannot be checked; leave it out"));
    CHECK_THAT(refusal_of<TestType>(with_options("\"" + name + "\":\"yes\"")), StartsWith(name));
  }
  CHECK_THAT(refusal_of<TestType>(with_options("\"x\":[{\"y\":\"" + image_uri() + "\"}]")), StartsWith("x: cannot be checked"));
  CHECK_THAT(refusal_of<TestType>(with_options(R"("a\nb":"c")")), ContainsSubstring("name that cannot be checked"));
  CHECK_THAT(refusal_of<TestType>(with_options("\"" + std::string(100, 'x') + "\":\"c\"")),
             ContainsSubstring("name that cannot be checked"));
}

TEMPLATE_TEST_CASE("A part of text has nothing that servers take for media", "[gateway][context]", OpenAiChat, AnthropicChat) {
  const auto text = [](const std::string& more) { return with_parts(R"({"type":"text","text":"Hi",)" + more + "}"); };
  for (const std::string more :
       {R"("image_url":null)", R"("video_url":null)", R"("audio_embeds":null)", R"("Video_URL":null)", R"("uuid":"x")",
        R"("uuid":null)", R"("input_audio":null)", R"("prompt_embeds":null)", R"("x":"y")", R"("annotations":[{"text":"y"}])",
        R"("x":{"y":1})", R"("x":[1])", R"("refusal":"y")", R"("id":"y")", R"("cache_control":{"type":"say how"})"}) {
    CAPTURE(more);
    CHECK_THAT(refusal_of<TestType>(text(more)), StartsWith("messages[0].content[0].") && ContainsSubstring("leave it out"));
  }
  for (const std::string more : {R"("cache_control":{"type":"ephemeral","ttl":"1h"})", R"("cache_control":null)",
                                 R"("annotations":[])", R"("x":null)", R"("x":7)", R"("x":{})"}) {
    CAPTURE(more);
    CHECK(conversation_of<TestType>(text(more)).context.empty());
  }
}

TEST_CASE("A part with an image has that image alone", "[gateway][context][openai]") {
  const auto part = [](const std::string& inside, const std::string& beside) {
    return with_parts(R"({"type":"image_url","image_url":{"url":")" + image_uri() + "\"" + inside + "}" + beside + "}");
  };
  CHECK_NOTHROW(conversation_of<OpenAiChat>(part(R"(,"detail":"high","max_pixels":5)", R"(,"min_pixels":4,"x":null)")));
  for (const std::string beside :
       {R"(,"uuid":"x")", R"(,"uuid":null)", R"(,"text":"x")", R"(,"video_url":null)", R"(,"x":["y"])", R"(,"x":[1])"}) {
    CAPTURE(beside);
    CHECK_THAT(refusal_of<OpenAiChat>(part("", beside)), StartsWith("messages[0].content[0]."));
  }
  for (const std::string inside :
       {R"(,"uuid":"x")", R"(,"detail":"say how")", R"(,"image":null)", R"(,"x":"y")", R"(,"x":[1])"}) {
    CAPTURE(inside);
    CHECK_THAT(refusal_of<OpenAiChat>(part(inside, "")), StartsWith("messages[0].content[0].image_url."));
  }
}

TEST_CASE("A block with an image has that image alone", "[gateway][context][anthropic]") {
  const std::string data(Image::from_bytes(test::png_bytes(3, 2)).base64());
  const auto block = [&](const std::string& inside, const std::string& beside) {
    return with_parts(R"({"type":"image","source":{"type":"base64","data":")" + data + "\"" + inside + "}" + beside + "}");
  };
  CHECK_NOTHROW(
      conversation_of<AnthropicChat>(block(R"(,"media_type":"image/svg+xml")", R"(,"cache_control":{"type":"ephemeral"})")));
  for (const std::string beside : {R"(,"uuid":null)", R"(,"text":"x")", R"(,"image_url":null)", R"(,"x":["y"])"}) {
    CAPTURE(beside);
    CHECK_THAT(refusal_of<AnthropicChat>(block("", beside)), StartsWith("messages[0].content[0]."));
  }
  for (const std::string inside : {R"(,"url":"https://example.org")", R"(,"x":"y")", R"(,"file_id":null)",
                                   R"(,"media_type":"image/png;base64,iVBORw0KGgo=")", R"(,"media_type":7)"}) {
    CAPTURE(inside);
    CHECK_THAT(refusal_of<AnthropicChat>(block(inside, "")), StartsWith("messages[0].content[0].source."));
  }
}

}  // namespace client_context_test
