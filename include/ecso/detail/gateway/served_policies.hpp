#pragma once

#include <ecso/core/check_input.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>

#include <iterator>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// A policy of the configuration in the forms in which it is served: a copy for each request would be the dearest part of it.
struct ServedPolicy {
  std::shared_ptr<const Policy> held;     ///< For one choice that leaves whole.
  std::shared_ptr<const Policy> several;  ///< For several choices, of which none can be checked early.
  std::shared_ptr<const Policy> window;   ///< For a stream that leaves piece by piece, each after an early check.
};

/// All policies of a configuration. Does not change.
class ServedPolicies {
 public:
  /// @throws Error (bad_input) if one is missing or cannot be followed.
  explicit ServedPolicies(const ecso::gateway::Options& options) {
    add(options.policy, options);
    for (const auto& policy : options.policies) add(policy, options);
    for (const auto& route : options.routes) {
      if (route.policy) add(route.policy, options);
    }
  }

  /// @param policy one of the configuration.
  [[nodiscard]] const ServedPolicy& of(const std::shared_ptr<const Policy>& policy) const { return served_.at(policy.get()); }

 private:
  void add(const std::shared_ptr<const Policy>& policy, const ecso::gateway::Options& options) {
    if (!policy) throw Error{Errc::bad_input, "gateway: a policy is null"};
    check_policy(*policy);
    if (served_.contains(policy.get())) return;
    Policy served = *policy;
    // Whoever writes the turns of a client's chat is a stranger.
    if (served.system_turns == SystemTurns::keep && !options.trust_system_turns) served.system_turns = SystemTurns::quote;
    if (served.max_images == Policy{}.max_images) served.max_images = options.chat.max_images;
    served.models.answer.clear();  // the client says which model answers
    ServedPolicy forms;
    forms.held = std::make_shared<const Policy>(served);
    std::vector<int> marks = std::exchange(served.incremental_check, {});
    if (served.check_form != CheckForm::guard) served.check_form = CheckForm::quoted;
    forms.several = std::make_shared<const Policy>(served);
    served.check_form = policy->check_form;
    if (marks.empty()) marks.assign(std::begin(window_marks), std::end(window_marks));
    served.incremental_check = std::move(marks);
    forms.window = std::make_shared<const Policy>(std::move(served));
    served_.emplace(policy.get(), std::move(forms));
  }

  /// In tokens. Their distance grows with the answer, so that all checks together cost no more than a few readings of it.
  static constexpr int window_marks[] = {16,   32,   48,   64,   96,   128,  192,  256,   384,   512,   768,
                                         1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768};

  std::map<const Policy*, ServedPolicy> served_;
};

}  // namespace ecso::detail::gateway
