#include <ecso/backend/framing.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace framing_test {

namespace {

using ecso::LineFraming;
using ecso::NulFraming;
using ecso::SseFraming;

using Events = std::vector<std::pair<std::string, std::string>>;

Events events_of(const std::vector<std::string>& pieces) {
  SseFraming framing;
  Events events;
  const auto sink = [&](std::string_view event, std::string_view data) { events.emplace_back(event, data); };
  for (const std::string& piece : pieces) framing.feed(piece, sink);
  framing.finish(sink);
  return events;
}

template <typename Framing>
std::vector<std::string> messages_of(const std::vector<std::string>& pieces) {
  Framing framing;
  std::vector<std::string> messages;
  const auto sink = [&](std::string_view message) { messages.emplace_back(message); };
  for (const std::string& piece : pieces) framing.feed(piece, sink);
  framing.finish(sink);
  return messages;
}

}  // namespace

TEST_CASE("server-sent events are read by the standard", "[backend][framing]") {
  const auto [text, events] = GENERATE(table<std::string, Events>({
      {"data: a\n\n", {{"", "a"}}},
      {"data: a\r\n\r\n", {{"", "a"}}},
      {"data: a\r\rdata: b\r\r", {{"", "a"}, {"", "b"}}},
      {"data:a\ndata: b\ndata\n\n", {{"", "a\nb\n"}}},
      {"event: ping\ndata:  two spaces\n\n", {{"ping", " two spaces"}}},
      {": a comment\nid: 7\nretry: 10\nunknown: x\ndata: {\"a\": 1}\n\n", {{"", "{\"a\": 1}"}}},
      {"event: lost\n\ndata: b\n\n", {{"", "b"}}},
      {"\xEF\xBB\xBF"
       "data: a\n\n",
       {{"", "a"}}},
      {"data: not complete\n", {}},
      {"data: not complete", {}},
      {"\n\n\n", {}},
      {"data:\n\n", {{"", ""}}},
      {"data: a: b\n\n", {{"", "a: b"}}},
  }));
  CHECK(events_of({text}) == events);
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  CHECK(events_of(bytes) == events);
  for (std::size_t at = 0; at <= text.size(); ++at) CHECK(events_of({text.substr(0, at), text.substr(at)}) == events);
}

TEST_CASE("lines and zero bytes end messages wherever the pieces are cut", "[backend][framing]") {
  const std::string lines = "{\"a\":1}\n\n{\"b\":2}";
  const std::vector<std::string> read{"{\"a\":1}", "", "{\"b\":2}"};
  for (std::size_t at = 0; at <= lines.size(); ++at)
    CHECK(messages_of<LineFraming>({lines.substr(0, at), lines.substr(at)}) == read);
  using namespace std::string_literals;
  CHECK(messages_of<NulFraming>({"a\nb\0c"s, "d\0"s}) == std::vector<std::string>{"a\nb", "cd"});
  CHECK(messages_of<NulFraming>({}).empty());
}

TEST_CASE("a message without end is given up at its limit", "[backend][framing]") {
  const std::string piece(64 * 1024, 'x');
  const auto feed_for_ever = [&](auto framing, const std::string& first, const auto& sink) {
    framing.feed(first, sink);
    std::size_t fed = 0;
    try {
      for (; fed < 2 * ecso::max_stream_message_bytes; fed += piece.size()) framing.feed(piece, sink);
    } catch (const ecso::Error& error) {
      CHECK(error.code() == ecso::Errc::bad_reply);
    }
    CHECK(fed <= ecso::max_stream_message_bytes);
  };
  const auto one = [](std::string_view) {};
  const auto two = [](std::string_view, std::string_view) {};
  feed_for_ever(LineFraming{}, "", one);
  feed_for_ever(NulFraming{}, "", one);
  feed_for_ever(SseFraming{}, "data: ", two);
}

TEST_CASE("an event of many lines is given up at its limit", "[backend][framing]") {
  SseFraming framing;
  const std::string line = "data: " + std::string(1000, 'x') + "\n";
  const auto feed = [&] {
    for (std::size_t fed = 0; fed < 2 * ecso::max_stream_message_bytes; fed += line.size())
      framing.feed(line, [](std::string_view, std::string_view) {});
  };
  CHECK_THROWS_AS(feed(), ecso::Error);
}

}  // namespace framing_test
