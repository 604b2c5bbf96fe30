#pragma once

#include <ecso/core/policy.hpp>
#include <ecso/core/read_verdict.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/detail/marks.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ecso {
namespace detail {

/// Whether a reply begins by saying the answer again that it was asked about.
[[nodiscard]] inline bool goes_on_with(std::string_view answer, std::string_view reply) {
  return !is_blank(answer) && reply.starts_with(answer);
}

}  // namespace detail

/// Reads the reply to a check: what it says, and whether its server can have read all that it was asked about. Some cut a prompt
/// that they have no room for, without a word.
/// @param least_prompt_tokens that the check's prompt has: `least_tokens(check)`, or more where more is known.
[[nodiscard]] inline VerdictReading read_check(const Policy& policy, const ModelRequest& check, const Reply& reply,
                                               std::int64_t least_prompt_tokens) {
  const bool is_next_turn = options_of(check).continues_chat;
  const ProbabilityRule& rule = is_next_turn ? policy.next_turn_probability : policy.probability;
  const auto& marks = options_of(check).marks;
  const std::optional<std::string> unmarked =
      marks.empty() || policy.unmeasured == Unmeasured::refuse ? std::nullopt : detail::without_marks(reply.text, marks);
  const std::string_view said = unmarked ? std::string_view{*unmarked} : std::string_view{reply.text};
  const bool is_guard = policy.check_form == CheckForm::guard && policy.reader == VerdictReader::automatic;
  VerdictReading reading =
      read_reply(is_guard ? VerdictReader::guard : policy.reader, rule, said, reply.finish_reason, reply.logprobs);
  const bool is_asked_as_guard = policy.check_form == CheckForm::guard && !is_next_turn;
  if (reading.verdict == Verdict::undecided && is_asked_as_guard && detail::goes_on_with(prompt_of(check), reply.text)) {
    reading.reason = "its server goes on with the answer in place of judging it; llama-server takes --no-prefill-assistant";
    return reading;
  }
  // No server has so little room: some report what was not in their cache, or nothing true.
  // Of a chat, what is left may be the question alone.
  const std::int64_t smallest_context = is_next_turn ? 1 : 32;
  const bool is_known = reply.counts.prompt >= smallest_context && policy.reader != VerdictReader::paper;
  // Nor is there anything to be made clear: whoever asks what its words say would hear of no mark.
  const bool lacks_marks = !marks.empty() && !unmarked && !is_known;
  if (lacks_marks && (reading.verdict == Verdict::safe || reading.doubt == Doubt::unclear)) {
    return {.p_harmful = reading.p_harmful,
            .doubt = Doubt::unread,
            .reason = "the checker tells no tokens, and has not given back what stands before and after the answer"};
  }
  if (reading.verdict == Verdict::undecided) {
    const bool says_where = reply.finish_reason == FinishReason::length && reply.usage.completion_tokens > 0;
    if (!says_where) return reading;
    reading.reason +=
        fmt::format("{} at {} tokens", reading.reason.starts_with("cut") ? "" : ", cut", reply.usage.completion_tokens);
  }
  if (reading.verdict != Verdict::safe || !is_known) return reading;
  if (reply.counts.prompt >= least_prompt_tokens) return reading;
  return {
      .p_harmful = reading.p_harmful,
      .doubt = Doubt::unread,
      .reason = fmt::format("the checker read {} tokens of a prompt of at least {}", reply.counts.prompt, least_prompt_tokens)};
}

}  // namespace ecso
