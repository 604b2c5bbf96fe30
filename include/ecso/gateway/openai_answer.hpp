#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_choice.hpp>
#include <ecso/gateway/openai_turns.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
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
    const detail::JsonValue list = json_->root()["choices"];
    if (!list.is_array() || list.size() == 0)
      throw Error{Errc::bad_reply, "no choices in the reply: " + detail::excerpt_of(body_, {})};
    if (list.size() > max_choices_) throw Error{Errc::bad_reply, "more choices than were asked for"};
    choices_.assign(list.size(), {});
    for (const detail::JsonValue choice : list.items()) {
      const std::size_t number = openai_choice_number(choice, order_.size(), choices_.size());
      if (choices_[number]) throw Error{Errc::bad_reply, "two choices have the same index"};
      if (!choice["message"].is_object()) throw Error{Errc::bad_reply, "a choice without a message"};
      choices_[number] = choice;
      order_.push_back(number);
    }
  }

  [[nodiscard]] std::size_t choices() const override { return choices_.size(); }

  [[nodiscard]] Reply reply(std::size_t choice, AnswerText which) const override {
    const detail::JsonValue json = choices_.at(choice);
    Reply reply;
    reply.text = which == AnswerText::content ? content_of(json["message"]) : everything_of(json);
    if (which == AnswerText::everything) append_beside_choices(json_->root(), reply.text);
    reply.finish_reason = openai_finish_reason(json["finish_reason"]);
    if (choice == 0) reply.usage = openai_usage(json_->root());
    reply.logprobs = openai_logprobs(json);
    reply.model = json_->root()["model"].text();
    return reply;
  }

  /// The first choice of a finished answer, which must be of this class. @throws Error (internal) if it is not.
  [[nodiscard]] static detail::JsonValue first_choice_of(const UpstreamAnswer& answer) {
    const auto* whole = dynamic_cast<const OpenAiAnswer*>(&answer);
    if (whole == nullptr || whole->choices_.empty()) throw Error{Errc::internal, "no whole chat completion to take a choice of"};
    return whole->choices_.front();
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
  [[nodiscard]] static std::string content_of(detail::JsonValue message) {
    std::string text = openai_content(message["content"]);
    return text.empty() ? message["refusal"].text() : text;
  }

  [[nodiscard]] static std::string everything_of(detail::JsonValue choice) {
    const detail::JsonValue message = choice["message"];
    const detail::JsonValue calls = message["tool_calls"];
    const detail::JsonValue function = message["function_call"];
    std::string said = openai_content(message["content"]);
    append_other_content(message["content"], said);
    append_other_texts(message, {"content", "tool_calls", "function_call"}, said);
    for (const detail::JsonValue call : calls.items()) append_all_of_call(call, said);
    if (!calls.is_array()) append_texts(calls, openai_unsaid, said);
    if (function["name"].is_string()) {
      append_function(function, "arguments", said);
      append_other_texts(function, {"name", "arguments"}, said);
    } else {
      append_texts(function, openai_unsaid, said);
    }
    append_other_texts(choice, {"message"}, said);
    return said;
  }

  void append_choices(std::span<const Release> releases, std::string& body) const {
    std::string_view before = "[";
    for (const std::size_t number : order_) {
      body += std::exchange(before, ",");
      const Release& release = releases[number];
      if (release.path == Path::direct) {
        body += choices_[number].raw();
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
  std::vector<detail::JsonValue> choices_;
  std::vector<std::size_t> order_;  ///< Their numbers as they stand in the body.
};

}  // namespace ecso::gateway
