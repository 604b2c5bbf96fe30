#pragma once

// A fault, what must come of it, and what faults are made of.

#include <ecso/core/step.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/fault_server.hpp"
#include "support/image_bytes.hpp"

namespace ecso::test {

/// What must come of a query one of whose calls was spoilt.
enum class Expect {
  fails,   ///< Nothing is released, and the error says where and why.
  right,   ///< The outcome is that of good weather.
  either,  ///< One of the two.
  closed,  ///< A verdict that cannot be used: nothing is released, or the refusal, or what a later check found safe.
};

struct Fault {
  std::string name;
  Expect expect;
  Answerer play;
  bool passes = false;  ///< Trying again helps, and says that it may.
  std::function<bool(const Turn&)> applies_to = {};
};

namespace faults {

using Connection = RawServer::Connection;
using std::chrono::milliseconds;

inline bool is_stream(const Turn& turn) { return turn.is_stream; }
inline bool is_whole(const Turn& turn) { return !turn.is_stream; }
inline bool is_events(const Turn& turn) { return turn.is_stream && turn.kind.has_events(); }
inline bool has_end(const Turn& turn) { return turn.is_stream && turn.kind.has_end(); }
inline bool is_model(const Turn& turn) { return dynamic_cast<const ControllerKind*>(&turn.kind) == nullptr; }
inline bool is_check(const Turn& turn) { return is_model(turn) && asks_for_verdict(turn.step); }

/// Sends what `make(turn)` gives and closes, by a reset if asked to.
template <typename Make>
Answerer sends(Make make, bool resets = false) {
  return [=](Connection& connection, const Turn& turn) {
    if (connection.send(make(turn)) && resets) connection.pause(milliseconds{3});  // what was sent shall arrive first
    if (resets) connection.reset();
    return false;
  };
}

/// Sends what `make(turn)` gives and keeps the connection for more.
template <typename Make>
Answerer sends_and_stays(Make make) {
  return [=](Connection& connection, const Turn& turn) { return connection.send(make(turn)); };
}

/// Sends what `make(turn)` gives and then nothing, while the client waits.
template <typename Make>
Answerer sends_and_stalls(Make make) {
  return [=](Connection& connection, const Turn& turn) {
    if (connection.send(make(turn))) connection.stall();
    return false;
  };
}

/// Sends what `make(turn)` gives, so many bytes at a time.
template <typename Make, typename Size>
Answerer drips(Make make, Size size, milliseconds pause) {
  return [=](Connection& connection, const Turn& turn) {
    const std::string bytes = make(turn);
    const std::size_t step = size(bytes);
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      if (!connection.send(std::string_view{bytes}.substr(at, step)) || !connection.pause(pause)) return false;
    }
    return true;
  };
}

/// Sends `start(turn)` and then `more` again and again, until the client goes.
template <typename Start>
Answerer endless(Start start, std::string more) {
  return [=](Connection& connection, const Turn& turn) {
    if (!connection.send(start(turn))) return false;
    while (connection.send(more) && connection.pause(milliseconds{1})) {}
    return false;
  };
}

inline std::string right(const Turn& turn) { return turn.right_response(); }

/// The first bytes of the right response: all but the last ones, so that its text is complete.
inline std::string cut(const Turn& turn, std::size_t missing) {
  const std::string all = turn.right_response();
  return all.substr(0, all.size() - missing);
}

/// A response with the status line and this body, of a right reply if none is given.
inline auto status(std::string line, std::string more = "", std::string body = "right") {
  return [=](const Turn& turn) { return turn.with(body == "right" ? turn.body() : body, more, "HTTP/1.1 " + line); };
}

/// A gzip file of stored or, for many equal bytes, packed data; its checksum is right.
inline std::string gzip(std::string_view bytes) {
  std::string file = raw("\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03");
  for (std::size_t at = 0; at < bytes.size(); at += 0xFFFF) {
    const std::size_t count = std::min<std::size_t>(0xFFFF, bytes.size() - at);
    file += static_cast<char>(at + count == bytes.size());
    file.append(little_endian(count, 2)).append(little_endian(~count, 2)).append(bytes, at, count);
  }
  return file + little_endian(crc32(bytes), 4) + little_endian(bytes.size(), 4);
}

/// A gzip file of `runs` times 258 spaces, at 13 bits each: fixed Huffman codes (RFC 1951, section 3.2.6).
inline std::string gzip_bomb(std::size_t runs) {
  std::string file = raw("\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03");
  unsigned buffer = 0;
  unsigned used = 0;
  const auto put = [&](unsigned bits, unsigned count) {  // the first bit is the highest
    while (count-- > 0) {
      buffer |= (bits >> count & 1U) << used;
      if (++used < 8) continue;
      file += static_cast<char>(buffer);
      buffer = used = 0;
    }
  };
  put(0b110, 3);                                                           // the last block, fixed codes
  put(0x30 + ' ', 8);                                                      // a space
  for (std::size_t run = 0; run < runs; ++run) put(0b11000101'00000, 13);  // 258 bytes, from 1 byte back
  put(0, 7 + 7);                                                           // the end
  return file + std::string(8, '\0');
}

/// `text` put in the place of what the model says, past the JSON writer.
inline std::string with_raw_text(const Turn& turn, std::string_view bytes) {
  constexpr std::string_view mark = "XYZZY";
  // Halved texts would cut the mark in two.
  std::string body = turn.body_of(std::string{mark}.append(mark));
  for (std::size_t at = body.find(mark); at != body.npos; at = body.find(mark, at + bytes.size())) {
    body.replace(at, mark.size(), bytes);
  }
  return body;
}

/// Members of both objects in one; where both have one, `first` first.
inline std::string merged(std::string_view first, std::string_view second) {
  return std::string{first.substr(0, first.size() - 1)}.append(",").append(second.substr(1));
}

inline std::string chunked(const Turn& turn, std::string_view body) { return turn.chunked_head() + chunk(body); }

/// A stream of these pieces of `text`, well ended as HTTP.
inline std::string unfinished(const Turn& turn, std::string_view text) {
  return chunked(turn, turn.kind.opening() + turn.kind.frame(turn.kind.messages(text, Ending::missing, turn.request).front())) +
         chunk("");
}

}  // namespace faults
}  // namespace ecso::test
