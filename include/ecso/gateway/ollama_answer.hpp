#pragma once

#include <ecso/backend/ollama_wire.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/secret.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::gateway {

/// Whether a reply is the JSON string of a forced choice.
enum class ChoiceInJson { no, yes };

/// A reply of Ollama's own API to a check or caption, whole. It is no answer of any client's API, so nothing of it leaves. Not
/// thread safe.
class OllamaAnswer final : public UpstreamAnswer {
 public:
  explicit OllamaAnswer(ChoiceInJson choice) : choice_{choice} {}

  void feed(std::string_view bytes) override { body_ += bytes; }

  void finish() override {
    detail::OllamaReader reader{Secret{}};
    static_cast<void>(reader.take(body_));
    reply_ = std::move(reader).whole();
    if (choice_ == ChoiceInJson::yes) reply_.text = ollama_choice(std::move(reply_.text));
  }

  [[nodiscard]] std::size_t choices() const override { return 1; }

  /// @param which of an answer without thoughts in it: all the same.
  [[nodiscard]] Reply reply(std::size_t choice, AnswerText which) const override {
    static_cast<void>(which);
    if (choice != 0) throw Error{Errc::internal, "the answer has one choice"};
    return reply_;
  }

  [[nodiscard]] std::string release(std::span<const Release> releases, const ReleaseNote& note) override {
    static_cast<void>(releases);
    static_cast<void>(note);
    throw Error{Errc::internal, "a check's reply does not leave"};
  }

 private:
  ChoiceInJson choice_;
  std::string body_;
  Reply reply_;
};

}  // namespace ecso::gateway
