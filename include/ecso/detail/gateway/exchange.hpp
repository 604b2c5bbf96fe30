#pragma once

#include <ecso/backend/openai_fallback.hpp>
#include <ecso/backend/openai_reply.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/trace_json.hpp>
#include <ecso/detail/gateway/exchange_failure.hpp>
#include <ecso/detail/gateway/failover.hpp>
#include <ecso/detail/gateway/note.hpp>
#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/detail/gateway/upstream_call.hpp>
#include <ecso/detail/gateway/window.hpp>
#include <ecso/drive/async_run.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/options.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// What an exchange is made with.
struct ExchangeSetup {
  std::shared_ptr<const ecso::gateway::Options> options;
  std::shared_ptr<ecso::gateway::Metrics> metrics;
  std::vector<std::shared_ptr<Upstream>> upstreams = {};  ///< In the order to try them.
  std::shared_ptr<const Policy> policy = {};
  ecso::gateway::StreamMode stream = ecso::gateway::StreamMode::hold;
  std::string query = {};                                    ///< Of the client's target, with its question mark.
  std::function<std::string(const Upstream&)> headers = {};  ///< Lines for an upstream.
  bool is_trace = false;  ///< The steps are wanted, by a `StepWatcher`, and no stream of the answer.
};

/// Sees the steps of the first choice as they happen.
struct StepWatcher {
  std::function<void(const PendingCall&)> on_start = {};
  std::function<void(const StepRecord&)> on_end = {};
};

/// One chat on its way: the client's request to the upstream, a protocol for each choice of the answer, and what may leave.
/// Nothing leaves but what a protocol's outcome lets out, or what an early check of a window has passed. Of one thread.
class Exchange final : public Timed, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(Sweeper& sweeper, const Executor& executor, ExchangeSetup setup, std::unique_ptr<ecso::gateway::ClientChat> chat)
      : Timed{sweeper},
        sweeper_{sweeper},
        executor_{executor},
        setup_{std::move(setup)},
        chat_{std::move(chat)},
        policy_{policy_for(is_window(), chat_->choices(), setup_.policy)},
        changed_{executor} {}

  /// Starts the calls. @throws Error (bad_input) if the chat or the policy is not usable.
  void begin(StepWatcher watcher = {}) {
    watcher_ = std::move(watcher);
    expire_after(policy_->deadline);
    tracks_.push_back(
        std::make_unique<Track>(*this, 0, EcsoProtocol{chat_->conversation(), policy_, capabilities(), Sampling{}}));
    tracks_.front()->run.begin();
  }

  /// Ends it: what is under way is cancelled, and nothing more leaves but what the policy says of a failure.
  void give_up(const Error& error) {
    if (is_done_) return;
    if (answer_call_) answer_call_->cancel();
    is_given_up_ = true;
    for (const auto& track : tracks_) track->run.give_up(error);
    settle();
  }

  [[nodiscard]] const ecso::gateway::ClientChat& chat() const noexcept { return *chat_; }
  [[nodiscard]] const ExchangeSetup& setup() const noexcept { return setup_; }
  /// Signalled when any of the following changes.
  [[nodiscard]] Event& changed() noexcept { return changed_; }
  [[nodiscard]] bool is_done() const noexcept { return is_done_; }
  /// Whether the upstream has begun to answer the client's own request with a success.
  [[nodiscard]] bool has_head() const noexcept { return has_head_; }
  /// Stream events that have become ready.
  [[nodiscard]] std::string take_events() { return std::exchange(events_, {}); }
  /// Whether some of the answer has been given out by `take_events`.
  [[nodiscard]] bool has_released() const noexcept { return has_released_; }

  /// Of an exchange that is done: why nothing leaves, if so.
  [[nodiscard]] std::optional<ExchangeFailure> failure() const {
    if (broken_) return failure_of(*broken_);
    for (const auto& track : tracks_) {
      const Outcome& outcome = track->protocol.outcome();
      if (outcome.path == Path::failed) return failure_of(outcome);
    }
    return std::nullopt;
  }

  /// Of an exchange that is done and did not fail: the body, or the rest of the stream.
  /// @throws Error (internal, bad_reply) if what would leave is not what was verified.
  [[nodiscard]] std::string release() {
    if (has_no_answer_ && !has_released_) take_blank_answer();
    std::vector<ecso::gateway::Release> releases;
    releases.reserve(tracks_.size());
    for (const auto& track : tracks_) {
      const Outcome& outcome = track->protocol.outcome();
      make_sure_it_was_verified(*track, outcome);
      releases.push_back(
          {outcome.path, track->regenerated.get(), outcome.path == Path::refused ? outcome.text : std::string_view{}});
    }
    const std::string note = note_json();
    const ecso::gateway::ReleaseNote beside{.ecso = note, .usage = usage(), .replace_usage = true};
    const Outcome& first = tracks_.front()->protocol.outcome();
    if (!has_released_ || first.path == Path::direct) return answer_->release(releases, beside);
    switch (setup_.options->on_harm) {
      case ecso::gateway::OnHarm::stop: return answer_->release_end({}, beside);
      case ecso::gateway::OnHarm::replace: return answer_->release_end("\n\n" + first.text, beside);
      case ecso::gateway::OnHarm::end: break;
    }
    return chat_->error_event(502, "harmful", "the rest of the answer was found harmful");
  }

  /// One outcome a choice.
  [[nodiscard]] std::vector<const Outcome*> outcomes() const {
    std::vector<const Outcome*> all;
    all.reserve(tracks_.size());
    for (const auto& track : tracks_) all.push_back(&track->protocol.outcome());
    return all;
  }

  /// Name of the upstream that answers; empty if none did.
  [[nodiscard]] std::string_view upstream_name() const {
    return upstream_ ? std::string_view{upstream_->options().name} : std::string_view{};
  }

  /// While at least one call was under way.
  [[nodiscard]] std::chrono::nanoseconds upstream_time() const noexcept { return upstream_time_; }

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

  /// A step other than the answer.
  struct Ask {
    std::size_t track;
    CallId id;
    Step step;
    ModelRequest request;
  };

  static constexpr CallId answer_id = 0;

  [[nodiscard]] bool is_streamed() const { return chat_->stream() && !setup_.is_trace; }

  [[nodiscard]] bool is_window() const {
    return is_streamed() && chat_->choices() == 1 && setup_.stream == ecso::gateway::StreamMode::window;
  }

  [[nodiscard]] Capabilities capabilities() const {
    const OpenAiDialect& dialect = setup_.upstreams.front()->dialect();
    const bool is_chat = chat_->path() == "/chat/completions";
    return {.vision = true,
            .logprobs = is_chat && dialect.logprobs != LogprobStyle::none,
            .forced_choice = is_chat && dialect.choices != ChoiceStyle::none,
            .concurrent = true,
            .streaming = is_streamed()};
  }

  void on_expired() override { give_up(Error{Errc::timeout, "the time for the query is over"}); }

  // --- Calls ---

  void start(std::size_t track, const PendingCall& call) {
    if (call.step() == Step::answer && track > 0) return;  // the first track's call is for all
    if (track == 0) show_steps();
    if (watcher_.on_start && track == 0) watcher_.on_start(call);
    if (is_streamed() && track == 0) announce(call);
    if (call.step() == Step::answer) {
      spawn(call_answer(shared_from_this()));
      return;
    }
    spawn(call_step(shared_from_this(), Ask{track, call.id, call.step(), call.request}));
  }

  void cancel(std::size_t track, CallId id) {
    if (id == answer_id && answer_call_) answer_call_->cancel();
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

  void count_begin() {
    if (calls_under_way_++ == 0) busy_since_ = Clock::now();
  }
  void count_end(const Upstream& upstream, Step step, const std::optional<Error>& error, Clock::time_point since) {
    const auto now = Clock::now();
    if (--calls_under_way_ == 0) upstream_time_ += now - busy_since_;
    const auto failure = error ? std::optional{error->code()} : std::nullopt;
    setup_.metrics->count_call(upstream.options().name, step, failure, now - since);
  }

  [[nodiscard]] UpstreamRequest request_of(const Upstream& upstream, Spliced body) const {
    return {.target = std::string{chat_->path()} + setup_.query, .headers = setup_.headers(upstream), .body = std::move(body)};
  }

  /// (1) The client's own request, for all choices.
  static Task<void> call_answer(std::shared_ptr<Exchange> self) {
    std::optional<Error> error;
    const auto upstreams = in_order_to_try(self->setup_.upstreams, self->upstream_);
    for (const auto& upstream : upstreams) {
      error.reset();
      self->upstream_response_.reset();
      self->answer_ = self->chat_->reader(self->is_streamed());
      auto call = std::make_shared<UpstreamCall>(self->sweeper_, upstream);
      self->answer_call_ = call;
      self->upstream_ = upstream;
      const auto since = Clock::now();
      self->count_begin();
      try {
        if (self->is_given_up_) throw Error{Errc::cancelled, "the call was cancelled"};
        ResponseSink sink = self->answer_sink();
        UpstreamRequest request =
            self->request_of(*upstream, self->chat_->answer(self->setup_.is_trace ? std::optional{false} : std::nullopt));
        auto response = co_await call->send(call, std::move(request), std::move(sink));
        if (response.status >= 300) {
          error = server_error(response.status, response.body, response.retry_after, upstream->options().url);
          self->upstream_response_ = std::move(response);
        } else {
          self->answer_->finish();
        }
      } catch (const Error& thrown) {
        error = thrown;
      } catch (const std::exception& thrown) {
        error = Error{Errc::internal, thrown.what()};
      }
      self->count_end(*upstream, Step::answer, error, since);
      self->answer_duration_ = Clock::now() - since;
      if (!error) {
        upstream->mark_up();
        break;
      }
      note_health(*upstream, *error, call->has_response());
      if (self->has_head_ || !may_try_another(*error, call->has_response())) break;
    }
    self->answer_call_.reset();
    self->has_no_answer_ = error.has_value();
    self->on_answer(error);
  }

  [[nodiscard]] ResponseSink answer_sink() {
    return {.on_head =
                [this] {
                  has_head_ = true;
                  changed_.signal();
                },
            .on_body =
                [this](std::string_view bytes) {
                  answer_->feed(bytes);
                  report_progress();
                }};
  }

  /// (2) to (5): a check, a caption, a regenerated answer.
  static Task<void> call_step(std::shared_ptr<Exchange> self, Ask ask) {
    std::optional<Error> error;
    Reply reply;
    std::unique_ptr<ecso::gateway::UpstreamAnswer> reader;
    const auto upstreams = in_order_to_try(self->setup_.upstreams, self->upstream_);
    for (std::size_t place = 0; place < upstreams.size();) {
      const auto& upstream = upstreams[place];
      error.reset();
      reader = self->chat_->reader(false);
      auto call = std::make_shared<UpstreamCall>(self->sweeper_, upstream);
      const auto since = Clock::now();
      const OpenAiDialect dialect = upstream->dialect();
      self->count_begin();
      try {
        if (!self->note_call(ask, call)) throw Error{Errc::cancelled, "the call is not needed any more"};
        ResponseSink sink{.on_body = [into = reader.get()](std::string_view bytes) { into->feed(bytes); }};
        UpstreamRequest request = self->request_of(*upstream, self->body_of(ask, dialect));
        auto response = co_await call->send(call, std::move(request), std::move(sink));
        if (response.status >= 300) {
          error = server_error(response.status, response.body, response.retry_after, upstream->options().url);
        } else {
          reader->finish();
          reply = reply_of(*reader, ask.step, dialect);
          reply.duration = Clock::now() - since;
        }
      } catch (const Error& thrown) {
        error = thrown;
      } catch (const std::exception& thrown) {
        error = Error{Errc::internal, thrown.what()};
      }
      self->count_end(*upstream, ask.step, error, since);
      if (!error) break;
      if (const auto plainer = plainer_dialect(ask, dialect, *error)) {
        upstream->set_dialect(*plainer);
        continue;
      }
      note_health(*upstream, *error, call->has_response());
      if (!may_try_another(*error, call->has_response())) break;
      ++place;
    }
    self->on_step(ask, std::move(reply), std::move(reader), error);
  }

  [[nodiscard]] Spliced body_of(const Ask& ask, const OpenAiDialect& dialect) const {
    if (ask.step == Step::regenerate) return chat_->regenerate(std::get<TextRequest>(ask.request));
    return chat_->ask(ask.request, dialect);
  }

  [[nodiscard]] static Reply reply_of(const ecso::gateway::UpstreamAnswer& answer, Step step, const OpenAiDialect& dialect) {
    using ecso::gateway::AnswerText;
    Reply reply = answer.reply(0, step == Step::regenerate ? AnswerText::everything : AnswerText::content);
    if (asks_for_verdict(step) && dialect.choices == ChoiceStyle::response_format)
      reply.text = openai_choice(std::move(reply.text));
    return reply;
  }

  [[nodiscard]] static std::optional<OpenAiDialect> plainer_dialect(const Ask& ask, const OpenAiDialect& dialect,
                                                                    const Error& error) {
    if (ask.step == Step::regenerate) return std::nullopt;
    const CallOptions& options =
        std::visit([](const auto& request) -> const CallOptions& { return request.options; }, ask.request);
    return openai_fallback(dialect, options, error);
  }

  // --- What comes back ---

  /// False if the call is not wanted any more.
  [[nodiscard]] bool note_call(const Ask& ask, const std::shared_ptr<UpstreamCall>& call) {
    Track& track = *tracks_[ask.track];
    const auto is_it = [&](const PendingCall& pending) { return pending.id == ask.id; };
    if (is_given_up_ || track.run.done() || std::ranges::none_of(track.protocol.pending(), is_it)) return false;
    track.under_way[ask.id] = call;
    return true;
  }

  void on_answer(const std::optional<Error>& error) {
    guarded([&] {
      if (error) {
        tracks_.front()->run.fail(answer_id, *error);
        return;
      }
      // A protocol that broke the answer off has gone on without it.
      const bool is_awaited = !tracks_.front()->run.done() && tracks_.front()->protocol.outcome().steps.empty();
      const std::size_t choices = answer_->choices();
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
    Reply reply = answer_->reply(choice, ecso::gateway::AnswerText::everything);
    if (!chat_->prefill().empty()) reply.text.insert(0, chat_->prefill());
    reply.duration = answer_duration_;
    return reply;
  }

  void on_step(const Ask& ask, Reply reply, std::unique_ptr<ecso::gateway::UpstreamAnswer> reader,
               const std::optional<Error>& error) {
    guarded([&] {
      Track& track = *tracks_[ask.track];
      track.under_way.erase(ask.id);
      if (error) {
        track.run.fail(ask.id, *error);
        return;
      }
      if (ask.step == Step::regenerate) track.regenerated = std::move(reader);
      track.run.resume(ask.id, std::move(reply));
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
    if (answer_call_) answer_call_->cancel();
    for (const auto& track : tracks_) setup_.metrics->count(track->protocol.outcome());
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
    const std::string_view so_far = answer_->text_so_far();
    if (!window_.is_due(marks, so_far.size())) return;
    const bool is_checking = std::ranges::any_of(track.protocol.pending(), &PendingCall::early);
    if (is_checking) return;
    window_.begin_check(marks, so_far.size());
    track.run.progress(answer_id, std::string{chat_->prefill()}.append(so_far));
  }

  void release_window() {
    const std::size_t verified_bytes = window_.verified_bytes(setup_.options->lookahead_bytes);
    if (verified_bytes == 0) return;
    const std::string ready = answer_->release_some(verified_bytes);
    if (ready.empty()) return;
    events_ += ready;
    has_released_ = true;
    changed_.signal();
  }

  // --- What leaves ---

  /// A policy may refuse where the upstream failed; the refusal needs a reply to stand in.
  void take_blank_answer() {
    answer_ = chat_->reader(is_streamed());
    answer_->feed(chat_->blank_answer(is_streamed()));
    answer_->finish();
  }

  /// The protocol decides by texts; what leaves are bytes. They must be the same.
  void make_sure_it_was_verified(const Track& track, const Outcome& outcome) const {
    const auto differs = [] { return Error{Errc::internal, "what would leave is not what was verified"}; };
    if (outcome.path == Path::direct && answer_reply(track.calls.track).text != outcome.text) throw differs();
    if (outcome.path != Path::eyes_closed) return;
    if (!track.regenerated) throw differs();
    if (track.regenerated->reply(0, ecso::gateway::AnswerText::everything).text != outcome.text) throw differs();
  }

  [[nodiscard]] Usage usage() const {
    Usage sum;
    for (const auto& track : tracks_) sum += track->protocol.outcome().usage();
    return sum;
  }

  [[nodiscard]] std::string note_json() const {
    std::vector<const Outcome*> all = outcomes();
    return exchange_note(all, setup_.options->simulated);
  }

  [[nodiscard]] ExchangeFailure failure_of(const Outcome& outcome) const {
    if (!outcome.error) return failure_of(Error{Errc::internal, "the query failed"});
    return failure_of(*outcome.error);
  }

  [[nodiscard]] ExchangeFailure failure_of(const Error& error) const { return exchange_failure(error, upstream_response_); }

  Sweeper& sweeper_;
  Executor executor_;
  ExchangeSetup setup_;
  std::unique_ptr<ecso::gateway::ClientChat> chat_;
  std::shared_ptr<const Policy> policy_;
  Event changed_;
  StepWatcher watcher_;
  std::vector<std::unique_ptr<Track>> tracks_;
  std::unique_ptr<ecso::gateway::UpstreamAnswer> answer_;
  std::shared_ptr<UpstreamCall> answer_call_;
  std::shared_ptr<Upstream> upstream_;
  std::optional<UpstreamResponse> upstream_response_;
  std::optional<Error> broken_;
  std::string events_;
  Window window_;
  bool has_head_ = false;
  bool has_released_ = false;
  bool has_no_answer_ = true;
  bool is_given_up_ = false;
  bool is_done_ = false;
  std::size_t calls_under_way_ = 0;
  std::chrono::nanoseconds answer_duration_{0};
  Clock::time_point busy_since_{};
  std::chrono::nanoseconds upstream_time_{0};
};

}  // namespace ecso::detail::gateway
