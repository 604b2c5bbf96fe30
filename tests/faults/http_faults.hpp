#pragma once

// What servers and the network do wrong below the reply: connections and HTTP.

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "faults/fault.hpp"
#include "support/fault_server.hpp"
#include "support/image_bytes.hpp"

namespace ecso::test::faults {

/// How connections end.
inline void add_connection_faults(std::vector<Fault>& all) {
  const auto nothing = [](const Turn&) { return std::string{}; };
  all.push_back({"closes before it answers", Expect::fails, sends(nothing), true});
  all.push_back({"resets before it answers", Expect::fails, sends(nothing, true), true});
  all.push_back({"closes inside the status line", Expect::fails, sends([](const Turn&) { return "HTTP/1.1 2"; }), false});
  all.push_back({"closes inside the head", Expect::fails, sends([](const Turn& t) { return t.head().substr(0, 30); }), false});
  all.push_back({"resets after the head", Expect::fails, sends([](const Turn& t) { return t.head_for(100); }, true), true});
  for (const bool resets : {false, true}) {
    const std::string how = resets ? "resets" : "closes";
    all.push_back({how + " after a byte of the body", Expect::fails,
                   sends([](const Turn& t) { return t.head_for(t.body().size()) + t.body().front(); }, resets), true});
    all.push_back(
        {how + " in the middle of the body", Expect::fails,
         sends([](const Turn& t) { return t.head_for(t.body().size()) + t.body().substr(0, t.body().size() / 2); }, resets),
         true});
    all.push_back({how + " before the last byte of a body", Expect::fails, sends([](const Turn& t) { return cut(t, 1); }, resets),
                   true, is_whole});
    all.push_back(
        {how + " in the middle of a chunk", Expect::fails,
         sends([](const Turn& t) { return t.chunked_head() + chunk(t.body()).substr(0, chunk(t.body()).size() / 2); }, resets),
         true});
    all.push_back({how + " before the last chunk, with all of the text", Expect::either,
                   sends([](const Turn& t) { return chunked(t, t.body()); }, resets), true, is_stream});
  }
  all.push_back({"stalls before it answers", Expect::fails, sends_and_stalls(nothing)});
  all.push_back({"stalls inside the head", Expect::fails, sends_and_stalls([](const Turn& t) { return t.head(); })});
  all.push_back({"stalls after the head", Expect::fails, sends_and_stalls([](const Turn& t) { return t.head_for(100); })});
  all.push_back({"stalls in the middle of the body", Expect::fails, sends_and_stalls([](const Turn& t) {
                   return t.head_for(t.body().size()) + t.body().substr(0, t.body().size() / 2);
                 })});
  all.push_back({"stalls before the last chunk, with all of the text", Expect::either,
                 sends_and_stalls([](const Turn& t) { return chunked(t, t.body()); }), false, is_stream});
  const auto one = [](const std::string&) { return std::size_t{1}; };
  const auto twentieth = [](const std::string& bytes) { return bytes.size() / 20 + 1; };
  all.push_back({"drips too slowly to be done in time", Expect::fails, drips(right, one, milliseconds{150})});
  all.push_back({"drips, but is done in time", Expect::right, drips(right, twentieth, milliseconds{2})});
  all.push_back({"comes byte by byte", Expect::right, drips(right, one, milliseconds{0})});
}

/// What is legal, if rare.
inline void add_legal_oddities(std::vector<Fault>& all) {
  const auto before = [](std::string first) { return [=](const Turn& t) { return first + t.right_response(); }; };
  const std::string hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
  all.push_back({"100 Continue first", Expect::right, sends_and_stays(before("HTTP/1.1 100 Continue\r\n\r\n"))});
  all.push_back({"102 Processing first", Expect::right, sends_and_stays(before("HTTP/1.1 102 Processing\r\n\r\n"))});
  all.push_back({"early hints first", Expect::right, sends_and_stays(before(hints))});
  all.push_back({"early hints, three of them", Expect::right, sends_and_stays(before(hints + hints + hints))});
  all.push_back({"early hints, then a pause", Expect::right, [=](Connection& connection, const Turn& t) {
                   return connection.send(hints) && connection.pause(milliseconds{30}) && connection.send(t.right_response());
                 }});
  all.push_back({"closes a connection that was to be kept", Expect::right, sends(right)});
  all.push_back({"announces that it closes", Expect::right,
                 sends([](const Turn& t) { return t.with(t.body(), "Connection: close\r\n"); })});
  all.push_back({"ends the body by closing", Expect::right, sends([](const Turn& t) { return t.head() + "\r\n" + t.body(); })});
  all.push_back(
      {"HTTP/1.0", Expect::right, sends([](const Turn& t) { return t.head("", "HTTP/1.0 200 OK") + "\r\n" + t.body(); })});
  all.push_back({"no reason after the status", Expect::right, sends_and_stays(status("200 "))});
  all.push_back({"one chunk a byte", Expect::right, sends_and_stays([](const Turn& t) {
                   std::string bytes = t.chunked_head();
                   for (const char c : t.body()) bytes += chunk({&c, 1});
                   return bytes + chunk("");
                 })});
  all.push_back({"chunk extensions and trailers", Expect::right, sends_and_stays([](const Turn& t) {
                   return t.chunked_head("Trailer: X-Sum\r\n") + chunk(t.body(), ";name=\"a b\"") + "0;last\r\nX-Sum: 1\r\n\r\n";
                 })});
  all.push_back({"a stream of known length", Expect::right, sends_and_stays([](const Turn& t) { return t.with(t.body()); })});
  all.push_back({"a wrong content type", Expect::right, sends_and_stays([](const Turn& t) {
                   return "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: " + std::to_string(t.body().size()) +
                          "\r\n\r\n" + t.body();
                 })});
  all.push_back({"no content type", Expect::right, sends_and_stays([](const Turn& t) {
                   return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(t.body().size()) + "\r\n\r\n" + t.body();
                 })});
  all.push_back({"gzip", Expect::right,
                 sends_and_stays([](const Turn& t) { return t.with(gzip(t.body()), "Content-Encoding: gzip\r\n"); })});
  all.push_back({"ten kilobytes of headers", Expect::right, sends_and_stays([](const Turn& t) {
                   std::string lines;
                   for (int i = 0; i < 100; ++i) lines += "X-Line-" + std::to_string(i) + ": " + std::string(90, 'x') + "\r\n";
                   return t.with(t.body(), lines);
                 })});
  all.push_back({"white space around the JSON", Expect::right,
                 sends_and_stays([](const Turn& t) { return t.with("\r\n \t" + t.body() + " \n"); }), false, is_whole});
  all.push_back({"a whole reply in place of a stream", Expect::right, sends_and_stays([](const Turn& t) {
                   const std::string whole = t.kind.whole(t.text, Ending::stop);
                   return http_response(200, whole);
                 }),
                 false, is_events});
  all.push_back({"comments between the events", Expect::right, sends_and_stays([](const Turn& t) {
                   std::string body = ": welcome\n\n";
                   for (const std::string& piece : t.pieces_of(t.text)) body += piece + ": still here\n\n";
                   return t.with(body);
                 }),
                 false, is_events});
  all.push_back({"a response too many, at once", Expect::right,
                 sends_and_stays([](const Turn& t) { return t.right_response() + t.with(t.body_of("No")); })});
}

/// What is no HTTP, or contradicts itself.
inline void add_http_faults(std::vector<Fault>& all) {
  all.push_back({"garbage", Expect::fails, sends([](const Turn&) { return raw("\x00\xFF\x13garbage\r\n\r\n\x80\x81"); })});
  all.push_back({"another protocol", Expect::fails, sends([](const Turn&) { return "220 mail.example ESMTP\r\n"; })});
  all.push_back({"a TLS alert", Expect::fails, sends([](const Turn&) { return raw("\x15\x03\x01\x00\x02\x02\x46"); })});
  all.push_back({"a body without a head", Expect::fails, sends([](const Turn& t) { return t.body(); })});
  all.push_back({"only 100 Continue", Expect::fails, sends([](const Turn&) { return "HTTP/1.1 100 Continue\r\n\r\n"; }), true});
  all.push_back({"early hints without an end", Expect::fails,
                 endless([](const Turn&) { return std::string{}; }, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")});
  all.push_back({"101 Switching Protocols", Expect::fails,
                 sends_and_stalls([](const Turn&) { return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"; })});
  all.push_back({"a length longer than the body", Expect::either,
                 sends([](const Turn& t) { return t.head_for(t.body().size() + 10) + t.body(); }), true, is_stream});
  all.push_back({"a length longer than the body of a whole reply", Expect::fails,
                 sends([](const Turn& t) { return t.head_for(t.body().size() + 10) + t.body(); }), true, is_whole});
  all.push_back({"a length longer than the body, and a stall", Expect::fails,
                 sends_and_stalls([](const Turn& t) { return t.head_for(t.body().size() + 10) + t.body(); })});
  all.push_back({"a length shorter than the body", Expect::fails,
                 sends_and_stays([](const Turn& t) { return t.head_for(t.body().size() / 2) + t.body(); })});
  all.push_back(
      {"a length beyond all bounds", Expect::fails, sends([](const Turn& t) { return t.head_for(1ULL << 40) + t.body(); })});
  for (const std::string length : {"-5", "99999999999999999999999", "abc", "", "0x20"}) {
    all.push_back({"a length that is none: \"" + length + "\"", Expect::either,
                   sends([=](const Turn& t) { return t.head() + "Content-Length: " + length + "\r\n\r\n" + t.body(); })});
  }
  all.push_back({"two lengths, the right one first", Expect::either, sends([](const Turn& t) {
                   return t.head_for(t.body().size(), "")
                              .insert(t.head().size(), "Content-Length: " + std::to_string(t.body().size()) + "\r\n") +
                          t.body();
                 })});
  all.push_back({"two lengths, the shorter one first", Expect::either,
                 sends([](const Turn& t) { return t.head_for(t.body().size(), "Content-Length: 12\r\n") + t.body(); })});
  all.push_back({"two lengths, the longer one last", Expect::either, sends([](const Turn& t) {
                   return t.head_for(t.body().size() * 2, "Content-Length: " + std::to_string(t.body().size()) + "\r\n") +
                          t.body();
                 })});
  all.push_back({"a length and chunks", Expect::either,
                 sends([](const Turn& t) { return t.chunked_head("Content-Length: 12\r\n") + chunk(t.body()) + chunk(""); })});
  for (const std::string size : {"zz", "-1", "ffffffffffffffff", "10000000000000000000", "", ";"}) {
    all.push_back({"a chunk of size \"" + size + "\"", Expect::fails, sends([=](const Turn& t) {
                     const std::string body = t.body();
                     return t.chunked_head() + chunk(body.substr(0, body.size() / 2)) + size + "\r\n" +
                            body.substr(body.size() / 2) + "\r\n" + chunk("");
                   })});
  }
  all.push_back({"a chunk longer than its size", Expect::fails, sends([](const Turn& t) {
                   const std::string body = t.body();
                   return t.chunked_head() + "5\r\n" + body + "\r\n" + chunk("");
                 })});
  all.push_back(
      {"a NUL in the head", Expect::fails, sends([](const Turn& t) { return t.with(t.body(), raw("X-Odd: a\0b\r\n")); })});
  all.push_back({"a status of two digits", Expect::fails, sends(status("20 OK"))});
  all.push_back({"a status of four digits", Expect::either, sends(status("2000 OK"))});
  all.push_back({"a status beyond all", Expect::fails, sends(status("999 Odd"))});
  all.push_back({"HTTP/9.9", Expect::either, sends([](const Turn& t) { return t.with(t.body(), "", "HTTP/9.9 200 OK"); })});
  all.push_back({"a head of bare line feeds", Expect::either, sends([](const Turn& t) {
                   return "HTTP/1.1 200 OK\nContent-Length: " + std::to_string(t.body().size()) + "\n\n" + t.body();
                 })});
  all.push_back(
      {"an endless body", Expect::fails, endless([](const Turn& t) { return t.chunked_head(); }, chunk(std::string(8000, ' ')))});
  all.push_back({"an endless text", Expect::fails,
                 endless([](const Turn& t) { return t.head() + "\r\n{\"a\":\""; }, std::string(8000, 'x'))});
  all.push_back({"endless comments", Expect::fails, endless([](const Turn& t) { return t.head() + "\r\n"; }, ": still here\n\n"),
                 false, is_events});
  all.push_back({"endless events", Expect::fails,
                 [](Connection& connection, const Turn& t) {
                   const std::string event = t.kind.frame(t.kind.messages("No ", Ending::missing, t.request).front());
                   return endless([](const Turn& turn) { return turn.head() + "\r\n" + turn.kind.opening(); }, event)(connection,
                                                                                                                      t);
                 },
                 false, is_stream});
  all.push_back({"an endless head", Expect::fails,
                 endless([](const Turn& t) { return t.head(); }, "X-More: " + std::string(4000, 'x') + "\r\n")});
  all.push_back({"an endless line in the head", Expect::fails,
                 endless([](const Turn& t) { return t.head("X-More: "); }, std::string(4000, 'x'))});
  all.push_back({"a megabyte of headers", Expect::either, sends([](const Turn& t) {
                   std::string lines;
                   for (int i = 0; i < 250; ++i) lines += "X-Line: " + std::string(4000, 'x') + "\r\n";
                   return t.with(t.body(), lines);
                 })});
  all.push_back(
      {"gzip that is none", Expect::fails, sends([](const Turn& t) { return t.with(t.body(), "Content-Encoding: gzip\r\n"); })});
  all.push_back({"gzip that is cut", Expect::fails, sends([](const Turn& t) {
                   return t.with(gzip(t.body()).substr(0, 10 + 5 + t.body().size() / 2), "Content-Encoding: gzip\r\n");
                 })});
  all.push_back({"gzip that unpacks to megabytes", Expect::fails,
                 sends([](const Turn& t) { return t.with(gzip_bomb(20'000), "Content-Encoding: gzip\r\n"); })});
  all.push_back({"an unknown encoding", Expect::fails,
                 sends([](const Turn& t) { return t.with(gzip(t.body()), "Content-Encoding: zstd-next\r\n"); })});
}

}  // namespace ecso::test::faults
