#pragma once

/// Gemini's generateContent as bytes: requests out, replies and errors in. Pure: no sockets, clocks or threads.
/// Source: Gemini API reference, "Generating content" (models.generateContent, models.streamGenerateContent), v1beta.

#include <ecso/backend/framing.hpp>
#include <ecso/backend/openai_fallback.hpp>
#include <ecso/backend/openai_request.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// What Gemini is told beside the request itself.
struct GeminiDialect {
  bool logprobs = false;      ///< Asks for log-probabilities where a request wants them. Most models refuse.
  bool choices = true;        ///< Forces `CallOptions::choices` by an enumeration as response schema.
  bool no_thoughts = true;    ///< Gives the thoughts of checks a budget of 0 tokens. Some models refuse.
  bool thinks_first = false;  ///< Whether checks need room for thoughts (`give_room_to_think`), as some did when asked.
  /// A JSON object, or null for none: more members of `generationConfig`, in place of ours of the same name. A model that thinks
  /// needs some here where answers are to be short, as its thoughts count against the limit of tokens:
  /// `{{"thinkingConfig", {{"thinkingBudget", 0}}}}`.
  nlohmann::ordered_json generation_config = nullptr;
  /// A JSON object, or null for none: more members of the request, such as `safetySettings`. It cannot replace ours.
  nlohmann::ordered_json extra = nullptr;

  bool operator==(const GeminiDialect&) const = default;
};

namespace detail {

/// The name of a role; system turns have a place of their own.
[[nodiscard]] constexpr std::string_view gemini_role(Role role) noexcept { return role == Role::assistant ? "model" : "user"; }

/// Writes a request whose parts it refers to.
class GeminiWriter {
 public:
  GeminiWriter(const CallOptions& options, const GeminiDialect& dialect)
      : options_{options},
        dialect_{dialect},
        config_{extra_members(dialect.generation_config)},
        extra_{extra_members(dialect.extra)} {
    for (const char* ours : {"contents", "systemInstruction", "system_instruction", "generationConfig", "generation_config"}) {
      if (!dialect.extra.is_object() || !dialect.extra.contains(ours)) continue;
      throw Error{Errc::bad_input, "the extra fields of a request cannot replace its " + std::string{ours}};
    }
  }

  template <typename Messages>
  void write(JsonOut& out, const Messages& messages) const {
    out.raw("{");
    write_system(out, messages);
    out.raw("\"contents\":[");
    bool is_first = true;
    for (const auto& message : messages) {
      if (message.role == Role::system) continue;
      out.raw(is_first ? R"({"role":")" : R"(,{"role":")").raw(gemini_role(message.role)).raw(R"(","parts":[)");
      write_parts(out, message);
      out.raw("]}");
      is_first = false;
    }
    out.raw("],\"generationConfig\":{");
    write_config(out);
    out.raw("}");
    if (!extra_.empty()) out.raw(",").raw(extra_);
    out.raw("}");
  }

 private:
  template <typename Messages>
  static void write_system(JsonOut& out, const Messages& messages) {
    bool is_first = true;
    for (const auto& message : messages) {
      if (message.role != Role::system) continue;
      out.raw(is_first ? R"("systemInstruction":{"parts":[)" : ",");
      write_parts(out, message);
      is_first = false;
    }
    if (!is_first) out.raw("]},");
  }

  static void write_parts(JsonOut& out, const TextMessage& message) { out.raw("{\"text\":").string(message.text).raw("}"); }

  static void write_parts(JsonOut& out, const Message& message) {
    const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
    if (std::ranges::all_of(message.parts, is_text)) {
      out.raw("{\"text\":");
      write_text_parts(out, message.parts);
      out.raw("}");
      return;
    }
    std::string_view comma;
    for (const Part& part : message.parts) {
      const auto* text = std::get_if<std::string>(&part);
      if (text != nullptr && text->empty()) continue;  // the API refuses an empty text
      out.raw(comma);
      comma = ",";
      if (text != nullptr) {
        out.raw("{\"text\":").string(*text).raw("}");
      } else {
        const auto& image = std::get<Image>(part);
        out.raw(R"({"inlineData":{"mimeType":")").raw(to_string(image.media_type()));
        out.raw(R"(","data":")").raw(image.base64()).raw("\"}}");
      }
    }
  }

  void write_config(JsonOut& out) const {
    std::string_view comma;
    const auto begin = [&](std::string_view field) {
      if (dialect_.generation_config.is_object() && dialect_.generation_config.contains(field)) return false;
      out.raw(comma).raw("\"").raw(field).raw("\":");
      comma = ",";
      return true;
    };
    const Sampling& sampling = options_.sampling;
    constexpr std::uint64_t int32_bits = 0x7FFF'FFFF;
    if (sampling.temperature && begin("temperature")) out.number(*sampling.temperature);
    if (sampling.top_p && begin("topP")) out.number(*sampling.top_p);
    if (sampling.max_tokens && begin("maxOutputTokens")) out.number(*sampling.max_tokens);
    if (sampling.seed && begin("seed")) out.number(*sampling.seed & int32_bits);
    if (!sampling.stop.empty() && begin("stopSequences")) out.strings(sampling.stop);
    if (options_.top_logprobs > 0 && dialect_.logprobs) {
      if (begin("responseLogprobs")) out.raw("true");
      if (begin("logprobs")) out.number(std::min(options_.top_logprobs, 20));
    }
    if (!options_.choices.empty() && dialect_.choices) {
      if (begin("responseMimeType")) out.raw("\"text/x.enum\"");
      if (begin("responseSchema")) out.raw(R"({"type":"STRING","enum":)").strings(options_.choices).raw("}");
    }
    if (asks_for_verdict(options_.step) && dialect_.no_thoughts && begin("thinkingConfig")) out.raw(R"({"thinkingBudget":0})");
    if (!config_.empty()) out.raw(comma).raw(config_);
  }

  const CallOptions& options_;
  const GeminiDialect& dialect_;
  std::string config_;
  std::string extra_;
};

inline void check_gemini_images(const VisionRequest& request) {
  for (const Message& message : request.conversation.messages) {
    for (const Part& part : message.parts) {
      const auto* image = std::get_if<Image>(&part);
      if (image == nullptr) continue;
      if (message.role == Role::system) throw Error{Errc::unsupported, "Gemini takes no image in a system turn"};
      const MediaType type = image->media_type();
      if (type == MediaType::png || type == MediaType::jpeg || type == MediaType::webp) continue;
      throw Error{Errc::unsupported, "Gemini takes PNG, JPEG and WebP images, not " + std::string{to_string(type)}};
    }
  }
}
inline void check_gemini_images(const TextRequest&) {}

template <typename Request>
[[nodiscard]] std::string gemini_request_body(const Request& request, const GeminiDialect& dialect) {
  const auto is_turn = [](const auto& message) { return message.role != Role::system; };
  if (std::ranges::none_of(messages_of(request), is_turn)) {
    throw Error{Errc::bad_input, "the conversation has no message but system turns"};
  }
  check_gemini_images(request);
  const GeminiWriter writer{request.options, dialect};
  return written_json([&](JsonOut& out) { writer.write(out, messages_of(request)); });
}

[[nodiscard]] constexpr Errc errc_of_gemini(std::string_view status) noexcept {
  if (status == "INVALID_ARGUMENT" || status == "FAILED_PRECONDITION") return Errc::bad_request;
  if (status == "UNAUTHENTICATED" || status == "PERMISSION_DENIED") return Errc::unauthorized;
  if (status == "NOT_FOUND") return Errc::not_found;
  if (status == "RESOURCE_EXHAUSTED") return Errc::rate_limited;
  if (status == "DEADLINE_EXCEEDED") return Errc::timeout;
  if (status == "UNAVAILABLE") return Errc::unavailable;
  return Errc::server_error;
}

/// As `parse_server_json`, but an error is what its status says.
[[nodiscard]] inline Json parse_gemini_json(std::string_view text, const Secret& key) {
  try {
    return parse_server_json(text, key);
  } catch (const Error& error) {
    if (error.code() != Errc::server_error) throw;
    const auto json = parse_known_members(text);
    throw Error{errc_of_gemini(text_of(member(member(*json, "error"), "status"))), error.message()};
  }
}

[[nodiscard]] inline FinishReason gemini_finish_reason(std::string_view name) {
  constexpr std::string_view filters[] = {"SAFETY", "RECITATION",   "PROHIBITED_CONTENT",       "BLOCKLIST",
                                          "SPII",   "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"};
  if (name.empty() || name == "FINISH_REASON_UNSPECIFIED") return FinishReason::unknown;
  if (name == "STOP") return FinishReason::stop;
  if (name == "MAX_TOKENS" || name == "CONTINUATION") return FinishReason::length;
  if (std::ranges::find(filters, name) != std::ranges::end(filters)) return FinishReason::content_filter;
  return FinishReason::other;
}

[[nodiscard]] inline TokenLogprob gemini_logprob(const Json& candidate) {
  return {std::string{text_of(member(candidate, "token"))}, logprob_of(member(candidate, "logProbability"))};
}

/// Puts a reply together from one message or from the pieces of a stream, which have the same shape.
class GeminiReader {
 public:
  explicit GeminiReader(Secret key) : key_{std::move(key)} {}

  /// The text that is new. @throws Error (bad_reply) if the prompt was blocked.
  [[nodiscard]] std::string take(const Json& json) {
    const std::string_view block = text_of(member(member(json, "promptFeedback"), "blockReason"));
    if (!block.empty()) throw Error{Errc::bad_reply, "the server's filter blocked the prompt: " + excerpt_of(block, key_)};
    if (const std::string_view model = text_of(member(json, "modelVersion")); !model.empty()) reply_.model = model;
    if (const Json& usage = member(json, "usageMetadata"); usage.is_object()) take_usage(usage);
    const Json& candidates = member(json, "candidates");
    if (!candidates.is_array() || candidates.empty()) return {};
    const Json& candidate = candidates.front();
    has_candidate_ = true;
    if (const std::string_view reason = text_of(member(candidate, "finishReason")); !reason.empty()) {
      reason_ = reason;
      reply_.finish_reason = gemini_finish_reason(reason);
    }
    take_logprobs(member(candidate, "logprobsResult"));
    std::string text;
    const Json& parts = member(member(candidate, "content"), "parts");
    if (parts.is_array()) {
      for (const Json& part : parts) {
        if (const Json& thought = member(part, "thought"); thought.is_boolean() && thought.get<bool>()) continue;
        text += text_of(member(part, "text"));
      }
    }
    reply_.text += text;
    return text;
  }

  [[nodiscard]] bool has_candidate() const noexcept { return has_candidate_; }
  [[nodiscard]] const Reply& reply() const noexcept { return reply_; }

  /// @throws Error (bad_reply) if there is no text though it was not cut, which says why.
  [[nodiscard]] Reply finish() && {
    const bool may_be_empty = reply_.finish_reason == FinishReason::length;
    if (!reply_.text.empty() || may_be_empty || reason_.empty()) return require_text(std::move(reply_));
    std::string message = "empty content (finish reason: " + excerpt_of(reason_, key_) + ")";
    if (thoughts_ > 0) message += " after " + std::to_string(thoughts_) + " tokens of thoughts";
    throw Error{Errc::bad_reply, std::move(message)};
  }

 private:
  // Each piece of a stream counts from the start.
  void take_usage(const Json& usage) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 2;  // two of them are added
    thoughts_ = std::min(count_of(member(usage, "thoughtsTokenCount")), most);
    reply_.usage = {.prompt_tokens = count_of(member(usage, "promptTokenCount")),
                    .cached_tokens = count_of(member(usage, "cachedContentTokenCount")),
                    .completion_tokens = std::min(count_of(member(usage, "candidatesTokenCount")), most) + thoughts_};
  }

  void take_logprobs(const Json& result) {
    const Json& chosen = member(result, "chosenCandidates");
    const Json& top = member(result, "topCandidates");
    if (!chosen.is_array()) return;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      TokenLogprob token = gemini_logprob(chosen[i]);
      TokenLogprobs entry{std::move(token.token), token.logprob, {}};
      if (top.is_array() && i < top.size()) {
        const Json& others = member(top[i], "candidates");
        if (others.is_array()) std::ranges::transform(others, std::back_inserter(entry.top), gemini_logprob);
      }
      reply_.logprobs.push_back(std::move(entry));
    }
  }

  Secret key_;
  Reply reply_;
  std::string reason_;
  std::int64_t thoughts_ = 0;
  bool has_candidate_ = false;
};

}  // namespace detail

/// The path of a model below the API's version: "/models/gemini-2.5-flash" for "gemini-2.5-flash"; a name with a slash, such as
/// "tunedModels/mine", stays as it is.
/// @throws Error (bad_input) if the name is empty or has a character that has a meaning in a URL.
[[nodiscard]] inline std::string gemini_model_path(std::string_view model) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view{"._-/:@"}.find(c) != std::string_view::npos;
  };
  if (model.empty()) throw Error{Errc::bad_input, "no model is named, neither by the request nor by the backend"};
  const bool climbs = model.find("..") != model.npos || model.find("./") != model.npos || model.find("//") != model.npos;
  if (!std::ranges::all_of(model, is_plain) || climbs || model.starts_with('/') || model.ends_with('/')) {
    throw Error{Errc::bad_input, "the model's name cannot stand in a URL: letters, digits and . _ - / : @ can"};
  }
  return (model.find('/') == model.npos ? "/models/" : "/") + std::string{model};
}

/// The body of a POST to `…:generateContent` or `…:streamGenerateContent`, so that requests about the same image begin alike.
/// Images become inline data, in the order of the parts. The API has one place for system turns, before all others: their
/// texts go there wherever they stand, each as a part. Of a seed, the low 31 bits are sent, as the API has no more. The body is
/// allocated once, at its size.
/// @throws Error `bad_input` if a text is not UTF-8, a number is not finite, there is no turn beside system turns, or the
/// dialect's objects are not usable; `unsupported` for an image that is neither PNG nor JPEG nor WebP, and for one in a system
/// turn.
[[nodiscard]] inline std::string gemini_request_body(const VisionRequest& request, const GeminiDialect& dialect = {}) {
  return detail::gemini_request_body(request, dialect);
}

/// The same for a request without images.
[[nodiscard]] inline std::string gemini_request_body(const TextRequest& request, const GeminiDialect& dialect = {}) {
  return detail::gemini_request_body(request, dialect);
}

/// The dialect to try after a server refused a request: without log-probabilities, forced choices or the thoughts' budget, if
/// they were sent and the message names them. Nothing if the error is about something else. Pure.
/// @param options of the request that was refused.
[[nodiscard]] inline std::optional<GeminiDialect> gemini_fallback(const GeminiDialect& dialect, const CallOptions& options,
                                                                  const Error& error) {
  if (!may_be_about_fields(error)) return std::nullopt;
  const std::string message = detail::lower_ascii(error.message());
  const auto is_named = [&](std::string_view field) { return detail::names_field(message, field); };
  GeminiDialect plainer = dialect;
  if (options.top_logprobs > 0 && dialect.logprobs &&
      (is_named("logprobs") || is_named("responselogprobs") || is_named("response_logprobs"))) {
    plainer.logprobs = false;
    return plainer;
  }
  if (asks_for_verdict(options.step) && dialect.no_thoughts) {
    for (const std::string_view word :
         {"thinkingconfig", "thinkingbudget", "thinking_config", "thinking_budget", "thinking", "budget"}) {
      if (!is_named(word)) continue;
      plainer.no_thoughts = false;
      return plainer;
    }
  }
  if (options.choices.empty() || !dialect.choices) return std::nullopt;
  for (const std::string_view field : {"response_mime_type", "responsemimetype", "response_schema", "responseschema", "enum"}) {
    if (!is_named(field)) continue;
    plainer.choices = false;
    return plainer;
  }
  return std::nullopt;
}

/// Reads the body of a successful response: the first candidate's text without its thoughts, and all that goes with it. Thoughts
/// count as generated tokens. What is missing or of a wrong type beside the text is left at its default.
/// @param key is taken out of what error messages quote.
/// @throws Error `bad_reply` if it is not JSON, the prompt was blocked, there is no candidate, or its text is empty; if it is an
/// error in spite of its status, what the error's own status says: `UNAVAILABLE` is `unavailable`, `RESOURCE_EXHAUSTED`
/// `rate_limited`, an unknown one `server_error`.
[[nodiscard]] inline Reply parse_gemini_reply(std::string_view body, const Secret& key = {}) {
  detail::GeminiReader reader{key};
  static_cast<void>(reader.take(detail::parse_gemini_json(body, key)));
  if (!reader.has_candidate()) throw Error{Errc::bad_reply, "no candidates in the reply: " + detail::excerpt_of(body, key)};
  return std::move(reader).finish();
}

/// Reads a streamed reply (`alt=sse`) from bytes cut anywhere. Not thread safe.
class GeminiStream {
 public:
  /// @param key is taken out of what error messages quote.
  explicit GeminiStream(Secret key = {}) : key_{key}, reader_{std::move(key)} {}

  /// Calls `on_text(piece)` for each piece of the text.
  /// @throws Error `bad_reply` for an event that is not JSON, or if the prompt was blocked; for an error in mid-stream, what its
  /// status says (see `parse_gemini_reply`); and what `on_text` throws.
  template <typename OnText>
  void feed(std::string_view bytes, const OnText& on_text) {
    framing_.feed(bytes, [&](std::string_view, std::string_view data) {
      const std::string text = reader_.take(detail::parse_gemini_json(data, key_));
      if (!text.empty()) on_text(std::string_view{text});
    });
  }

  /// Never true: the format has no end of its own, and some models give a finish reason in each piece.
  [[nodiscard]] bool is_complete() const noexcept { return false; }

  /// The reply, at the end of the stream.
  /// @throws Error (bad_reply) if no finish reason came, or if the text is empty.
  [[nodiscard]] Reply finish() && {
    if (reader_.reply().finish_reason == FinishReason::unknown) {
      throw Error{Errc::bad_reply, "the stream ended before the answer did, after " +
                                       std::to_string(reader_.reply().text.size()) + " bytes of its text"};
    }
    return std::move(reader_).finish();
  }

 private:
  Secret key_;
  SseFraming framing_;
  detail::GeminiReader reader_;
};

}  // namespace ecso
