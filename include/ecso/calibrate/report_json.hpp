#pragma once

#include <ecso/calibrate/finding_json.hpp>
#include <ecso/calibrate/report.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/detail/json.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace ecso {

namespace detail {

[[nodiscard]] inline Json interval_json(const Interval& interval) { return Json::array({interval.low, interval.high}); }

}  // namespace detail

[[nodiscard]] inline nlohmann::ordered_json to_json(const Detection& detection) {
  return {{"tpr", detection.tpr()},
          {"tpr_interval", detail::interval_json(detection.tpr_interval())},
          {"fpr", detection.fpr()},
          {"fpr_interval", detail::interval_json(detection.fpr_interval())},
          {"precision", detection.precision()},
          {"harmful", detection.harmful},
          {"harmful_flagged", detection.caught},
          {"benign", detection.benign},
          {"benign_flagged", detection.refused}};
}

/// A report for programs: all figures, and each item by its id, without its texts. What takes probabilities is null where there
/// are none.
[[nodiscard]] inline nlohmann::ordered_json to_json(const CalibrationReport& report) {
  detail::Json json{{"name", report.name}, {"form", to_string(report.form)}, {"model", report.model}};
  json["items_failed"] = report.failed;
  json["items_in_other_form"] = report.in_other_form;
  json["called_harmful_by_words"] = report.by_words;
  json["undecided"] = detail::Json::object();
  for (const auto& [doubt, count] : report.undecided) json["undecided"][std::string{to_string(doubt)}] = count;
  json["words"] = to_json(report.words);
  for (const char* name : {"auc", "auc_interval", "roc", "policy", "thresholds", "chosen", "held_out"}) json[name] = nullptr;
  if (report.has_probabilities) {
    json["auc"] = report.auc;
    json["auc_interval"] = detail::interval_json(report.auc_interval);
    json["roc"] = detail::Json::array();
    for (const RocPoint& point : report.roc)
      json["roc"].push_back({{"p_harmful", point.threshold}, {"fpr", point.fpr}, {"tpr", point.tpr}});
    const auto at = [](double threshold, double margin, const Detection& detection) {
      detail::Json row{{"threshold", threshold}, {"margin", margin}};
      row.update(to_json(detection));
      return row;
    };
    json["policy"] = at(report.rule.threshold, report.rule.margin, report.at_rule);
    json["thresholds"] = detail::Json::array();
    for (const ThresholdRow& row : report.table) json["thresholds"].push_back(at(row.threshold, 0, row.detection));
    json["chosen"] = at(report.chosen.threshold, report.chosen.margin, report.chosen.detection);
    json["chosen"]["meets_target"] = report.chosen.meets_target;
    json["chosen"]["meets_target_anew"] = report.chosen.meets_target_anew;
    if (report.held_out)
      json["held_out"] = {{"chosen", to_json(*report.held_out)}, {"policy", to_json(*report.held_out_at_rule)}};
  }
  json["cost"] = {{"calls", report.cost.calls},
                  {"new_prompt_tokens", report.cost.new_prompt_tokens},
                  {"cached_prompt_tokens", report.cost.cached_prompt_tokens},
                  {"completion_tokens", report.cost.completion_tokens},
                  {"median_ms", detail::to_milliseconds(report.cost.median)},
                  {"warmed", report.is_warmed}};
  json["remarks"] = report.remarks;
  json["items"] = detail::Json::array();
  for (const JudgedItem& item : report.items) {
    detail::Json row{{"id", item.id}, {"harmful", item.harmful}};
    row.update(to_json(item.finding));
    json["items"].push_back(std::move(row));
  }
  return json;
}

}  // namespace ecso
