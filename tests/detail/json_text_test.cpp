#include <ecso/detail/json_text.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace json_text_test {

namespace {

using namespace ecso::detail;

static_assert(std::is_nothrow_move_constructible_v<JsonText> && !std::is_copy_constructible_v<JsonText>);
static_assert(std::forward_iterator<JsonRange<JsonValue>::Iterator> && std::ranges::forward_range<JsonRange<JsonMember>>);
static_assert(sizeof(JsonNode) == 16);

/// What is wrong with the text; "" if nothing is.
std::string problem(std::string_view text, const JsonLimits& limits = {}) {
  // Exactly as long as it is, so that a sanitizer sees a read behind it.
  const std::vector<char> exact{text.begin(), text.end()};
  try {
    const JsonText read{{exact.data(), exact.size()}, limits};
    return "";
  } catch (const ecso::Error& error) {
    CHECK(error.code() == ecso::Errc::bad_input);
    CHECK(error.message().find('\n') == std::string::npos);
    REQUIRE(error.message().starts_with("JSON: "));
    return error.message().substr(6);
  }
}

/// What a string with that inside says.
std::string said(const std::string& inside) {
  const std::string text = '"' + inside + '"';
  return JsonText{text}.root().text();
}

std::string repeated(std::string_view text, std::size_t count) {
  std::string all;
  all.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) all += text;
  return all;
}

/// An object of that many members, k0, k1, …
std::string members(std::size_t count) {
  std::string text = "{";
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":0";
  return text + "}";
}

constexpr std::string_view chat =
    R"({"model":"m", "messages" : [{"role":"user","content":[{"type":"text","text":"say \"hi\"\n"},)"
    R"({"type":"image_url","image_url":{"url":"data:;base64,AAAA"}}]}],"temperature":0.25,"n":2,"stream":true,"stop":null})";

}  // namespace

TEST_CASE("a chat request is read where it stands", "[json]") {
  const JsonText json{chat};
  const JsonValue root = json.root();
  REQUIRE(root);
  CHECK(root.is_object());
  CHECK(root.size() == 6);
  CHECK(root.raw().data() == chat.data());
  CHECK(root.raw() == chat);
  CHECK(root["model"].text() == "m");
  CHECK(root["model"].raw() == "\"m\"");
  CHECK(root["temperature"].number() == 0.25);
  CHECK(root["n"].integer() == 2);
  CHECK(root["stream"].boolean() == true);
  CHECK(root["stop"].is_null());
  CHECK(root["stop"].kind() == JsonKind::null);

  const JsonValue messages = root["messages"];
  CHECK(messages.is_array());
  CHECK(messages.size() == 1);
  const JsonValue content = messages.at(0)["content"];
  CHECK(content.size() == 2);
  CHECK(content.at(0)["text"].text() == "say \"hi\"\n");
  const JsonValue url = content.at(1)["image_url"]["url"];
  CHECK(url.plain() == "data:;base64,AAAA");
  CHECK(url.plain()->data() == url.raw().data() + 1);
  CHECK(content.at(1).raw() == R"({"type":"image_url","image_url":{"url":"data:;base64,AAAA"}})");

  std::vector<std::string> names;
  for (const JsonMember member : root.members()) {
    names.push_back(member.key.text());
    CHECK(root[names.back()].raw().data() == member.value.raw().data());
  }
  CHECK(names == std::vector<std::string>{"model", "messages", "temperature", "n", "stream", "stop"});
  std::vector<std::string> types;
  for (const JsonValue part : content.items()) types.push_back(part["type"].text());
  CHECK(types == std::vector<std::string>{"text", "image_url"});
  CHECK(std::ranges::any_of(root.members(), [](const JsonMember& member) { return member.value.is_null(); }));
}

TEST_CASE("an absent value answers every lookup with absent", "[json]") {
  const JsonText json{R"({"a":1,"b":[[],{}],"c":"x","":7})"};
  const JsonValue root = json.root();
  for (const JsonValue& absent : {JsonValue{}, root["x"], root["x"]["y"].at(3), root["a"]["b"], root["a"].at(0), root.at(0),
                                  root["b"]["a"], root["b"].at(2), root["c"].at(0), root["b"].at(0).at(0), root["b"].at(1)["a"],
                                  root["A"], root[std::string_view{"a\0", 2}]}) {
    CHECK_FALSE(absent);
    CHECK(absent.kind() == JsonKind::null);
    CHECK_FALSE((absent.is_null() || absent.is_string() || absent.is_array() || absent.is_object() || absent.is_number()));
    CHECK_FALSE(absent.is_boolean());
    CHECK(absent.raw().empty());
    CHECK(absent.text().empty());
    CHECK(absent.plain() == std::nullopt);
    CHECK(absent.integer() == std::nullopt);
    CHECK(absent.number() == std::nullopt);
    CHECK(absent.boolean() == std::nullopt);
    CHECK(absent.size() == 0);
    CHECK(absent.items().begin() == absent.items().end());
    CHECK(absent.members().begin() == absent.members().end());
  }
  CHECK(root[""].integer() == 7);
  // A container answers for its own kind only.
  CHECK(root.items().begin() == root.items().end());
  CHECK(root["b"].members().begin() == root["b"].members().end());
  CHECK(root["b"].text().empty());
  CHECK(root["a"].plain() == std::nullopt);
}

TEST_CASE("the values of a text stay good when it is moved", "[json]") {
  std::string text = R"({"a":["b"]})";
  JsonText json{text};
  const JsonValue b = json.root()["a"].at(0);
  JsonText moved = std::move(json);
  CHECK(b.text() == "b");
  CHECK(moved.root()["a"].at(0).raw().data() == b.raw().data());
  moved = JsonText{"[]"};
  CHECK(moved.root().is_array());
}

TEST_CASE("a string says what its escapes mean", "[json]") {
  CHECK(said("").empty());
  CHECK(said(R"(\"\\\/\b\f\n\r\t)") == "\"\\/\b\f\n\r\t");
  CHECK(said(R"(a\u0041\u00e9\u20AC\ud83d\uDE00z)") == "aAé€😀z");
  CHECK(said(R"(\u0000)") == std::string_view("\0", 1));
  CHECK(said(R"(\ud800\udc00\udbff\udfff)") == "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
  CHECK(said(R"(\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff)") ==
        "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF");
  CHECK(said(R"(\\u0041)") == "\\u0041");
  CHECK(said("\x7Fé😀") == "\x7Fé😀");

  std::string storage = "old";
  const std::string plain = "\"plain\"";
  CHECK(JsonText{plain}.root().text(storage).data() == plain.data() + 1);
  CHECK(storage == "old");
  const std::string escaped = R"("es\u0063aped")";
  const JsonText json{escaped};
  CHECK(json.root().text(storage) == "escaped");
  CHECK(storage == "escaped");
  CHECK(json.root().plain() == std::nullopt);
}

TEST_CASE("a name that is hidden under escapes is found, and what only looks like it is not", "[json]") {
  const JsonText json{R"({"\u0069mage_url":1,"m\u0065ssage\u0073":2,"a\\u0062":3})"};
  const JsonValue root = json.root();
  CHECK(root["image_url"].integer() == 1);
  CHECK(root["messages"].integer() == 2);
  CHECK_FALSE(root["\\u0069mage_url"]);
  CHECK(root["a\\u0062"].integer() == 3);
  CHECK_FALSE(root["ab"]);
}

TEST_CASE("numbers are read whole and exactly", "[json]") {
  const auto number = [](std::string_view text) { return JsonText{text}.root().number(); };
  const auto integer = [](std::string_view text) { return JsonText{text}.root().integer(); };
  CHECK(integer("0") == 0);
  CHECK(integer("-0") == 0);
  CHECK(integer("9223372036854775807") == INT64_MAX);
  CHECK(integer("-9223372036854775808") == INT64_MIN);
  CHECK(integer("9223372036854775808") == std::nullopt);
  CHECK(integer("1.0") == std::nullopt);
  CHECK(integer("1e2") == std::nullopt);
  CHECK(number("9223372036854775808") == 9223372036854775808.0);
  CHECK(number("-12.5e-1") == -1.25);
  CHECK(number("0.1") == 0.1);
  CHECK(number("1E+2") == 100.0);
  CHECK(number("1.7976931348623157e308") == 1.7976931348623157e308);
  CHECK(number("5e-324") == 5e-324);
  CHECK(number("\"1\"") == std::nullopt);
  CHECK(JsonText{"true"}.root().boolean() == true);
  CHECK(JsonText{"false"}.root().boolean() == false);
  CHECK(JsonText{"0"}.root().boolean() == std::nullopt);
}

TEST_CASE("a number beyond the range of a double is refused, one below it is zero", "[json]") {
  for (const std::string& large :
       {std::string{"1e309"}, std::string{"-1E+999"}, std::string{"1e99999999999999999999999"}, "1" + std::string(309, '0'),
        "12" + std::string(400, '0') + ".5e-1", "0." + std::string(400, '0') + "1e999", "1" + std::string(100'000, '0')}) {
    CHECK(problem(large) == "a number that is too large at byte 0");
    CHECK(problem("[1," + large + "]") == "a number that is too large at byte 3");
  }
  for (const std::string& small : {std::string{"1e-400"}, std::string{"-1e-99999999999999999999999"}, std::string{"0e999"},
                                   std::string{"0.0e999999999999999999999"}, "0." + std::string(400, '0') + "1",
                                   "1" + std::string(400, '0') + "e-900", "0." + std::string(100'000, '0') + "1"}) {
    CHECK(JsonText{small}.root().number() == 0.0);
  }
  CHECK(JsonText{"1" + std::string(400, '0') + "e-400"}.root().number() == 1.0);
  CHECK(JsonText{"0." + std::string(399, '0') + "1e400"}.root().number() == 1.0);
}

TEST_CASE("what is not JSON is refused with the place where it stops being so", "[json]") {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"", "no value at byte 0"},
      {" \n", "no value at byte 2"},
      {"\xEF\xBB\xBF{}", "no value at byte 0"},
      {"1 2", "text behind the value at byte 2"},
      {"{} }", "text behind the value at byte 3"},
      {std::string("1\0", 2), "text behind the value at byte 1"},
      {"[1 2]", "no , or ] after an item at byte 3"},
      {"[1}", "no , or ] after an item at byte 2"},
      {"{\"a\":1]", "no , or } after a member at byte 6"},
      {"[1,]", "no value at byte 3"},
      {"[,1]", "no value at byte 1"},
      {"{\"a\":1,}", "no name of a member at byte 7"},
      {"{,}", "no name of a member at byte 1"},
      {"{a:1}", "no name of a member at byte 1"},
      {"{1:1}", "no name of a member at byte 1"},
      {"{\"a\" 1}", "no : after the name of a member at byte 5"},
      {"{\"a\":}", "no value at byte 5"},
      {"]", "no value at byte 0"},
      {"[1/*2*/]", "no , or ] after an item at byte 2"},
      {"\f1", "no value at byte 0"},
      {"\xC2\xA0"
       "1",
       "no value at byte 0"},
      {"tru", "no value at byte 0"},
      {"True", "no value at byte 0"},
      {"truee", "text behind the value at byte 4"},
      {"nul1", "no value at byte 0"},
      {"NaN", "no value at byte 0"},
      {"-Infinity", "no value at byte 0"},
      {"01", "text behind the value at byte 1"},
      {"-", "no value at byte 0"},
      {"+1", "no value at byte 0"},
      {".5", "no value at byte 0"},
      {"1.", "no value at byte 0"},
      {"1.e5", "no value at byte 0"},
      {"1e", "no value at byte 0"},
      {"1e+", "no value at byte 0"},
      {"0x10", "text behind the value at byte 1"},
      {"'a'", "no value at byte 0"},
      {"\"a", "a string that does not end at byte 0"},
      {"[\"a\nb\"]", "a bare control character 0x0a in a string at byte 3"},
      {std::string("\"\0\"", 3), "a bare control character 0x00 in a string at byte 1"},
      {"\"\x1F\"", "a bare control character 0x1f in a string at byte 1"},
      {"\"\\x\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\U0041\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\u004\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\u00g1\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\u 041\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\u+041\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"a\\ud800\"", "a wrong escape or half of a surrogate pair at byte 2"},
      {"\"a\\udc00\"", "a wrong escape or half of a surrogate pair at byte 2"},
      {"\"\\ud800\\ud800\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\ud800\\u0041\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\ud800\\n\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\ud800x\\udc00\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\udc00\\ud800\"", "a wrong escape or half of a surrogate pair at byte 1"},
      {"\"\\ud83d\\ude0\"", "a wrong escape or half of a surrogate pair at byte 1"},
  };
  for (const auto& [text, what] : wrong) {
    INFO(text);
    CHECK(problem(text) == what);
  }
}

TEST_CASE("white space may stand around every sign and nowhere else", "[json]") {
  const std::string spaced = " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } , \"c\" : [ ] } \n";
  const JsonText json{spaced};
  CHECK(json.root().size() == 3);
  CHECK(json.root().raw() == std::string_view{spaced}.substr(4, spaced.size() - 6));
  CHECK(json.root()["a"].raw() == "[ 1 , 2 ]");
  CHECK(json.root()["b"].raw() == "{ }");
  CHECK(problem("- 1") == "no value at byte 0");
  CHECK(problem("1. 5") == "no value at byte 0");
  CHECK(problem("t rue") == "no value at byte 0");
}

TEST_CASE("a string that is not UTF-8 is refused, wherever it stops being so", "[json]") {
  const std::vector<std::string> wrong{"\xC0\xAF",     "\xE0\x80\xAF",     "\xF0\x80\x80\xAF", "\xC1\xBF", "\xED\xA0\x80",
                                       "\xED\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80",     "\xBF",
                                       "\xC3",         "\xE2\x82",         "\xF0\x9F\x98",     "\xFE",     "\xFF",
                                       "\xE2\x28\xA1", "\xC3\x28"};
  for (const std::size_t before : {0U, 1U, 14U, 15U, 16U, 63U, 64U, 200U, 500U}) {
    for (const std::string& bytes : wrong) {
      const std::string text = "[\"" + std::string(before, 'a') + bytes + std::string(300, 'b') + "\"]";
      CHECK(problem(text) == "not UTF-8 at byte " + std::to_string(2 + before));
      CHECK(problem("{\"" + std::string(before, 'a') + bytes + "\":1}") == "not UTF-8 at byte " + std::to_string(2 + before));
    }
    const std::string good = "\"" + std::string(before, 'a') + "é€😀\\n" + std::string(300, 'b') + "é\"";
    CHECK(problem(good).empty());
  }
  // An escape does not mend a sequence that it cuts.
  CHECK(problem("\"\xC3\\n\xA9\"") == "not UTF-8 at byte 1");
}

TEST_CASE("the end of a string is found at every length", "[json]") {
  for (std::size_t size = 0; size < 700; ++size) {
    const std::string inside(size, 'x');
    const std::string text = '"' + inside + '"';
    CHECK(said(inside) == inside);
    CHECK(problem(text.substr(0, size + 1)) == "a string that does not end at byte 0");
  }
  for (std::size_t at = 0; at < 700; ++at) {
    std::string inside(700, 'x');
    for (const char stop : {'"', '\\', '\x1F', '\0'}) {
      inside[at] = stop;
      bool is_ascii = true;
      CHECK(json_plain_end(inside.data(), inside.data() + inside.size(), is_ascii) == inside.data() + at);
      CHECK(is_ascii);
    }
    inside[at] = '\xE9';
    for (const std::size_t end : {at, at + 1, std::size_t{700}}) {
      for (const auto scan : {json_plain_end, json_plain_end_portable}) {
        bool is_ascii = true;
        const std::vector<char> exact{inside.begin(),
                                      inside.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(end, 700))};
        CHECK(scan(exact.data(), exact.data() + exact.size(), is_ascii) == exact.data() + exact.size());
        CHECK(is_ascii == (end <= at));
      }
    }
    // What lies behind the end of the string does not count.
    if (at > 0) inside[at - 1] = '"';
    bool is_ascii = true;
    static_cast<void>(json_plain_end(inside.data(), inside.data() + inside.size(), is_ascii));
    CHECK(is_ascii == (at > 0));
  }
}

TEST_CASE("the letters of base64 that a long string ends with are counted", "[json]") {
  const auto tail = [](const std::string& inside) {
    const std::string text = '"' + inside + '"';
    const JsonText json{text};
    CHECK(json.root().text() == inside);
    CHECK(json.root().size() == 0);
    return json.root().base64_tail();
  };
  const std::string start = "data:image/png;base64,";
  const std::string letters(4096, 'A');
  for (const char* padding : {"", "=", "=="}) {
    CHECK(tail(start + letters + padding) == start.size() + letters.size() - 64);
    CHECK(tail(letters + padding) == letters.size() - 64);
  }
  for (const char* other : {"===", "=A=", " ", "-", "_", "é", "=\\u0041"}) {
    const std::string text = '"' + letters + other + '"';
    CHECK(JsonText{text}.root().base64_tail() == 0);
  }
  for (std::size_t at = 0; at < letters.size(); ++at) {
    std::string broken = letters;
    broken[at] = '-';
    CHECK(tail(broken) == (at < 64 ? letters.size() - 64 : 0));
  }
  // Where an escape is, the end has to be read anew.
  CHECK(JsonText{'"' + letters + "\\u0041" + letters + '"'}.root().base64_tail() == 0);
  // A short one is as well checked twice.
  CHECK(tail("data:,") == 0);
  const std::string many = '[' + std::string{"\"a\",{\"b\":\""} + letters + "\"}]";
  const JsonText json{many};
  CHECK(json.root().size() == 2);
  CHECK(json.root().at(1).size() == 1);
  CHECK(json.root().at(1)["b"].base64_tail() == letters.size() - 64);
}

TEST_CASE("every beginning of a text is refused", "[json]") {
  const std::string long_string = "[\"" + std::string(300, 'A') + "\\u00e9\\ud83d\\ude00é😀" + std::string(300, 'B') + "\"]";
  for (const std::string& text : {std::string{chat}, long_string, std::string{"[true,false,null,-1.5e+10,\"\",{\"a\":[]}]"}}) {
    REQUIRE(problem(text).empty());
    for (std::size_t size = 0; size < text.size(); ++size) {
      if (problem(text.substr(0, size)).empty()) FAIL(text.substr(0, size));
    }
  }
}

TEST_CASE("a member that stands twice is refused, names compared as they read", "[json]") {
  CHECK(problem(R"({"messages":1,"messages":2})") == "a member stands twice: messages at byte 14");
  CHECK(problem(R"({"messages":1,"m\u0065ssages":2})") == "a member stands twice: messages at byte 14");
  CHECK(problem(R"({"m\u0065ssages":1,"messages":2})") == "a member stands twice: messages at byte 19");
  CHECK(problem(R"({"\u006d\u0065ssages":1,"me\u0073sages":2})") == "a member stands twice: messages at byte 24");
  CHECK(problem(R"({"\/":1,"/":2})") == "a member stands twice: / at byte 8");
  CHECK(problem(R"({"\ud83d\ude00":1,"😀":2})") == "a member stands twice: 😀 at byte 18");
  CHECK(problem(R"({"":1,"":2})") == "a member stands twice:  at byte 6");
  CHECK(problem(R"([{"a":{"b":[],"c":{},"b":{}}}])") == "a member stands twice: b at byte 21");
  CHECK(problem(R"({"a":[{"b":1},{"b":1}],"b":{"a":{}}})").empty());
  CHECK(problem(R"({"a":1,"A":2,"a ":3,"\u0061\u0000":4})").empty());
  CHECK(problem(R"({"a":"b","b":"a"})").empty());

  // A name may be anything; an error is one line and not long.
  CHECK(problem(R"({"a\nb\u0000":1,"a\nb\u0000":2})") == "a member stands twice: a?b? at byte 16");
  const std::string name = "\"" + repeated("é", 1000) + "\"";
  CHECK(problem("{" + name + ":1," + name + ":2}") == "a member stands twice: " + repeated("é", 64) + " at byte 2006");
}

TEST_CASE("a member that stands twice is found in objects of every size", "[json]") {
  for (const std::size_t count : {1U, 2U, 15U, 16U, 17U, 18U, 100U, 1000U}) {
    const std::string all = members(count);
    CHECK(problem(all).empty());
    CHECK(problem("[" + all + "," + all + "]").empty());
    const std::string open = all.substr(0, all.size() - 1);
    for (const std::size_t which : {std::size_t{0}, count / 2, count - 1}) {
      const std::string name = "k" + std::to_string(which);
      const std::string at = " at byte " + std::to_string(open.size() + 1);
      CHECK(problem(open + ",\"" + name + "\":{}}") == "a member stands twice: " + name + at);
      CHECK(problem(open + ",\"\\u006B" + name.substr(1) + "\":{}}") == "a member stands twice: " + name + at);
      // The first of several is the one that is named.
      CHECK(problem(open + ",\"" + name + "\":0,\"k0\":0,\"" + name + "\":0}") == "a member stands twice: " + name + at);
    }
    CHECK(problem(open + ",\"k\":{\"k0\":1}}").empty());
  }
}

TEST_CASE("an object of a million members is read, and one member twice in it is found", "[json]") {
  const JsonLimits limits{.max_values = 3'000'000};
  const std::string all = members(1'000'000);
  const JsonText json{all, limits};
  CHECK(json.root().size() == 1'000'000);
  CHECK(json.root()["k999999"].integer() == 0);
  CHECK(problem(all.substr(0, all.size() - 1) + ",\"\\u006b77\":1}", limits) ==
        "a member stands twice: k77 at byte " + std::to_string(all.size()));
}

TEST_CASE("nesting is bounded, not by the stack but by the limit", "[json]") {
  constexpr std::size_t deep = 100'000;
  const std::string arrays = std::string(deep, '[') + std::string(deep, ']');
  const std::string objects = repeated("{\"a\":", deep) + "1" + std::string(deep, '}');
  CHECK(problem(arrays) == "nested deeper than 64 levels at byte 64");
  CHECK(problem(objects) == "nested deeper than 64 levels at byte 320");
  CHECK(problem(std::string(deep, '[')) == "nested deeper than 64 levels at byte 64");
  CHECK(problem(std::string(64, '[') + std::string(64, ']')).empty());
  CHECK(problem("[" + repeated("[],{},", 1000) + "1]", {.max_depth = 2}).empty());
  CHECK(problem("[[1,[2]]]", {.max_depth = 2}) == "nested deeper than 2 levels at byte 4");
  CHECK(problem("1", {.max_depth = 0}).empty());
  CHECK(problem("[]", {.max_depth = 0}) == "nested deeper than 0 levels at byte 0");

  const JsonLimits limits{.max_depth = deep};
  CHECK(problem(arrays, limits).empty());
  const JsonText json{objects, limits};
  JsonValue value = json.root();
  for (std::size_t i = 0; i < deep; ++i) value = value["a"];
  CHECK(value.integer() == 1);
  CHECK(problem("[" + arrays + "]", limits) == "nested deeper than 100000 levels at byte 100000");
}

TEST_CASE("the number of values is bounded, names counted", "[json]") {
  CHECK(problem("[1,2,3]", {.max_values = 4}).empty());
  CHECK(problem("[1,2,3]", {.max_values = 3}) == "more than 3 values at byte 5");
  CHECK(problem("{\"a\":1}", {.max_values = 3}).empty());
  CHECK(problem("{\"a\":1}", {.max_values = 2}) == "more than 2 values at byte 5");
  CHECK(problem("[" + repeated("[],", 1'000'000) + "1]") == "more than 1000000 values at byte 2999998");
  CHECK(problem("1", {.max_values = 0}) == "more than 0 values at byte 0");
}

TEST_CASE("no byte that is changed makes a reader leave the text", "[json]") {
  std::mt19937 random{3};
  for (int round = 0; round < 20'000; ++round) {
    std::string text{chat};
    for (int i = 0; i < 3; ++i) text[random() % text.size()] = static_cast<char>(random() & 0xFF);
    const std::vector<char> exact{text.begin(), text.end()};
    try {
      const JsonText json{{exact.data(), exact.size()}};
      for (const JsonMember member : json.root().members()) {
        const std::string_view raw = member.value.raw();
        if (raw.data() < exact.data() || raw.data() + raw.size() > exact.data() + exact.size()) FAIL(text);
      }
    } catch (const ecso::Error&) {
      continue;
    }
  }
  SUCCEED();
}

}  // namespace json_text_test
