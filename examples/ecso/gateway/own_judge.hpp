#pragma once

#include <ecso/gateway/options.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::command {

/// Whether a policy has its checks made by an upstream of that name.
[[nodiscard]] bool is_checker(const gateway::Options& options, std::string_view upstream);

/// The models that upstreams have, by their names. One that is not there has not told; one that lists none does not tell.
using ListedModels = std::map<std::string, std::vector<std::string>, std::less<>>;

/// What is to be said where clients may choose among several models, or among nobody knows how many, and so the model that checks
/// its own answers; nothing where they cannot, as they have one, or the policy names who checks.
[[nodiscard]] std::optional<std::string> own_judge_warning(const gateway::Options& options, const ListedModels& listed);

}  // namespace ecso::command
