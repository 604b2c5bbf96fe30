#pragma once

#include <ecso/core/protocol.hpp>
#include <ecso/detail/gateway/after_harm.hpp>
#include <ecso/detail/gateway/exchange_calls.hpp>
#include <ecso/detail/gateway/exchange_failure.hpp>
#include <ecso/detail/gateway/exchange_setup.hpp>
#include <ecso/detail/gateway/note.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/window.hpp>
#include <ecso/drive/async_run.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_chat.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// One chat on its way: the client's request to the upstream, a protocol for each choice of the answer, and what may leave.
/// Nothing leaves but what a protocol's outcome lets out, or what an early check of a window has passed. Of one thread.
class Exchange final : public Timed, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(Sweeper& sweeper, const Executor& executor, ExchangeSetup setup, std::unique_ptr<ecso::gateway::ClientChat> chat)
      : Timed{sweeper},
        executor_{executor},
        setup_{std::move(setup)},
        chat_{std::move(chat)},
        policy_{is_window()             ? setup_.policy.window
                : chat_->choices() == 1 ? setup_.policy.held
                                        : setup_.policy.several},
        changed_{executor},
        calls_{sweeper, setup_, *chat_} {}

  /// Starts the calls. @throws Error (bad_input) if the chat or the policy is not usable.
  void begin(StepWatcher watcher = {}) {
    if (is_done_) return;  // given up already
    watcher_ = std::move(watcher);
    expire_after(policy_->deadline);
    tracks_.push_back(std::make_unique<Track>(
        *this, 0, EcsoProtocol{chat_->conversation(), policy_, calls_.capabilities(is_streamed()), Sampling{}}));
    tracks_.front()->run.begin();
  }

  /// Ends it: what is under way is cancelled, and nothing more leaves but what the policy says of a failure.
  void give_up(const Error& error) {
    if (is_done_) return;
    calls_.give_up();
    is_given_up_ = true;
    for (const auto& track : tracks_) track->run.give_up(error);
    settle();
  }

  /// The same where nobody is left to hear of it.
  void abandon() noexcept {
    watcher_ = {};
    try {
      give_up(Error{Errc::cancelled, "the connection is over"});
    } catch (const std::exception&) {
      is_given_up_ = true;  // no call begins any more, and what is under way ends by its own bounds
    }
  }

  [[nodiscard]] const ecso::gateway::ClientChat& chat() const noexcept { return *chat_; }
  /// Signalled when any of the following changes.
  [[nodiscard]] Event& changed() noexcept { return changed_; }
  [[nodiscard]] bool is_done() const noexcept { return is_done_; }
  /// Whether the upstream has begun to answer the client's own request with a success.
  [[nodiscard]] bool has_head() const noexcept { return has_head_; }
  /// Stream events that have become ready.
  [[nodiscard]] std::string take_events() { return std::exchange(events_, {}); }

  /// Of an exchange that is done: why nothing leaves, if so.
  [[nodiscard]] std::optional<ExchangeFailure> failure() const {
    if (broken_) return failure_of(*broken_);
    for (const Outcome* outcome : outcomes()) {
      if (outcome->path != Path::failed) continue;
      return failure_of(outcome->error.value_or(Error{Errc::internal, "the query failed"}));
    }
    return std::nullopt;
  }

  /// Of an exchange that is done and did not fail: the body, or the rest of the stream.
  /// @throws Error (internal, bad_reply) if what would leave is not what was verified.
  [[nodiscard]] std::string release() {
    if (!answer_.is_whole && !has_released_) take_blank_answer();
    const std::vector<const Outcome*> all = outcomes();
    const std::string note = exchange_note(all, setup_.options->simulated);
    ecso::gateway::ReleaseNote beside{.ecso = note};
    for (const Outcome* outcome : all) beside.usage += outcome->usage();
    const Outcome& first = tracks_.front()->protocol.outcome();
    if (has_released_ && first.path != Path::direct) {
      return rest_after_harm(*chat_, *answer_.reader, first, beside, setup_.options->on_harm);
    }
    std::vector<ecso::gateway::Release> releases;
    releases.reserve(tracks_.size());
    for (const auto& track : tracks_) {
      const Outcome& outcome = track->protocol.outcome();
      make_sure_it_was_verified(*track, outcome);
      releases.push_back(
          {outcome.path, track->regenerated.get(), outcome.path == Path::refused ? outcome.text : std::string_view{}});
    }
    return answer_.reader->release(releases, beside);
  }

  /// One outcome a choice.
  [[nodiscard]] std::vector<const Outcome*> outcomes() const {
    std::vector<const Outcome*> all;
    all.reserve(tracks_.size());
    for (const auto& track : tracks_) all.push_back(&track->protocol.outcome());
    if (told_ && !all.empty()) all.front() = &*told_;
    return all;
  }

  /// Name of the upstream that answers; empty if none did.
  [[nodiscard]] std::string_view upstream_name() const {
    return calls_.upstream() ? std::string_view{calls_.upstream()->options().name} : std::string_view{};
  }

  /// Name of the upstream that checks; empty if it is the one that answers.
  [[nodiscard]] std::string_view checker_name() const {
    return setup_.checker ? std::string_view{setup_.checker->options().name} : std::string_view{};
  }

  /// While at least one call was under way.
  [[nodiscard]] std::chrono::nanoseconds upstream_time() const noexcept { return calls_.book().busy_time(); }

 private:
  struct Calls {
    Exchange& exchange;
    std::size_t track;

    void start(const PendingCall& call) { exchange.start(track, call); }
    void cancel(CallId id) { exchange.cancel(track, id); }
  };

  struct Track {
    Track(Exchange& exchange, std::size_t number, EcsoProtocol copy)
        : protocol{std::move(copy)}, calls{exchange, number}, run{protocol, calls} {}

    EcsoProtocol protocol;
    Calls calls;
    AsyncRun<EcsoProtocol, Calls> run;
    std::unique_ptr<ecso::gateway::UpstreamAnswer> regenerated;
    std::map<CallId, std::shared_ptr<UpstreamCall>> under_way;
    std::size_t seen_steps = 0;
  };

  /// A call of a step other than the answer.
  struct Place {
    std::size_t track;
    CallId id;
  };

  static constexpr CallId answer_id = 0;

  [[nodiscard]] bool is_streamed() const { return chat_->stream() && !setup_.is_trace; }

  [[nodiscard]] bool is_window() const {
    return is_streamed() && chat_->choices() == 1 && setup_.stream == ecso::gateway::StreamMode::window;
  }

  void on_expired() override { give_up(Error{Errc::timeout, "the time for the query is over"}); }

  // --- Calls ---

  void start(std::size_t track, const PendingCall& call) {
    if (call.step() == Step::answer && track > 0) return;  // the first track's call is for all
    if (track == 0) show_steps();
    if (has_released_ && call.step() != Step::check && setup_.options->on_harm != ecso::gateway::OnHarm::replace) {
      // The stream ends here: nobody will see what this call would be for.
      has_turned_harmful_ = true;
      throw Error{Errc::cancelled, "the stream was cut"};
    }
    if (watcher_.on_start && track == 0) watcher_.on_start(call);
    if (is_streamed() && track == 0) announce(call);
    if (call.step() == Step::answer) {
      spawn(call_answer(shared_from_this()));
      return;
    }
    calls_.expect_step();
    const auto rank = call.early ? ecso::gateway::CallRank::early_check : ecso::gateway::CallRank::begun;
    spawn(call_step(shared_from_this(), Place{track, call.id}, ExchangeCalls::Ask{call.step(), call.request, rank}));
  }

  void cancel(std::size_t track, CallId id) {
    if (id == answer_id) calls_.cancel_answer();
    const auto call = tracks_[track]->under_way.find(id);
    if (call != tracks_[track]->under_way.end()) call->second->cancel();
  }

  void spawn(Task<void> task) { asio::co_spawn(executor_, std::move(task), asio::detached); }

  void announce(const PendingCall& call) {
    if (call.step() == Step::answer) return;
    events_ +=
        fmt::format(": ecso {{\"step\":\"{}\",\"round\":{},\"state\":\"started\"}}\n\n", to_string(call.step()), call.round);
    changed_.signal();
  }

  static Task<void> call_answer(std::shared_ptr<Exchange> self) {
    const std::optional<bool> stream = self->setup_.is_trace ? std::optional{false} : std::nullopt;
    ExchangeCalls::AnswerWatch watch{.on_head =
                                         [exchange = self.get()] {
                                           exchange->has_head_ = true;
                                           exchange->changed_.signal();
                                         },
                                     .on_progress = [exchange = self.get()] { exchange->report_progress(); }};
    const bool is_watched = self->is_streamed() && !self->tracks_.front()->protocol.report_at(answer_id).empty();
    const auto early_checks = is_watched ? ecso::gateway::EarlyChecks::expected : ecso::gateway::EarlyChecks::none;
    co_await self->calls_.ask_for_answer(stream, self->is_streamed(), early_checks, std::move(watch), &self->answer_);
    self->on_answer();
    self->calls_.end_turn();
  }

  static Task<void> call_step(std::shared_ptr<Exchange> self, Place place, ExchangeCalls::Ask ask) {
    const Step step = ask.step;
    const ExchangeCalls::Begins begins = [self, place](const std::shared_ptr<UpstreamCall>& call) {
      return self->note_call(place, call);
    };
    ExchangeCalls::StepAnswer answer;
    co_await self->calls_.ask_for_step(std::move(ask), begins, &answer);
    self->on_step(place, step, std::move(answer));
    self->calls_.end_turn();
  }

  // --- What comes back ---

  /// False if the call is not wanted any more.
  [[nodiscard]] bool note_call(const Place& place, const std::shared_ptr<UpstreamCall>& call) {
    Track& track = *tracks_[place.track];
    const auto is_it = [&](const PendingCall& pending) { return pending.id == place.id; };
    if (is_given_up_ || track.run.done() || std::ranges::none_of(track.protocol.pending(), is_it)) return false;
    track.under_way[place.id] = call;
    return true;
  }

  void on_answer() {
    guarded([&] {
      if (answer_.error) {
        tracks_.front()->run.fail(answer_id, *answer_.error);
        return;
      }
      // A protocol that broke the answer off has gone on without it.
      const bool is_awaited = !tracks_.front()->run.done() && tracks_.front()->protocol.outcome().steps.empty();
      const std::size_t choices = answer_.reader->choices();
      if (choices > setup_.options->chat.max_choices)
        throw Error{Errc::bad_reply, "the answer has more choices than may be asked for"};
      if (choices > 1 && is_awaited) {
        for (std::size_t choice = 1; choice < choices; ++choice) {
          tracks_.push_back(std::make_unique<Track>(*this, choice, tracks_.front()->protocol));
        }
        for (std::size_t choice = 1; choice < choices; ++choice) tracks_[choice]->run.begin();
      }
      for (std::size_t choice = 0; choice < tracks_.size(); ++choice) {
        tracks_[choice]->run.resume(answer_id, answer_reply(choice));
      }
    });
  }

  [[nodiscard]] Reply answer_reply(std::size_t choice) const {
    Reply reply = answer_.reader->reply(choice, ecso::gateway::AnswerText::everything);
    if (!chat_->prefill().empty()) reply.text.insert(0, chat_->prefill());
    reply.duration = answer_.duration;
    return reply;
  }

  void on_step(const Place& place, Step step, ExchangeCalls::StepAnswer answer) {
    guarded([&] {
      Track& track = *tracks_[place.track];
      track.under_way.erase(place.id);
      if (answer.error) {
        track.run.fail(place.id, *answer.error);
        return;
      }
      if (step == Step::regenerate) track.regenerated = std::move(answer.reader);
      track.run.resume(place.id, std::move(answer.reply));
    });
  }

  /// Whatever goes wrong in between ends the exchange without an answer.
  template <typename Action>
  void guarded(const Action& action) {
    if (is_done_) return;
    try {
      action();
    } catch (const Error& error) {
      broken_ = error;
    } catch (const std::exception& error) {
      broken_ = Error{Errc::internal, error.what()};
    }
    if (broken_) give_up(*broken_);
    settle();
  }

  void settle() {
    show_steps();
    if (is_done_ || !std::ranges::all_of(tracks_, [](const auto& track) { return track->run.done(); })) return;
    is_done_ = true;
    expire_never();
    calls_.cancel_answer();
    if (has_released_) note_what_left();
    for (const Outcome* outcome : outcomes()) setup_.metrics->count(*outcome);
    changed_.signal();
  }

  void show_steps() {
    if (tracks_.empty()) return;  // given up before it began
    Track& track = *tracks_.front();
    const auto& steps = track.protocol.outcome().steps;
    for (; track.seen_steps < steps.size(); ++track.seen_steps) {
      const StepRecord& record = steps[track.seen_steps];
      if (watcher_.on_end) watcher_.on_end(record);
      const bool has_passed = record.early && record.step == Step::check && record.verdict == Verdict::safe && !record.error;
      if (has_passed && is_window() && !track.run.done()) release_window();
    }
  }

  // --- Streams that leave piece by piece ---

  /// Tells the protocol what there is of the answer at the marks of its policy.
  void report_progress() {
    if (is_done_ || !is_streamed()) return;
    Track& track = *tracks_.front();
    const auto marks = track.protocol.report_at(answer_id);
    const std::string_view so_far = answer_.reader->text_so_far();
    if (!window_.is_due(marks, so_far.size())) return;
    const bool is_checking = std::ranges::any_of(track.protocol.pending(), &PendingCall::early);
    if (is_checking) return;
    window_.begin_check(marks, so_far.size());
    track.run.progress(answer_id, std::string{chat_->prefill()}.append(so_far));
  }

  void release_window() {
    const std::size_t verified_bytes = window_.verified_bytes(setup_.options->lookahead_bytes);
    if (verified_bytes == 0) return;
    const std::string ready = answer_.reader->release_some(verified_bytes);
    if (ready.empty()) return;
    events_ += ready;
    has_released_ = true;
    changed_.signal();
  }

  /// Of a stream of which something has left, the outcome of its protocol is not what the client has seen.
  void note_what_left() {
    const Outcome& outcome = tracks_.front()->protocol.outcome();
    const bool has_failed = outcome.path == Path::failed && !has_turned_harmful_;
    if (outcome.path == Path::direct || has_failed) return;
    const std::string_view left = answer_.reader->text_so_far().substr(0, answer_.reader->released_bytes());
    told_ = seen_outcome(outcome, left, setup_.options->on_harm);
    if (has_turned_harmful_) told_->steps.pop_back();  // the call that `start` has refused
  }

  // --- What leaves ---

  /// A policy may refuse where the upstream failed; the refusal needs a reply to stand in.
  void take_blank_answer() {
    answer_.reader = chat_->reader(is_streamed());
    answer_.reader->feed(chat_->blank_answer(is_streamed()));
    answer_.reader->finish();
  }

  /// The protocol decides by texts; what leaves are bytes. They must be the same.
  void make_sure_it_was_verified(const Track& track, const Outcome& outcome) const {
    const auto differs = [] { return Error{Errc::internal, "what would leave is not what was verified"}; };
    if (outcome.path == Path::direct && answer_reply(track.calls.track).text != outcome.text) throw differs();
    if (outcome.path != Path::eyes_closed) return;
    if (!track.regenerated) throw differs();
    if (track.regenerated->reply(0, ecso::gateway::AnswerText::everything).text != outcome.text) throw differs();
  }

  [[nodiscard]] ExchangeFailure failure_of(const Error& error) const {
    const bool is_checkers = setup_.checker && error.context().step && asks_for_verdict(*error.context().step);
    return exchange_failure(error, answer_.refusal, answer_.refusal_status, is_checkers ? checker_name() : std::string_view{});
  }

  Executor executor_;
  ExchangeSetup setup_;
  std::unique_ptr<ecso::gateway::ClientChat> chat_;
  std::shared_ptr<const Policy> policy_;
  Event changed_;
  ExchangeCalls calls_;
  ExchangeCalls::Answer answer_;
  StepWatcher watcher_;
  std::vector<std::unique_ptr<Track>> tracks_;
  std::optional<Error> broken_;
  std::optional<Outcome> told_;  ///< The first choice's outcome as the client sees it, where that is another.
  std::string events_;
  Window window_;
  bool has_head_ = false;
  bool has_released_ = false;
  bool has_turned_harmful_ = false;
  bool is_given_up_ = false;
  bool is_done_ = false;
};

}  // namespace ecso::detail::gateway
