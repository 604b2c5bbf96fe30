#pragma once

#include <ecso/backend/check_lesson.hpp>
#include <ecso/backend/ollama_own_calls.hpp>
#include <ecso/backend/ollama_wire.hpp>
#include <ecso/backend/openai_dialect.hpp>
#include <ecso/backend/openai_request.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/spliced.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/client_images.hpp>
#include <ecso/gateway/ollama_answer.hpp>
#include <ecso/gateway/openai_answer.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

/// Checks and captions by another API than the chat's own, where the upstream has one that serves them better. Bodies are made of
/// the conversation as the method reads it; images stay where the client's bytes are.
namespace ecso::gateway {

/// Which API a call of the method takes beside a chat.
[[nodiscard]] inline OwnCalls own_calls_of(const ClientChat& chat, Step step, const OpenAiDialect& dialect) {
  const bool is_an_answer = step == Step::answer || step == Step::regenerate;
  const bool has_it = dialect.own_calls == OwnCalls::chat_completions && chat.path() == "/chat/completions";
  return is_an_answer || has_it ? OwnCalls::same_api : dialect.own_calls;
}

/// Writes a turn's content as chat completions have it: a text, or a list of parts where there is an image.
/// @param write_image is called with each image where its part is to stand.
template <typename WriteImage>
void write_completions_content(detail::Spliced& json, const Message& message, const WriteImage& write_image) {
  const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
  if (std::ranges::all_of(message.parts, is_text)) {
    json.with([&](detail::JsonOut& out) { detail::write_text_parts(out, message.parts); });
    return;
  }
  std::string_view before = "[";
  for (const Part& part : message.parts) {
    json.raw(std::exchange(before, ","));
    if (const auto* image = std::get_if<Image>(&part)) {
      write_image(*image);
    } else {
      json.raw(R"({"type":"text","text":)").string(std::get<std::string>(part)).raw("}");
    }
  }
  json.raw("]");
}

/// Writes the bodies of a chat's calls. Of no longer life than what it is given.
class OwnCallWriter {
 public:
  /// @param model where a request names none. @param images of the chat.
  OwnCallWriter(std::string_view model, const ClientImages& images) : model_{model}, images_{images} {}

  /// A call to chat completions.
  [[nodiscard]] detail::Spliced completions(const ModelRequest& request, const OpenAiDialect& dialect) const {
    const std::string_view model = model_of(request);
    const OpenAiDelivery whole{};
    const detail::OptionsWriter writer{options_of(request), dialect, model, whole};
    detail::Spliced json;
    json.raw("{");
    if (!model.empty() && !writer.is_replaced("model")) json.raw("\"model\":").string(model).raw(",");
    json.raw("\"messages\":[");
    write_turns(json, request, [&](const auto& message) { write_completions_turn(json, message); });
    return std::move(json.raw("]").with([&](detail::JsonOut& out) { writer.write(out); }).raw("}"));
  }

  /// A call to Ollama's own API. @throws Error (unsupported) for an image that is a URL.
  [[nodiscard]] detail::Spliced ollama(const ModelRequest& request, const OpenAiDialect& dialect) const {
    const CallOptions& options = options_of(request);
    const std::string_view model = model_of(request);
    const OllamaDialect own = ollama_dialect_of(dialect, options.step);
    const OllamaDelivery whole{};
    const detail::OllamaWriter writer{options, own, model, whole};
    detail::Spliced json;
    json.raw("{\"model\":").string(model).raw(",\"messages\":[");
    write_turns(json, request, [&](const auto& message) { write_ollama_turn(json, message); });
    return std::move(json.with([&](detail::JsonOut& out) { writer.write_end(out); }));
  }

 private:
  [[nodiscard]] std::string_view model_of(const ModelRequest& request) const {
    const std::string& named = options_of(request).model;
    return named.empty() ? model_ : std::string_view{named};
  }

  /// @param write_turn what follows a turn's role.
  template <typename WriteTurn>
  static void write_turns(detail::Spliced& json, const ModelRequest& request, const WriteTurn& write_turn) {
    std::string_view before;
    const auto write = [&](const auto& asked) {
      for (const auto& message : detail::messages_of(asked)) {
        json.raw(std::exchange(before, ",")).raw(R"({"role":")").raw(to_string(message.role)).raw("\"");
        write_turn(message);
        json.raw("}");
      }
    };
    std::visit(write, request);
  }

  static void write_completions_turn(detail::Spliced& json, const TextMessage& message) {
    json.raw(",\"content\":").string(message.text);
  }

  void write_completions_turn(detail::Spliced& json, const Message& message) const {
    json.raw(",\"content\":");
    write_completions_content(json, message, [&](const Image& image) { write_image_part(json, image); });
  }

  void write_image_part(detail::Spliced& json, const Image& image) const {
    json.raw(R"({"type":"image_url","image_url":{"url":)");
    if (const std::string* url = images_.url_of(image)) {
      json.string(*url);
    } else {
      json.raw("\"data:").raw(to_string(image.media_type())).raw(";base64,").range(image.base64()).raw("\"");
    }
    json.raw("}}");
  }

  static void write_ollama_turn(detail::Spliced& json, const TextMessage& message) {
    json.raw(",\"content\":").string(message.text);
  }

  void write_ollama_turn(detail::Spliced& json, const Message& message) const {
    std::string_view before = ",\"images\":[\"";
    for (const Part& part : message.parts) {
      const auto* image = std::get_if<Image>(&part);
      if (image == nullptr) continue;
      if (images_.url_of(*image) != nullptr) throw Error{Errc::unsupported, "Ollama takes no image by its URL"};
      json.raw(std::exchange(before, "\",\"")).range(image->base64());
    }
    if (before.starts_with("\",")) json.raw("\"]");
    std::string storage;
    json.raw(",\"content\":").string(message.text(storage));
  }

  std::string_view model_;
  const ClientImages& images_;
};

/// Reads the reply to a call of the method.
[[nodiscard]] inline std::unique_ptr<UpstreamAnswer> own_reader(const ClientChat& chat, OwnCalls api, const CallOptions& options,
                                                                const OpenAiDialect& dialect) {
  switch (api) {
    case OwnCalls::same_api: break;
    case OwnCalls::chat_completions: return std::make_unique<OpenAiAnswer>();
    case OwnCalls::ollama_chat:
      return std::make_unique<OllamaAnswer>(forces_choice(options, dialect) ? ChoiceInJson::yes : ChoiceInJson::no);
  }
  return chat.reader(false);
}

}  // namespace ecso::gateway
