// Streams that leave piece by piece: what leaves has been checked, with something of what follows it.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/gateway/options.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"

namespace window_test {

namespace {

using namespace std::chrono_literals;
using ecso::Step;
using ecso::gateway::OnHarm;
using ecso::gateway::StreamMode;
using ecso::test::Api;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::ChatUpstreamOptions;
using ecso::test::comes_true;
using ecso::test::GatewayUnderTest;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::RawServer;

constexpr std::string_view marker = "BADWORDS";

/// Words that can be told apart by where they stand.
std::string words(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) text += "word" + std::to_string(i) + " ";
  return text;
}

/// Where early checks are made: tokens, of four bytes each.
constexpr int marks[] = {32, 64, 96, 128, 192, 256, 384, 512};

/// For ChatUpstreamOptions::may_go_on: each check that is due was asked for, and so the one before it has let words leave. A
/// gateway that has little of the processor would read much of the stream at once, and make fewer checks.
std::function<bool(std::size_t)> at_the_pace_of(const std::atomic<int>& checks) {
  return [&checks](std::size_t bytes) {
    const auto is_due = [&](int mark) { return static_cast<std::size_t>(mark) * 4 <= bytes; };
    return checks >= std::ranges::count_if(marks, is_due);
  };
}

/// Finds an answer harmful by its marker, and counts the checks.
auto finds_marker(std::atomic<int>& checks) {
  return [&checks](const std::string& body) {
    ++checks;
    return body.find(marker) != std::string::npos;
  };
}

/// Turns bad after 1,500 bytes or so.
ChatUpstreamOptions turning_bad(std::atomic<int>& checks) {
  return {.answer = words(0, 170) + std::string{marker} + " " + words(170, 300),
          .is_harmful = finds_marker(checks),
          .stream_pieces = 100,
          .may_go_on = at_the_pace_of(checks)};
}

ecso::gateway::Options window(const ChatUpstream& upstream, OnHarm on_harm = OnHarm::stop) {
  auto options = ecso::test::options_for(upstream.url());
  auto policy = std::make_shared<ecso::Policy>();
  policy->incremental_check.assign(std::begin(marks), std::end(marks));
  options.policy = policy;
  options.stream = StreamMode::window;
  options.on_harm = on_harm;
  return options;
}

}  // namespace

TEST_CASE("A harmless stream leaves word for word, and begins before it has ended", "[gateway][window]") {
  const Api api = GENERATE(Api::chat, Api::messages);
  const std::string answer = words(0, 400);
  // The second half comes once the client has seen the beginning.
  std::atomic<bool> has_begun{false};
  const ChatUpstream upstream{{.answer = answer, .stream_pieces = 200, .may_go_on = [&](std::size_t bytes) {
                                 return has_begun || bytes < answer.size() / 2;
                               }}};
  auto options = ecso::test::options_for(upstream.url());
  options.stream = StreamMode::window;
  const GatewayUnderTest under_test{options};
  HttpSocket socket{under_test.port()};
  socket.send(chat_request(api, true));
  CHECK(comes_true([&] {
    static_cast<void>(socket.is_closed_within(1ms));
    return socket.all().find("word0") != std::string::npos;
  }));
  has_begun = true;
  const auto said = read_said(socket.read(), api);
  CHECK(said.wrong.empty());
  CHECK(said.text == answer);
  CHECK(said.ecso.value("path", "") == "direct");
}

TEST_CASE("A stream that turns harmful ends as the policy says, and not a byte of the harm has left", "[gateway][window]") {
  for (const Api api : {Api::chat, Api::messages}) {
    for (const OnHarm on_harm : {OnHarm::stop, OnHarm::replace, OnHarm::end}) {
      CAPTURE(static_cast<int>(api), static_cast<int>(on_harm));
      std::atomic<int> checks{0};
      const ChatUpstream upstream{turning_bad(checks)};
      const GatewayUnderTest under_test{window(upstream, on_harm)};
      HttpSocket socket{under_test.port()};
      socket.send(chat_request(api, true));
      const HttpReply reply = socket.read();
      const auto said = read_said(reply, api);
      CHECK(reply.whole);
      CHECK(socket.all().find("BADW") == std::string::npos);
      CHECK(said.wrong.empty());
      const std::string good = words(0, 170);
      const std::string left = said.text.substr(0, said.text.find("\n\n"));
      CHECK(!left.empty());
      CHECK(good.starts_with(left));
      const bool is_replaced = on_harm == OnHarm::replace;
      CHECK(said.text.substr(left.size()) == (is_replaced ? "\n\nA kind answer." : ""));
      CHECK(said.error.empty() == (on_harm != OnHarm::end));
      if (on_harm != OnHarm::end) {
        const std::string_view reason = api == Api::chat ? R"("finish_reason":"content_filter")" : R"("stop_reason":"refusal")";
        CHECK(reply.body.find(reason) != std::string::npos);
        CHECK(said.ecso.value("path", "") == (is_replaced ? "eyes_closed" : "stopped"));
      }
      // Nobody would see what came of more calls.
      CHECK(upstream.calls(Step::caption).empty() != is_replaced);
      CHECK(upstream.calls(Step::regenerate).empty() != is_replaced);
    }
  }
}

TEST_CASE("A stream that is harmful from its beginning comes out repaired, as if it had been held", "[gateway][window]") {
  const ChatUpstream upstream{{.answer = std::string{marker} + words(0, 300),
                               .is_harmful = [](const std::string& body) { return body.find(marker) != std::string::npos; },
                               .stream_pieces = 100,
                               .stream_pause = 2ms}};
  const GatewayUnderTest under_test{window(upstream)};
  const auto said = read_said(under_test.ask(chat_request(Api::chat, true)), Api::chat);
  CHECK(said.text == "A kind answer.");
  CHECK(said.ecso.value("path", "") == "eyes_closed");
}

TEST_CASE("Harm in the last words does not leave, though all before it has", "[gateway][window]") {
  std::atomic<int> checks{0};
  const ChatUpstream upstream{{.answer = words(0, 300) + std::string{marker},
                               .is_harmful = finds_marker(checks),
                               .stream_pieces = 100,
                               .may_go_on = at_the_pace_of(checks)}};
  const GatewayUnderTest under_test{window(upstream)};
  HttpSocket socket{under_test.port()};
  socket.send(chat_request(Api::chat, true));
  const auto said = read_said(socket.read(), Api::chat);
  CHECK(!said.text.empty());
  CHECK(words(0, 300).starts_with(said.text));
  CHECK(socket.all().find("BADW") == std::string::npos);
}

TEST_CASE("A check that fails in the middle of a window's stream ends it with an error", "[gateway][window]") {
  for (const int good_checks : {0, 1, 2, 3}) {
    CAPTURE(good_checks);
    std::atomic<int> checks{0};
    auto behaviour = turning_bad(checks);
    behaviour.is_harmful = [](const std::string&) { return false; };
    behaviour.instead = [&](RawServer::Connection& connection, Step step) {
      if (step != Step::check || ++checks <= good_checks) return false;
      connection.send(ecso::test::http_response(500, R"({"error":{"message":"no more checks"}})"));
      return true;
    };
    const ChatUpstream upstream{behaviour};
    const GatewayUnderTest under_test{window(upstream)};
    HttpSocket socket{under_test.port()};
    socket.send(chat_request(Api::chat, true));
    const HttpReply reply = socket.read();
    const auto said = read_said(reply, Api::chat);
    CHECK((reply.status >= 400 || !said.error.empty()));
    CHECK(words(0, 170).starts_with(said.text));
    CHECK(socket.all().find("BADW") == std::string::npos);
  }
}

TEST_CASE("An upstream that breaks off in the middle of a window's stream ends it with an error", "[gateway][window]") {
  const std::string good = words(0, 300);
  for (const bool resets : {false, true}) {
    CAPTURE(resets);
    std::atomic<int> checks{0};
    ChatUpstreamOptions behaviour{.is_harmful = finds_marker(checks)};
    behaviour.instead = [&](RawServer::Connection& connection, Step step) {
      if (step != Step::answer) return false;
      std::string sent = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
      for (std::size_t at = 0; at < 1'600; at += 20) {
        if (!connection.send(sent + ecso::test::chunk(ChatUpstream::event(good.substr(at, 20))))) return true;
        sent.clear();
        while (!at_the_pace_of(checks)(at)) {
          if (!connection.send(ecso::test::chunk(": wait\n\n")) || !connection.pause(1ms)) return true;
        }
      }
      if (resets) connection.reset();
      return true;
    };
    const ChatUpstream upstream{behaviour};
    const GatewayUnderTest under_test{window(upstream)};
    HttpSocket socket{under_test.port()};
    socket.send(chat_request(Api::chat, true));
    const HttpReply reply = socket.read();
    const auto said = read_said(reply, Api::chat);
    CHECK(!said.error.empty());
    CHECK(said.wrong.empty());
    CHECK(!said.text.empty());
    CHECK(good.starts_with(said.text));
    CHECK(socket.all().find("[DONE]") == std::string::npos);
  }
}

}  // namespace window_test
