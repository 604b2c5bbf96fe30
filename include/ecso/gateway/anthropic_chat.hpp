#pragma once

#include <ecso/backend/anthropic_wire.hpp>
#include <ecso/backend/openai_request.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/spliced.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/anthropic_answer.hpp>
#include <ecso/gateway/anthropic_answer_stream.hpp>
#include <ecso/gateway/anthropic_events.hpp>
#include <ecso/gateway/anthropic_parts.hpp>
#include <ecso/gateway/anthropic_turns.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/client_context.hpp>
#include <ecso/gateway/client_images.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/json_path.hpp>
#include <ecso/gateway/own_calls.hpp>
#include <ecso/gateway/readable.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::gateway {

/// A request of the Messages API (Anthropic API reference, "Messages"), for an upstream that speaks it too. Not thread safe.
class AnthropicChat final : public ClientChat {
 public:
  /// @param owner keeps `body` alive.
  /// @throws Error (bad_input) that names the JSON path of what is wrong or could not be checked.
  AnthropicChat(std::shared_ptr<const void> owner, std::string_view body, const ChatLimits& limits)
      : body_{body}, json_{body, {.max_depth = limits.max_depth}}, images_{std::move(owner), limits} {
    const detail::JsonValue root = json_.root();
    const JsonPath path;
    if (!root.is_object()) path.refuse("the body must be a JSON object");
    require_exact_names(root, {"messages", "model", "stream", "system"}, path);
    read_options(root, path);
    ClientContext context;
    context.add_options(root, {"messages", "stream", "system"}, path);
    read_turns(root, path, context);
    conversation_.context = std::move(context).text();
  }

  [[nodiscard]] const Conversation& conversation() const noexcept override { return conversation_; }
  [[nodiscard]] std::string_view model() const noexcept override { return model_; }
  [[nodiscard]] bool stream() const noexcept override { return stream_; }
  [[nodiscard]] std::size_t choices() const noexcept override { return 1; }
  [[nodiscard]] std::string_view prefill() const noexcept override { return prefill_; }
  [[nodiscard]] std::string_view path() const noexcept override { return "/messages"; }

  using ClientChat::answer;
  [[nodiscard]] bool tells_tokens() const noexcept override { return true; }
  [[nodiscard]] detail::Spliced answer(std::optional<bool> stream, TokenReport) const override {
    detail::Spliced json;
    if (!stream || *stream == stream_) return std::move(json.range(body_));
    const std::string_view value = *stream ? "true" : "false";
    const detail::JsonValue root = json_.root();
    const detail::JsonValue old = root["stream"];
    // Where a member is missing it becomes the first.
    const auto at = static_cast<std::size_t>((old ? old.raw().data() : root.raw().data() + 1) - body_.data());
    json.range(body_.substr(0, at));
    if (!old) json.raw("\"stream\":");
    json.raw(value);
    if (!old) json.raw(",");
    return std::move(json.range(body_.substr(at + old.raw().size())));
  }

  /// A sampling option that `request` sets replaces the client's; one that it does not set stays as the client has it, so a
  /// policy's defaults are best not set in it. Turns without an image but the last go on as they came; the results of tools stay,
  /// as the API wants one for each call. What the client has put into the assistant's mouth is left out, as the answer begins
  /// anew.
  [[nodiscard]] detail::Spliced regenerate(const TextRequest& request) const override {
    const std::vector<TextMessage>& texts = request.conversation.messages();
    if (texts.size() != conversation_.messages.size()) {
      throw Error{Errc::internal, "a request with " + std::to_string(texts.size()) + " turns for a chat of " +
                                      std::to_string(conversation_.messages.size())};
    }
    const CallOptions& options = request.options;
    const auto stays = [&](std::string_view name) {
      const Sampling& sampling = options.sampling;
      if (name == "messages" || name == "stream") return false;
      if (name == "model") return options.model.empty();
      if (name == "max_tokens") return !sampling.max_tokens;
      if (name == "temperature") return !sampling.temperature;
      if (name == "top_p") return !sampling.top_p;
      return name != "stop_sequences" || sampling.stop.empty();
    };
    detail::Spliced json;
    json.raw("{");
    std::string storage;
    for (const detail::JsonMember& member : json_.root().members()) {
      if (stays(member.key.text(storage))) json.range(member.key.raw()).raw(":").range(member.value.raw()).raw(",");
    }
    if (!options.model.empty()) json.raw("\"model\":").string(options.model).raw(",");
    json.raw("\"messages\":[");
    const std::size_t system_turns = texts.size() - turns_.size();
    for (std::size_t i = 0; i < turns_.size(); ++i) {
      if (i != 0) json.raw(",");
      write_without_images(json, turns_[i], texts[system_turns + i].text, i + 1 == turns_.size());
    }
    json.raw("]");
    write_sampling(json, options.sampling, {});
    return std::move(json.raw("}"));
  }

  [[nodiscard]] detail::Spliced ask(const ModelRequest& request, const OpenAiDialect& dialect) const override {
    switch (own_calls_of(*this, options_of(request).step, dialect)) {
      case OwnCalls::same_api: break;
      case OwnCalls::chat_completions: return OwnCallWriter{model_, images_}.completions(request, dialect);
      case OwnCalls::ollama_chat: return OwnCallWriter{model_, images_}.ollama(request, dialect);
    }
    return std::visit([&](const auto& asked) { return asked_json(asked, dialect); }, request);
  }

  [[nodiscard]] detail::Spliced ask_elsewhere(const ModelRequest& request, const OpenAiDialect& dialect) const override {
    const OwnCallWriter writer{{}, images_};
    return dialect.own_calls == OwnCalls::ollama_chat ? writer.ollama(request, dialect) : writer.completions(request, dialect);
  }

  [[nodiscard]] std::unique_ptr<UpstreamAnswer> reader(bool stream) const override {
    if (stream) return std::make_unique<AnthropicAnswerStream>();
    return std::make_unique<AnthropicAnswer>();
  }

  [[nodiscard]] std::string blank_answer(bool stream) const override {
    std::string message = R"({"id":"msg_ecso","type":"message","role":"assistant","model":)";
    detail::JsonOut{message}.string(model_);
    message += R"(,"content":[],"stop_reason":)";
    constexpr std::string_view usage = R"(,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}})";
    if (!stream) return message.append("\"end_turn\"").append(usage);
    message.append("null").append(usage);
    AnthropicEvents events;
    events.event("message_start", R"({"type":"message_start","message":)" + message + "}");
    events.event(
        "message_delta",
        R"({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":0}})");
    events.event("message_stop", R"({"type":"message_stop"})");
    return std::move(events).text();
  }

  [[nodiscard]] std::string error_body(int status, std::string_view code, std::string_view message) const override {
    return anthropic_error_body(status, code, message);
  }

  [[nodiscard]] std::string error_event(int status, std::string_view code, std::string_view message) const override {
    AnthropicEvents events;
    events.event("error", anthropic_error_body(status, code, message));
    return std::move(events).text();
  }

 private:
  /// A message of the client's.
  struct ClientTurn {
    detail::JsonValue message;
    std::size_t first_image;  ///< How many images stand before it.
    std::size_t images;
  };

  void read_options(detail::JsonValue root, const JsonPath& path) {
    const auto is_given = [](detail::JsonValue value) { return value && !value.is_null(); };
    if (const auto model = root["model"]; is_given(model)) {
      if (!model.is_string()) (path / "model").refuse("must be a string");
      model_ = model.text();
    }
    if (const auto stream = root["stream"]; is_given(stream)) {
      if (!stream.is_boolean()) (path / "stream").refuse("must be true or false");
      stream_ = *stream.boolean();
    }
  }

  void read_turns(detail::JsonValue root, const JsonPath& path, ClientContext& context) {
    AnthropicTurns reader{images_, context};
    if (const auto system = root["system"]; system && !system.is_null()) {
      conversation_.messages.push_back(reader.system(system, path / "system"));
    }
    const detail::JsonValue messages = root["messages"];
    const JsonPath messages_path = path / "messages";
    if (!messages.is_array()) messages_path.refuse(messages ? "must be an array" : "is missing");
    for (const detail::JsonValue message : messages.items()) {
      const std::size_t first_image = images_.size();
      conversation_.messages.push_back(reader.turn(message, messages_path / turns_.size()));
      turns_.push_back({message, first_image, images_.size() - first_image});
    }
    take_prefill();
    if (turns_.empty()) messages_path.refuse("no turn of the user");
    say_something(conversation_.messages.back());
  }

  /// Takes the assistant's turns at the end out of the conversation; they have no images.
  void take_prefill() {
    while (!turns_.empty() && conversation_.messages.back().role == Role::assistant) {
      std::string text = conversation_.messages.back().text();
      append_line(text, prefill_);
      prefill_ = std::move(text);
      conversation_.messages.pop_back();
      turns_.pop_back();
    }
  }

  /// A query needs words.
  static void say_something(Message& query) {
    const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
    if (!detail::is_blank(query.text())) return;
    std::erase_if(query.parts, is_text);
    query.parts.emplace_back(query.parts.empty() ? "(no words)" : "(no words, only the image)");
  }

  static bool is_result(detail::JsonValue block) { return block["type"].text() == "tool_result"; }

  void write_without_images(detail::Spliced& json, const ClientTurn& turn, std::string_view text, bool is_last) const {
    if (turn.images == 0 && !is_last) {
      json.range(turn.message.raw());
      return;
    }
    json.raw(R"({"role":"user","content":)");
    if (std::ranges::any_of(turn.message["content"].items(), is_result)) {
      write_results(json, turn, text, is_last);
    } else {
      json.string(text);
    }
    json.raw("}");
  }

  /// Blocks of which some are results of tools: an image becomes the words that `close_eyes` has for one; in the last turn,
  /// `text` stands for all but the results.
  static void write_results(detail::Spliced& json, const ClientTurn& turn, std::string_view text, bool is_last) {
    std::size_t image = turn.first_image;
    std::string_view before = "[";
    for (const detail::JsonValue block : turn.message["content"].items()) {
      const std::string type = block["type"].text();
      if (type == "image") ++image;
      if (is_last && type != "tool_result") continue;
      json.raw(std::exchange(before, ","));
      if (type == "tool_result") {
        write_result(json, block, image);
      } else if (type == "image") {
        write_image_words(json, image);
      } else {
        json.range(block.raw());
      }
    }
    if (is_last) json.raw(R"(,{"type":"text","text":)").string(text).raw("}");
    json.raw("]");
  }

  static void write_image_words(detail::Spliced& json, std::size_t image) {
    json.raw(R"({"type":"text","text":"[image )" + std::to_string(image) + "]\"}");
  }

  static void write_result(detail::Spliced& json, detail::JsonValue result, std::size_t& image) {
    std::string storage;
    std::string_view before = "{";
    for (const detail::JsonMember& member : result.members()) {
      json.raw(std::exchange(before, ",")).range(member.key.raw()).raw(":");
      if (member.key.text(storage) != "content" || !member.value.is_array()) {
        json.range(member.value.raw());
        continue;
      }
      std::string_view between = "[";
      for (const detail::JsonValue block : member.value.items()) {
        json.raw(std::exchange(between, ","));
        if (block["type"].text() == "image") {
          write_image_words(json, ++image);
        } else {
          json.range(block.raw());
        }
      }
      json.raw(member.value.size() == 0 ? "[]" : "]");
    }
    json.raw("}");
  }

  /// The members with a comma before each. A temperature beyond the API's range of 0 to 1 becomes the nearest that it has; a seed
  /// it does not have.
  static void write_sampling(detail::Spliced& json, const Sampling& sampling, const OpenAiDialect& dialect) {
    const auto write = [&](std::string_view name, const auto& value) {
      if (is_taken(dialect, name)) return;
      json.raw(",\"").raw(name).raw("\":").with(value);
    };
    if (sampling.max_tokens) write("max_tokens", [&](detail::JsonOut& out) { out.number(*sampling.max_tokens); });
    if (sampling.temperature) {
      const double temperature = *sampling.temperature;
      write("temperature", [&](detail::JsonOut& out) {
        out.number(std::isfinite(temperature) ? std::clamp(temperature, 0.0, 1.0) : temperature);
      });
    }
    if (sampling.top_p) write("top_p", [&](detail::JsonOut& out) { out.number(*sampling.top_p); });
    if (!sampling.stop.empty()) write("stop_sequences", [&](detail::JsonOut& out) { out.strings(sampling.stop); });
  }

  /// Whether the dialect leaves a member out or has its own.
  [[nodiscard]] static bool is_taken(const OpenAiDialect& dialect, std::string_view name) {
    if (dialect.extra.is_object() && dialect.extra.contains(name)) return true;
    if (name == "max_tokens") return false;  // the API wants one
    const std::string_view other = name == "stop_sequences" ? "stop" : name;
    return std::ranges::any_of(dialect.omit, [&](const std::string& left_out) { return left_out == name || left_out == other; });
  }

  template <typename Request>
  [[nodiscard]] detail::Spliced asked_json(const Request& request, const OpenAiDialect& dialect) const {
    CallOptions options = request.options;
    if (!options.sampling.max_tokens) options.sampling.max_tokens = AnthropicDialect{}.max_tokens;
    const std::string_view model = options.model.empty() ? std::string_view{model_} : options.model;
    detail::Spliced json;
    json.raw("{");
    if (!model.empty() && !is_taken(dialect, "model")) json.raw("\"model\":").string(model).raw(",");
    if (!is_taken(dialect, "system")) write_system(json, detail::messages_of(request));
    std::string_view before = "\"messages\":[";
    for (const auto& message : detail::messages_of(request)) {
      if (message.role == Role::system) continue;
      json.raw(std::exchange(before, ",")).raw(R"({"role":")").raw(to_string(message.role)).raw(R"(","content":)");
      write_turn(json, message);
      json.raw("}");
    }
    json.raw("]");
    write_sampling(json, options.sampling, dialect);
    if (asks_for_verdict(options.step) && !is_taken(dialect, "thinking")) json.raw(R"(,"thinking":{"type":"disabled"})");
    if (const std::string extra = detail::extra_members(dialect.extra); !extra.empty()) json.raw(",").raw(extra);
    return std::move(json.raw("}"));
  }

  template <typename Messages>
  static void write_system(detail::Spliced& json, const Messages& messages) {
    std::string system;
    std::string storage;
    for (const auto& message : messages) {
      if (message.role != Role::system) continue;
      const std::string_view text = detail::text_in(message, storage);
      if (!system.empty() && !text.empty()) system += "\n\n";
      system += text;
    }
    if (!system.empty()) json.raw("\"system\":").string(system).raw(",");
  }

  static void write_turn(detail::Spliced& json, const TextMessage& message) { json.string(message.text); }

  void write_turn(detail::Spliced& json, const Message& message) const {
    std::string_view before = "[";
    for (const Part& part : message.parts) {
      const auto* text = std::get_if<std::string>(&part);
      if (text != nullptr && text->empty()) continue;  // the API refuses an empty text
      json.raw(std::exchange(before, ","));
      if (text != nullptr) {
        json.raw(R"({"type":"text","text":)").string(*text).raw("}");
      } else {
        json.range(images_.part_of(std::get<Image>(part)));
      }
    }
    json.raw(before == "[" ? "[]" : "]");
  }

  std::string_view body_;
  detail::JsonText json_;
  ClientImages images_;
  Conversation conversation_;
  std::vector<ClientTurn> turns_;  ///< As the client sent them, without those of the prefill.
  std::string model_;
  std::string prefill_;
  bool stream_ = false;
};

}  // namespace ecso::gateway
