#pragma once

// What the engine tests share: the servers, which start when first asked for, and small makers of requests.

#include <ecso/backend/openai.hpp>
#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>

#include "engine/server.hpp"
#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ecso::test {

/// What an image of any size costs the tiny model.
inline constexpr int image_tokens = 16;

/// Sees images, wants no key.
inline EngineServer& engine() {
  static EngineServer server{{.name = "engine"}};
  return server;
}

inline constexpr const char* blind_engine_key = "key-of-the-blind-engine";

/// Text only, wants `blind_engine_key`.
inline EngineServer& blind_engine() {
  static EngineServer server{{.name = "engine-blind", .with_images = false, .arguments = {"--api-key", blind_engine_key}}};
  return server;
}

[[nodiscard]] inline OpenAiOptions options_for(const EngineServer& server) {
  return {.base_url = server.url(), .dialect = llama_server_dialect(), .http = {.proxy = ""}};
}

/// A PNG that no other test uses, so that no cache knows it.
[[nodiscard]] inline Image picture(const std::string& name) { return Image::from_bytes(png_bytes(40, 30, name)); }

/// The likeliest tokens, and few of them.
inline const Sampling greedy{.temperature = 0.0, .max_tokens = 32};

[[nodiscard]] inline VisionRequest look_at(Image image, std::string query, CallOptions options = {.sampling = greedy}) {
  return {ask({std::move(image)}, std::move(query)), std::move(options)};
}

[[nodiscard]] inline TextRequest read(std::string query, CallOptions options = {.sampling = greedy}) {
  return {close_eyes(ask({}, std::move(query)), {}), std::move(options)};
}

/// Options that keep the engine busy for about four seconds: it must spell a long word, token by token.
[[nodiscard]] inline CallOptions long_job() { return {.choices = {std::string(3000, 'z')}}; }

/// The Error that `call` throws.
template <typename Call>
[[nodiscard]] Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  throw std::runtime_error{"an ecso::Error was expected"};
}

}  // namespace ecso::test
