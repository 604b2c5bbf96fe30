#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_choice.hpp>
#include <ecso/gateway/openai_logprobs.hpp>
#include <ecso/gateway/openai_said.hpp>
#include <ecso/gateway/readable.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// A chat completion (OpenAI API reference, "The chat completion object"), whole. Not thread safe.
class OpenAiAnswer final : public UpstreamAnswer {
 public:
  /// @param max_choices that were asked for; an answer with more is refused.
  explicit OpenAiAnswer(std::size_t max_choices = 1) : max_choices_{max_choices} {}

  void feed(std::string_view bytes) override { body_ += bytes; }

  void finish() override {
    json_.emplace(reply_json(body_));
    if (auto bare = without_note(json_->root())) {
      json_.reset();
      body_ = std::move(*bare);
      json_.emplace(reply_json(body_));
    }
    const detail::JsonValue list = json_->root()["choices"];
    if (!list.is_array() || list.size() == 0)
      throw Error{Errc::bad_reply, "no choices in the reply: " + detail::excerpt_of(body_, {})};
    if (list.size() > max_choices_) throw Error{Errc::bad_reply, "more choices than were asked for"};
    choices_.assign(list.size(), {});
    for (const detail::JsonValue choice : list.items()) {
      const std::size_t number = openai_choice_number(choice, order_.size(), choices_.size());
      if (choices_[number].json) throw Error{Errc::bad_reply, "two choices have the same index"};
      if (!choice["message"].is_object()) throw Error{Errc::bad_reply, "a choice without a message"};
      choices_[number] = {choice, everything_of(choice)};
      order_.push_back(number);
    }
    counts_.take_usage(json_->root()["usage"]);
  }

  [[nodiscard]] std::size_t choices() const override { return choices_.size(); }

  [[nodiscard]] Reply reply(std::size_t choice, AnswerText which) const override {
    const Choice& said = choices_.at(choice);
    const detail::JsonValue message = said.json["message"];
    Reply reply;
    reply.text = which == AnswerText::content ? content_of(message) : said.everything;
    reply.finish_reason = openai_finish_reason(said.json["finish_reason"]);
    if (which == AnswerText::content) {
      // Words beside a tool call or in a refusal are no verdict, and some servers say "stop" all the same.
      const auto calls = message["tool_calls"].items();
      if (calls.begin() != calls.end()) reply.finish_reason = FinishReason::other;
      if (!message["refusal"].text().empty()) reply.finish_reason = FinishReason::content_filter;
    }
    if (choice == 0) reply.usage = openai_usage(json_->root());
    reply.logprobs = openai_logprobs(said.json);
    reply.model = json_->root()["model"].text();
    reply.counts = counts_.counts(which, openai_reasoning(message).size());
    if (choices_.size() > 1) reply.counts.text = 0;
    return reply;
  }

  /// The first choice of a finished answer, which must be of this class. @throws Error (internal) if it is not.
  [[nodiscard]] static detail::JsonValue first_choice_of(const UpstreamAnswer& answer) {
    const auto* whole = dynamic_cast<const OpenAiAnswer*>(&answer);
    if (whole == nullptr || whole->choices_.empty()) throw Error{Errc::internal, "no whole chat completion to take a choice of"};
    return whole->choices_.front().json;
  }

  [[nodiscard]] std::string release(std::span<const Release> releases, const ReleaseNote& note) override {
    const detail::JsonValue root = json_.value().root();
    if (is_all_direct(releases, choices_.size())) {
      JsonEdits edits{body_};
      if (note.replace_usage && root["usage"].is_object())
        edits.replace(root["usage"].raw(), with_usage(root["usage"], note.usage));
      if (!note.ecso.empty()) edits.set(root, "ecso", std::string{note.ecso});
      return edits.text();
    }
    std::string body;
    std::string storage;
    for (const detail::JsonMember& member : root.members()) {
      const std::string_view name = member.key.text(storage);
      if (name != "choices" && !is_beside_choices(name, member.value)) continue;
      body.append(body.empty() ? "{" : ",").append(member.key.raw()).append(":");
      if (name == "choices") {
        append_choices(releases, body);
      } else if (name == "usage" && note.replace_usage) {
        body += with_usage(member.value, note.usage);
      } else {
        body += member.value.raw();
      }
    }
    if (!note.ecso.empty()) body.append(",\"ecso\":").append(note.ecso);
    return body.append("}");
  }

 private:
  struct Choice {
    detail::JsonValue json = {};
    std::string everything = {};
  };

  [[nodiscard]] static std::string content_of(detail::JsonValue message) {
    std::string text = openai_content(message["content"]);
    return text.empty() ? message["refusal"].text() : text;
  }

  [[nodiscard]] std::string everything_of(detail::JsonValue choice) const {
    std::string said = openai_everything(choice);
    const ToldTokens told = openai_told_tokens(choice["logprobs"]);
    append_line(said, told.other);
    append_beside_choices(json_->root(), said);
    if (said.find(told.text) == said.npos) append_line(said, told.text);
    return said;
  }

  void append_choices(std::span<const Release> releases, std::string& body) const {
    std::string_view before = "[";
    for (const std::size_t number : order_) {
      body += std::exchange(before, ",");
      const Release& release = releases[number];
      if (release.path == Path::direct) {
        body += choices_[number].json.raw();
      } else if (release.path == Path::refused) {
        body.append("{\"index\":").append(std::to_string(number)).append(R"(,"message":{"role":"assistant","content":)");
        body.append(openai_string(release.refusal)).append(R"(},"logprobs":null,"finish_reason":"stop"})");
      } else {
        body += numbered_choice(first_choice_of(*release.regenerated), number);
      }
    }
    body += "]";
  }

  std::size_t max_choices_;
  std::string body_;
  std::optional<detail::JsonText> json_;
  std::vector<Choice> choices_;
  std::vector<std::size_t> order_;  ///< Their numbers as they stand in the body.
  OpenAiCounts counts_;
};

}  // namespace ecso::gateway
