#pragma once

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/choice_grammar.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ecso {

/// How the reply to a request is to come.
struct OpenAiDelivery {
  bool stream = false;                     ///< Piece by piece, as server-sent events, with the usage at the end.
  std::optional<int> slot = std::nullopt;  ///< The server's slot to use, where the dialect has them.
};

namespace detail {

inline void write_text_parts(JsonOut& out, const std::vector<Part>& parts) {
  out.raw("\"");
  for (const Part& part : parts) out.raw(&part == &parts.front() ? "" : "\\n").escaped(std::get<std::string>(part));
  out.raw("\"");
}

inline void write_image(JsonOut& out, const Image& image) {
  out.raw(R"({"type":"image_url","image_url":{"url":"data:)").raw(to_string(image.media_type()));
  out.raw(";base64,").raw(image.base64()).raw("\"}}");
}

inline void write_content(JsonOut& out, const Message& message) {
  const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
  if (std::ranges::all_of(message.parts, is_text)) return write_text_parts(out, message.parts);
  out.raw("[");
  for (const Part& part : message.parts) {
    if (&part != &message.parts.front()) out.raw(",");
    if (const auto* image = std::get_if<Image>(&part)) {
      write_image(out, *image);
    } else {
      out.raw(R"({"type":"text","text":)").string(std::get<std::string>(part)).raw("}");
    }
  }
  out.raw("]");
}

inline void write_content(JsonOut& out, const TextMessage& message) { out.string(message.text); }

inline const std::vector<Message>& messages_of(const VisionRequest& request) { return request.conversation.messages; }
inline const std::vector<TextMessage>& messages_of(const TextRequest& request) { return request.conversation.messages(); }

/// The members of `extra` without the braces.
[[nodiscard]] inline std::string extra_members(const nlohmann::ordered_json& extra) {
  if (extra.is_null()) return {};
  if (!extra.is_object()) throw Error{Errc::bad_input, "the extra fields of a request are not a JSON object"};
  if (extra.contains("messages")) throw Error{Errc::bad_input, "the extra fields of a request cannot replace its messages"};
  try {
    const std::string object = extra.dump();
    return object.substr(1, object.size() - 2);
  } catch (const nlohmann::json::exception&) {
    throw Error{Errc::bad_input, "the extra fields of a request hold a text that is not UTF-8"};
  }
}

/// The members after the messages.
class OptionsWriter {
 public:
  /// @param model that is asked; empty: the server's own.
  OptionsWriter(const CallOptions& options, const OpenAiDialect& dialect, std::string_view model, const OpenAiDelivery& delivery)
      : options_{options}, dialect_{dialect}, effort_{dialect.reasoning_effort}, delivery_{delivery} {
    if (effort_.empty()) effort_ = least_reasoning_effort(model);
    if (dialect.choices == ChoiceStyle::grammar && !options.choices.empty()) grammar_ = choice_grammar(options.choices);
    extra_ = extra_members(dialect.extra);
  }

  [[nodiscard]] bool is_replaced(std::string_view field) const {
    return dialect_.extra.is_object() && dialect_.extra.contains(field);
  }

  void write(JsonOut& out) const {
    const Sampling& sampling = options_.sampling;
    if (sampling.temperature && begin(out, "temperature")) out.number(*sampling.temperature);
    if (sampling.top_p && begin(out, "top_p")) out.number(*sampling.top_p);
    if (sampling.max_tokens && begin(out, token_limit())) out.number(*sampling.max_tokens);
    if (sampling.seed && begin(out, "seed")) out.number(*sampling.seed);
    if (!sampling.stop.empty() && begin(out, "stop")) out.strings(sampling.stop);
    if (options_.top_logprobs > 0 && dialect_.logprobs == LogprobStyle::top_logprobs) {
      if (begin(out, "logprobs")) out.raw("true");
      if (begin(out, "top_logprobs")) out.number(options_.top_logprobs);
    }
    if (!options_.choices.empty()) write_choices(out);
    if (asks_for_verdict(options_.step) && dialect_.thinking == ThinkingSwitch::enable_thinking) {
      if (begin(out, "chat_template_kwargs")) out.raw(R"({"enable_thinking":false})");
    }
    if (asks_for_verdict(options_.step) && dialect_.thinking == ThinkingSwitch::reasoning_effort && !effort_.empty()) {
      if (begin(out, "reasoning_effort")) out.string(effort_);
    }
    if (asks_for_verdict(options_.step) && dialect_.cutting == CutSwitch::transforms && begin(out, "transforms")) out.raw("[]");
    if (delivery_.stream) {
      if (begin(out, "stream")) out.raw("true");
      if (begin(out, "stream_options")) out.raw(R"({"include_usage":true})");
    }
    if (delivery_.slot && dialect_.slots == SlotStyle::id_slot && begin(out, "id_slot")) out.number(*delivery_.slot);
    if (!extra_.empty()) out.raw(",").raw(extra_);
  }

 private:
  [[nodiscard]] std::string_view token_limit() const {
    return dialect_.token_limit == TokenLimitField::max_tokens ? "max_tokens" : "max_completion_tokens";
  }

  [[nodiscard]] bool begin(JsonOut& out, std::string_view field) const {
    if (is_replaced(field) || std::ranges::find(dialect_.omit, field) != dialect_.omit.end()) return false;
    out.raw(",\"").raw(field).raw("\":");
    return true;
  }

  void write_choices(JsonOut& out) const {
    switch (dialect_.choices) {
      case ChoiceStyle::none:
      case ChoiceStyle::format: return;
      case ChoiceStyle::grammar:
        if (begin(out, "grammar")) out.string(grammar_);
        return;
      case ChoiceStyle::structured_outputs:
        if (begin(out, "structured_outputs")) out.raw(R"({"choice":)").strings(options_.choices).raw("}");
        return;
      case ChoiceStyle::guided_choice:
        if (begin(out, "guided_choice")) out.strings(options_.choices);
        return;
      case ChoiceStyle::regex:
        if (begin(out, "regex")) out.string(choice_regex(options_.choices));
        return;
      case ChoiceStyle::response_format:
        if (!begin(out, "response_format")) return;
        out.raw(R"({"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":{"type":"object",)");
        out.raw(R"("properties":{"answer":{"type":"string","enum":)").strings(options_.choices);
        out.raw(R"(}},"required":["answer"],"additionalProperties":false}}})");
        return;
    }
  }

  const CallOptions& options_;
  const OpenAiDialect& dialect_;
  std::string_view effort_;
  const OpenAiDelivery& delivery_;
  std::string grammar_;
  std::string extra_;
};

template <typename Request>
void write_request(JsonOut& out, const Request& request, std::string_view model, const OptionsWriter& options) {
  out.raw("{");
  if (!model.empty() && !options.is_replaced("model")) out.raw("\"model\":").string(model).raw(",");
  out.raw("\"messages\":[");
  const auto& messages = messages_of(request);
  for (const auto& message : messages) {
    out.raw(&message == &messages.front() ? R"({"role":")" : R"(,{"role":")").raw(to_string(message.role)).raw(R"(","content":)");
    write_content(out, message);
    out.raw("}");
  }
  out.raw("]");
  options.write(out);
  out.raw("}");
}

template <typename Request>
[[nodiscard]] std::string openai_request_body(const Request& request, const OpenAiDialect& dialect, std::string_view model,
                                              const OpenAiDelivery& delivery) {
  if (messages_of(request).empty()) throw Error{Errc::bad_input, "the conversation has no message"};
  if (!request.options.model.empty()) model = request.options.model;
  const OptionsWriter options{request.options, dialect, model, delivery};
  return written_json([&](JsonOut& out) { write_request(out, request, model, options); });
}

}  // namespace detail

/// The body of a POST to `…/chat/completions` (OpenAI API reference, "Create chat completion"): model, messages, options, so that
/// requests about the same image begin alike. Images become data URIs, in the order of the parts; a turn of texts alone becomes
/// one string. The body is allocated once, at its size.
/// @param model used where the request names none; the field is left out if both are empty.
/// @param delivery whether and where the server shall stream.
/// @throws Error (bad_input) if a text is not UTF-8, a number is not finite, there is no message, or the dialect's extra fields
/// are not usable.
[[nodiscard]] inline std::string openai_request_body(const VisionRequest& request, const OpenAiDialect& dialect = {},
                                                     std::string_view model = {}, const OpenAiDelivery& delivery = {}) {
  return detail::openai_request_body(request, dialect, model, delivery);
}

/// The same for a request without images.
[[nodiscard]] inline std::string openai_request_body(const TextRequest& request, const OpenAiDialect& dialect = {},
                                                     std::string_view model = {}, const OpenAiDelivery& delivery = {}) {
  return detail::openai_request_body(request, dialect, model, delivery);
}

}  // namespace ecso
