#pragma once

// How each kind of server answers rightly.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/fault_server.hpp"

namespace ecso::test {

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
      return nlohmann::json{{"type", "content_block_delta"}, {"index", 0}, {"delta", {{"type", "text_delta"}, {"text", said}}}}
          .dump();
    };
    return {delta(first), delta(rest), R"({"type":"content_block_stop","index":0})",
            nlohmann::json{{"type", "message_delta"}, {"delta", {{"stop_reason", reason_of(ending)}}}}.dump(),
            R"({"type":"message_stop"})"};
  }
  [[nodiscard]] std::string opening() const override {
    return frame(R"({"type":"message_start","message":{"type":"message","role":"assistant","model":"tiny","content":[]}})") +
           frame(R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})");
  }
  /// An event is called as the type says that its JSON has, if it has one.
  [[nodiscard]] std::string frame(std::string_view json) const override {
    const auto read = nlohmann::json::parse(json, nullptr, false);
    const bool is_typed = read.is_object() && read.contains("type") && read["type"].is_string();
    const std::string type = is_typed ? read["type"].get<std::string>() : "message";
    return "event: " + type + std::string{"\ndata: "}.append(json).append("\n\n");
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

}  // namespace ecso::test
