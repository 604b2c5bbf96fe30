#pragma once

#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/models/current_models.hpp>
#include <ecso/models/paper_models.hpp>
#include <ecso/models/profile.hpp>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

namespace detail {

inline constexpr auto every_profile = [] {
  std::array<ModelProfile, models::paper.size() + models::current.size()> all{};
  std::ranges::copy(models::current, std::ranges::copy(models::paper, all.begin()).out);
  return all;
}();

}  // namespace detail

/// The profiles there are: the five models of the paper, then what people use now.
[[nodiscard]] constexpr std::span<const ModelProfile> all_profiles() noexcept { return detail::every_profile; }

/// The profile of a model. Upper and lower case are one.
/// @param name its name, its repository, or a part of one of them that no other model has: "LLaVA-1.5-7B",
/// "liuhaotian/llava-v1.5-7b", "gemma".
/// @throws Error (bad_input) that names the known models, or those that a part of a name fits.
[[nodiscard]] inline const ModelProfile& find_profile(std::string_view name) {
  const std::string wanted = detail::lower_ascii(name);
  std::vector<const ModelProfile*> found;
  for (const ModelProfile& profile : all_profiles()) {
    const std::string lower_name = detail::lower_ascii(profile.name);
    const std::string lower_repository = detail::lower_ascii(profile.repository);
    if (lower_name == wanted || lower_repository == wanted) return profile;
    if (!wanted.empty() && (lower_name.find(wanted) != std::string::npos || lower_repository.find(wanted) != std::string::npos))
      found.push_back(&profile);
  }
  if (found.size() == 1) return *found.front();
  const bool is_ambiguous = !found.empty();
  if (!is_ambiguous) {
    for (const ModelProfile& profile : all_profiles()) found.push_back(&profile);
  }
  std::string message = "model \"" + std::string{name} + (is_ambiguous ? "\": may be " : "\": not known; known are ");
  for (const ModelProfile* profile : found) {
    if (profile != found.front()) message += ", ";
    message += profile->name;
  }
  throw Error{Errc::bad_input, message};
}

}  // namespace ecso
