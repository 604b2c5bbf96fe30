#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/step.hpp>

namespace ecso {

/// Which backend does which step. Several may be the same one; all must outlive the `ByStep`.
struct StepBackends {
  MllmBackend& answer;
  MllmBackend& check;  ///< Also does the recheck.
  MllmBackend& caption;
  MllmBackend& regenerate;
};

/// A model made of up to four: each call goes to the backend of its step. As thread safe as they are.
///
///     ecso::ByStep model{{.answer = large, .check = guard, .caption = large, .regenerate = large}};
///     ecso::EcsoPipeline pipeline{model};
class ByStep final : public MllmBackend {
 public:
  explicit ByStep(const StepBackends& backends) noexcept : backends_{backends} {}

  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return backend_for(request.options.step).generate(request, context);
  }

  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override {
    return backend_for(request.options.step).generate(request, context);
  }

  /// Sees if answerer and captioner do; a checker that does not is shown the texts alone. Gives log-probabilities and forced
  /// choices if the checker does; concurrent if all are; streams if the answerer does; keeps a prefix cache if answerer and
  /// checker are one backend that does.
  [[nodiscard]] Capabilities capabilities() const override {
    const Capabilities answer = backends_.answer.capabilities();
    const Capabilities check = backends_.check.capabilities();
    const Capabilities caption = backends_.caption.capabilities();
    const Capabilities regenerate = backends_.regenerate.capabilities();
    const bool is_elsewhere = &backends_.answer != &backends_.check;
    return {.vision = answer.vision && caption.vision,
            .logprobs = check.logprobs,
            .forced_choice = check.forced_choice,
            .concurrent = answer.concurrent && check.concurrent && caption.concurrent && regenerate.concurrent,
            .streaming = answer.streaming,
            .prefix_cache = !is_elsewhere && check.prefix_cache,
            .checks_elsewhere = is_elsewhere || check.checks_elsewhere,
            .check_vision = check.vision && check.check_vision,
            .may_cut = check.may_cut,
            .context_tokens = check.context_tokens};
  }

 private:
  [[nodiscard]] MllmBackend& backend_for(Step step) const noexcept {
    switch (step) {
      case Step::answer: return backends_.answer;
      case Step::check:
      case Step::recheck: return backends_.check;
      case Step::caption: return backends_.caption;
      case Step::regenerate: return backends_.regenerate;
    }
    return backends_.answer;
  }

  StepBackends backends_;
};

}  // namespace ecso
