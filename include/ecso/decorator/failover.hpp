#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/conversation_key.hpp>
#include <ecso/detail/server_health.hpp>
#include <ecso/detail/watch_text.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ecso {

/// How long a server that failed is left alone.
struct FailoverOptions {
  std::chrono::milliseconds cool_down{1000};        ///< After the first failure; doubled by each further one. Up to a day.
  std::chrono::milliseconds max_cool_down{60'000};  ///< Where the doubling ends. Up to a day.
};

/// Several servers of the same model as one. A conversation stays with one server, for its prefix cache: the system turns and the
/// first image decide which, so that answer, check and caption of a query meet; where there is no image, the first turn does. A
/// call whose server fails goes to the conversation's next server, unless text of it went to `CallContext::on_text` already: a
/// reply comes whole from one server. A server that failed is put aside for a while, then tried by a single call; if all are
/// aside, one of them is tried nevertheless.
///
/// A server fails by being `unavailable`, by `timeout` (a call's deadline included) or `tls`; by `server_error` if another server
/// answers the same call, else it is the request's fault. A `rate_limited` call goes to the next server; the server is put aside
/// if it said for how long (Retry-After, up to the longest cool-down). Every other error goes out at once. As thread safe as the
/// servers, which must outlive it.
///
///     ecso::FailoverBackend model{{first, second}};
class FailoverBackend final : public MllmBackend {
 public:
  using Backends = std::vector<std::reference_wrapper<MllmBackend>>;

  /// @param backends which conversation goes where depends on their order; one more at the end takes only its own share.
  /// @throws Error (bad_input) without a backend, or for an option out of its range.
  explicit FailoverBackend(Backends backends, const FailoverOptions& options = {})
      : backends_{std::move(backends)}, health_{backends_.size(), checked(options.cool_down), checked(options.max_cool_down)} {
    if (backends_.empty()) throw Error{Errc::bad_input, "failover: no backend given"};
  }

  /// @throws what the server throws; if several failed, Error with the code of the last one and all their messages.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request, context);
  }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  /// What all of the servers can; the slots of all together, 0 if those of one are not known.
  [[nodiscard]] Capabilities capabilities() const override {
    Capabilities all = backends_.front().get().capabilities();
    for (auto it = backends_.begin() + 1; it != backends_.end(); ++it) {
      const Capabilities one = it->get().capabilities();
      const bool is_known = all.slots > 0 && one.slots > 0;
      const bool is_room_known = all.context_tokens > 0 && one.context_tokens > 0;
      all = {.vision = all.vision && one.vision,
             .logprobs = all.logprobs && one.logprobs,
             .forced_choice = all.forced_choice && one.forced_choice,
             .concurrent = all.concurrent && one.concurrent,
             .streaming = all.streaming && one.streaming,
             .prefix_cache = all.prefix_cache && one.prefix_cache,
             .checks_elsewhere = all.checks_elsewhere || one.checks_elsewhere,
             .check_vision = all.check_vision && one.check_vision,
             .slots = is_known ? all.slots + std::min(one.slots, std::numeric_limits<int>::max() - all.slots) : 0,
             .may_cut = all.may_cut || one.may_cut,
             .context_tokens = is_room_known ? std::min(all.context_tokens, one.context_tokens) : 0};
    }
    return all;
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Choice = detail::ServerHealth::Choice;
  using Why = detail::ServerHealth::Why;

  struct Failure {
    Choice choice;
    Error error;
  };

  [[nodiscard]] static std::chrono::milliseconds checked(std::chrono::milliseconds pause) {
    if (pause.count() < 0 || pause > std::chrono::hours{24})
      throw Error{Errc::bad_input, "failover options: a cool-down must be 0 to 24 h"};
    return pause;
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    std::vector<std::size_t> order{0};
    if (backends_.size() > 1) order = detail::rendezvous_order(detail::conversation_key(request), backends_.size());
    std::vector<Failure> failures;
    bool may_force = true;
    while (const std::optional<Choice> choice = health_.choose(order, may_force, Clock::now())) {
      may_force = may_force && choice->why != Why::last_resort;
      std::erase(order, choice->server);
      if (std::optional<Reply> reply = attempt(request, context, *choice, failures)) return *std::move(reply);
      if (context.stop.stop_requested() || (context.deadline && Clock::now() >= *context.deadline)) break;
    }
    give_up(failures);
  }

  /// The server's reply, or nothing and one more failure if another server may be asked.
  template <typename Request>
  [[nodiscard]] std::optional<Reply> attempt(const Request& request, const CallContext& context, const Choice& choice,
                                             std::vector<Failure>& failures) {
    bool has_text = false;
    const CallContext watched = detail::watch_text(context, [&has_text] { has_text = true; });
    try {
      Reply reply = backends_[choice.server].get().generate(request, watched);
      health_.answered(choice.server);
      // Another server had no trouble with the call.
      for (const Failure& failure : failures) {
        if (failure.error.code() == Errc::server_error) health_.failed(failure.choice.server, Clock::now());
      }
      return reply;
    } catch (const Error& error) {
      note(choice, error);
      if (has_text || !goes_on(error.code())) throw;
      failures.push_back({choice, error});
    } catch (...) {
      health_.nothing_learnt(choice);
      throw;
    }
    return std::nullopt;
  }

  void note(const Choice& choice, const Error& error) {
    const auto asked = error.context().retry_after;
    const auto fail = [&] { health_.failed(choice.server, Clock::now(), asked.value_or(std::chrono::milliseconds{0})); };
    switch (error.code()) {
      case Errc::unavailable:
      case Errc::timeout:
      case Errc::tls: return fail();
      case Errc::server_error:
        // Whose fault it is shows when another server has been asked; but one on probation has not shown that it works.
        if (choice.why != Why::healthy) fail();
        return;
      case Errc::rate_limited:
        if (asked) return fail();
        return health_.answered(choice.server);
      case Errc::bad_request:
      case Errc::unauthorized:
      case Errc::not_found:
      case Errc::too_large: return health_.answered(choice.server);
      case Errc::bad_input:
      case Errc::cancelled:
      case Errc::bad_reply:
      case Errc::unsupported:
      case Errc::internal: return health_.nothing_learnt(choice);
    }
  }

  [[nodiscard]] static bool goes_on(Errc code) noexcept {
    return code == Errc::unavailable || code == Errc::timeout || code == Errc::tls || code == Errc::server_error ||
           code == Errc::rate_limited;
  }

  [[noreturn]] static void give_up(const std::vector<Failure>& failures) {
    const Error& last = failures.back().error;
    if (failures.size() == 1) throw Error{last};
    std::string message;
    for (const Failure& failure : failures) {
      if (!message.empty()) message += "; ";
      if (failure.error.context().endpoint.empty()) message += fmt::format("server {}: ", failure.choice.server + 1);
      message += failure.error.what();
    }
    // The endpoints stand in the message.
    const ErrorContext& context = last.context();
    throw Error{last.code(),
                std::move(message),
                {.step = context.step, .http_status = context.http_status, .retry_after = context.retry_after}};
  }

  Backends backends_;
  detail::ServerHealth health_;
};

}  // namespace ecso
