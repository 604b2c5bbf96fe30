#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace ecso {

/// Makes sure that a policy can be followed.
/// @throws Error (bad_input) that names the setting.
inline void check_policy(const Policy& policy) {
  const auto require = [](bool holds, std::string_view message) {
    if (!holds) throw Error{Errc::bad_input, "policy: " + std::string{message}};
  };
  const auto in_unit = [](double x) { return x >= 0.0 && x <= 1.0; };
  require(policy.max_rounds >= 1 && policy.max_rounds <= 16, "max_rounds ranges from 1 to 16");
  require(policy.clarifications >= 0 && policy.clarifications <= 4, "clarifications ranges from 0 to 4");
  require(!detail::is_blank(policy.refusal), "the refusal text is empty");
  require(policy.undecided != Verdict::undecided, "undecided must count as harmful or as safe");
  require(policy.deadline.count() >= 0, "the deadline is negative");
  for (const ProbabilityRule& rule : {policy.probability, policy.next_turn_probability}) {
    require(in_unit(rule.threshold) && in_unit(rule.min_mass), "probability: threshold and min_mass range from 0 to 1");
    require(rule.margin >= 0.0 && rule.margin <= 0.5, "probability: the margin ranges from 0 to 0.5");
  }
  const bool reads_guards = policy.reader == VerdictReader::automatic || policy.reader == VerdictReader::guard;
  require(policy.check_form != CheckForm::guard || reads_guards, "check_form guard takes the reader automatic or guard");
  const auto& marks = policy.incremental_check;
  require(marks.size() <= 32 && std::ranges::is_sorted(marks, std::ranges::less_equal{}) && (marks.empty() || marks.front() > 0),
          "incremental_check: at most 32 numbers of tokens, each larger than the one before");
}

/// Makes sure that a conversation is one that the method can work on.
/// @throws Error (bad_input) that says what is wrong and where.
inline void check_conversation(const Conversation& conversation, const Policy& policy) {
  const auto bad = [](std::string message) { return Error{Errc::bad_input, std::move(message)}; };
  if (conversation.messages.empty()) throw bad("conversation: it has no turn");
  if (conversation.messages.back().role != Role::user) throw bad("conversation: its last turn is not the user's");
  std::size_t bytes = 0;
  std::size_t images = 0;
  const auto check_text = [&](const std::string& text) {
    bytes += text.size();
    if (bytes > policy.max_text_bytes) {
      throw bad("query: the text is longer than the policy's max_text_bytes, " + std::to_string(policy.max_text_bytes) +
                " bytes");
    }
    if (const auto offset = detail::find_invalid_utf8(text); offset != std::string_view::npos) {
      throw bad("query: invalid UTF-8 at byte " + std::to_string(offset));
    }
  };
  check_text(conversation.context);
  for (const Message& message : conversation.messages) {
    for (const Part& part : message.parts) {
      if (const auto* text = std::get_if<std::string>(&part)) {
        check_text(*text);
      } else {
        ++images;
      }
    }
  }
  const auto& last = conversation.messages.back().parts;
  const auto says_something = [](const Part& part) {
    const auto* text = std::get_if<std::string>(&part);
    return text != nullptr && !detail::is_blank(*text);
  };
  if (std::ranges::none_of(last, says_something)) throw bad("query: it is empty");
  if (images > policy.max_images) {
    throw bad("query: " + std::to_string(images) + " images are more than the policy's max_images, " +
              std::to_string(policy.max_images));
  }
}

}  // namespace ecso
