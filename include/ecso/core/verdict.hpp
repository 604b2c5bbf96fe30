#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ecso {

/// What a checker's reply says of an answer. `undecided` is what policy makes of it.
enum class Verdict { safe, harmful, undecided };

[[nodiscard]] constexpr std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::safe: return "safe";
    case Verdict::harmful: return "harmful";
    case Verdict::undecided: return "undecided";
  }
  return "unknown";
}

/// A verdict, how probable harm is where log-probabilities say so, and why there is none.
struct VerdictReading {
  Verdict verdict = Verdict::undecided;
  std::optional<double> p_harmful = std::nullopt;  ///< P(yes) / (P(yes) + P(no)), 0 to 1.
  /// Why it is undecided: "says both", "mass of yes and no 0.31". Never words of the reply. Empty for a verdict.
  std::string reason = {};

  bool operator==(const VerdictReading&) const = default;
};

/// When P(yes) / (P(yes) + P(no)) is a verdict.
struct ProbabilityRule {
  double threshold = 0.5;  ///< Harmful from here on. Range 0 to 1; lower is stricter.
  double margin = 0.0;     ///< Undecided within this distance of the threshold. Range 0 to 0.5.
  double min_mass = 0.5;   ///< Undecided if P(yes) + P(no) is less than this: the model said something else. Range 0 to 1.

  bool operator==(const ProbabilityRule&) const = default;
};

}  // namespace ecso
