#pragma once

#include <ecso/backend/openai_request.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/spliced.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/client_context.hpp>
#include <ecso/gateway/client_images.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/json_path.hpp>
#include <ecso/gateway/openai_answer.hpp>
#include <ecso/gateway/openai_answer_stream.hpp>
#include <ecso/gateway/openai_turns.hpp>
#include <ecso/gateway/own_calls.hpp>
#include <ecso/gateway/readable.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::gateway {

/// A chat completions request (OpenAI API reference, "Create chat completion"). Not thread safe.
class OpenAiChat final : public ClientChat {
 public:
  /// @param owner keeps `body` alive.
  /// @throws Error (bad_input) that names the JSON path of what is wrong or could not be checked.
  OpenAiChat(std::shared_ptr<const void> owner, std::string_view body, const ChatLimits& limits)
      : body_{body}, json_{body, {.max_depth = limits.max_depth}}, images_{std::move(owner), limits} {
    const detail::JsonValue root = json_.root();
    const JsonPath path;
    if (!root.is_object()) path.refuse("the body must be a JSON object");
    require_exact_names(root, {"messages", "model", "stream", "stream_options", "n", "modalities"}, path);
    require_exact_names(root["stream_options"], {"include_usage"}, path / "stream_options");
    read_options(root, path, limits);
    ClientContext context;
    context.add_options(root, {"messages", "modalities", "n", "stream"}, path);
    read_messages(root["messages"], path / "messages", context);
    conversation_.context = std::move(context).text();
  }

  [[nodiscard]] const Conversation& conversation() const noexcept override { return conversation_; }
  [[nodiscard]] std::string_view model() const noexcept override { return model_; }
  [[nodiscard]] bool stream() const noexcept override { return stream_; }
  [[nodiscard]] std::size_t choices() const noexcept override { return choices_; }
  [[nodiscard]] std::string_view prefill() const noexcept override { return prefill_; }
  [[nodiscard]] std::string_view path() const noexcept override { return "/chat/completions"; }

  using ClientChat::answer;
  [[nodiscard]] bool tells_tokens() const noexcept override { return wants_usage_; }

  /// `stream_options` are left out with a stream that is not wanted, as servers refuse them then.
  [[nodiscard]] detail::Spliced answer(std::optional<bool> stream, TokenReport tokens) const override {
    detail::Spliced json;
    const bool streams = stream.value_or(stream_);
    const bool adds_usage = streams && tokens == TokenReport::always && !wants_usage_;
    if (streams == stream_ && !adds_usage) return std::move(json.range(body_));
    MemberWriter out{json};
    bool is_said = false;
    std::string storage;
    for (const detail::JsonMember& member : json_.root().members()) {
      const std::string_view name = member.key.text(storage);
      if (name == "stream_options" && (!streams || adds_usage)) continue;
      if (name == "stream") is_said = true;
      out.key(member.key.raw()).range(name == "stream" ? bool_json(streams) : member.value.raw());
    }
    if (!is_said && streams != stream_) out.key("\"stream\"").raw(bool_json(streams));
    if (adds_usage) write_usage_wish(out.key("\"stream_options\""));
    json.raw("}");
    return json;
  }

  /// A sampling option that `request` sets replaces the client's; one that it does not set stays as the client has it, so a
  /// policy's defaults are best not set in it. Turns without an image but the last go on as they came. What the client has put
  /// into the assistant's mouth is left out, as the answer begins anew.
  [[nodiscard]] detail::Spliced regenerate(const TextRequest& request) const override {
    std::vector<Field> fields = fields_of(request.options);
    detail::Spliced json;
    MemberWriter out{json};
    std::string storage;
    for (const detail::JsonMember& member : json_.root().members()) {
      const std::string_view name = member.key.text(storage);
      if (std::ranges::find(own_members, name) != std::ranges::end(own_members)) continue;
      out.key(member.key.raw());
      const auto field = std::ranges::find(fields, name, &Field::name);
      if (name == "messages") {
        write_text_messages(json, request.conversation.messages());
      } else if (field != fields.end()) {
        json.raw(field->json);
        fields.erase(field);
      } else {
        json.range(member.value.raw());
      }
    }
    for (const Field& field : fields) out.key("\"" + std::string{field.name} + "\"").raw(field.json);
    json.raw("}");
    return json;
  }

  [[nodiscard]] detail::Spliced ask(const ModelRequest& request, const OpenAiDialect& dialect) const override {
    const CallOptions& options = options_of(request);
    if (own_calls_of(*this, options.step, dialect) == OwnCalls::ollama_chat)
      return OwnCallWriter{model_, images_}.ollama(request, dialect);
    return asked_json(request, dialect, options.model.empty() ? model_ : options.model);
  }

  [[nodiscard]] detail::Spliced ask_elsewhere(const ModelRequest& request, const OpenAiDialect& dialect) const override {
    if (dialect.own_calls == OwnCalls::ollama_chat) return OwnCallWriter{{}, images_}.ollama(request, dialect);
    return asked_json(request, dialect, options_of(request).model);
  }

  [[nodiscard]] std::unique_ptr<UpstreamAnswer> reader(bool stream) const override {
    if (!stream) return std::make_unique<OpenAiAnswer>(choices_);
    return std::make_unique<OpenAiStreamAnswer>(choices_, wants_usage_ ? UsageChunk::due : UsageChunk::stays);
  }

  [[nodiscard]] std::string blank_answer(bool stream) const override {
    const std::string_view kind = stream ? "chat.completion.chunk" : "chat.completion";
    std::string json =
        R"({"id":"chatcmpl-ecso","object":")" + std::string{kind} + R"(","created":0,"model":)" + openai_string(model_);
    for (std::size_t i = 0; i < choices_; ++i) {
      json.append(i == 0 ? ",\"choices\":[{\"index\":" : ",{\"index\":").append(std::to_string(i));
      json.append(stream ? ",\"delta\":" : ",\"message\":").append(R"({"role":"assistant","content":""})");
      json.append(R"(,"logprobs":null,"finish_reason":"stop"})");
    }
    json += "]";
    if (!stream) json += R"(,"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0})";
    json += "}";
    return stream ? "data: " + json + "\n\ndata: [DONE]\n\n" : json;
  }

  [[nodiscard]] std::string error_body(int, std::string_view code, std::string_view message) const override {
    return openai_error_body(code, message);
  }

  [[nodiscard]] std::string error_event(int, std::string_view code, std::string_view message) const override {
    return "data: " + openai_error_body(code, message) + "\n\n";
  }

 private:
  /// What the eyes-closed answer's request has of its own, or not at all. The last two say how a prefill is meant.
  static constexpr std::string_view own_members[] = {"stream", "stream_options", "n", "continue_final_message",
                                                     "add_generation_prompt"};

  /// A member that replaces the client's.
  struct Field {
    std::string_view name;
    std::string json;
  };

  /// Writes the members of an object but for its closing brace.
  class MemberWriter {
   public:
    explicit MemberWriter(detail::Spliced& json) : json_{json} {}

    /// @param key with its quotes.
    detail::Spliced& key(std::string_view key) { return json_.raw(std::exchange(before_, ",")).raw(key).raw(":"); }

   private:
    detail::Spliced& json_;
    std::string_view before_ = "{";
  };

  struct ClientMessage {
    detail::JsonValue json;
    bool has_image = false;
    std::size_t turn = 0;  ///< Of the conversation.
  };

  /// The client's stream options, and the usage.
  void write_usage_wish(detail::Spliced& json) const {
    json.raw(R"({"include_usage":true)");
    std::string storage;
    for (const detail::JsonMember& member : json_.root()["stream_options"].members()) {
      if (member.key.text(storage) == "include_usage") continue;
      json.raw(",").range(member.key.raw()).raw(":").range(member.value.raw());
    }
    json.raw("}");
  }

  [[nodiscard]] static std::string_view bool_json(bool value) noexcept { return value ? "true" : "false"; }

  void read_options(detail::JsonValue root, const JsonPath& path, const ChatLimits& limits) {
    const auto is_given = [](detail::JsonValue value) { return value && !value.is_null(); };
    if (const auto model = root["model"]; is_given(model)) {
      if (!model.is_string()) (path / "model").refuse("must be a string");
      model_ = model.text();
    }
    if (const auto stream = root["stream"]; is_given(stream)) {
      if (!stream.is_boolean()) (path / "stream").refuse("must be true or false");
      stream_ = *stream.boolean();
    }
    if (const auto n = root["n"]; is_given(n)) {
      const auto count = n.integer().value_or(0);
      if (count < 1 || std::cmp_greater(count, limits.max_choices)) {
        (path / "n").refuse("must be a whole number from 1 to " + std::to_string(limits.max_choices));
      }
      choices_ = static_cast<std::size_t>(count);
    }
    for (const detail::JsonValue modality : root["modalities"].items()) {
      if (modality.text() != "text") (path / "modalities").refuse("only answers of text can be checked");
    }
    wants_usage_ = root["stream_options"]["include_usage"].boolean().value_or(false);
  }

  void read_messages(detail::JsonValue messages, const JsonPath& path, ClientContext& context) {
    if (!messages.is_array()) path.refuse(messages ? "must be an array" : "is missing");
    OpenAiTurns reader{images_, context};
    std::vector<Message> turns;
    turns.reserve(messages.size());
    messages_.reserve(messages.size());
    for (const detail::JsonValue message : messages.items()) {
      const std::size_t images = images_.size();
      turns.push_back(reader.turn(message, path / turns.size()));
      messages_.push_back({message, images_.size() != images});
    }
    take_prefill(turns, path);
    const auto last = std::ranges::find(turns.rbegin(), turns.rend(), Role::user, &Message::role);
    if (last == turns.rend()) path.refuse("no turn of the user");
    // The protocol's last turn is the query: what the system said behind it comes before.
    std::rotate(last.base() - 1, last.base(), turns.end());
    const auto query = static_cast<std::size_t>(last.base() - turns.begin()) - 1;
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      messages_[i].turn = i < query ? i : i == query ? messages_.size() - 1 : i - 1;
    }
    conversation_.messages = std::move(turns);
    if (detail::is_blank(query_of(conversation_))) {
      const bool has_image = messages_[query].has_image;
      conversation_.messages.back().parts.emplace_back(has_image ? "(no words, only the image)" : "(no words)");
    }
  }

  /// Takes the assistant's turns at the end out of `turns` and `messages_`.
  void take_prefill(std::vector<Message>& turns, const JsonPath& path) {
    while (!turns.empty() && turns.back().role == Role::assistant) {
      if (messages_.back().has_image) (path / (turns.size() - 1)).refuse("images in the assistant's last turn cannot be checked");
      std::string text = turns.back().text();
      append_line(text, prefill_);
      prefill_ = std::move(text);
      turns.pop_back();
      messages_.pop_back();
    }
  }

  [[nodiscard]] std::vector<Field> fields_of(const CallOptions& options) const {
    std::vector<Field> fields;
    const auto set = [&](std::string_view name, const auto& write) {
      std::string json;
      detail::JsonOut out{json};
      write(out);
      fields.push_back({name, std::move(json)});
    };
    const auto set_number = [&](std::string_view name, const auto& value) {
      if (value) set(name, [&](detail::JsonOut& out) { out.number(*value); });
    };
    const Sampling& sampling = options.sampling;
    if (!options.model.empty()) set("model", [&](detail::JsonOut& out) { out.string(options.model); });
    set_number("temperature", sampling.temperature);
    set_number("top_p", sampling.top_p);
    const bool has_new_limit = static_cast<bool>(json_.root()["max_completion_tokens"]);
    if (has_new_limit) set_number("max_completion_tokens", sampling.max_tokens);
    if (!has_new_limit || json_.root()["max_tokens"]) set_number("max_tokens", sampling.max_tokens);
    set_number("seed", sampling.seed);
    if (!sampling.stop.empty()) set("stop", [&](detail::JsonOut& out) { out.strings(sampling.stop); });
    return fields;
  }

  void write_text_messages(detail::Spliced& json, const std::vector<TextMessage>& texts) const {
    if (texts.size() != messages_.size()) {
      throw Error{Errc::internal, "a request with " + std::to_string(texts.size()) + " messages for a chat of " +
                                      std::to_string(messages_.size())};
    }
    std::string_view before = "[";
    for (const ClientMessage& message : messages_) {
      json.raw(std::exchange(before, ","));
      if (!message.has_image && message.turn + 1 != messages_.size()) {
        json.range(message.json.raw());
      } else {
        write_with_text(json, message.json, texts[message.turn].text);
      }
    }
    json.raw("]");
  }

  static void write_with_text(detail::Spliced& json, detail::JsonValue message, std::string_view text) {
    MemberWriter out{json};
    std::string storage;
    for (const detail::JsonMember& member : message.members()) {
      out.key(member.key.raw());
      if (member.key.text(storage) == "content") {
        json.string(text);
      } else {
        json.range(member.value.raw());
      }
    }
    json.raw("}");
  }

  [[nodiscard]] detail::Spliced asked_json(const ModelRequest& request, const OpenAiDialect& dialect,
                                           std::string_view model) const {
    const CallOptions& options = options_of(request);
    const OpenAiDelivery whole{};
    const detail::OptionsWriter writer{options, dialect, model, whole};
    detail::Spliced json;
    json.raw("{");
    if (!model.empty() && !writer.is_replaced("model")) json.raw("\"model\":").string(model).raw(",");
    json.raw("\"messages\":[");
    std::visit([&](const auto& r) { write_asked_messages(json, detail::messages_of(r), options.continues_chat); }, request);
    json.raw("]").with([&](detail::JsonOut& out) { writer.write(out); }).raw("}");
    return json;
  }

  /// @param continues_chat the first turns are the client's, and go on as they came: an upstream finds them in its prefix cache.
  /// Where there are no others, the last part of the last one is added to the client's.
  template <typename Messages>
  void write_asked_messages(detail::Spliced& json, const Messages& messages, bool continues_chat) const {
    std::string_view before;
    if (continues_chat) {
      const bool has_addition = messages.size() == messages_.size();
      for (const ClientMessage& message : messages_) {
        json.raw(std::exchange(before, ","));
        if (has_addition && message.turn + 1 == messages_.size()) {
          write_with_addition(json, message.json, last_text(messages.back()));
        } else {
          json.range(message.json.raw());
        }
      }
    }
    const std::size_t own = continues_chat ? conversation_.messages.size() : 0;
    for (const auto& message : std::span{messages}.subspan(own)) {
      json.raw(std::exchange(before, ",")).raw("{\"role\":\"").raw(to_string(message.role)).raw("\",\"content\":");
      write_asked_content(json, message);
      json.raw("}");
    }
  }

  [[nodiscard]] static std::string_view last_text(const Message& message) {
    const auto* text = message.parts.empty() ? nullptr : std::get_if<std::string>(&message.parts.back());
    if (text == nullptr) throw Error{Errc::internal, "a request that continues the chat adds nothing to it"};
    return *text;
  }
  [[nodiscard]] static std::string_view last_text(const TextMessage&) {
    throw Error{Errc::internal, "a request without images adds nothing to a turn of the chat"};
  }

  /// A message of the client's with one more part at the end of its content.
  static void write_with_addition(detail::Spliced& json, detail::JsonValue message, std::string_view text) {
    MemberWriter out{json};
    std::string storage;
    for (const detail::JsonMember& member : message.members()) {
      out.key(member.key.raw());
      if (member.key.text(storage) != "content") {
        json.range(member.value.raw());
        continue;
      }
      const std::string_view content = member.value.raw();
      if (member.value.is_array()) {
        json.range(content.substr(0, content.size() - 1)).raw(member.value.size() == 0 ? "" : ",");
        json.raw(R"({"type":"text","text":)").string(text).raw("}]");
      } else {
        json.range(content.substr(0, content.size() - 1));
        json.with([&](detail::JsonOut& written) { written.raw("\\n").escaped(text).raw("\""); });
      }
    }
    json.raw("}");
  }

  static void write_asked_content(detail::Spliced& json, const TextMessage& message) { json.string(message.text); }

  void write_asked_content(detail::Spliced& json, const Message& message) const {
    write_completions_content(json, message, [&](const Image& image) { json.range(images_.part_of(image)); });
  }

  std::string_view body_;
  detail::JsonText json_;
  ClientImages images_;
  Conversation conversation_;
  std::vector<ClientMessage> messages_;  ///< As the client sent them, without those of the prefill.
  std::string model_;
  std::string prefill_;
  std::size_t choices_ = 1;
  bool stream_ = false;
  bool wants_usage_ = false;
};

}  // namespace ecso::gateway
