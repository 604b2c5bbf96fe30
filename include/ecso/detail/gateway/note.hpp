#pragma once

#include <ecso/core/trace.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/detail/json_out.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace ecso::detail::gateway {

/// The path that stands for all choices: the one that had most to repair.
[[nodiscard]] inline Path worst_path(std::span<const Outcome* const> outcomes) {
  Path worst = Path::direct;
  for (const Outcome* outcome : outcomes) worst = std::max(worst, outcome->path);
  return worst;
}

/// What the first check of a choice said that was not early, once nothing more was asked of it; "unchecked" if there was none.
[[nodiscard]] inline std::string_view first_verdict(const Outcome& outcome) {
  std::string_view said = "unchecked";
  for (const StepRecord& record : outcome.steps) {
    if (!record.verdict || record.early) continue;
    const bool is_first = said == "unchecked";
    if (!is_first && record.clarification == 0) break;
    said = to_string(*record.verdict);
  }
  return said;
}

inline void write_verdicts(JsonOut& out, const Outcome& outcome) {
  bool is_first = true;
  out.raw("[");
  for (const StepRecord& record : outcome.steps) {
    if (!record.verdict) continue;
    out.raw(is_first ? "" : ",").raw(R"({"step":")").raw(to_string(record.step)).raw(R"(","round":)").number(record.round);
    is_first = false;
    if (record.early) out.raw(R"(,"early":true)");
    out.raw(R"(,"verdict":")").raw(to_string(*record.verdict)).raw("\"");
    if (record.p_harmful) out.raw(R"(,"p_harmful":)").number(*record.p_harmful);
    if (record.doubt != Doubt::none) out.raw(R"(,"doubt":")").raw(to_string(record.doubt)).raw("\"");
    if (!record.category.empty()) out.raw(R"(,"category":)").string(record.category);
    out.raw("}");
  }
  out.raw("]");
}

/// The value of the member "ecso" of a reply.
[[nodiscard]] inline std::string exchange_note(std::span<const Outcome* const> outcomes, bool is_simulated) {
  std::string text;
  JsonOut out{text};
  std::size_t calls = 0;
  out.raw(R"({"path":")").raw(to_string(worst_path(outcomes))).raw(R"(","policy":)").string(outcomes.front()->policy);
  out.raw(R"(,"choices":[)");
  for (const Outcome* outcome : outcomes) {
    calls += outcome->steps.size();
    out.raw(outcome == outcomes.front() ? "" : ",").raw(R"({"path":")").raw(to_string(outcome->path)).raw(R"(","verdicts":)");
    write_verdicts(out, *outcome);
    out.raw("}");
  }
  // The answer's call is one for all choices.
  out.raw(R"(],"calls":)").number(calls - (outcomes.size() - 1));
  if (is_simulated) out.raw(R"(,"simulated":true)");
  out.raw("}");
  return text;
}

}  // namespace ecso::detail::gateway
