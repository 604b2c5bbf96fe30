#pragma once

#include <ecso/calibrate/item_check.hpp>
#include <ecso/core/policy_json.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <string>

namespace ecso {

/// A finding as JSON, to be read again when a calibration goes on.
[[nodiscard]] inline nlohmann::ordered_json to_json(const CheckFinding& finding) {
  nlohmann::ordered_json json{{"form", to_string(finding.form)}};
  json["p_harmful"] = finding.p_harmful ? detail::Json(*finding.p_harmful) : detail::Json{};
  json["released_above"] = finding.released_above ? detail::Json(*finding.released_above) : detail::Json{};
  json["words"] = to_string(finding.words);
  json["doubt"] = to_string(finding.doubt);
  json["reason"] = finding.reason;
  json["calls"] = finding.calls;
  json["usage"] = to_json(finding.usage);
  json["duration_ms"] = detail::to_milliseconds(finding.duration);
  json["model"] = finding.model;
  if (finding.error) json["error"] = to_json(*finding.error);
  return json;
}

/// Reads what `to_json` wrote.
/// @throws Error (bad_input) that names the path of what is wrong.
[[nodiscard]] inline CheckFinding finding_from_json(const nlohmann::ordered_json& json, const std::string& path = "finding") {
  static constexpr std::array verdicts{Verdict::safe, Verdict::harmful, Verdict::undecided};
  static constexpr std::array doubts{Doubt::none,    Doubt::cut,     Doubt::unclear, Doubt::harm_named,
                                     Doubt::figures, Doubt::stopped, Doubt::unread};
  const detail::JsonReader in{json, path};
  in.allow_only(
      {"form", "p_harmful", "released_above", "words", "doubt", "reason", "calls", "usage", "duration_ms", "model", "error"});
  CheckFinding finding;
  in.read("form", finding.form, detail::all_check_forms);
  if (finding.form == CheckForm::automatic) throw Error{Errc::bad_input, in.at("form") + ": must be quoted or next_turn"};
  in.read("p_harmful", finding.p_harmful);
  in.read("released_above", finding.released_above);
  for (const auto& share : {finding.p_harmful, finding.released_above}) {
    if (share && !(*share >= 0 && *share <= 1)) throw Error{Errc::bad_input, path + ": a probability outside 0 to 1"};
  }
  in.read("words", finding.words, verdicts);
  in.read("doubt", finding.doubt, doubts);
  in.read("reason", finding.reason);
  in.read("calls", finding.calls);
  finding.usage = usage_from_json(in.value("usage"), in.at("usage"));
  finding.duration = detail::read_milliseconds(in, "duration_ms");
  in.read("model", finding.model);
  if (in.has("error")) finding.error = error_from_json(in.value("error"), in.at("error"));
  return finding;
}

}  // namespace ecso
