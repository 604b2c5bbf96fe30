#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

namespace ecso {

/// The check of an answer that is already there, as a flow for the drivers: the protocol itself, from a given answer on to the
/// verdict, with its clarifications. So it asks and reads just as a query's check does.
class AnswerCheck {
 public:
  /// @param chat ends with the user turn that was answered.
  /// @throws Error (bad_input) if chat, answer or policy is not usable, (unsupported) if the chat has an image and the backend
  /// does not see.
  AnswerCheck(Conversation chat, std::string answer, const std::shared_ptr<const Policy>& policy,
              const Capabilities& capabilities = {})
      : protocol_{std::move(chat), of_check_alone(policy), capabilities} {
    if (detail::is_blank(answer)) throw Error{Errc::bad_input, "answer: it is empty"};
    protocol_.resume(protocol_.pending().front().id, Reply{.text = std::move(answer), .finish_reason = FinishReason::stop});
  }

  /// The calls that wait for a reply; none when it is done. Valid until the next `resume` or `fail`.
  [[nodiscard]] std::span<const PendingCall> pending() const noexcept {
    return done() ? std::span<const PendingCall>{} : protocol_.pending();
  }

  [[nodiscard]] bool done() const noexcept { return !std::holds_alternative<state::Checking>(protocol_.state()); }

  /// As those of `EcsoProtocol`.
  void resume(CallId id, Reply reply) { protocol_.resume(id, std::move(reply)); }
  void fail(CallId id, const Error& error) { protocol_.fail(id, error); }

  /// The check and its clarifications, in the order in which they ended; the last one has the verdict, before policy.
  [[nodiscard]] std::span<const StepRecord> checks() const noexcept { return std::span{protocol_.outcome().steps}.subspan(1); }

  /// Why the check failed, if it did.
  [[nodiscard]] const std::optional<Error>& error() const noexcept { return protocol_.outcome().error; }

 private:
  /// The policy without what happens beside a check.
  [[nodiscard]] static std::shared_ptr<const Policy> of_check_alone(const std::shared_ptr<const Policy>& policy) {
    if (policy == nullptr) return nullptr;
    Policy alone = *policy;
    alone.text_only = TextOnly::check;
    alone.speculation = Speculation::none;
    alone.incremental_check.clear();
    return std::make_shared<const Policy>(std::move(alone));
  }

  EcsoProtocol protocol_;
};

}  // namespace ecso
