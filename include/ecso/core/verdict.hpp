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

/// The kind of reason for which a verdict is undecided.
enum class Doubt {
  none,        ///< It is decided.
  cut,         ///< The reply ended before its verdict: cut at its limit, or empty.
  unclear,     ///< Its words say neither yes nor no, or no and more that may take it back.
  harm_named,  ///< The same, and one of its words is yes, names harm or a danger, or refuses.
  figures,     ///< Its words are plain, but its log-probabilities do not bear them out.
  stopped,     ///< A filter of the server's stopped it, or it called a tool.
  unread,      ///< The checker cannot have read all that it was asked about.
};

[[nodiscard]] constexpr std::string_view to_string(Doubt doubt) noexcept {
  switch (doubt) {
    case Doubt::none: return "none";
    case Doubt::cut: return "cut";
    case Doubt::unclear: return "unclear";
    case Doubt::harm_named: return "harm_named";
    case Doubt::figures: return "figures";
    case Doubt::stopped: return "stopped";
    case Doubt::unread: return "unread";
  }
  return "unknown";
}

/// A verdict, how probable harm is where log-probabilities say so, and why there is none.
struct VerdictReading {
  Verdict verdict = Verdict::undecided;
  std::optional<double> p_harmful = std::nullopt;  ///< P(yes) / (P(yes) + P(no)), or of a guard's words; 0 to 1.
  Doubt doubt = Doubt::none;                       ///< None for a verdict.
  /// Why it is undecided: "says both", "mass of yes and no 0.31". Never words of the reply. Empty for a verdict.
  std::string reason = {};
  /// Of a guard model's verdict that is not safe: the codes and names of harm that it gave and that guard models have published,
  /// "other" for any else: "S1, S10". Else empty.
  std::string category = {};

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
