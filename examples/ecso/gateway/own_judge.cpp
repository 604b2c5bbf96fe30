#include "own_judge.hpp"

#include <ecso/core/policy.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <set>
#include <string_view>

namespace ecso::command {

namespace {

using PolicyPointer = std::shared_ptr<const Policy>;

bool lets_model_check_itself(const PolicyPointer& policy) {
  return policy->check_upstream.empty() && policy->models.check.empty();
}

bool matches(std::string_view pattern, std::string_view model) {
  return pattern.ends_with('*') ? model.starts_with(pattern.substr(0, pattern.size() - 1)) : model == pattern;
}

/// What clients may choose among.
class Choice {
 public:
  Choice(const gateway::Options& options, const ListedModels& listed) : options_{options}, listed_{listed} {
    if (options.routes.empty()) {
      add({}, options.policy);
    } else {
      for (const gateway::Route& route : options.routes) add(route, route.policy ? route.policy : options.policy);
    }
  }

  [[nodiscard]] std::optional<std::string> warning() const {
    constexpr std::size_t most_named = 3;
    if (policies_.empty() || (models_.size() <= 1 && !is_unknown_)) return std::nullopt;
    std::string text = "clients name the model, and the one they name checks its own answers: ";
    if (models_.size() > 1) {
      const std::vector<std::string> named{models_.begin(),
                                           std::next(models_.begin(), static_cast<long>(std::min(most_named, models_.size())))};
      text += fmt::format("they may choose among {}{}", fmt::join(named, ", "),
                          models_.size() > most_named ? fmt::format(" and {} more", models_.size() - most_named) : "");
    } else {
      text += "it is not known here how many there are";
    }
    return text + fmt::format(". Set models.check = \"NAME\" in the policy {}, or check.upstream to an upstream that checks",
                              fmt::join(policies_, " and "));
  }

 private:
  void add(const gateway::Route& route, const PolicyPointer& policy) {
    std::vector<PolicyPointer> possible{policy};
    if (options_.overrides.policy) possible.insert(possible.end(), options_.policies.begin(), options_.policies.end());
    bool is_open = false;
    for (const PolicyPointer& one : possible) {
      if (!lets_model_check_itself(one)) continue;
      is_open = true;
      policies_.insert(one->name);
    }
    if (!is_open) return;
    if (!route.model.ends_with('*')) {
      models_.insert(route.model);
      return;
    }
    for (const gateway::UpstreamOptions& upstream : options_.upstreams) {
      const bool is_named = std::ranges::find(route.upstreams, upstream.name) != route.upstreams.end();
      if (route.upstreams.empty() ? is_checker(options_, upstream.name) : !is_named) continue;
      const auto told = listed_.find(upstream.name);
      if (told == listed_.end() || told->second.empty()) {
        is_unknown_ = true;
        continue;
      }
      std::ranges::copy_if(told->second, std::inserter(models_, models_.end()),
                           [&](const std::string& model) { return matches(route.model, model); });
    }
  }

  const gateway::Options& options_;
  const ListedModels& listed_;
  std::set<std::string> policies_;
  std::set<std::string> models_;
  bool is_unknown_ = false;
};

}  // namespace

bool is_checker(const gateway::Options& options, std::string_view upstream) {
  const auto checks_there = [&](const PolicyPointer& policy) { return policy && policy->check_upstream == upstream; };
  return checks_there(options.policy) || std::ranges::any_of(options.policies, checks_there) ||
         std::ranges::any_of(options.routes, [&](const gateway::Route& route) { return checks_there(route.policy); });
}

std::optional<std::string> own_judge_warning(const gateway::Options& options, const ListedModels& listed) {
  if (options.simulated) return std::nullopt;
  return Choice{options, listed}.warning();
}

}  // namespace ecso::command
