// Replies and errors of an OpenAI-compatible server: nothing but ecso::Error comes out, and its message is one line of UTF-8
// without the key.

#include <ecso/backend/openai_reply.hpp>
#include <ecso/backend/server_error.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_message(const ecso::Error& error, const ecso::Secret& key) {
  const std::string& message = error.message();
  require(!message.empty() && ecso::detail::is_valid_utf8(message));
  require(std::ranges::none_of(message, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; }));
  require(message.find(key.reveal()) == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ecso::Secret key = ecso::Secret::from_text("sk-key");
  const std::string_view body{reinterpret_cast<const char*>(data), size};
  try {
    const ecso::Reply reply = ecso::parse_openai_reply(body, key);
    require(!reply.text.empty() || reply.finish_reason == ecso::FinishReason::length);
    require(ecso::detail::is_valid_utf8(reply.text));
    require(reply.usage.prompt_tokens >= 0 && reply.usage.cached_tokens >= 0 && reply.usage.completion_tokens >= 0);
    require(reply.text.empty() || !ecso::openai_choice(reply.text).empty());
  } catch (const ecso::Error& error) {
    check_message(error, key);
  }
  for (const int status : {400, 500}) check_message(ecso::server_error(status, body, {}, "http://h", key, body), key);
  check_message(ecso::server_error(301, "", {}, "http://h", key, body), key);
  return 0;
}
