#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/anthropic_parts.hpp>
#include <ecso/gateway/anthropic_said.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::gateway {

/// A message of the Messages API that comes whole. Source: Anthropic API reference, "Messages".
class AnthropicAnswer final : public UpstreamAnswer {
 public:
  void feed(std::string_view bytes) override {
    if (message_) throw Error{Errc::internal, "an answer that is over goes on"};
    body_ += bytes;
  }

  void finish() override {
    detail::JsonText message = reply_json(body_);
    if (auto bare = without_note(message.root())) {
      body_ = std::move(*bare);
      message = reply_json(body_);
    }
    if (message.root()["type"].text() == "error") throw Error{Errc::server_error, "an error without a message"};
    if (!message.root()["content"].is_array()) {
      throw Error{Errc::bad_reply, "no content in the reply: " + detail::excerpt_of(body_, {})};
    }
    std::string said;
    for (const detail::JsonValue block : message.root()["content"].items()) append_anthropic_block(block, said);
    append_beside_content(message.root(), said);
    everything_ = std::move(said);
    message_ = std::move(message);
  }

  [[nodiscard]] std::size_t choices() const override { return 1; }

  [[nodiscard]] Reply reply(std::size_t choice, AnswerText which) const override {
    if (choice != 0) throw Error{Errc::internal, "the answer has one choice"};
    const detail::JsonValue root = message();
    AnthropicTokens tokens;
    tokens.take(root["usage"]);
    return {.text = which == AnswerText::content ? content_text(root["content"]) : everything_,
            .finish_reason = anthropic_finish_reason(root["stop_reason"].text()),
            .usage = tokens.usage(),
            .model = root["model"].text(),
            .counts = tokens.counts(std::ranges::any_of(root["content"].items(), is_thought))};
  }

  [[nodiscard]] std::string release(std::span<const Release> releases, const ReleaseNote& note) override {
    const Release& release = only_release(releases);
    if (release.path == Path::direct) return released_as_it_came(note);
    const detail::JsonValue root = message();
    std::string json = "{";
    if (root["id"].is_string()) json.append(R"("id":)").append(root["id"].raw()).append(",");
    json += R"("type":"message","role":"assistant",)";
    if (root["model"].is_string()) json.append(R"("model":)").append(root["model"].raw()).append(",");
    if (release.path == Path::eyes_closed) {
      const detail::JsonValue repaired = regenerated_of(release).message();
      json.append(R"("content":)").append(repaired["content"].raw());
      json.append(R"(,"stop_reason":)").append(raw_or(repaired["stop_reason"], R"("end_turn")"));
      json.append(R"(,"stop_sequence":)").append(raw_or(repaired["stop_sequence"], "null"));
    } else {
      json.append(R"("content":[)").append(anthropic_text_block(release.refusal));
      json += R"(],"stop_reason":"end_turn","stop_sequence":null)";
    }
    json.append(R"(,"usage":)").append(usage_json(note, {}));
    if (!note.ecso.empty()) json.append(R"(,"ecso":)").append(note.ecso);
    return json + "}";
  }

  /// The JSON of a finished answer. @throws Error (internal) if it is not finished.
  [[nodiscard]] detail::JsonValue message() const {
    if (!message_) throw Error{Errc::internal, "the answer is not finished"};
    return message_->root();
  }

  /// What is to leave of the one choice. @throws Error (internal) if nothing may.
  [[nodiscard]] static const Release& only_release(std::span<const Release> releases) {
    if (releases.size() != 1) throw Error{Errc::internal, "the answer has one choice"};
    const Path path = releases.front().path;
    if (path != Path::direct && path != Path::eyes_closed && path != Path::refused) {
      throw Error{Errc::internal, "a failed answer does not leave"};
    }
    return releases.front();
  }

  /// The answer that stands in for another. @throws Error (internal) if there is none.
  [[nodiscard]] static const AnthropicAnswer& regenerated_of(const Release& release) {
    const auto* answer = dynamic_cast<const AnthropicAnswer*>(release.regenerated);
    if (answer == nullptr) throw Error{Errc::internal, "there is no regenerated answer"};
    return *answer;
  }

 private:
  [[nodiscard]] static std::string content_text(detail::JsonValue content) {
    std::string text;
    std::string storage;
    for (const detail::JsonValue block : content.items()) {
      if (block["type"].text() == "text") text += block["text"].text(storage);
    }
    return text;
  }

  [[nodiscard]] std::string usage_json(const ReleaseNote& note, detail::JsonValue extra) const {
    AnthropicTokens tokens;
    tokens.take(message()["usage"]);
    return tokens.sum_json(note.replace_usage ? note.usage : tokens.usage(), extra);
  }

  [[nodiscard]] std::string released_as_it_came(const ReleaseNote& note) const {
    const detail::JsonValue root = message();
    JsonEdits edits{body_};
    if (note.replace_usage) edits.set(root, "usage", usage_json(note, root["usage"]));
    if (!note.ecso.empty()) edits.set(root, "ecso", std::string{note.ecso});
    return edits.text();
  }

  std::string body_;
  std::optional<detail::JsonText> message_;
  std::string everything_;
};

}  // namespace ecso::gateway
