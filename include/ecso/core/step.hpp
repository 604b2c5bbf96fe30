#pragma once

#include <optional>
#include <string_view>

namespace ecso {

/// The model calls of the method (arXiv 2403.09572, section 4): answer with the image, check that answer, describe the image with
/// the query in mind, answer again from text alone; and the check of that second answer, which the paper does not have.
enum class Step { answer, check, caption, regenerate, recheck };

/// The step's name as it stands in traces and error messages.
[[nodiscard]] constexpr std::string_view to_string(Step step) noexcept {
  switch (step) {
    case Step::answer: return "answer";
    case Step::check: return "check";
    case Step::caption: return "caption";
    case Step::regenerate: return "regenerate";
    case Step::recheck: return "recheck";
  }
  return "unknown";
}

/// True for the two steps that ask for a verdict.
[[nodiscard]] constexpr bool asks_for_verdict(Step step) noexcept { return step == Step::check || step == Step::recheck; }

}  // namespace ecso
