#pragma once

// The servers there are backends for: how each answers rightly, and the backend for it.

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
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/fault_server.hpp"

namespace ecso::test {

/// No message may show it.
inline constexpr std::string_view test_key = "sk-test-0123456789";

class OpenAiKind final : public ServerKind {
 public:
  [[nodiscard]] bool wants_stream(const RecordedRequest& request) const override {
    return request.body.find(R"("stream":true)") != std::string::npos;
  }
  [[nodiscard]] std::string whole(std::string_view text, Ending ending) const override {
    nlohmann::json choice{{"message", {{"role", "assistant"}, {"content", text}}}};
    return with_reason(std::move(choice), ending).dump();
  }
  [[nodiscard]] std::vector<std::string> messages(std::string_view text, Ending ending, const RecordedRequest&) const override {
    const auto [first, rest] = halves(text);
    const auto delta = [](const nlohmann::json& said, Ending how) { return with_reason({{"delta", said}}, how).dump(); };
    return {delta({{"content", first}}, Ending::missing), delta({{"content", rest}}, Ending::missing),
            delta(nlohmann::json::object(), ending)};
  }
  [[nodiscard]] std::string frame(std::string_view json) const override {
    return std::string{"data: "}.append(json).append("\n\n");
  }
  [[nodiscard]] std::string end_mark() const override { return "data: [DONE]\n\n"; }
  [[nodiscard]] std::string stream_type() const override { return "text/event-stream"; }

 private:
  static nlohmann::json with_reason(nlohmann::json choice, Ending ending) {
    choice["finish_reason"] = nullptr;
    if (ending != Ending::missing) choice["finish_reason"] = ending == Ending::stop ? "stop" : "length";
    return {{"choices", {std::move(choice)}}, {"model", "tiny"}};
  }
};

class AnthropicKind final : public ServerKind {
 public:
  [[nodiscard]] bool wants_stream(const RecordedRequest& request) const override {
    return request.body.find(R"("stream":true)") != std::string::npos;
  }
  [[nodiscard]] std::string whole(std::string_view text, Ending ending) const override {
    return nlohmann::json{{"type", "message"},
                          {"model", "tiny"},
                          {"content", {{{"type", "text"}, {"text", text}}}},
                          {"stop_reason", reason_of(ending)}}
        .dump();
  }
  [[nodiscard]] std::vector<std::string> messages(std::string_view text, Ending ending, const RecordedRequest&) const override {
    const auto [first, rest] = halves(text);
    const auto delta = [](const std::string& said) {
      return nlohmann::json{{"type", "content_block_delta"}, {"delta", {{"type", "text_delta"}, {"text", said}}}}.dump();
    };
    return {delta(first), delta(rest),
            nlohmann::json{{"type", "message_delta"}, {"delta", {{"stop_reason", reason_of(ending)}}}}.dump(),
            R"({"type":"message_stop"})"};
  }
  [[nodiscard]] std::string frame(std::string_view json) const override {
    return std::string{"event: message\ndata: "}.append(json).append("\n\n");
  }
  [[nodiscard]] std::string stream_type() const override { return "text/event-stream"; }
  [[nodiscard]] std::string error() const override {
    return R"({"type":"error","error":{"type":"overloaded_error","message":"the model fell over"}})";
  }

 private:
  static nlohmann::json reason_of(Ending ending) {
    if (ending == Ending::missing) return nullptr;
    return ending == Ending::stop ? "end_turn" : "max_tokens";
  }
};

class GeminiKind final : public ServerKind {
 public:
  [[nodiscard]] bool wants_stream(const RecordedRequest& request) const override {
    return request.head.find(":streamGenerateContent") != std::string::npos;
  }
  [[nodiscard]] std::string whole(std::string_view text, Ending ending) const override {
    nlohmann::json candidate{{"content", {{"role", "model"}, {"parts", {{{"text", text}}}}}}};
    if (ending != Ending::missing) candidate["finishReason"] = ending == Ending::stop ? "STOP" : "MAX_TOKENS";
    return nlohmann::json{{"candidates", {std::move(candidate)}}, {"modelVersion", "tiny"}}.dump();
  }
  [[nodiscard]] std::vector<std::string> messages(std::string_view text, Ending ending, const RecordedRequest&) const override {
    const auto [first, rest] = halves(text);
    return {whole(first, Ending::missing), whole(rest, Ending::missing), whole("", ending)};
  }
  [[nodiscard]] std::string frame(std::string_view json) const override {
    return std::string{"data: "}.append(json).append("\r\n\r\n");
  }
  [[nodiscard]] std::string stream_type() const override { return "text/event-stream"; }
  [[nodiscard]] std::string error() const override {
    return R"({"error":{"code":503,"message":"the model fell over","status":"UNAVAILABLE"}})";
  }
  [[nodiscard]] bool has_own_end() const override { return false; }
};

class OllamaKind final : public ServerKind {
 public:
  [[nodiscard]] bool wants_stream(const RecordedRequest& request) const override {
    return request.body.find(R"("stream":true)") != std::string::npos;
  }
  [[nodiscard]] std::string whole(std::string_view text, Ending ending) const override {
    nlohmann::json reply{{"model", "tiny"}, {"message", {{"role", "assistant"}, {"content", text}}}, {"done", true}};
    if (ending == Ending::missing) reply.erase("done");
    if (ending != Ending::missing) reply["done_reason"] = ending == Ending::stop ? "stop" : "length";
    return reply.dump();
  }
  [[nodiscard]] std::vector<std::string> messages(std::string_view text, Ending ending, const RecordedRequest&) const override {
    const auto [first, rest] = halves(text);
    return {whole(first, Ending::missing), whole(rest, Ending::missing), whole("", ending)};
  }
  [[nodiscard]] std::string frame(std::string_view json) const override { return std::string{json}.append("\n"); }
  [[nodiscard]] std::string stream_type() const override { return "application/x-ndjson"; }
  [[nodiscard]] std::string error() const override { return R"({"error":"the model fell over"})"; }
  [[nodiscard]] bool has_events() const override { return false; }
};

class LlavaKind final : public ServerKind {
 public:
  [[nodiscard]] bool wants_stream(const RecordedRequest&) const override { return true; }
  /// A worker always streams.
  [[nodiscard]] std::string whole(std::string_view text, Ending) const override {
    return nlohmann::json{{"text", text}, {"error_code", 0}}.dump();
  }
  [[nodiscard]] std::vector<std::string> messages(std::string_view text, Ending, const RecordedRequest& request) const override {
    const std::string prompt = nlohmann::json::parse(request.body).at("prompt");
    const auto message = [&](const std::string& said) {
      return nlohmann::json{{"text", prompt + said}, {"error_code", 0}}.dump();
    };
    const std::string all{text};
    return {message(halves(text).first), message(all), message(all)};
  }
  [[nodiscard]] std::string frame(std::string_view json) const override { return std::string{json}.append(1, '\0'); }
  [[nodiscard]] std::string stream_type() const override { return "application/octet-stream"; }
  [[nodiscard]] std::string error() const override { return R"({"text":"the model fell over","error_code":1})"; }
  [[nodiscard]] bool has_end() const override { return false; }
  [[nodiscard]] bool takes_key() const override { return false; }
  [[nodiscard]] bool has_events() const override { return false; }
};

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
