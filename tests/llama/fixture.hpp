#pragma once

// What the tests of the backend in this process share: the tiny model of tests/engine, loaded when first asked for.

#include <ecso/backend/llama.hpp>
#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>

#include "engine/server.hpp"
#include "support/image_bytes.hpp"

#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

namespace ecso::test {

/// What an image of any size costs the tiny model.
inline constexpr int image_tokens = 16;

[[nodiscard]] inline std::filesystem::path model_file(const std::string& name) { return engine_directory() / "model" / name; }

/// One thread: a second one waits for the first, and for whatever else runs here.
[[nodiscard]] inline LlamaOptions tiny_model() {
  return {.model_path = model_file("text.gguf"), .mmproj_path = model_file("mmproj.gguf"), .context_tokens = 8192, .threads = 1};
}

/// Sees images.
[[nodiscard]] inline LlamaBackend& model() {
  static LlamaBackend backend{tiny_model()};
  return backend;
}

/// A PNG that no other test uses, so that nothing read before is like it.
[[nodiscard]] inline Image picture(const std::string& name) { return Image::from_bytes(png_bytes(40, 30, name)); }

/// The likeliest tokens, and few of them.
inline const Sampling greedy{.temperature = 0.0, .max_tokens = 32};

[[nodiscard]] inline VisionRequest look_at(Image image, std::string query, CallOptions options = {.sampling = greedy}) {
  return {ask({std::move(image)}, std::move(query)), std::move(options)};
}

[[nodiscard]] inline TextRequest read(std::string query, CallOptions options = {.sampling = greedy}) {
  return {close_eyes(ask({}, std::move(query)), {}), std::move(options)};
}

/// Options that keep the model busy for seconds: it must spell a long word, token by token.
[[nodiscard]] inline CallOptions long_job() { return {.choices = {std::string(7000, 'z')}}; }

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
