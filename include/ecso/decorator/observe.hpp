#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/watch_text.hpp>
#include <ecso/error.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace ecso {

/// Whether a call showed images, or could not.
enum class CallKind { vision, text };

/// One call of a backend, as an observer sees it.
struct CallRecord {
  Step step = Step::answer;
  CallKind kind = CallKind::vision;
  std::string model = {};  ///< As the server names it, else as the request does; may be empty.
  std::chrono::nanoseconds duration{0};
  /// Until the first piece of text came; only of calls that stream.
  std::optional<std::chrono::nanoseconds> time_to_first_text = std::nullopt;
  Usage usage = {};  ///< Zeros for a call that failed.
  FinishReason finish_reason = FinishReason::unknown;
  /// Why the call failed. The message is the backend's own, and a server may quote the request in it.
  std::optional<Error> error = std::nullopt;
  std::string prompt = {};  ///< Text of the last turn; empty without `ObserveOptions::with_texts`.
  std::string reply = {};   ///< Empty without `ObserveOptions::with_texts`.

  bool operator==(const CallRecord&) const = default;
};

/// What an observer is shown.
struct ObserveOptions {
  bool with_texts = false;  ///< Also prompts and replies, which are as private as what was asked.
};

/// A backend that tells of each of its calls, well ended or not, in the thread of the call. What the observer throws takes the
/// place of the call's result, so that nothing goes unobserved. As thread safe as backend and observer; the backend must outlive
/// it. Inside a `RetryBackend` it sees each attempt, outside of it each call.
///
///     ecso::CallStatistics statistics;  // ecso/decorator/call_statistics.hpp
///     ecso::ObserveBackend model{server, std::ref(statistics)};
class ObserveBackend final : public MllmBackend {
 public:
  using Observer = std::function<void(const CallRecord&)>;

  /// @throws Error (bad_input) without an observer.
  ObserveBackend(MllmBackend& backend, Observer observer, ObserveOptions options = {})
      : backend_{backend}, observer_{std::move(observer)}, options_{options} {
    if (!observer_) throw Error{Errc::bad_input, "observe: no observer given"};
  }

  /// @throws what the backend throws, and what the observer throws.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request, context, CallKind::vision);
  }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override {
    return call(request, context, CallKind::text);
  }

  [[nodiscard]] Capabilities capabilities() const override { return backend_.capabilities(); }

 private:
  using Clock = std::chrono::steady_clock;

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context, CallKind kind) {
    CallRecord record{.step = request.options.step, .kind = kind, .model = request.options.model};
    if (options_.with_texts) record.prompt = prompt_of(ModelRequest{request});
    const Clock::time_point start = Clock::now();
    const auto fail = [&](Error error) {
      record.duration = Clock::now() - start;
      record.error = std::move(error);
      observer_(record);
    };
    const auto note_text = [&record, start] {
      if (!record.time_to_first_text) record.time_to_first_text = Clock::now() - start;
    };
    Reply reply;
    try {
      reply = backend_.generate(request, detail::watch_text(context, note_text));
    } catch (const Error& error) {
      fail(error);
      throw;
    } catch (const std::exception& error) {
      fail(Error{Errc::internal, std::string{"the backend threw: "} + error.what()});
      throw;
    } catch (...) {
      fail(Error{Errc::internal, "the backend threw something that is no std::exception"});
      throw;
    }
    record.duration = Clock::now() - start;
    record.usage = reply.usage;
    record.finish_reason = reply.finish_reason;
    if (!reply.model.empty()) record.model = reply.model;
    if (options_.with_texts) record.reply = reply.text;
    observer_(record);
    return reply;
  }

  MllmBackend& backend_;
  Observer observer_;
  ObserveOptions options_;
};

}  // namespace ecso
