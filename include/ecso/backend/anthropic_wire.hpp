#pragma once

/// Anthropic's Messages API as bytes: requests out, replies and errors in. Pure: no sockets, clocks or threads.
/// Source: Anthropic API reference, "Messages", version 2023-06-01.

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
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace ecso {

/// What a server of the Messages API is told beside the request itself.
struct AnthropicDialect {
  int max_tokens = 4096;  ///< Used where a request sets no limit, as the API wants one.
  /// Marks the end of the images for the server's prompt cache, so that answer and check read them once. Writing to the cache
  /// costs a quarter more than reading anew, finding them there a tenth of it.
  bool cache_images = true;
  bool sampling = true;       ///< Sends temperature and top_p. Newer models refuse them.
  bool no_thoughts = true;    ///< Tells checks' models not to think, also where `extra` has them think. Some refuse that.
  bool thinks_first = false;  ///< Whether checks need room for thoughts (`give_room_to_think`), as some did when asked.
  /// A JSON object, or null for none. Its members go at the end of each request, and in place of one of the same name; it cannot
  /// replace the messages.
  nlohmann::ordered_json extra = nullptr;

  bool operator==(const AnthropicDialect&) const = default;
};

/// How the reply to a request is to come.
struct AnthropicDelivery {
  bool stream = false;  ///< Piece by piece, as server-sent events.
};

namespace detail {

inline std::string_view text_in(const Message& message, std::string& storage) { return message.text(storage); }
inline std::string_view text_in(const TextMessage& message, std::string&) { return message.text; }

inline const Image* last_image_of(const VisionRequest& request) {
  const Image* last = nullptr;
  for (const Message& message : request.conversation.messages) {
    for (const Part& part : message.parts) {
      if (const auto* image = std::get_if<Image>(&part)) last = image;
    }
  }
  return last;
}
inline const Image* last_image_of(const TextRequest&) { return nullptr; }

/// Writes a request whose parts it refers to.
class AnthropicWriter {
 public:
  AnthropicWriter(const CallOptions& options, const AnthropicDialect& dialect, std::string_view model,
                  const AnthropicDelivery& delivery)
      : options_{options},
        dialect_{dialect},
        model_{options.model.empty() ? model : std::string_view{options.model}},
        delivery_{delivery},
        thoughts_{asks_for_verdict(options.step) && dialect.no_thoughts ? Thoughts::off : Thoughts::as_they_come},
        extra_{extra_members(thoughts_ == Thoughts::off ? without_thinking(dialect.extra) : dialect.extra)} {}

  template <typename Request>
  void write(JsonOut& out, const Request& request) const {
    out.raw("{");
    if (!is_replaced("model")) out.raw("\"model\":").string(model_).raw(",");
    if (!is_replaced("system")) write_system(out, messages_of(request));
    out.raw("\"messages\":[");
    const Image* marked = dialect_.cache_images ? last_image_of(request) : nullptr;
    bool is_first = true;
    for (const auto& message : messages_of(request)) {
      if (message.role == Role::system) continue;
      out.raw(is_first ? R"({"role":")" : R"(,{"role":")").raw(to_string(message.role)).raw(R"(","content":)");
      write_turn(out, message, marked);
      out.raw("}");
      is_first = false;
    }
    out.raw("]");
    write_options(out);
    out.raw("}");
  }

 private:
  enum class Thoughts { as_they_come, off };

  [[nodiscard]] static nlohmann::ordered_json without_thinking(nlohmann::ordered_json extra) {
    if (extra.is_object()) extra.erase("thinking");
    return extra;
  }

  [[nodiscard]] bool is_replaced(std::string_view field) const {
    return dialect_.extra.is_object() && dialect_.extra.contains(field);
  }

  [[nodiscard]] bool begin(JsonOut& out, std::string_view field) const {
    if (is_replaced(field)) return false;
    out.raw(",\"").raw(field).raw("\":");
    return true;
  }

  template <typename Messages>
  static void write_system(JsonOut& out, const Messages& messages) {
    std::string storage;
    bool is_first = true;
    for (const auto& message : messages) {
      if (message.role != Role::system) continue;
      const std::string_view text = text_in(message, storage);
      if (text.empty()) continue;
      out.raw(is_first ? R"("system":")" : R"(\n\n)").escaped(text);
      is_first = false;
    }
    if (!is_first) out.raw("\",");
  }

  static void write_turn(JsonOut& out, const TextMessage& message, const Image*) { out.string(message.text); }

  static void write_turn(JsonOut& out, const Message& message, const Image* marked) {
    const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
    if (std::ranges::all_of(message.parts, is_text)) return write_text_parts(out, message.parts);
    bool is_first = true;
    for (const Part& part : message.parts) {
      const auto* text = std::get_if<std::string>(&part);
      if (text != nullptr && text->empty()) continue;  // the API refuses an empty text
      out.raw(is_first ? "[" : ",");
      is_first = false;
      if (text != nullptr) {
        out.raw(R"({"type":"text","text":)").string(*text).raw("}");
      } else {
        const auto& image = std::get<Image>(part);
        out.raw(R"({"type":"image","source":{"type":"base64","media_type":")").raw(to_string(image.media_type()));
        out.raw(R"(","data":")").raw(image.base64()).raw("\"}");
        out.raw(&image == marked ? R"(,"cache_control":{"type":"ephemeral"}})" : "}");
      }
    }
    out.raw("]");
  }

  void write_options(JsonOut& out) const {
    const Sampling& sampling = options_.sampling;
    if (begin(out, "max_tokens")) out.number(sampling.max_tokens.value_or(dialect_.max_tokens));
    if (dialect_.sampling) {
      if (sampling.temperature && begin(out, "temperature")) {
        const double temperature = *sampling.temperature;
        out.number(std::isfinite(temperature) ? std::clamp(temperature, 0.0, 1.0) : temperature);
      }
      if (sampling.top_p && begin(out, "top_p")) out.number(*sampling.top_p);
    }
    if (!sampling.stop.empty() && begin(out, "stop_sequences")) out.strings(sampling.stop);
    if (delivery_.stream && begin(out, "stream")) out.raw("true");
    if (thoughts_ == Thoughts::off) out.raw(R"(,"thinking":{"type":"disabled"})");
    if (!extra_.empty()) out.raw(",").raw(extra_);
  }

  const CallOptions& options_;
  const AnthropicDialect& dialect_;
  std::string_view model_;
  AnthropicDelivery delivery_;
  Thoughts thoughts_;
  std::string extra_;
};

inline void check_anthropic_images(const VisionRequest& request) {
  for (const Message& message : request.conversation.messages) {
    for (const Part& part : message.parts) {
      const auto* image = std::get_if<Image>(&part);
      if (image == nullptr) continue;
      if (message.role == Role::system) throw Error{Errc::unsupported, "the Messages API takes no image in a system turn"};
      if (image->media_type() == MediaType::bmp) {
        throw Error{Errc::unsupported, "the Messages API takes PNG, JPEG, GIF and WebP images, not image/bmp"};
      }
    }
  }
}
inline void check_anthropic_images(const TextRequest&) {}

template <typename Request>
[[nodiscard]] std::string anthropic_request_body(const Request& request, const AnthropicDialect& dialect, std::string_view model,
                                                 const AnthropicDelivery& delivery) {
  const auto is_turn = [](const auto& message) { return message.role != Role::system; };
  if (std::ranges::none_of(messages_of(request), is_turn)) {
    throw Error{Errc::bad_input, "the conversation has no message but system turns"};
  }
  check_anthropic_images(request);
  const AnthropicWriter writer{request.options, dialect, model, delivery};
  return written_json([&](JsonOut& out) { writer.write(out, request); });
}

[[nodiscard]] constexpr Errc errc_of_anthropic(std::string_view type) noexcept {
  if (type == "invalid_request_error" || type == "billing_error") return Errc::bad_request;
  if (type == "authentication_error" || type == "permission_error") return Errc::unauthorized;
  if (type == "not_found_error") return Errc::not_found;
  if (type == "request_too_large") return Errc::too_large;
  if (type == "rate_limit_error") return Errc::rate_limited;
  if (type == "timeout_error") return Errc::timeout;
  if (type == "overloaded_error") return Errc::unavailable;
  return Errc::server_error;
}

/// As `parse_server_json`, but an error is what its type says.
[[nodiscard]] inline Json parse_anthropic_json(std::string_view text, const Secret& key) {
  try {
    return parse_server_json(text, key);
  } catch (const Error& error) {
    if (error.code() != Errc::server_error) throw;
    const auto json = parse_known_members(text);
    throw Error{errc_of_anthropic(text_of(member(member(*json, "error"), "type"))), error.message()};
  }
}

[[nodiscard]] inline FinishReason anthropic_finish_reason(const Json& json) {
  const std::string_view name = text_of(json);
  if (name.empty()) return FinishReason::unknown;
  if (name == "end_turn" || name == "stop_sequence") return FinishReason::stop;
  if (name == "max_tokens" || name == "model_context_window_exceeded") return FinishReason::length;
  if (name == "refusal") return FinishReason::content_filter;
  return FinishReason::other;
}

/// The token counts of a reply. A stream gives some at its start and some at its end, which replace those before.
class AnthropicUsage {
 public:
  void take(const Json& usage) {
    take(member(usage, "input_tokens"), input_);
    take(member(usage, "cache_read_input_tokens"), cache_read_);
    take(member(usage, "cache_creation_input_tokens"), cache_creation_);
    take(member(usage, "output_tokens"), output_);
  }

  [[nodiscard]] Usage usage() const noexcept {
    return {.prompt_tokens = input_ + cache_read_ + cache_creation_, .cached_tokens = cache_read_, .completion_tokens = output_};
  }

 private:
  static void take(const Json& count, std::int64_t& value) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 3;  // three of them are added
    if (count.is_number()) value = std::min(count_of(count), most);
  }

  std::int64_t input_ = 0;
  std::int64_t cache_read_ = 0;
  std::int64_t cache_creation_ = 0;
  std::int64_t output_ = 0;
};

}  // namespace detail

/// The body of a POST to `…/v1/messages`: model, system, messages, options, so that requests about the same image begin alike.
/// Images become base64 blocks, in the order of the parts; a turn of texts alone becomes one string. The API has one place for
/// system turns, before all others: their texts go there wherever they stand, with an empty line between two. A temperature
/// beyond the API's range of 0 to 1 becomes the nearest that it has. Seed, choices and log-probabilities, which it does not
/// have, are left out. The body is allocated once, at its size.
/// @param model used where the request names none.
/// @throws Error `bad_input` if a text is not UTF-8, a number is not finite, there is no turn beside system turns, or the extra
/// fields are not usable; `unsupported` for a BMP image, and for an image in a system turn.
[[nodiscard]] inline std::string anthropic_request_body(const VisionRequest& request, const AnthropicDialect& dialect = {},
                                                        std::string_view model = {}, const AnthropicDelivery& delivery = {}) {
  return detail::anthropic_request_body(request, dialect, model, delivery);
}

/// The same for a request without images.
[[nodiscard]] inline std::string anthropic_request_body(const TextRequest& request, const AnthropicDialect& dialect = {},
                                                        std::string_view model = {}, const AnthropicDelivery& delivery = {}) {
  return detail::anthropic_request_body(request, dialect, model, delivery);
}

/// The dialect to try after a server refused a request: without temperature and top_p, or without the word on thinking, if it
/// was sent and the message names it. Nothing if the error is about something else. Pure.
/// @param options of the request that was refused.
[[nodiscard]] inline std::optional<AnthropicDialect> anthropic_fallback(const AnthropicDialect& dialect,
                                                                        const CallOptions& options, const Error& error) {
  if (!may_be_about_fields(error)) return std::nullopt;
  if (asks_for_verdict(options.step) && dialect.no_thoughts && detail::names_field(error.message(), "thinking")) {
    AnthropicDialect plainer = dialect;
    plainer.no_thoughts = false;
    return plainer;
  }
  if (!dialect.sampling) return std::nullopt;
  const Sampling& sampling = options.sampling;
  const bool is_about_sampling = (sampling.temperature && detail::names_field(error.message(), "temperature")) ||
                                 (sampling.top_p && detail::names_field(error.message(), "top_p"));
  if (!is_about_sampling) return std::nullopt;
  AnthropicDialect plainer = dialect;
  plainer.sampling = false;
  return plainer;
}

/// Reads the body of a successful response: its text blocks, and all that goes with them; thoughts and tool calls are passed
/// over. The prompt's tokens are those read anew, written to the cache and found in it. What is missing or of a wrong type beside
/// the text is left at its default.
/// @param key is taken out of what error messages quote.
/// @throws Error `bad_reply` if it is not JSON, has no content, or its text is empty; if it is an error in spite of its status,
/// what the error's type says: `overloaded_error` is `unavailable`, `rate_limit_error` `rate_limited`, an unknown type
/// `server_error`.
[[nodiscard]] inline Reply parse_anthropic_reply(std::string_view body, const Secret& key = {}) {
  const detail::Json json = detail::parse_anthropic_json(body, key);
  const detail::Json& content = detail::member(json, "content");
  if (!content.is_array()) throw Error{Errc::bad_reply, "no content in the reply: " + detail::excerpt_of(body, key)};
  Reply reply;
  for (const detail::Json& block : content) {
    if (detail::text_of(detail::member(block, "type")) == "text") reply.text += detail::text_of(detail::member(block, "text"));
  }
  reply.finish_reason = detail::anthropic_finish_reason(detail::member(json, "stop_reason"));
  detail::AnthropicUsage usage;
  usage.take(detail::member(json, "usage"));
  reply.usage = usage.usage();
  reply.model = detail::text_of(detail::member(json, "model"));
  return detail::require_text(std::move(reply));
}

/// Reads a streamed message ("Streaming messages") from bytes cut anywhere. Not thread safe.
class AnthropicStream {
 public:
  /// @param key is taken out of what error messages quote.
  explicit AnthropicStream(Secret key = {}) : key_{std::move(key)} {}

  /// Calls `on_text(piece)` for each piece of the text.
  /// @throws Error `bad_reply` for an event that is not JSON; for an error in mid-stream, what its type says (see
  /// `parse_anthropic_reply`); and what `on_text` throws.
  template <typename OnText>
  void feed(std::string_view bytes, const OnText& on_text) {
    framing_.feed(bytes, [&](std::string_view, std::string_view data) { take(data, on_text); });
  }

  /// True once the server has said that the reply is complete: what comes after does not matter.
  [[nodiscard]] bool is_complete() const noexcept { return is_done_; }

  /// The reply, at the end of the stream.
  /// @throws Error (bad_reply) if the stream ended before its `message_stop`, or if the text is empty.
  [[nodiscard]] Reply finish() && {
    if (!is_done_) {
      throw Error{Errc::bad_reply,
                  "the stream ended before the answer did, after " + std::to_string(reply_.text.size()) + " bytes of its text"};
    }
    reply_.usage = usage_.usage();
    return detail::require_text(std::move(reply_));
  }

 private:
  template <typename OnText>
  void take(std::string_view data, const OnText& on_text) {
    if (is_done_) return;
    const detail::Json json = detail::parse_anthropic_json(data, key_);
    const std::string_view type = detail::text_of(detail::member(json, "type"));
    if (type == "message_start") {
      const detail::Json& message = detail::member(json, "message");
      reply_.model = detail::text_of(detail::member(message, "model"));
      usage_.take(detail::member(message, "usage"));
    } else if (type == "content_block_start") {
      add(detail::member(json, "content_block"), "text", on_text);
    } else if (type == "content_block_delta") {
      add(detail::member(json, "delta"), "text_delta", on_text);
    } else if (type == "message_delta") {
      reply_.finish_reason = detail::anthropic_finish_reason(detail::member(detail::member(json, "delta"), "stop_reason"));
      usage_.take(detail::member(json, "usage"));
    } else if (type == "message_stop") {
      is_done_ = true;
    }
  }

  template <typename OnText>
  void add(const detail::Json& block, std::string_view type, const OnText& on_text) {
    if (detail::text_of(detail::member(block, "type")) != type) return;
    const std::string_view text = detail::text_of(detail::member(block, "text"));
    if (text.empty()) return;
    reply_.text += text;
    on_text(text);
  }

  Secret key_;
  SseFraming framing_;
  Reply reply_;
  detail::AnthropicUsage usage_;
  bool is_done_ = false;
};

}  // namespace ecso
