#include <ecso/calibrate/report.hpp>

#include <ecso/calibrate/html_report.hpp>
#include <ecso/calibrate/report_json.hpp>
#include <ecso/calibrate/text_chart.hpp>
#include <ecso/detail/json.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace report_test {

namespace {

using namespace ecso;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

/// An item with this P(harmful); the words say yes from a half on.
JudgedItem item(std::string id, bool harmful, double p) {
  CheckFinding finding{.form = CheckForm::next_turn,
                       .p_harmful = p,
                       .released_above = p,
                       .words = p >= 0.5 ? Verdict::harmful : Verdict::safe,
                       .calls = 1,
                       .usage = {100, 60, 1},
                       .duration = std::chrono::milliseconds{10},
                       .model = "m"};
  if (p >= 0.5) finding.released_above.reset();
  return {std::move(id), harmful, std::move(finding)};
}

std::vector<JudgedItem> sample() {
  std::vector<JudgedItem> items;
  for (int i = 0; i < 20; ++i) items.push_back(item("h" + std::to_string(i), true, 0.2 + i * 0.035));
  for (int i = 0; i < 20; ++i) items.push_back(item("b" + std::to_string(i), false, 0.01 + i * 0.025));
  return items;
}

CalibrationReport report_of(const std::vector<JudgedItem>& items, const ReportOptions& options = {.goal = {.target_fpr = 0.1}}) {
  return calibration_report("next_turn", CheckForm::next_turn, {.threshold = 0.45}, items, options);
}

bool says(const CalibrationReport& report, const std::string& part) {
  return std::ranges::any_of(report.remarks, [&](const std::string& remark) { return remark.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("a report has the figures of its items", "[calibrate][report]") {
  const CalibrationReport report = report_of(sample());
  CHECK(report.has_probabilities);
  CHECK(report.items.size() == 40);
  CHECK(report.words == Detection{.harmful = 20, .benign = 20, .caught = 11, .refused = 0});
  CHECK(report.by_words == 11);
  CHECK(report.auc > 0.8);
  CHECK((report.auc_interval.low < report.auc && report.auc < report.auc_interval.high));
  CHECK(report.at_rule == Detection{.harmful = 20, .benign = 20, .caught = 12, .refused = 2});
  CHECK(report.chosen.meets_target);
  CHECK(report.chosen.detection.refused == 1);
  CHECK(says(report, "at most 1 of these 20 may be"));
  CHECK(report.chosen.detection.caught >= 11);
  CHECK(report.table.size() == 19);
  CHECK(report.table[9].threshold == 0.5);
  CHECK(report.cost.calls == 1);
  CHECK(report.cost.new_prompt_tokens == 40);
  CHECK(report.cost.cached_prompt_tokens == 60);
  CHECK(report.cost.median == std::chrono::milliseconds{10});
  CHECK(report.model == "m");
  CHECK(says(report, "11 of 40 answers are called harmful by the check's own word"));
  CHECK(says(report, "Too few items to show an FPR of 0.1"));
  CHECK(says(report, "--holdout"));
}

TEST_CASE("undecided items count as flagged at every threshold, and are shown by their reason", "[calibrate][report]") {
  auto items = sample();
  for (const auto& [harmful, doubt] : {std::pair{true, Doubt::cut}, {false, Doubt::cut}, {false, Doubt::unclear}}) {
    JudgedItem undecided{"u", harmful, {.form = CheckForm::next_turn, .doubt = doubt, .calls = 2}};
    items.push_back(std::move(undecided));
  }
  const CalibrationReport report = report_of(items);
  CHECK(report.undecided.at(Doubt::cut) == 2);
  CHECK(report.undecided.at(Doubt::unclear) == 1);
  CHECK(report.table.back().detection.caught >= 1);
  CHECK(report.table.back().detection.refused >= 2);
  CHECK(says(report, "3 of 43 checks are undecided at every threshold (2 cut, 1 unclear) and count as flagged"));
}

TEST_CASE("failed items, and those asked in another form, are counted and left out", "[calibrate][report]") {
  auto items = sample();
  items.push_back({"f", true, {.form = CheckForm::next_turn, .error = Error{Errc::timeout, "late"}}});
  items.push_back(item("q", false, 0.9));
  items.back().finding.form = CheckForm::quoted;
  const CalibrationReport report = report_of(items);
  CHECK(report.items.size() == 40);
  CHECK(report.failed == 1);
  CHECK(report.in_other_form == 1);
  CHECK(says(report, "1 check failed"));
  CHECK(says(report, "1 item had to be quoted"));
  CHECK_THROWS_WITH(calibration_report("quoted", CheckForm::quoted, {}, items), ContainsSubstring("no harmful item was checked"));
}

TEST_CASE("without log-probabilities there are the words and nothing to calibrate", "[calibrate][report]") {
  auto items = sample();
  for (JudgedItem& judged : items) {
    judged.finding.p_harmful.reset();
    judged.finding.released_above = judged.finding.words == Verdict::safe ? std::optional{0.0} : std::optional<double>{};
  }
  const CalibrationReport report = report_of(items);
  CHECK_FALSE(report.has_probabilities);
  CHECK(report.words.caught == 11);
  CHECK(says(report, "one threshold only, the words themselves"));
  CHECK(to_json(report)["auc"].is_null());
  CHECK_THAT(html_report("t", std::vector{report}), !ContainsSubstring("<svg"));
}

TEST_CASE("a held-out half tests what the other half chose", "[calibrate][report]") {
  const CalibrationReport report = report_of(sample(), {.goal = {.target_fpr = 0.1}, .holdout = 1});
  REQUIRE(report.held_out);
  CHECK(report.held_out->harmful == 10);
  CHECK(report.held_out->benign == 10);
  CHECK(report.chosen.detection.harmful == 10);
  CHECK(report.at_rule.harmful == 20);
  CHECK(report.held_out_at_rule->harmful == 10);
  CHECK_FALSE(says(report, "--holdout"));
  const CalibrationReport again = report_of(sample(), {.goal = {.target_fpr = 0.1}, .holdout = 1});
  CHECK(again.chosen.threshold == report.chosen.threshold);
  CHECK(again.held_out == report.held_out);
}

TEST_CASE("a target that cannot be met is said", "[calibrate][report]") {
  auto items = sample();
  for (int i = 0; i < 4; ++i) items.push_back(item("w" + std::to_string(i), false, 0.9));
  const CalibrationReport report = report_of(items);
  CHECK_FALSE(report.chosen.meets_target);
  CHECK(says(report, "No threshold has an FPR of at most 0.1"));
  CHECK(says(report, "is 0.17 of the benign items by itself"));
}

TEST_CASE("ten benign items cannot show a target of a twentieth", "[calibrate][report]") {
  std::vector<JudgedItem> items;
  for (int i = 0; i < 10; ++i) items.push_back(item("h" + std::to_string(i), true, 0.6));
  for (int i = 0; i < 10; ++i) items.push_back(item("b" + std::to_string(i), false, 0.1));
  const CalibrationReport report = report_of(items, {.goal = {.target_fpr = 0.05}});
  CHECK(report.chosen.meets_target);
  CHECK_FALSE(report.chosen.meets_target_anew);
  CHECK(says(report, "10 benign items are too few for any threshold to promise an FPR of 0.05"));
  CHECK(says(report, "one of 10 benign items flagged is already an FPR of 0.10; none of 73 would show it"));
}

TEST_CASE("the chart in text has the curve and the chosen threshold", "[calibrate][report]") {
  const std::string chart = roc_text_chart(report_of(sample()));
  CHECK(std::ranges::count(chart, '\n') == 20);
  CHECK(std::ranges::count(chart, 'O') == 1);
  CHECK(std::ranges::count(chart, '*') > 40);
  CHECK_THAT(chart, ContainsSubstring("1.00 |") && ContainsSubstring("FPR"));
}

TEST_CASE("the page loads nothing, runs nothing, and quotes what it shows", "[calibrate][report]") {
  auto items = sample();
  items.front().id = "<script>alert(1)</script>";
  items.front().finding.model = items.back().finding.model = "m<&\"\x1b";
  const std::string page = html_report("title <b>", std::vector{report_of(items), report_of(sample())});
  CHECK_THAT(page, ContainsSubstring("<svg") && ContainsSubstring("title &lt;b&gt;") && ContainsSubstring("default-src 'none'"));
  CHECK_THAT(page, ContainsSubstring("&lt;script&gt;alert(1)") && !ContainsSubstring("<script"));
  CHECK_THAT(page, !ContainsSubstring("src=") && !ContainsSubstring("href="));
  CHECK_THAT(page, ContainsSubstring("Harmful, but released") && ContainsSubstring("AUC 0."));
}

TEST_CASE("a report's JSON has all figures and no texts", "[calibrate][report]") {
  const detail::Json json = to_json(report_of(sample(), {.goal = {.target_fpr = 0.1}, .holdout = 1}));
  CHECK(json["form"] == "next_turn");
  CHECK(json["auc"].get<double>() == Approx(report_of(sample()).auc));
  CHECK(json["thresholds"].size() == 19);
  CHECK(json["chosen"]["harmful"] == 10);
  CHECK(json["held_out"]["chosen"]["benign"] == 10);
  CHECK(json["items"].size() == 40);
  CHECK(json["items"][0]["id"] == "h0");
  CHECK(json["cost"]["median_ms"] == 10.0);
}

}  // namespace report_test
