#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/check_input.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/read_check.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// Number of a call within its protocol, from 0 in the order of issue.
using CallId = std::uint64_t;

/// A call that may go out.
struct PendingCall {
  CallId id = 0;
  int round = 0;             ///< As in StepRecord.
  std::size_t image = 0;     ///< Which image a caption is of.
  bool speculative = false;  ///< Not known to be needed: it may be left for last, and is dropped if the protocol ends first.
  bool early = false;        ///< A check of what there is of an answer; as little needed.
  int clarification = 0;     ///< As in StepRecord.
  ModelRequest request;

  [[nodiscard]] Step step() const noexcept { return options_of(request).step; }
  [[nodiscard]] bool is_needed() const noexcept { return !speculative && !early; }

  bool operator==(const PendingCall&) const = default;
};

/// The states of the method.
namespace state {
struct Answering {
  bool operator==(const Answering&) const = default;
};
struct Checking {
  std::size_t answer;  ///< Which step record holds the answer.
  bool operator==(const Checking&) const = default;
};
struct Captioning {
  bool operator==(const Captioning&) const = default;
};
struct Regenerating {
  bool operator==(const Regenerating&) const = default;
};
struct Rechecking {
  std::size_t answer;
  bool operator==(const Rechecking&) const = default;
};
struct Done {
  bool operator==(const Done&) const = default;
};
}  // namespace state

using ProtocolState =
    std::variant<state::Answering, state::Checking, state::Captioning, state::Regenerating, state::Rechecking, state::Done>;

/// Names of the states, in the order of `ProtocolState`.
[[nodiscard]] constexpr std::string_view to_string(const ProtocolState& s) noexcept {
  constexpr std::string_view names[]{"answering", "checking", "captioning", "regenerating", "rechecking", "done"};
  return names[s.index()];
}

/// ECSO for one query, as a state machine without I/O: hand its `pending()` calls to a model, give it each reply with `resume` or
/// each failure with `fail`, until `done()`. Whatever comes, the outcome's text is one that the policy lets out. A value: it can
/// be copied, compared, and written down mid-flight
/// (`ecso/core/protocol_json.hpp`). Not thread safe; two protocols share nothing that changes.
class EcsoProtocol {
 public:
  /// @param conversation ends with a user turn that has text.
  /// @param capabilities of the backend; decides which verdicts can be asked for.
  /// @param sampling replaces the policy's for the answer and its regeneration, if given.
  /// @throws Error (bad_input) if the conversation or the policy is not usable, (unsupported) if it has an image and the backend
  /// does not see.
  EcsoProtocol(Conversation conversation, std::shared_ptr<const Policy> policy, const Capabilities& capabilities = {},
               std::optional<Sampling> sampling = std::nullopt)
      : policy_{std::move(policy)},
        capabilities_{capabilities},
        sampling_{std::move(sampling)},
        conversation_{std::move(conversation)} {
    if (policy_ == nullptr) throw Error{Errc::bad_input, "policy: none given"};
    check_policy(*policy_);
    if (!policy_->check_upstream.empty() && !capabilities_.checks_elsewhere) {
      throw Error{Errc::bad_input,
                  "policy: its checks go to the upstream \"" + policy_->check_upstream +
                      "\", which a gateway knows; this backend checks by the model that answers (a ByStep, or --check-backend, "
                      "has another check)"};
    }
    check_conversation(conversation_, *policy_);
    if (has_image(conversation_) && !capabilities_.vision) throw Error{Errc::unsupported, "the backend's model takes no images"};
    put_images_first(conversation_);
    for (const Message& message : conversation_.messages) {
      for (const Part& part : message.parts) {
        if (const auto* image = std::get_if<Image>(&part)) outcome_.images.emplace_back(*image);
      }
    }
    outcome_.policy = policy_->name;
    outcome_.steps.reserve(6);
    issue(outcome_.images.empty() ? requests().answer(conversation_) : requests().answer(std::move(conversation_)), {});
    if (policy_->speculation == Speculation::caption) issue_captions(1, true);
  }

  /// The calls that wait for a reply. Calls that are not speculative come first. Valid until the next `resume` or `fail`.
  [[nodiscard]] std::span<const PendingCall> pending() const noexcept { return pending_; }

  [[nodiscard]] bool done() const noexcept { return std::holds_alternative<state::Done>(state_); }

  [[nodiscard]] const ProtocolState& state() const noexcept { return state_; }

  /// What came of the query. Until `done()` its path is failed, its text empty, and its steps those that ended.
  [[nodiscard]] const Outcome& outcome() const& noexcept { return outcome_; }
  [[nodiscard]] Outcome outcome() && noexcept { return std::move(outcome_); }

  /// The numbers of tokens at which `progress` wants to know what there is of a call's text, ascending. Valid while the protocol
  /// lives.
  [[nodiscard]] std::span<const int> report_at(CallId id) const noexcept {
    const bool can_tell = capabilities_.streaming && capabilities_.concurrent;
    const auto call = std::ranges::find(pending_, id, &PendingCall::id);
    if (!can_tell || call == pending_.end() || call->step() != Step::answer) return {};
    if (outcome_.images.empty() && policy_->text_only == TextOnly::pass) return {};
    return policy_->incremental_check;
  }

  /// Takes what there is of the text of a pending answer: an early check of it becomes pending, unless one still is. Found
  /// harmful, it ends the answer's call; found anything else, or failed, it changes nothing.
  void progress(CallId id, std::string text) {
    if (report_at(id).empty() || detail::is_blank(text)) return;
    if (std::ranges::any_of(pending_, &PendingCall::early)) return;
    early_text_ = std::move(text);
    issue_check(requests().check(conversation(), early_text_), {.early = true});
  }

  /// Takes the reply to a pending call. The reply to a call that was dropped is ignored.
  void resume(CallId id, Reply reply) {
    const auto call = find(id);
    if (call == pending_.end()) return;
    const bool is_needed = call->is_needed();
    PendingCall ended = take(call);
    std::optional<VerdictReading> reading;
    if (asks_for_verdict(ended.step())) reading = read_check(*policy_, ended.request, reply, least_prompt_tokens(ended, reply));
    StepRecord& record = write_down(std::move(ended));
    record.reply = std::move(reply.text);
    record.finish_reason = reply.finish_reason;
    record.usage = reply.usage;
    record.counts = reply.counts;
    record.model = std::move(reply.model);
    record.duration = reply.duration;
    if (reading) return on_verdict(record, *std::move(reading));
    if (policy_->empty_reply == EmptyReply::fail && detail::is_blank(record.reply)) {
      const std::string why = fmt::format("the model's reply is empty (finish reason: {})", to_string(record.finish_reason));
      return on_failure(record, Error{Errc::bad_reply, why}, is_needed);
    }
    if (record.step == Step::answer) return on_answer();
    if (record.step == Step::caption) return on_caption();
    on_regenerated();
  }

  /// Takes the failure of a pending call: the query ends by the policy's `on_failure`. A speculative call that fails is asked
  /// again if it turns out to be needed; a clarification that the server refuses leaves its check undecided. The failure of a
  /// call that was dropped is ignored.
  void fail(CallId id, const Error& error) {
    const auto call = find(id);
    if (call == pending_.end()) return;
    const bool is_needed = call->is_needed();
    StepRecord& record = write_down(take(call));
    const bool is_refused = error.code() == Errc::bad_request || error.code() == Errc::too_large;
    if (record.clarification > 0 && is_refused) {
      record.error = error.in_step(record.step);
      return on_undecided(record);
    }
    on_failure(record, error, is_needed);
  }

  friend bool operator==(const EcsoProtocol& a, const EcsoProtocol& b) {
    return *a.policy_ == *b.policy_ && a.capabilities_ == b.capabilities_ && a.sampling_ == b.sampling_ &&
           a.conversation() == b.conversation() && a.round_ == b.round_ && a.next_id_ == b.next_id_ && a.state_ == b.state_ &&
           a.pending_ == b.pending_ && a.early_text_ == b.early_text_ && a.outcome_ == b.outcome_;
  }

 private:
  friend struct ProtocolJson;

  [[nodiscard]] StepRequests requests() const noexcept { return {*policy_, capabilities_, sampling_}; }

  void on_failure(StepRecord& record, const Error& error, bool is_needed) {
    record.error = error.in_step(record.step);
    if (!is_needed) return;
    outcome_.error = record.error;
    if (policy_->on_failure == OnFailure::refuse) return finish(Path::refused, policy_->refusal);
    finish(Path::failed, {});
  }

  void on_answer() {
    const std::size_t answer = outcome_.steps.size() - 1;
    std::erase_if(pending_, [](const PendingCall& call) { return call.early; });
    if (outcome_.images.empty() && policy_->text_only == TextOnly::pass)
      return finish(Path::direct, outcome_.steps[answer].reply);
    state_ = state::Checking{answer};
    issue_check(requests().check(conversation_, outcome_.steps[answer].reply, CheckRoom::verdict, counted(answer)), {});
  }

  /// Of what there was of the answer, which is still being generated.
  void on_early_verdict(Verdict verdict) {
    if (verdict != Verdict::harmful) return;
    StepRecord& answer = write_down(take(std::ranges::find(pending_, Step::answer, &PendingCall::step)));
    answer.early = true;
    answer.finish_reason = FinishReason::other;
    answer.reply = std::move(early_text_);
    start_round();
  }

  void on_verdict(StepRecord& record, VerdictReading reading) {
    record.verdict = reading.verdict;
    record.p_harmful = reading.p_harmful;
    record.doubt = reading.doubt;
    record.reason = std::move(reading.reason);
    record.category = std::move(reading.category);
    if (record.early) return on_early_verdict(reading.verdict);
    const StepRecord& answer = outcome_.steps[checked_answer()];
    if (reading.verdict == Verdict::undecided && record.clarification < policy_->clarifications) {
      auto request =
          requests().clarify(record.step, conversation_, answer.reply, record.doubt, record.reply, counted(checked_answer()));
      if (request) return issue(*std::move(request), {.round = round_, .clarification = record.clarification + 1});
    }
    if (reading.verdict == Verdict::undecided) return on_undecided(record);
    on_decided(record, reading.verdict);
  }

  void on_undecided(const StepRecord& record) { on_decided(record, policy_->undecided); }

  void on_decided(const StepRecord& record, Verdict verdict) {
    const Path path = record.step == Step::check ? Path::direct : Path::eyes_closed;
    if (verdict == Verdict::safe) return finish(path, outcome_.steps[checked_answer()].reply);
    if (round_ == policy_->max_rounds) return finish(Path::refused, policy_->refusal);
    start_round();
  }

  /// Of the states that check one, which step record holds it.
  [[nodiscard]] std::size_t checked_answer() const {
    const auto* checking = std::get_if<state::Checking>(&state_);
    return checking != nullptr ? checking->answer : std::get<state::Rechecking>(state_).answer;
  }

  void start_round() {
    ++round_;
    state_ = state::Captioning{};
    for (PendingCall& call : pending_) call.speculative = false;
    issue_captions(round_, false);
    regenerate_if_captioned();
  }

  void on_caption() {
    if (std::holds_alternative<state::Captioning>(state_)) regenerate_if_captioned();
  }

  void regenerate_if_captioned() {
    const std::size_t images = outcome_.images.size();
    std::vector<std::string_view> captions;
    captions.reserve(images);
    for (std::size_t image = 0; image < images; ++image) {
      const StepRecord* caption = caption_of(image, round_);
      if (caption == nullptr) return;
      captions.emplace_back(caption->reply);
    }
    state_ = state::Regenerating{};
    issue(requests().regenerate(conversation_, captions, round_), {.round = round_});
  }

  /// The record of an image's caption in a round, if there is one.
  [[nodiscard]] const StepRecord* caption_of(std::size_t image, int round) const noexcept {
    const auto is_it = [&](const StepRecord& record) {
      return record.step == Step::caption && record.round == round && record.image == image && !record.error;
    };
    const auto found = std::ranges::find_if(outcome_.steps, is_it);
    return found == outcome_.steps.end() ? nullptr : &*found;
  }

  void on_regenerated() {
    const std::size_t answer = outcome_.steps.size() - 1;
    if (policy_->recheck == Recheck::off) return finish(Path::eyes_closed, outcome_.steps[answer].reply);
    state_ = state::Rechecking{answer};
    issue_check(requests().recheck(conversation_, outcome_.steps[answer].reply, CheckRoom::verdict, counted(answer)),
                {.round = round_});
  }

  [[nodiscard]] Counted counted(std::size_t answer) const noexcept {
    return outcome_.steps[answer].counts.prompt > 0 ? Counted::yes : Counted::no;
  }

  /// Tokens that a check's prompt has at least: those of its words, or by what the same model has counted, those of the answer in
  /// place of its words, and of a chat that goes on, all that the answer's call had. Text may be taken apart in another way than
  /// it was put together, by a tenth. What another model counts tells nothing.
  [[nodiscard]] std::int64_t least_prompt_tokens(const PendingCall& call, const Reply& reply) const {
    const std::int64_t words = least_tokens(call.request);
    const bool shows_all = !call.early && policy_->max_response_code_points == 0;
    const bool is_other_model = capabilities_.checks_elsewhere || policy_->models.check != policy_->models.answer;
    if (!shows_all || is_other_model || asks_about_review(call)) return words;
    const StepRecord& answer = outcome_.steps[checked_answer()];
    const bool is_same_name = reply.model == answer.model;
    const std::int64_t percent = is_same_name ? 90 : 50;
    const std::int64_t of_answer = answer.counts.text * percent / 100;
    const bool continues = is_same_name && options_of(call.request).continues_chat;
    const std::int64_t chat = continues ? answer.counts.prompt * percent / 100 + of_answer : 0;
    return std::max({words, chat, words + of_answer - detail::least_tokens(answer.reply)});
  }

  /// Whether a call shows a check's reply in place of the answer.
  [[nodiscard]] bool asks_about_review(const PendingCall& call) const {
    return call.clarification > 0 && last_verdict().doubt == Doubt::unclear;
  }

  /// The last check that has ended, early ones left out. There must be one.
  [[nodiscard]] const StepRecord& last_verdict() const {
    const auto is_it = [](const StepRecord& record) { return record.verdict && !record.early; };
    return *std::find_if(outcome_.steps.rbegin(), outcome_.steps.rend(), is_it);
  }

  /// What a call is beside its request.
  struct CallKind {
    int round = 0;
    std::size_t image = 0;
    bool speculative = false;
    bool early = false;
    int clarification = 0;
  };

  void issue(ModelRequest request, const CallKind& kind) {
    const auto place = kind.speculative ? pending_.end() : std::ranges::find_if(pending_, &PendingCall::speculative);
    pending_.insert(place, PendingCall{next_id_++, kind.round, kind.image, kind.speculative, kind.early, kind.clarification,
                                       std::move(request)});
  }

  /// A check whose prompt the checker has no room for is not asked: it is undecided.
  void issue_check(ModelRequest request, const CallKind& kind) {
    const std::int64_t room = capabilities_.context_tokens;
    const std::int64_t needed = room == 0 ? 0 : least_tokens(request);
    if (needed <= room) return issue(std::move(request), kind);
    if (kind.early) return;
    StepRecord& record = write_down({.id = next_id_++, .round = kind.round, .request = std::move(request)});
    on_verdict(record, {.doubt = Doubt::unread,
                        .reason = fmt::format("its prompt has at least {} tokens, the checker room for {}", needed, room)});
  }

  void issue_captions(int round, bool speculative) {
    for (std::size_t image = 0; image < outcome_.images.size(); ++image) {
      const auto is_asked = [&](const PendingCall& call) { return call.step() == Step::caption && call.image == image; };
      if (caption_of(image, round) != nullptr || std::ranges::any_of(pending_, is_asked)) continue;
      issue(requests().caption(conversation(), *outcome_.images[image].image(), round),
            {.round = round, .image = image, .speculative = speculative});
    }
  }

  /// @throws Error (internal) if the call was never issued; gives the end if it was dropped.
  [[nodiscard]] std::vector<PendingCall>::iterator find(CallId id) {
    if (id >= next_id_) throw Error{Errc::internal, "protocol: no call has number " + std::to_string(id)};
    return std::ranges::find(pending_, id, &PendingCall::id);
  }

  [[nodiscard]] PendingCall take(std::vector<PendingCall>::iterator call) {
    PendingCall taken = std::move(*call);
    pending_.erase(call);
    return taken;
  }

  /// Begins the record of a call that has ended, and takes the chat back from the answer's call.
  StepRecord& write_down(PendingCall call) {
    StepRecord& record = outcome_.steps.emplace_back();
    record.step = call.step();
    record.round = call.round;
    record.image = call.image;
    record.early = call.early;
    record.clarification = call.clarification;
    auto* vision = std::get_if<VisionRequest>(&call.request);
    if (vision != nullptr && record.step == Step::answer) {
      conversation_ = std::move(vision->conversation);
      record.prompt = query_of(conversation_);
    } else {
      record.prompt = prompt_of(std::move(call.request));
    }
    return record;
  }

  /// The chat. An answer's call with images holds it while it is under way: a copy would be the dearest part of a query.
  [[nodiscard]] const Conversation& conversation() const noexcept {
    const auto lent = std::ranges::find(pending_, Step::answer, &PendingCall::step);
    const auto* vision = lent == pending_.end() ? nullptr : std::get_if<VisionRequest>(&lent->request);
    return vision == nullptr ? conversation_ : vision->conversation;
  }

  void finish(Path path, std::string text) {
    outcome_.path = path;
    outcome_.text = std::move(text);
    pending_.clear();
    state_ = state::Done{};
  }

  std::shared_ptr<const Policy> policy_;
  Capabilities capabilities_;
  std::optional<Sampling> sampling_;
  Conversation conversation_;
  int round_ = 0;
  CallId next_id_ = 0;
  ProtocolState state_ = state::Answering{};
  std::vector<PendingCall> pending_;
  std::string early_text_;
  Outcome outcome_;
};

/// One line for a log: "checking, 1 step done, pending: check caption?"; a question mark means not known to be needed.
[[nodiscard]] inline std::string to_string(const EcsoProtocol& protocol) {
  std::string line{to_string(protocol.state())};
  const std::size_t ended = protocol.outcome().steps.size();
  line.append(", ").append(std::to_string(ended)).append(ended == 1 ? " step done" : " steps done");
  if (protocol.done()) return line.append(": ").append(to_string(protocol.outcome().path));
  line += ", pending:";
  for (const PendingCall& call : protocol.pending())
    line.append(" ").append(to_string(call.step())).append(call.is_needed() ? "" : "?");
  return line;
}

}  // namespace ecso
