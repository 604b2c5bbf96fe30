#pragma once

/// Ollama's own chat API as bytes: requests out, replies and errors in. Pure: no sockets, clocks or threads.
/// Source: Ollama API documentation, "Generate a chat completion"; its ChatRequest and ChatResponse.

#include <ecso/backend/framing.hpp>
#include <ecso/backend/openai_fallback.hpp>
#include <ecso/backend/openai_request.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// What Ollama is told beside the request itself.
///
/// A choice is forced by a JSON schema, so the word that is drawn stands behind a quote: not the likeliest one of those that the
/// model would say, whose log-probabilities then contradict it. A request gets the one or the other.
struct OllamaDialect {
  /// Whether a model that can think does so before it answers, which costs tokens of the answer's limit. Not set: the server's
  /// way, which is that it does.
  std::optional<bool> think = false;
  std::optional<bool> check_thinks = false;  ///< The same of checks, whose verdict is one word.
  int num_ctx = 0;  ///< The context's size in tokens; 0: the server's, which may be too small for an image and a long answer.
  /// How long the model stays in memory after a call; negative: for ever. Not set: the server's 5 minutes.
  std::optional<std::chrono::seconds> keep_alive = std::nullopt;
  /// A JSON object, or null for none: more members of `options`, in place of ours of the same name.
  nlohmann::ordered_json model_options = nullptr;
  bool logprobs = true;       ///< Asks for log-probabilities where a request wants them: 0.12.11 and later; older ones ignore it.
  bool choices = true;        ///< Forces `CallOptions::choices`, but for requests whose log-probabilities are asked for.
  bool thinks_first = false;  ///< Whether checks need room for thoughts (`give_room_to_think`), as some did when asked.

  bool operator==(const OllamaDialect&) const = default;
};

/// How the reply to a request is to come.
struct OllamaDelivery {
  bool stream = false;  ///< Piece by piece, one JSON a line.
};

/// Whether a request's answer is held to its choices.
[[nodiscard]] inline bool forces_choice(const CallOptions& options, const OllamaDialect& dialect) noexcept {
  return !options.choices.empty() && dialect.choices && !(options.top_logprobs > 0 && dialect.logprobs);
}

namespace detail {

/// Writes a request whose parts it refers to.
class OllamaWriter {
 public:
  OllamaWriter(const CallOptions& options, const OllamaDialect& dialect, std::string_view model, const OllamaDelivery& delivery)
      : options_{options},
        dialect_{dialect},
        model_{options.model.empty() ? model : std::string_view{options.model}},
        delivery_{delivery},
        model_options_{extra_members(dialect.model_options)} {}

  template <typename Messages>
  void write(JsonOut& out, const Messages& messages) const {
    out.raw("{\"model\":").string(model_).raw(",\"messages\":[");
    for (const auto& message : messages) {
      out.raw(&message == &messages.front() ? R"({"role":")" : R"(,{"role":")").raw(to_string(message.role)).raw("\"");
      write_turn(out, message);
      out.raw("}");
    }
    write_end(out);
  }

  /// What follows the messages.
  void write_end(JsonOut& out) const {
    // Silence is no way to say that a prompt was too long: a check could lose the very answer that it is about.
    out.raw(R"(],"truncate":false,"shift":false,"stream":)").raw(delivery_.stream ? "true" : "false");
    const std::optional<bool> think = asks_for_verdict(options_.step) ? dialect_.check_thinks : dialect_.think;
    if (think) out.raw(",\"think\":").raw(*think ? "true" : "false");
    if (dialect_.keep_alive) out.raw(",\"keep_alive\":").number(dialect_.keep_alive->count());
    const bool wants_logprobs = options_.top_logprobs > 0 && dialect_.logprobs;
    if (wants_logprobs) out.raw(R"(,"logprobs":true,"top_logprobs":)").number(std::min(options_.top_logprobs, 20));
    if (forces_choice(options_, dialect_)) out.raw(R"(,"format":{"type":"string","enum":)").strings(options_.choices).raw("}");
    out.raw(",\"options\":{");
    write_model_options(out);
    out.raw("}}");
  }

 private:
  static void write_turn(JsonOut& out, const TextMessage& message) { out.raw(",\"content\":").string(message.text); }

  static void write_turn(JsonOut& out, const Message& message) {
    std::string_view before = ",\"images\":[\"";
    for (const Part& part : message.parts) {
      const auto* image = std::get_if<Image>(&part);
      if (image == nullptr) continue;
      out.raw(before).raw(image->base64());
      before = "\",\"";
    }
    if (before.starts_with("\",")) out.raw("\"]");
    std::string storage;
    out.raw(",\"content\":").string(message.text(storage));
  }

  void write_model_options(JsonOut& out) const {
    std::string_view comma;
    const auto begin = [&](std::string_view field) {
      if (dialect_.model_options.is_object() && dialect_.model_options.contains(field)) return false;
      out.raw(comma).raw("\"").raw(field).raw("\":");
      comma = ",";
      return true;
    };
    const Sampling& sampling = options_.sampling;
    constexpr std::uint64_t int32_bits = 0x7FFF'FFFF;
    if (sampling.temperature && begin("temperature")) out.number(*sampling.temperature);
    if (sampling.top_p && begin("top_p")) out.number(*sampling.top_p);
    if (sampling.max_tokens && begin("num_predict")) out.number(*sampling.max_tokens);
    if (sampling.seed && begin("seed")) out.number(*sampling.seed & int32_bits);
    if (!sampling.stop.empty() && begin("stop")) out.strings(sampling.stop);
    if (dialect_.num_ctx > 0 && begin("num_ctx")) out.number(dialect_.num_ctx);
    if (!model_options_.empty()) out.raw(comma).raw(model_options_);
  }

  const CallOptions& options_;
  const OllamaDialect& dialect_;
  std::string_view model_;
  OllamaDelivery delivery_;
  std::string model_options_;
};

template <typename Request>
[[nodiscard]] std::string ollama_request_body(const Request& request, const OllamaDialect& dialect, std::string_view model,
                                              const OllamaDelivery& delivery) {
  // The server takes this for a wish to load the model.
  if (messages_of(request).empty()) throw Error{Errc::bad_input, "the conversation has no message"};
  const OllamaWriter writer{request.options, dialect, model, delivery};
  return written_json([&](JsonOut& out) { writer.write(out, messages_of(request)); });
}

[[nodiscard]] inline FinishReason ollama_finish_reason(const Json& json) {
  const std::string_view name = text_of(json);
  if (name.empty()) return FinishReason::unknown;
  if (name == "stop") return FinishReason::stop;
  if (name == "length") return FinishReason::length;
  return FinishReason::other;
}

[[nodiscard]] inline TokenLogprob ollama_logprob(const Json& json) {
  return {std::string{text_of(member(json, "token"))}, logprob_of(member(json, "logprob"))};
}

/// Puts a reply together from one message or from the pieces of a stream, which have the same shape.
class OllamaReader {
 public:
  explicit OllamaReader(Secret key) : key_{std::move(key)} {}

  /// The text that is new. @throws as `parse_server_json`.
  [[nodiscard]] std::string take(std::string_view message) {
    const Json json = parse_server_json(message, key_);
    if (reply_.model.empty()) reply_.model = text_of(member(json, "model"));
    take_logprobs(member(json, "logprobs"));
    if (const Json& done = member(json, "done"); done.is_boolean() && done.get<bool>()) {
      is_done_ = true;
      reply_.finish_reason = ollama_finish_reason(member(json, "done_reason"));
      reply_.usage = {.prompt_tokens = count_of(member(json, "prompt_eval_count")),
                      .cached_tokens = 0,
                      .completion_tokens = count_of(member(json, "eval_count"))};
    }
    const Json& said = member(json, "message");
    if (const Json& calls = member(said, "tool_calls"); calls.is_array() && !calls.empty()) calls_tool_ = true;
    has_thoughts_ = has_thoughts_ || !text_of(member(said, "thinking")).empty();
    std::string text{text_of(member(said, "content"))};
    reply_.text += text;
    return text;
  }

  [[nodiscard]] bool is_done() const noexcept { return is_done_; }

  /// @throws Error (bad_reply) if the answer is not at its end, or empty.
  [[nodiscard]] Reply finish() && { return require_text(std::move(*this).whole()); }

  /// The same, but the text may be empty.
  [[nodiscard]] Reply whole() && {
    if (!is_done_) {
      throw Error{Errc::bad_reply,
                  "the reply ended before the answer did, after " + std::to_string(reply_.text.size()) + " bytes of its text"};
    }
    reply_.counts = {.prompt = reply_.usage.prompt_tokens, .text = has_thoughts_ ? 0 : reply_.usage.completion_tokens};
    if (calls_tool_) reply_.finish_reason = FinishReason::other;
    return std::move(reply_);
  }

 private:
  void take_logprobs(const Json& tokens) {
    if (!tokens.is_array()) return;
    for (const Json& item : tokens) {
      TokenLogprob token = ollama_logprob(item);
      TokenLogprobs entry{std::move(token.token), token.logprob, {}};
      const Json& top = member(item, "top_logprobs");
      if (top.is_array()) std::ranges::transform(top, std::back_inserter(entry.top), ollama_logprob);
      reply_.logprobs.push_back(std::move(entry));
    }
  }

  Secret key_;
  Reply reply_;
  bool has_thoughts_ = false;
  bool calls_tool_ = false;
  bool is_done_ = false;
};

}  // namespace detail

/// The body of a POST to `…/api/chat`: model, messages, options, so that requests about the same image begin alike. A turn's
/// images become a list of bare base64 beside its text. Ollama puts them before the text, in their order, whatever the order
/// of the parts was; only where the text itself says "[img]", an image takes its place. A prompt that is longer than the context
/// is to be refused, not cut. Choices become a JSON schema, and the reply a JSON string; see `ollama_choice`. Of a seed, the
/// low 31 bits are sent. The body is allocated once, at its size.
/// @param model used where the request names none.
/// @throws Error (bad_input) if a text is not UTF-8, a number is not finite, there is no message, or the dialect's model options
/// are not usable.
[[nodiscard]] inline std::string ollama_request_body(const VisionRequest& request, const OllamaDialect& dialect = {},
                                                     std::string_view model = {}, const OllamaDelivery& delivery = {}) {
  return detail::ollama_request_body(request, dialect, model, delivery);
}

/// The same for a request without images.
[[nodiscard]] inline std::string ollama_request_body(const TextRequest& request, const OllamaDialect& dialect = {},
                                                     std::string_view model = {}, const OllamaDelivery& delivery = {}) {
  return detail::ollama_request_body(request, dialect, model, delivery);
}

/// The dialect to try after a server refused a request: without the optional field that its message names. Nothing if the error
/// is not about one that was sent. Pure.
/// @param options of the request that was refused.
[[nodiscard]] inline std::optional<OllamaDialect> ollama_fallback(const OllamaDialect& dialect, const CallOptions& options,
                                                                  const Error& error) {
  if (!may_be_about_fields(error)) return std::nullopt;
  const auto is_named = [&](std::string_view field) { return detail::names_field(error.message(), field); };
  OllamaDialect plainer = dialect;
  if (options.top_logprobs > 0 && dialect.logprobs && (is_named("logprobs") || is_named("top_logprobs"))) {
    plainer.logprobs = false;
    return plainer;
  }
  if (forces_choice(options, dialect) && is_named("format")) {
    plainer.choices = false;
    return plainer;
  }
  std::optional<bool>& think = asks_for_verdict(options.step) ? plainer.check_thinks : plainer.think;
  if (!think || !(is_named("think") || is_named("thinking"))) return std::nullopt;
  think.reset();
  return plainer;
}

/// Reads the body of a successful response: the message's text without its thoughts, and all that goes with it. The API does not
/// say how many tokens came from the cache. What is missing or of a wrong type beside the text is left at its default.
/// @param key is taken out of what error messages quote.
/// @throws Error `bad_reply` if it is not JSON, does not say that it is done, or its text is empty; `server_error` if it is an
/// error in spite of its status.
[[nodiscard]] inline Reply parse_ollama_reply(std::string_view body, const Secret& key = {}) {
  detail::OllamaReader reader{key};
  static_cast<void>(reader.take(body));
  return std::move(reader).finish();
}

/// Reads a streamed reply, one JSON a line, from bytes cut anywhere. Not thread safe.
class OllamaStream {
 public:
  /// @param key is taken out of what error messages quote.
  explicit OllamaStream(Secret key = {}) : reader_{std::move(key)} {}

  /// Calls `on_text(piece)` for each piece of the text.
  /// @throws Error `bad_reply` for a line that is not JSON, `server_error` for an error in mid-stream; and what `on_text` throws.
  template <typename OnText>
  void feed(std::string_view bytes, const OnText& on_text) {
    framing_.feed(bytes, [&](std::string_view line) { take(line, on_text); });
  }

  /// True once the server has said that the reply is complete: what comes after does not matter.
  [[nodiscard]] bool is_complete() const noexcept { return reader_.is_done(); }

  /// The reply, at the end of the stream. The last line may lack its end if there is no text in it.
  /// @throws Error as `feed`, and `bad_reply` if the stream ended before its `done`, or if the text is empty.
  [[nodiscard]] Reply finish() && {
    framing_.finish([&](std::string_view line) {
      take(line, [](std::string_view) { throw Error{Errc::bad_reply, "the stream ended inside a line"}; });
    });
    return std::move(reader_).finish();
  }

 private:
  template <typename OnText>
  void take(std::string_view line, const OnText& on_text) {
    if (reader_.is_done() || line.find_first_not_of(" \t\r") == line.npos) return;
    const std::string text = reader_.take(line);
    if (!text.empty()) on_text(std::string_view{text});
  }

  LineFraming framing_;
  detail::OllamaReader reader_;
};

/// The choice in the text of a reply to a request with choices, which is a JSON string; any other text stays as it is.
[[nodiscard]] inline std::string ollama_choice(std::string text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos || text[first] != '"') return text;
  const detail::Json json = detail::Json::parse(text, nullptr, false);
  const std::string_view choice = detail::text_of(json);
  return choice.empty() ? text : std::string{choice};
}

}  // namespace ecso
