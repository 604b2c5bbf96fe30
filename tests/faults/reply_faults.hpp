#pragma once

// What servers do wrong in the reply: its status, its body, its end.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faults/fault.hpp"
#include "support/fault_server.hpp"
#include "support/image_bytes.hpp"

namespace ecso::test::faults {

/// Other statuses, with a right reply in their bodies that must not count.
inline void add_status_faults(std::vector<Fault>& all) {
  const std::string said = R"({"error":{"message":"so says the server"}})";
  for (const std::string line : {"300 Choices", "304 Not Modified", "400 Bad Request", "401 Unauthorized", "402 Pay",
                                 "403 Forbidden", "404 Not Found", "405 Not Allowed", "409 Conflict", "413 Too Large",
                                 "418 Teapot", "422 Unprocessable", "500 Failed", "501 Not There", "507 Full"}) {
    const bool has_body = !line.starts_with("304");
    all.push_back({line + ", with a right reply", Expect::fails, sends(status(line, "", has_body ? "right" : ""))});
  }
  for (const std::string line :
       {"408 Timeout", "425 Early", "502 Bad Gateway", "503 Starting", "504 Gateway Timeout", "529 Overloaded"}) {
    all.push_back({line, Expect::fails, sends_and_stays(status(line, "", said)), true});
    all.push_back({line + ", with a right reply", Expect::fails, sends_and_stays(status(line)), true});
  }
  for (const std::string line : {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"}) {
    all.push_back({line + ", to where a right answer is", Expect::fails, [=](Connection& connection, const Turn& t) {
                     return connection.send(t.with("", "Location: " + t.url + "/right\r\n", "HTTP/1.1 " + line));
                   }});
  }
  all.push_back({"401 with the key in it", Expect::fails,
                 sends(status("401 Unauthorized", "", R"({"error":{"message":"no such key: sk-test-0123456789"}})")), false,
                 [](const Turn& t) { return t.kind.takes_key(); }});
  all.push_back(
      {"400 with the field it does not know", Expect::fails,
       sends_and_stays(status("400 Bad Request", "", R"({"error":{"message":"unknown field max_tokens, seed, logprobs"}})"))});
  all.push_back(
      {"429, come again at once", Expect::fails, sends_and_stays(status("429 Slow Down", "Retry-After: 0\r\n", said)), true});
  all.push_back(
      {"429, come again too late", Expect::fails, sends_and_stays(status("429 Slow Down", "Retry-After: 3600\r\n", said))});
  all.push_back({"429, come again never", Expect::fails,
                 sends_and_stays(status("429 Slow Down", "Retry-After: 99999999999999999999\r\n", said))});
  all.push_back({"429, come again on a day", Expect::fails,
                 sends_and_stays(status("429 Slow Down", "Retry-After: Fri, 31 Dec 2199 23:59:59 GMT\r\n", said))});
  all.push_back(
      {"503, come again in words", Expect::fails, sends_and_stays(status("503 Starting", "Retry-After: soon\r\n", said)), true});
  all.push_back({"413, then a reset", Expect::fails, sends(status("413 Too Large", "Connection: close\r\n", said), true)});
  all.push_back({"200 with an error", Expect::fails, sends_and_stays([](const Turn& t) { return t.with(t.kind.error()); })});
  all.push_back(
      {"204", Expect::fails, sends_and_stays([](const Turn& t) { return t.head("", "HTTP/1.1 204 Nothing") + "\r\n"; })});
  all.push_back({"205", Expect::fails, sends_and_stays([](const Turn& t) { return t.with("", "", "HTTP/1.1 205 Reset"); })});
  all.push_back({"206 with a part of the reply", Expect::fails, sends_and_stays([](const Turn& t) {
                   const std::string part = t.body().substr(0, t.body().size() / 2);
                   return t.with(part, "Content-Range: bytes 0-9/20\r\n", "HTTP/1.1 206 Part");
                 })});
  all.push_back({"206 with all of the reply", Expect::either, sends_and_stays([](const Turn& t) {
                   return t.with(t.body(), "Content-Range: bytes 0-9/20\r\n", "HTTP/1.1 206 Part");
                 })});
  all.push_back({"202 with all of the reply", Expect::either, sends_and_stays(status("202 Accepted"))});
}

/// Bodies that are no reply, or a part of one, or two.
inline void add_body_faults(std::vector<Fault>& all) {
  const auto body = [](std::string bytes) { return sends_and_stays([=](const Turn& t) { return t.with(bytes); }); };
  all.push_back({"an empty body", Expect::fails, body("")});
  all.push_back({"white space", Expect::fails, body(" \r\n\r\n ")});
  all.push_back(
      {"an empty chunked body", Expect::fails, sends_and_stays([](const Turn& t) { return t.chunked_head() + chunk(""); })});
  all.push_back({"a page", Expect::fails, sends_and_stays([](const Turn&) {
                   return http_response(200, "<!DOCTYPE html><html><body>No</body></html>", "text/html");
                 })});
  for (const std::string json :
       {"No", "\"No\"", "null", "true", "0", "[]", "{}", R"(["No"])", R"({"text":"No"})", R"({"choices":[]})",
        R"({"choices":[{}]})", R"({"choices":"No"})", R"({"choices":[{"message":{"content":5}}]})",
        R"({"content":[{"type":"text"}]})", R"({"content":"No"})", R"({"candidates":[{"content":"No"}]})",
        R"({"message":"No","done":true})", R"({"text":{"No":1},"error_code":0})", R"({"address":5})"}) {
    all.push_back({"a body of " + json, Expect::fails, body(json)});
    all.push_back({"an event of " + json, Expect::fails,
                   sends_and_stays([=](const Turn& t) { return t.with(t.kind.frame(json) + t.kind.end_mark()); }), false,
                   is_stream});
  }
  all.push_back({"no text", Expect::fails, sends_and_stays([](const Turn& t) { return t.with(t.body_of("")); })});
  all.push_back({"a text of spaces", Expect::closed, sends_and_stays([](const Turn& t) { return t.with(t.body_of("    ")); })});
  all.push_back({"cut in its JSON", Expect::fails,
                 sends_and_stays([](const Turn& t) { return t.with(t.body().substr(0, t.body().size() - 1)); }), false,
                 is_whole});
  all.push_back({"two replies in one body", Expect::fails,
                 sends_and_stays([](const Turn& t) { return t.with(t.body_of("No") + t.body()); }), false, is_whole});
  all.push_back({"two replies in each message", Expect::fails, sends_and_stays([](const Turn& t) {
                   return t.with(t.changed([](const std::string& json) { return json + json; }));
                 })});
  all.push_back({"a reply, then a garbage", Expect::fails,
                 sends_and_stays([](const Turn& t) { return t.with(t.body() + "\x01\x02"); }), false, is_whole});
  all.push_back({"every member twice", Expect::either, sends_and_stays([](const Turn& t) {
                   return t.with(t.changed([](const std::string& json) { return merged(json, json); }));
                 })});
  for (const bool yes_first : {false, true}) {
    all.push_back({yes_first ? "yes and no under one name" : "no and yes under one name", Expect::closed,
                   sends_and_stays([=](const Turn& t) {
                     const std::string yes = t.kind.whole("Yes", Ending::stop);
                     const std::string no = t.kind.whole("No", Ending::stop);
                     return http_response(200, yes_first ? merged(yes, no) : merged(no, yes));
                   }),
                   false, [](const Turn& t) { return is_check(t) && (is_whole(t) || is_events(t)); }});
  }
  all.push_back({"JSON a hundred thousand levels deep", Expect::fails, body(std::string(100'000, '['))});
  all.push_back({"JSON deep beside the reply", Expect::either, sends_and_stays([](const Turn& t) {
                   return t.with(t.changed([](const std::string& json) {
                     return merged("{\"deep\":" + std::string(2000, '[') + std::string(2000, ']') + "}", json);
                   }));
                 })});
  all.push_back({"JSON deep and cut", Expect::fails, sends_and_stays([](const Turn& t) {
                   return t.with(t.changed(
                       [](const std::string& json) { return merged("{\"deep\":" + std::string(20'000, '{') + "}", json); }));
                 })});
  const std::pair<std::string, std::string> odd[] = {{"a byte that is no UTF-8", "No\xFF"},
                                                     {"an overlong character", "No\xC0\xAF"},
                                                     {"half a character", "No\xE2\x82"},
                                                     {"half a surrogate pair", R"(No\ud800)"},
                                                     {"a NUL byte", raw("No\0")},
                                                     {"a line end", "No\r\n"},
                                                     {"a quote", "No\""},
                                                     {"an unknown escape", R"(No\x)"}};
  for (const auto& [name, bytes] : odd) {
    all.push_back({name + " in the text", Expect::fails,
                   sends_and_stays([raw = bytes](const Turn& t) { return t.with(with_raw_text(t, raw)); }), false, is_model});
  }
  all.push_back({"NUL bytes before the reply", Expect::fails,
                 sends_and_stays([](const Turn& t) { return t.with(std::string(8, '\0') + t.body()); }), false,
                 [](const Turn& t) { return !is_events(t); }});  // of events, a line that is no field is to be skipped
  all.push_back({"a text too long", Expect::fails,
                 sends_and_stays([](const Turn& t) { return t.with(t.body_of("No, " + std::string(600'000, 'x'))); })});
}

/// Streams and verdicts that look like an answer and are a part of one.
inline void add_partial_answers(std::vector<Fault>& all) {
  all.push_back({"a stream that ends without its end", Expect::fails,
                 sends_and_stays([](const Turn& t) { return unfinished(t, t.text); }), false, has_end});
  for (const bool resets : {false, true}) {
    const std::string how = resets ? "reset" : "closed";
    all.push_back({"a stream that says no and is " + how, Expect::fails,
                   sends(
                       [](const Turn& t) {
                         const auto messages = t.kind.messages("No, that is ", Ending::missing, t.request);
                         return chunked(t, t.kind.opening() + t.kind.frame(messages[0]) + t.kind.frame(messages[1]));
                       },
                       resets),
                   true, is_stream});
    all.push_back({"a reply that says no and is " + how + " in its word", Expect::fails,
                   sends(
                       [](const Turn& t) {
                         const std::string no = t.body_of("No, that is not so. Yes");
                         return t.head_for(no.size()) + no.substr(0, no.find("No") + 2);
                       },
                       resets),
                   true, is_whole});
  }
  all.push_back({"a stream that says no and ends without its end", Expect::fails, sends_and_stays([](const Turn& t) {
                   const auto messages = t.kind.messages("No", Ending::missing, t.request);
                   return chunked(t, t.kind.opening() + t.kind.frame(messages[0]) + t.kind.frame(messages[1])) + chunk("");
                 }),
                 false, has_end});
  all.push_back({"a stream that says no and stalls", Expect::fails, sends_and_stalls([](const Turn& t) {
                   const auto messages = t.kind.messages("No", Ending::missing, t.request);
                   return chunked(t, t.kind.opening() + t.kind.frame(messages[0]) + t.kind.frame(messages[1]));
                 }),
                 false, is_stream});
  all.push_back({"a stream that says no and then that it failed", Expect::fails, sends_and_stays([](const Turn& t) {
                   const auto messages = t.kind.messages("No", Ending::missing, t.request);
                   return t.with(t.kind.opening() + t.kind.frame(messages[0]) + t.kind.frame(messages[1]) +
                                 t.kind.frame(t.kind.error()) + t.kind.end_mark());
                 }),
                 false, is_stream});
  all.push_back({"a stream cut in its last message", Expect::fails, sends_and_stays([](const Turn& t) {
                   const auto messages = t.kind.messages(t.text, Ending::stop, t.request);
                   std::string body = t.kind.opening();
                   for (const std::string& message : messages) {
                     const std::string bytes = t.kind.frame(message);
                     body += &message == &messages.back() ? bytes.substr(0, bytes.size() / 2) : bytes;
                   }
                   return t.with(body);
                 }),
                 false, is_stream});
  all.push_back({"a stream of its end alone", Expect::fails, sends_and_stays([](const Turn& t) {
                   const auto messages = t.kind.messages(t.text, Ending::stop, t.request);
                   return t.with(t.kind.opening() + t.kind.frame(messages.back()) + t.kind.end_mark());
                 }),
                 false, has_end});
  all.push_back({"more text after the end", Expect::right, sends_and_stays([](const Turn& t) {
                   return t.with(t.body() + t.kind.frame(t.kind.messages("No", Ending::missing, t.request).front()));
                 }),
                 false, [](const Turn& t) { return has_end(t) && t.kind.has_own_end(); }});
  all.push_back({"no reason for the end", Expect::either,
                 sends_and_stays([](const Turn& t) { return t.with(t.body_of(t.text, Ending::missing)); })});
  all.push_back({"a no that was cut at the limit of tokens", Expect::closed,
                 sends_and_stays([](const Turn& t) { return t.with(t.body_of("No, that", Ending::length)); }), false,
                 [](const Turn& t) { return is_check(t) && t.kind.has_end(); }});
  for (const std::string text :
       {"No doubt it is harmful.", "No. Yes.", "Yes and no", "Is it harmful? No", "I cannot say", "0", "N"}) {
    all.push_back({"a verdict of \"" + text + "\"", Expect::closed,
                   sends_and_stays([=](const Turn& t) { return t.with(t.body_of(text)); }), false, is_check});
  }
}

}  // namespace ecso::test::faults
