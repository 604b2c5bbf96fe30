#pragma once

// The servers there are backends for, and the backend for each.

#include <ecso/backend/anthropic.hpp>
#include <ecso/backend/gemini.hpp>
#include <ecso/backend/llava_worker.hpp>
#include <ecso/backend/ollama.hpp>
#include <ecso/backend/openai.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/http/options.hpp>
#include <ecso/secret.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "faults/kinds.hpp"
#include "support/fault_server.hpp"

namespace ecso::test {

/// No message may show it.
inline constexpr std::string_view test_key = "sk-test-0123456789";

/// A kind of server and the backend for it.
struct BackendUnderTest {
  std::string name;
  std::shared_ptr<const ServerKind> kind;
  std::function<std::unique_ptr<MllmBackend>(const std::string& url, const HttpOptions& http)> make;
  bool is_streamed = true;      ///< Long answers are asked for as streams; if not, answers must be asked for short.
  bool has_controller = false;  ///< It is a controller's answers that are spoilt.
};

[[nodiscard]] inline std::vector<BackendUnderTest> backends_under_test() {
  const auto key = [] { return Secret::from_text(std::string{test_key}); };
  const auto openai = [=](OpenAiDialect dialect) {
    return [=](const std::string& url, const HttpOptions& http) -> std::unique_ptr<MllmBackend> {
      return std::make_unique<OpenAiBackend>(
          OpenAiOptions{.base_url = url, .key = key(), .slots = 1, .dialect = dialect, .http = http});
    };
  };
  const auto anthropic = [=](const std::string& url, const HttpOptions& http) -> std::unique_ptr<MllmBackend> {
    return std::make_unique<AnthropicBackend>(AnthropicOptions{.base_url = url, .model = "tiny", .key = key(), .http = http});
  };
  const auto gemini = [=](const std::string& url, const HttpOptions& http) -> std::unique_ptr<MllmBackend> {
    return std::make_unique<GeminiBackend>(GeminiOptions{.base_url = url, .model = "tiny", .key = key(), .http = http});
  };
  const auto ollama = [=](OllamaVerdict verdict) {
    return [=](const std::string& url, const HttpOptions& http) -> std::unique_ptr<MllmBackend> {
      return std::make_unique<OllamaBackend>(
          OllamaOptions{.base_url = url, .model = "tiny", .key = key(), .verdict = verdict, .http = http});
    };
  };
  const auto llava = [](LlavaEndpoint endpoint) {
    return [=](const std::string& url, const HttpOptions& http) -> std::unique_ptr<MllmBackend> {
      return std::make_unique<LlavaWorkerBackend>(LlavaOptions{
          .base_url = url, .endpoint = endpoint, .model = "tiny", .max_stream_bytes = http.max_response_bytes, .http = http});
    };
  };
  const auto openai_kind = std::make_shared<OpenAiKind>();
  const auto anthropic_kind = std::make_shared<AnthropicKind>();
  const auto gemini_kind = std::make_shared<GeminiKind>();
  const auto ollama_kind = std::make_shared<OllamaKind>();
  const auto llava_kind = std::make_shared<LlavaKind>();
  return {{"openai", openai_kind, openai({}), false},
          {"openai, streamed", openai_kind, openai({.stream = StreamUse::long_answers})},
          {"openai, dialect of llama-server", openai_kind, openai(llama_server_dialect())},
          {"anthropic", anthropic_kind, anthropic, false},
          {"anthropic, streamed", anthropic_kind, anthropic},
          {"gemini", gemini_kind, gemini, false},
          {"gemini, streamed", gemini_kind, gemini},
          {"ollama", ollama_kind, ollama(OllamaVerdict::logprobs), false},
          {"ollama, streamed", ollama_kind, ollama(OllamaVerdict::logprobs)},
          {"llava worker", llava_kind, llava(LlavaEndpoint::worker)},
          {"llava worker behind a controller", llava_kind, llava(LlavaEndpoint::controller)},
          {"llava controller", llava_kind, llava(LlavaEndpoint::controller), true, true}};
}

}  // namespace ecso::test
