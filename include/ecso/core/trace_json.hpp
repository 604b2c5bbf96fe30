#pragma once

#include <ecso/core/request_json.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <string>
#include <string_view>
#include <utility>

/// Outcomes as JSON, schema 1:
///
///     {"schema": 1, "path": "direct|eyes_closed|refused|stopped|failed", "text": "…", "policy": "production",
///      "usage": {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0},
///      "images": [{"sha256": "…", "bytes": 0, "media_type": "image/png", "width": 0, "height": 0}],
///      "steps": [{"step": "answer|check|caption|regenerate|recheck", "round": 0, "image": 0, "early": true, "prompt": "…",
///      "reply": "…",
///                 "verdict": "safe|harmful|undecided", "p_harmful": 0.5,
///                 "doubt": "cut|unclear|harm_named|figures|stopped|unread", "reason": "cut at 16 tokens", "category": "S1, S10",
///                 "clarification": 1,
///                 "finish_reason": "stop", "usage": {…},
///                 "counts": {"prompt": 0, "text": 0}, "model": "…", "duration_ms": 0.0, "error": {"code": "…", "message": "…",
///                 "step": "…", "endpoint": "…", "http_status": 0, "retry_after_ms": 0}}],
///      "error": {…}}
///
/// "image" stands in captions; "early" in checks of what there was of an answer, and in an answer that one broke off; "verdict"
/// and "p_harmful" in checks that gave one; "doubt" and "reason" in undecided ones; "category" where a guard model gave one;
/// "clarification" in checks that ask again after one; "counts" where they are known; "error" where something failed. `usage` is
/// the sum over the steps.
namespace ecso {

/// The number that "schema" carries. It grows when a reader of the old form would misread the new one.
inline constexpr int trace_schema = 1;

[[nodiscard]] inline nlohmann::ordered_json to_json(const StepRecord& record) {
  nlohmann::ordered_json json{{"step", to_string(record.step)}, {"round", record.round}};
  if (record.step == Step::caption) json["image"] = record.image;
  if (record.early) json["early"] = true;
  if (record.clarification != 0) json["clarification"] = record.clarification;
  json["prompt"] = record.prompt;
  json["reply"] = record.reply;
  if (record.verdict) json["verdict"] = to_string(*record.verdict);
  if (record.p_harmful) json["p_harmful"] = *record.p_harmful;
  if (record.doubt != Doubt::none) json["doubt"] = to_string(record.doubt);
  if (!record.reason.empty()) json["reason"] = record.reason;
  if (!record.category.empty()) json["category"] = record.category;
  json["finish_reason"] = to_string(record.finish_reason);
  json["usage"] = to_json(record.usage);
  if (record.counts != TokenCounts{}) json["counts"] = to_json(record.counts);
  json["model"] = record.model;
  json["duration_ms"] = detail::to_milliseconds(record.duration);
  if (record.error) json["error"] = to_json(*record.error);
  return json;
}

[[nodiscard]] inline StepRecord step_record_from_json(const nlohmann::ordered_json& json, const std::string& path = "step") {
  static constexpr std::array verdicts{Verdict::safe, Verdict::harmful, Verdict::undecided};
  static constexpr std::array doubts{Doubt::none,    Doubt::cut,     Doubt::unclear, Doubt::harm_named,
                                     Doubt::figures, Doubt::stopped, Doubt::unread};
  const detail::JsonReader in{json, path};
  StepRecord record;
  in.read("step", record.step, detail::all_steps);
  in.read("round", record.round);
  in.read_if("image", record.image);
  in.read_if("early", record.early);
  in.read_if("clarification", record.clarification);
  in.read("prompt", record.prompt);
  in.read("reply", record.reply);
  if (in.has("verdict")) in.read("verdict", record.verdict.emplace(), verdicts);
  in.read_if("p_harmful", record.p_harmful);
  in.read_if("doubt", record.doubt, doubts);
  in.read_if("reason", record.reason);
  in.read_if("category", record.category);
  in.read("finish_reason", record.finish_reason, detail::all_finish_reasons);
  record.usage = usage_from_json(in.value("usage"), in.at("usage"));
  if (in.has("counts")) record.counts = token_counts_from_json(in.value("counts"), in.at("counts"));
  in.read("model", record.model);
  record.duration = detail::read_milliseconds(in, "duration_ms");
  if (in.has("error")) record.error = error_from_json(in.value("error"), in.at("error"));
  return record;
}

/// Everything that happened. Hashes the images if nobody has yet.
[[nodiscard]] inline nlohmann::ordered_json to_json(const Outcome& outcome) {
  nlohmann::ordered_json json{{"schema", trace_schema},
                              {"path", to_string(outcome.path)},
                              {"text", outcome.text},
                              {"policy", outcome.policy},
                              {"usage", to_json(outcome.usage())},
                              {"images", nlohmann::ordered_json::array()},
                              {"steps", nlohmann::ordered_json::array()}};
  for (const TracedImage& image : outcome.images) json["images"].push_back(to_json(image.record()));
  for (const StepRecord& record : outcome.steps) json["steps"].push_back(to_json(record));
  if (outcome.error) json["error"] = to_json(*outcome.error);
  return json;
}

/// @throws Error (bad_input) that names the path of what is missing or wrong, or the schema if it is another.
[[nodiscard]] inline Outcome outcome_from_json(const nlohmann::ordered_json& json, const std::string& path = "outcome") {
  static constexpr std::array paths{Path::direct, Path::eyes_closed, Path::refused, Path::stopped, Path::failed};
  const detail::JsonReader in{json, path};
  int schema = 0;
  in.read("schema", schema);
  if (schema != trace_schema) {
    throw Error{Errc::bad_input,
                in.at("schema") + ": is " + std::to_string(schema) + "; this version reads " + std::to_string(trace_schema)};
  }
  Outcome outcome;
  in.read("path", outcome.path, paths);
  in.read("text", outcome.text);
  in.read("policy", outcome.policy);
  for (const auto& image : in.array("images")) outcome.images.emplace_back(image_record_from_json(image, in.at("images")));
  for (const auto& record : in.array("steps")) outcome.steps.push_back(step_record_from_json(record, in.at("steps")));
  if (in.has("error")) outcome.error = error_from_json(in.value("error"), in.at("error"));
  return outcome;
}

}  // namespace ecso
