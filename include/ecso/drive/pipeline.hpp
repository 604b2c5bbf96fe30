#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/drive/run.hpp>
#include <ecso/error.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace ecso {

/// Sees a query's steps as they happen. Called in the thread that called `run`, so by several at once if several run queries.
/// What a callback throws ends its query.
struct PipelineObserver {
  std::function<void(const PendingCall&)> on_call = {};  ///< Before a call goes out.
  std::function<void(const StepRecord&)> on_step = {};   ///< When it has ended, well or not.
};

/// What one query may set for itself.
struct QueryOptions {
  std::stop_token stop = {};                        ///< Cancels the query.
  std::optional<Sampling> sampling = std::nullopt;  ///< Replaces the policy's for the answer and its regeneration.
};

/// Runs queries through the method against one backend, which must outlive it. Holds no state that changes: as thread safe as the
/// backend.
///
///     ecso::EcsoPipeline pipeline{backend};
///     std::string answer = pipeline.run(ecso::Image::from_file("photo.jpg"), "What is this?").text;
template <ModelBackend Backend = MllmBackend>
class EcsoPipeline {
 public:
  /// @throws Error (bad_input) if the policy cannot be followed.
  explicit EcsoPipeline(Backend& backend, Policy policy = policy::production(), PipelineObserver observer = {})
      : backend_{&backend}, policy_{std::make_shared<const Policy>(std::move(policy))}, observer_{std::move(observer)} {
    check_policy(*policy_);
  }

  /// Answers a chat that ends with the user's turn. The outcome's text may be shown.
  /// @throws Error if a step failed and the policy does not refuse instead; if the chat is not usable; with Errc::internal if an
  /// observer threw.
  [[nodiscard]] Outcome run(Conversation conversation, const QueryOptions& options = {}) const {
    Outcome outcome = try_run(std::move(conversation), options);
    if (outcome.path == Path::failed) throw Error{*outcome.error};
    return outcome;
  }

  /// Answers a query about an image.
  [[nodiscard]] Outcome run(const Image& image, std::string query, const QueryOptions& options = {}) const {
    return run(ask({image}, std::move(query)), options);
  }

  /// The same as `run`, but a failed step gives an outcome with path failed, the error and the trace of what went before.
  /// @throws Error only for a chat that is not usable, or what an observer threw.
  [[nodiscard]] Outcome try_run(Conversation conversation, const QueryOptions& options = {}) const {
    EcsoProtocol protocol{std::move(conversation), policy_, backend_->capabilities(), options.sampling};
    ecso::run(protocol, *backend_, {.stop = options.stop, .deadline = policy_->deadline}, Steps{observer_});
    return std::move(protocol).outcome();
  }

  [[nodiscard]] const Policy& policy() const noexcept { return *policy_; }

 private:
  struct Steps {
    const PipelineObserver& observer;

    void on_call(const PendingCall& call) const {
      if (observer.on_call) observer.on_call(call);
    }
    void on_result(const EcsoProtocol& protocol) const {
      const auto& steps = protocol.outcome().steps;
      for (; observer.on_step && seen < steps.size(); ++seen) observer.on_step(steps[seen]);
    }

    mutable std::size_t seen = 0;
  };

  Backend* backend_;
  std::shared_ptr<const Policy> policy_;
  PipelineObserver observer_;
};

}  // namespace ecso
