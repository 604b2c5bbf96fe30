#pragma once

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ecso {
namespace detail {

/// Writes JSON twice by the same code: first counting, then into a string of just that size. So the one allocation of a request
/// of many megabytes is exact, and an image's base64 is copied once.
class JsonOut {
 public:
  /// Counts.
  JsonOut() = default;
  /// Writes to `text`.
  explicit JsonOut(std::string& text) : text_{&text} {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Finished JSON.
  JsonOut& raw(std::string_view json) {
    size_ += json.size();
    if (text_ != nullptr) text_->append(json);
    return *this;
  }

  /// A string with its quotes. @throws Error (bad_input) if it is not UTF-8.
  JsonOut& string(std::string_view text) { return raw("\"").escaped(text).raw("\""); }

  /// The inside of a string. @throws Error (bad_input) if it is not UTF-8.
  JsonOut& escaped(std::string_view text) {
    if (text_ == nullptr) {
      const std::size_t wrong = find_invalid_utf8(text);
      if (wrong != text.npos) throw Error{Errc::bad_input, "a text is not UTF-8: wrong at byte " + std::to_string(wrong)};
    }
    while (!text.empty()) {
      const auto stop =
          std::ranges::find_if(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '"' || c == '\\'; });
      const auto plain = static_cast<std::size_t>(stop - text.begin());
      raw(text.substr(0, plain));
      if (plain == text.size()) break;
      escape(text[plain]);
      text.remove_prefix(plain + 1);
    }
    return *this;
  }

  /// @throws Error (bad_input) if it is infinite or not a number.
  template <typename Number>
  JsonOut& number(Number value) {
    if constexpr (std::floating_point<Number>) {
      if (!std::isfinite(value)) throw Error{Errc::bad_input, "a sampling option is infinite or not a number"};
    }
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return raw({digits.data(), static_cast<std::size_t>(end - digits.data())});
  }

  JsonOut& strings(std::span<const std::string> texts) {
    raw("[");
    for (const std::string& text : texts) raw(&text == &texts.front() ? "" : ",").string(text);
    return raw("]");
  }

 private:
  void escape(char c) {
    switch (c) {
      case '"': raw("\\\""); return;
      case '\\': raw("\\\\"); return;
      case '\n': raw("\\n"); return;
      case '\r': raw("\\r"); return;
      case '\t': raw("\\t"); return;
      default: break;
    }
    constexpr std::string_view hex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    const std::array<char, 6> code{'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    raw({code.data(), code.size()});
  }

  std::string* text_ = nullptr;
  std::size_t size_ = 0;
};

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

/// A GBNF grammar that takes just these texts.
[[nodiscard]] inline std::string choice_grammar(std::span<const std::string> choices) {
  std::string grammar = "root ::= ";
  for (const std::string& choice : choices) {
    if (&choice != &choices.front()) grammar += " | ";
    grammar += '"';
    for (const char c : choice) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        grammar.append(1, '\\').append(1, c);
      } else if (byte < ' ' || byte == 0x7F) {
        constexpr std::string_view hex = "0123456789abcdef";
        grammar.append("\\x").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
      } else {
        grammar += c;
      }
    }
    grammar += '"';
  }
  return grammar;
}

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
  OptionsWriter(const CallOptions& options, const OpenAiDialect& dialect) : options_{options}, dialect_{dialect} {
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
    if (!extra_.empty()) out.raw(",").raw(extra_);
  }

 private:
  [[nodiscard]] std::string_view token_limit() const {
    return dialect_.token_limit == TokenLimitField::max_tokens ? "max_tokens" : "max_completion_tokens";
  }

  [[nodiscard]] bool begin(JsonOut& out, std::string_view field) const {
    if (is_replaced(field)) return false;
    out.raw(",\"").raw(field).raw("\":");
    return true;
  }

  void write_choices(JsonOut& out) const {
    switch (dialect_.choices) {
      case ChoiceStyle::none: return;
      case ChoiceStyle::grammar:
        if (begin(out, "grammar")) out.string(grammar_);
        return;
      case ChoiceStyle::structured_outputs:
        if (begin(out, "structured_outputs")) out.raw(R"({"choice":)").strings(options_.choices).raw("}");
        return;
      case ChoiceStyle::guided_choice:
        if (begin(out, "guided_choice")) out.strings(options_.choices);
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
[[nodiscard]] std::string openai_request_body(const Request& request, const OpenAiDialect& dialect, std::string_view model) {
  if (messages_of(request).empty()) throw Error{Errc::bad_input, "the conversation has no message"};
  if (!request.options.model.empty()) model = request.options.model;
  const OptionsWriter options{request.options, dialect};
  JsonOut count;
  write_request(count, request, model, options);
  std::string body;
  body.reserve(count.size());
  JsonOut out{body};
  write_request(out, request, model, options);
  return body;
}

}  // namespace detail

/// The body of a POST to `…/chat/completions` (OpenAI API reference, "Create chat completion"): model, messages, options, so that
/// requests about the same image begin alike. Images become data URIs, in the order of the parts; a turn of texts alone becomes
/// one string. The body is allocated once, at its size.
/// @param model used where the request names none; the field is left out if both are empty.
/// @throws Error (bad_input) if a text is not UTF-8, a number is not finite, there is no message, or the dialect's extra fields
/// are not usable.
[[nodiscard]] inline std::string openai_request_body(const VisionRequest& request, const OpenAiDialect& dialect = {},
                                                     std::string_view model = {}) {
  return detail::openai_request_body(request, dialect, model);
}

/// The same for a request without images.
[[nodiscard]] inline std::string openai_request_body(const TextRequest& request, const OpenAiDialect& dialect = {},
                                                     std::string_view model = {}) {
  return detail::openai_request_body(request, dialect, model);
}

}  // namespace ecso
