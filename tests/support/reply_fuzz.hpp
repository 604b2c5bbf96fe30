#pragma once

// What a fuzzer asks of a server's format: nothing but ecso::Error comes out, its message is one line of UTF-8 without the key,
// and a stream means the same wherever its bytes are cut.

#include <ecso/core/request.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::test {

inline void require(bool condition, std::source_location place = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%u: what a fuzzer requires is not so\n", place.file_name(), static_cast<unsigned>(place.line()));
  std::abort();
}

inline void check_message(const ecso::Error& error, const ecso::Secret& key) {
  const std::string& message = error.message();
  require(!message.empty() && ecso::detail::is_valid_utf8(message));
  require(std::ranges::none_of(message, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; }));
  require(message.find(key.reveal()) == std::string::npos);
}

inline void check_reply(const ecso::Reply& reply) {
  require(!reply.text.empty() || reply.finish_reason == ecso::FinishReason::length);
  require(ecso::detail::is_valid_utf8(reply.text));
  require(reply.usage.prompt_tokens >= 0 && reply.usage.cached_tokens >= 0 && reply.usage.completion_tokens >= 0);
}

/// The streamed reply, the text that was seen of it, and the error if there was one.
struct Streamed {
  std::optional<ecso::Reply> reply;
  std::string seen;
  std::optional<ecso::Error> error;

  bool operator==(const Streamed&) const = default;
};

template <typename Stream>
Streamed stream(std::string_view first, std::string_view second, const ecso::Secret& key) {
  Streamed streamed;
  try {
    Stream stream{key};
    const auto on_text = [&](std::string_view text) { streamed.seen += text; };
    stream.feed(first, on_text);
    stream.feed(second, on_text);
    streamed.reply = std::move(stream).finish();
    check_reply(*streamed.reply);
    require(streamed.reply->text == streamed.seen);
  } catch (const ecso::Error& error) {
    check_message(error, key);
    streamed.error = error;
  }
  return streamed;
}

/// Reads `body` as a whole reply by `parse(body, key)`, and as a stream that is cut in several places.
template <typename Stream, typename Parse>
void fuzz_reply(std::string_view body, const Parse& parse) {
  static const ecso::Secret key = ecso::Secret::from_text("sk-key");
  try {
    check_reply(parse(body, key));
  } catch (const ecso::Error& error) {
    check_message(error, key);
  }
  const Streamed whole = stream<Stream>(body, {}, key);
  const std::size_t size = body.size();
  for (const std::size_t cut : {size / 3, size / 2, size - size / 5}) {
    require(stream<Stream>(body.substr(0, cut), body.substr(cut), key) == whole);
  }
}

}  // namespace ecso::test
