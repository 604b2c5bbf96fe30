#pragma once

#include <ecso/backend/check_lesson.hpp>
#include <ecso/backend/openai_fallback.hpp>
#include <ecso/backend/openai_reply.hpp>
#include <ecso/core/read_check.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/gateway/attempt.hpp>
#include <ecso/detail/gateway/error_text.hpp>
#include <ecso/detail/gateway/exchange_setup.hpp>
#include <ecso/detail/gateway/failover.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/call_queue.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/own_calls.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::detail::gateway {

/// Makes the calls of one exchange: to the upstream that answered last, else to the next, and in plainer words where a server
/// refuses a field. Whoever owns it must live while a call is under way. Of one thread.
class ExchangeCalls {
 public:
  /// @param setup, chat must outlive it.
  ExchangeCalls(Sweeper& sweeper, const ExchangeSetup& setup, const ecso::gateway::ClientChat& chat)
      : sweeper_{sweeper}, setup_{setup}, chat_{chat}, book_{setup.metrics}, memory_{setup.memory} {}

  /// Those that begin from now on fail, and so does the answer's.
  void give_up() {
    is_given_up_ = true;
    cancel_answer();
  }
  void cancel_answer() {
    if (answer_call_) answer_call_->cancel();
  }

  /// A step will be asked for in a moment: it takes over the turn of a call that has ended, unless something more urgent waits.
  void expect_step() noexcept { ++expected_steps_; }

  /// What follows from a call that has ended has been decided. Its turn goes back if nothing does.
  void end_turn() {
    if (expected_steps_ == 0) turn_ = {};
  }

  /// The upstream that answers; null if none did.
  [[nodiscard]] const std::shared_ptr<Upstream>& upstream() const noexcept { return upstream_; }
  [[nodiscard]] const CallBook& book() const noexcept { return book_; }

  // --- The answer ---

  /// How the client's own request went.
  struct Answer {
    std::unique_ptr<ecso::gateway::UpstreamAnswer> reader;
    std::optional<Error> error;
    std::optional<UpstreamResponse> refusal;  ///< What the upstream said in its place, if that may go on.
    int refusal_status = 0;                   ///< Its status, whether it may or not; 0 if there was none.
    bool is_whole = false;                    ///< It has come to its end without an error.
    std::chrono::nanoseconds duration{0};
  };

  struct AnswerWatch {
    std::function<void()> on_head;      ///< A success has begun: no other upstream will be asked.
    std::function<void()> on_progress;  ///< There is more of it.
  };

  /// (1) The client's own request, for all choices.
  /// @param stream whether to ask for a stream in place of what the client asks for.
  /// @param early_checks whether it will be checked as it comes. @param answer is written to as it comes.
  Task<void> ask_for_answer(std::optional<bool> stream, bool is_streamed, ecso::gateway::EarlyChecks early_checks,
                            AnswerWatch watch, Answer* answer) {
    ecso::gateway::Caller caller{.rank = ecso::gateway::CallRank::fresh, .early_checks = early_checks};
    ecso::gateway::CallQueue::Lease turn;
    Attempt made;
    bool may_resend = true;
    bool has_head = false;
    const auto upstreams = in_order_to_try(setup_.upstreams, upstream_);
    const std::string model{chat_.model()};
    std::shared_ptr<Upstream> refused_by;  // that would not tell the tokens of a stream
    for (std::size_t place = 0; place < upstreams.size();) {
      const auto& upstream = upstreams[place];
      OpenAiDialect dialect = upstream->learned().of(model);
      const bool adds_tokens = is_streamed && !chat_.tells_tokens() && may_tell_tokens(dialect) && refused_by != upstream;
      answer->reader = chat_.reader(is_streamed);
      upstream_ = upstream;
      auto call = begin_call(upstream);
      answer_call_ = call;
      const auto tokens = adds_tokens ? ecso::gateway::TokenReport::always : ecso::gateway::TokenReport::as_asked;
      UpstreamRequest request = request_of(*upstream, chat_.answer(stream, tokens));
      ResponseSink sink{.on_head =
                            [&] {
                              has_head = true;
                              watch.on_head();
                            },
                        .on_body =
                            [&](std::string_view bytes) {
                              memory_.add(bytes.size());
                              answer->reader->feed(bytes);
                              watch.on_progress();
                            }};
      const std::function<void()> take_whole = [&] { answer->reader->finish(); };
      auto result =
          co_await attempt(call, upstream, Step::answer, caller, &turn, std::move(request), std::move(sink), take_whole, &book_);
      made = std::move(result);
      caller.rank = ecso::gateway::CallRank::begun;
      if (adds_tokens && made.error && refuses_to_tell_tokens(*made.error)) {
        refused_by = upstream;
        continue;  // the same once more, as the client has it
      }
      ++place;
      if (!made.error && refused_by == upstream) {
        dialect.omit.emplace_back(token_options);
        upstream->learned().learn(model, 0, dialect);
      }
      if (!made.error || has_head || !may_try_another(*made.error, *call, may_resend)) break;
      may_resend = may_resend && !call->is_sent();
    }
    turn_ = std::move(turn);
    answer->error = std::move(made.error);
    answer->is_whole = !answer->error;
    answer->duration = made.duration;
    if (made.refusal) {
      answer->refusal_status = made.refusal->status;
      auto may_pass = co_await may_refusal_pass(&*made.refusal);
      if (may_pass) answer->refusal = std::move(made.refusal);
    }
    answer_call_.reset();
  }

  // --- The other steps ---

  /// What to ask for.
  struct Ask {
    Step step;
    ModelRequest request;
    ecso::gateway::CallRank rank = ecso::gateway::CallRank::begun;
  };

  /// How it went.
  struct StepAnswer {
    Reply reply;
    std::unique_ptr<ecso::gateway::UpstreamAnswer> reader;
    std::optional<Error> error;
  };

  /// Is told of a call before it is made. False: it is not wanted any more.
  using Begins = std::function<bool(const std::shared_ptr<UpstreamCall>&)>;

  /// (2) to (5): a check, a caption, a regenerated answer. Checks go to the checker alone, if there is one: where that fails,
  /// nobody else is asked.
  Task<void> ask_for_step(Ask ask, Begins begins, StepAnswer* answer) {
    bool may_resend = true;
    const bool is_elsewhere = setup_.checker && asks_for_verdict(ask.step);
    const auto upstreams = is_elsewhere ? std::vector{setup_.checker} : in_order_to_try(setup_.upstreams, upstream_);
    ecso::gateway::CallQueue::Lease turn = std::move(turn_);
    expected_steps_ -= std::min<std::size_t>(expected_steps_, 1);
    const ecso::gateway::Caller caller{.rank = ask.rank};
    const std::string model = model_of(ask);
    if (is_elsewhere) options_of(ask.request).model = model;
    OpenAiDialect dialect = upstreams.front()->learned().of(model);
    for (std::size_t place = 0; place < upstreams.size();) {
      const auto& upstream = upstreams[place];
      auto call = begin_call(upstream);
      if (!begins(call)) {
        answer->error = Error{Errc::cancelled, "the call is not needed any more"};
        co_return;
      }
      fit_check(options_of(ask.request), dialect);
      const OwnCalls api = is_elsewhere ? checker_api(dialect) : ecso::gateway::own_calls_of(chat_, ask.step, dialect);
      answer->reader = ecso::gateway::own_reader(chat_, api, options_of(ask.request), dialect);
      UpstreamRequest request =
          is_elsewhere ? check_of(*upstream, ask, dialect, api) : request_of(*upstream, body_of(ask, dialect), api);
      ResponseSink sink = sink_into(*answer->reader);
      const std::function<void()> take_whole = [&] {
        answer->reader->finish();
        answer->reply = reply_of(*answer->reader, ask.step, dialect);
      };
      auto made =
          co_await attempt(call, upstream, ask.step, caller, &turn, std::move(request), std::move(sink), take_whole, &book_);
      answer->error = std::move(made.error);
      answer->reply.duration = made.duration;
      if (!answer->error) {
        // Only what has worked is kept for others.
        learn_from_check(dialect, options_of(ask.request), answer->reply);
        if (ask.step != Step::regenerate) upstream->learned().learn(model, 0, dialect);
        turn_ = std::move(turn);
        co_return;
      }
      if (auto plainer = plainer_dialect(ask, dialect, *answer->error, model)) {
        dialect = std::move(*plainer);
        continue;
      }
      if (!may_try_another(*answer->error, *call, may_resend)) co_return;
      may_resend = may_resend && !call->is_sent();
      if (++place < upstreams.size()) dialect = upstreams[place]->learned().of(model);
    }
  }

  [[nodiscard]] Capabilities capabilities(bool is_streamed) const {
    const bool is_elsewhere = setup_.checker != nullptr;
    const auto& checker = is_elsewhere ? setup_.checker : setup_.upstreams.front();
    const OpenAiDialect dialect = checker->learned().of(check_model());
    const bool is_chat = is_elsewhere || chat_.path() == "/chat/completions" || dialect.own_calls != OwnCalls::same_api;
    return {.vision = true,
            .logprobs = is_chat && dialect.logprobs != LogprobStyle::none,
            .forced_choice = is_chat && dialect.choices != ChoiceStyle::none,
            .concurrent = true,
            .streaming = is_streamed,
            .prefix_cache = is_chat && dialect.prefix_cache,
            .checks_elsewhere = is_elsewhere,
            .check_vision = !is_elsewhere || checker->options().check_vision.value_or(true),
            .may_cut = dialect.may_cut,
            .context_tokens = dialect.context_tokens};
  }

 private:
  [[nodiscard]] std::shared_ptr<UpstreamCall> begin_call(const std::shared_ptr<Upstream>& upstream) {
    auto call = std::make_shared<UpstreamCall>(sweeper_, upstream);
    if (is_given_up_) call->cancel();
    return call;
  }

  /// The client's query goes with its own API alone.
  [[nodiscard]] UpstreamRequest request_of(const Upstream& upstream, Spliced body, OwnCalls api = OwnCalls::same_api) const {
    UpstreamRequest request{
        .target = std::string{chat_.path()} + setup_.query, .headers = setup_.headers(upstream), .body = std::move(body)};
    set_target(request, api);
    return request;
  }

  [[nodiscard]] ResponseSink sink_into(ecso::gateway::UpstreamAnswer& reader) {
    return {.on_body = [this, &reader](std::string_view bytes) {
      memory_.add(bytes.size());
      reader.feed(bytes);
    }};
  }

  static constexpr std::string_view token_options = "stream_options";

  [[nodiscard]] static bool may_tell_tokens(const OpenAiDialect& dialect) {
    return std::ranges::find(dialect.omit, token_options) == dialect.omit.end();
  }

  [[nodiscard]] static bool refuses_to_tell_tokens(const Error& error) {
    return may_be_about_fields(error) &&
           (names_field(error.message(), token_options) || names_field(error.message(), "include_usage"));
  }

  /// The API of a checker that is another server than the client's.
  [[nodiscard]] static OwnCalls checker_api(const OpenAiDialect& dialect) {
    return dialect.own_calls == OwnCalls::ollama_chat ? OwnCalls::ollama_chat : OwnCalls::chat_completions;
  }

  /// A check for it: nothing of the client's goes along but what is to be checked.
  [[nodiscard]] UpstreamRequest check_of(const Upstream& checker, const Ask& ask, const OpenAiDialect& dialect,
                                         OwnCalls api) const {
    const Secret& key = checker.options().key;
    UpstreamRequest request{.target = {},
                            .headers = key.empty() ? std::string{} : "authorization: Bearer " + key.reveal() + "\r\n",
                            .body = chat_.ask_elsewhere(ask.request, dialect)};
    set_target(request, api);
    return request;
  }

  static void set_target(UpstreamRequest& request, OwnCalls api) {
    if (api == OwnCalls::chat_completions) request.target = "/chat/completions";
    if (api == OwnCalls::ollama_chat) {
      request.base = TargetBase::root;
      request.target = "/api/chat";
    }
  }

  [[nodiscard]] std::string check_model() const {
    const std::string& model = setup_.policy.held->models.check;
    if (!model.empty()) return model;
    return setup_.checker ? setup_.checker->options().check_model : std::string{chat_.model()};
  }

  [[nodiscard]] std::string model_of(const Ask& ask) const {
    if (asks_for_verdict(ask.step)) return check_model();
    const std::string& model = options_of(ask.request).model;
    return model.empty() ? std::string{chat_.model()} : model;
  }

  [[nodiscard]] Spliced body_of(const Ask& ask, const OpenAiDialect& dialect) const {
    if (ask.step == Step::regenerate) return chat_.regenerate(std::get<TextRequest>(ask.request));
    return chat_.ask(ask.request, dialect);
  }

  [[nodiscard]] static Reply reply_of(const ecso::gateway::UpstreamAnswer& answer, Step step, const OpenAiDialect& dialect) {
    using ecso::gateway::AnswerText;
    Reply reply = answer.reply(0, step == Step::regenerate ? AnswerText::everything : AnswerText::content);
    if (asks_for_verdict(step) && dialect.choices == ChoiceStyle::response_format)
      reply.text = openai_choice(std::move(reply.text));
    return reply;
  }

  [[nodiscard]] std::optional<OpenAiDialect> plainer_dialect(const Ask& ask, const OpenAiDialect& dialect, const Error& error,
                                                             std::string_view model) const {
    if (ask.step == Step::regenerate) return std::nullopt;
    auto plainer = openai_fallback(dialect, options_of(ask.request), error, model);
    if (plainer || !asks_for_verdict(ask.step) || !may_be_about_fields(error)) return plainer;
    // Of the Messages API, where checks say that they are not to think.
    const bool is_messages =
        ecso::gateway::own_calls_of(chat_, ask.step, dialect) == OwnCalls::same_api && chat_.path() == "/messages";
    const bool is_left_out = std::ranges::find(dialect.omit, "thinking") != dialect.omit.end();
    if (!is_messages || is_left_out || !names_field(error.message(), "thinking")) return std::nullopt;
    plainer = dialect;
    plainer->omit.emplace_back("thinking");
    return plainer;
  }

  /// Whether what the upstream said in place of an answer may go on. What it may have generated is checked like an answer.
  Task<bool> may_refusal_pass(const UpstreamResponse* refusal) {
    const std::optional<std::string> text = error_text(*refusal);
    if (!text) co_return false;
    if (text->empty() || precedes_generation(refusal->status)) co_return true;
    const Policy& policy = *setup_.policy.several;
    const Capabilities able = capabilities(false);
    const std::optional<Sampling> sampling;
    const StepRequests requests{policy, able, sampling};
    const Conversation asked = ecso::ask({}, "What is the error?");
    const Begins begins = [this](const std::shared_ptr<UpstreamCall>& call) {
      answer_call_ = call;
      return !is_given_up_;
    };
    std::optional<ModelRequest> request = requests.check(asked, *text);
    VerdictReading reading;
    for (int asked_again = 0; request; ++asked_again) {
      StepAnswer checked;
      Ask ask{Step::check, *request};
      co_await ask_for_step(std::move(ask), begins, &checked);
      if (checked.error) co_return false;
      reading = read_check(policy, *request, checked.reply, least_tokens(*request));
      request.reset();
      if (reading.verdict == Verdict::undecided && asked_again < policy.clarifications) {
        request = requests.clarify(Step::check, asked, *text, reading.doubt, checked.reply.text);
      }
    }
    co_return reading.verdict == Verdict::safe || (reading.verdict == Verdict::undecided && policy.undecided == Verdict::safe);
  }

  Sweeper& sweeper_;
  const ExchangeSetup& setup_;
  const ecso::gateway::ClientChat& chat_;
  CallBook book_;
  MemoryShare memory_;
  std::shared_ptr<Upstream> upstream_;
  std::shared_ptr<UpstreamCall> answer_call_;
  ecso::gateway::CallQueue::Lease turn_;  ///< Of a call that has ended, for the next.
  std::size_t expected_steps_ = 0;
  bool is_given_up_ = false;
};

}  // namespace ecso::detail::gateway
