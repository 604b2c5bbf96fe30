#pragma once

#include <ecso/core/answer_check.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/read_check.hpp>
#include <ecso/core/read_verdict.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ecso {

/// What the check of one answer showed, whatever the threshold.
struct CheckFinding {
  CheckForm form = CheckForm::quoted;              ///< How it was asked: quoted or next_turn.
  std::optional<double> p_harmful = std::nullopt;  ///< None where the reply had no log-probabilities to read.
  /// The answer is released by every threshold above this one; see `CheckedLabel`.
  std::optional<double> released_above = std::nullopt;
  Verdict words = Verdict::undecided;  ///< What the reply's words say by themselves.
  Doubt doubt = Doubt::none;           ///< Why it is undecided at every threshold, if it is.
  std::string reason = {};
  std::size_t calls = 0;  ///< The check and its clarifications.
  Usage usage = {};
  std::chrono::nanoseconds duration{0};  ///< Wall time of all its calls.
  std::string model = {};
  std::optional<Error> error = std::nullopt;  ///< Why there is no finding, if there is none.

  bool operator==(const CheckFinding&) const = default;
};

namespace detail {

/// The rule of a policy that a check is read by.
[[nodiscard]] inline ProbabilityRule& rule_of(Policy& policy, CheckForm form) noexcept {
  return form == CheckForm::next_turn ? policy.next_turn_probability : policy.probability;
}
[[nodiscard]] inline const ProbabilityRule& rule_of(const Policy& policy, CheckForm form) noexcept {
  return form == CheckForm::next_turn ? policy.next_turn_probability : policy.probability;
}

/// The threshold of a form's rule above which a reply is read as safe. It asks the reader, whatever its rule is: by bisection, to
/// the last bit. None if it is never, 0 if it always is, as where the reply is read by the other form's rule, which stays as it
/// is.
[[nodiscard]] inline std::optional<double> released_above(Policy policy, CheckForm form, const ModelRequest& check,
                                                          const Reply& reply) {
  ProbabilityRule& rule = rule_of(policy, form);
  const std::int64_t least = least_tokens(check);
  rule.margin = 0;
  const auto is_safe_at = [&](double threshold) {
    rule.threshold = threshold;
    return read_check(policy, check, reply, least).verdict == Verdict::safe;
  };
  if (!is_safe_at(1)) return std::nullopt;
  if (is_safe_at(0)) return 0.0;
  double low = 0;
  double high = 1;
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return low;
    (is_safe_at(middle) ? high : low) = middle;
  }
}

}  // namespace detail

/// The form in which a policy asks a backend, `automatic` resolved; single checks may still be quoted (see `CheckForm`).
[[nodiscard]] inline CheckForm form_for(const Policy& policy, const Capabilities& capabilities) {
  const std::optional<Sampling> sampling;
  const ModelRequest check = StepRequests{policy, capabilities, sampling}.check(ask({}, "query"), "answer");
  return options_of(check).continues_chat ? CheckForm::next_turn : CheckForm::quoted;
}

/// The policy to collect findings by: `policy` in the given form, with a threshold that calls nothing harmful by its figures, so
/// that each reply shows what it would be at any threshold. The rule of the other form stays: the reply to a question about an
/// unclear one is read by that for quoted checks.
/// @param form quoted or next_turn.
[[nodiscard]] inline std::shared_ptr<const Policy> collecting_policy(Policy policy, CheckForm form) {
  policy.check_form = form;
  ProbabilityRule& rule = detail::rule_of(policy, form);
  rule.threshold = 1;
  rule.margin = 0;
  policy.on_failure = OnFailure::raise;
  return std::make_shared<const Policy>(std::move(policy));
}

/// Whether the server is to read a chat before its check.
enum class Warming {
  none,
  /// A call that asks for nothing has it read chat and answer, as it has when it wrote that answer. It stands in no finding; what
  /// the check then costs is what it costs in use.
  chat,
};

namespace detail {

/// The chat, its answer and a turn that asks for nothing, to be answered in one token.
[[nodiscard]] inline PendingCall warming_call(Conversation chat, std::string answer, const Policy& policy) {
  chat.messages.push_back({Role::assistant, {std::move(answer)}});
  chat.messages.push_back(user_turn({}, "."));
  CallOptions options{.step = Step::answer,
                      .model = policy.models.check,
                      .sampling = {.temperature = 0.0, .max_tokens = 1},
                      .continues_chat = true};
  const CallId own_number = std::numeric_limits<CallId>::max();
  if (!has_image(chat)) return {.id = own_number, .request = TextRequest{close_eyes(chat, {}), std::move(options)}};
  put_images_first(chat);
  return {.id = own_number, .request = VisionRequest{std::move(chat), std::move(options)}};
}

}  // namespace detail

/// An `AnswerCheck` that also finds out from which threshold on its answer is released. A flow for the drivers.
class ItemCheck {
 public:
  /// @param policy of `collecting_policy`.
  /// @throws Error as `AnswerCheck`.
  ItemCheck(Conversation chat, std::string answer, std::shared_ptr<const Policy> policy, const Capabilities& capabilities = {},
            Warming warming = Warming::none)
      : policy_{std::move(policy)}, check_{chat, answer, policy_, capabilities} {
    if (warming == Warming::chat && !check_.done())
      warming_.push_back(detail::warming_call(std::move(chat), std::move(answer), *policy_));
    if (!check_.pending().empty() && options_of(check_.pending().front().request).continues_chat)
      finding_.form = CheckForm::next_turn;
    finish_if_done();
  }

  [[nodiscard]] std::span<const PendingCall> pending() const noexcept {
    return warming_.empty() ? check_.pending() : std::span<const PendingCall>{warming_};
  }
  [[nodiscard]] bool done() const noexcept { return check_.done(); }

  void resume(CallId id, Reply reply) {
    if (is_warming(id)) return warming_.clear();
    const auto pending = check_.pending();
    const auto call = std::ranges::find(pending, id, &PendingCall::id);
    if (call == pending.end()) return;
    const auto least = detail::released_above(*policy_, policy_->check_form, call->request, reply);
    finding_.words = policy_->reader == VerdictReader::paper ? paper_verdict(reply.text)
                                                             : words_verdict(reply.text, reply.finish_reason).verdict;
    check_.resume(id, std::move(reply));
    const StepRecord& record = check_.checks().back();
    // A check that is asked about again is harmful up to its own P, whatever the second reply says.
    const double so_far = finding_.p_harmful.value_or(0);
    if (record.p_harmful) finding_.p_harmful = std::max(so_far, *record.p_harmful);
    finding_.released_above = least ? std::optional{std::max(*least, so_far)} : std::nullopt;
    finish_if_done();
  }

  /// A warming call that fails is let be.
  void fail(CallId id, const Error& error) {
    if (is_warming(id)) return warming_.clear();
    check_.fail(id, error);
    finish_if_done();
  }

  /// What came of it. Meaningful once it is done.
  [[nodiscard]] const CheckFinding& finding() const noexcept { return finding_; }

 private:
  [[nodiscard]] bool is_warming(CallId id) const noexcept { return !warming_.empty() && warming_.front().id == id; }

  void finish_if_done() {
    if (!check_.done()) return;
    finding_.error = check_.error();
    const StepRecord* verdict = nullptr;
    for (const StepRecord& record : check_.checks()) {
      ++finding_.calls;
      finding_.usage += record.usage;
      finding_.duration += record.duration;
      if (!record.model.empty()) finding_.model = record.model;
      if (record.verdict) verdict = &record;
    }
    if (verdict == nullptr) return;
    finding_.doubt = verdict->doubt;
    finding_.reason = verdict->reason;
    if (verdict->verdict != Verdict::safe) finding_.released_above.reset();
  }

  std::shared_ptr<const Policy> policy_;
  AnswerCheck check_;
  std::vector<PendingCall> warming_;
  CheckFinding finding_;
};

}  // namespace ecso
