#include "calibrate.hpp"

#include "../backends.hpp"
#include "../exit_code.hpp"
#include "../files.hpp"
#include "../printing.hpp"
#include "collect.hpp"
#include "print_report.hpp"

#include <ecso/calibrate/html_report.hpp>
#include <ecso/calibrate/policy_toml.hpp>
#include <ecso/calibrate/report_json.hpp>
#include <ecso/core/policy_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/version.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <span>
#include <system_error>

namespace ecso::command {

namespace {

void check_usage(const CalibrateOptions& options) {
  if (options.compare && !options.form.empty()) throw UsageError{"--compare tries all forms; leave out --form"};
  if (options.compare && !options.output.empty())
    throw UsageError{"--output takes one form: name it by --form in place of --compare"};
  const ThresholdGoal& goal = options.goal;
  if (!(goal.target_fpr >= 0 && goal.target_fpr <= 1)) throw UsageError{"--target-fpr: ranges from 0 to 1"};
  if (!(goal.max_margin >= 0 && goal.max_margin <= 0.5)) throw UsageError{"--margin: ranges from 0 to 0.5"};
  if (options.resume && options.results.empty()) throw UsageError{"--resume needs the --results FILE to go on with"};
}

/// Known before an hour's work, not after it.
void require_writable(const std::string& file) {
  if (file.empty()) return;
  std::error_code ignored;
  const bool exists = std::filesystem::exists(file, ignored);
  const std::filesystem::path folder = std::filesystem::path{file}.parent_path();
  const std::string asked = exists ? file : folder.empty() ? std::string{"."} : folder.string();
  if (std::filesystem::is_directory(file, ignored) || ::access(asked.c_str(), W_OK) != 0)
    throw WriteError{fmt::format("{} cannot be written", file)};
}

void write_file(const std::string& file, std::string_view text) {
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  out << text << std::flush;
  if (!out) throw WriteError{fmt::format("{} cannot be written", file)};
}

std::vector<FormToTry> forms_to_try(const CalibrateOptions& options, const Policy& policy, const Capabilities& capabilities) {
  if (!options.compare) {
    Policy asked = policy;
    if (options.form == "quoted") asked.check_form = CheckForm::quoted;
    if (options.form == "next_turn") asked.check_form = CheckForm::next_turn;
    if (options.form == "automatic") asked.check_form = CheckForm::automatic;
    const CheckForm form = form_for(asked, capabilities);
    if (asked.check_form == CheckForm::next_turn && form != CheckForm::next_turn)
      throw Error{Errc::bad_input,
                  "the policy cannot ask in the form next_turn: its checks have another model, or it cuts answers"};
    return {{std::string{to_string(form)}, asked, form}};
  }
  Policy paper = policy;
  paper.prompts.check = prompts::paper.check;
  paper.prompts.fence = Fence::none;
  paper.probability = {};
  return {{"paper", std::move(paper), CheckForm::quoted},
          {"quoted", policy, CheckForm::quoted},
          {"next_turn", policy, CheckForm::next_turn}};
}

/// The policy with what was chosen. What is written is read again, so that no file is written that says something else.
std::string calibrated_toml(const FormToTry& form, const CalibrationReport& report, const std::string& data, double target) {
  Policy policy = form.policy;
  policy.check_form = form.form;
  detail::rule_of(policy, form.form) = report.chosen_rule();
  const auto rates = [](const Detection& d) {
    return fmt::format("TPR {:.2f} [{:.2f}, {:.2f}], FPR {:.2f} [{:.2f}, {:.2f}]", d.tpr(), d.tpr_interval().low,
                       d.tpr_interval().high, d.fpr(), d.fpr_interval().low, d.fpr_interval().high);
  };
  std::string comment = fmt::format(
      "Written by ecso {} calibrate: model {}, {}, target FPR {:.4g}.\n{} harmful and {} benign items: AUC {:.3f} [{:.3f}, "
      "{:.3f}]; here {}.",
      ecso::version, report.model.empty() ? "not named" : report.model, data, target, report.words.harmful, report.words.benign,
      report.auc, report.auc_interval.low, report.auc_interval.high, rates(report.chosen.detection));
  if (report.held_out)
    comment +=
        fmt::format("\nOn {} items held out: {}.", report.held_out->harmful + report.held_out->benign, rates(*report.held_out));
  std::string toml = policy_toml(policy, printable(comment));
  Policy again = policy_from_json(parse_toml(toml, "policy"));
  again.name = policy.name;
  if (again != policy) throw Error{Errc::internal, "the policy cannot be written as TOML"};
  return toml;
}

std::string describe(const ItemsFile& items, std::size_t chosen) {
  std::string text = fmt::format("{}, {} items", items.name, items.read.items.size());
  if (items.read.layout != ItemLayout::ecso) text += fmt::format(" in {}'s layout", to_string(items.read.layout));
  if (items.read.left_out > 0) text += fmt::format(", {} left out", items.read.left_out);
  if (chosen < items.read.items.size()) text += fmt::format(", {} drawn", chosen);
  return text;
}

std::size_t count_failed(std::span<const CalibrationReport> reports) {
  std::size_t failed = 0;
  for (const CalibrationReport& report : reports) failed += report.failed;
  return failed;
}

std::string how_to_resume(const CalibrateOptions& options) {
  return options.results.empty() ? "nothing was kept; --results FILE keeps what is done"
                                 : fmt::format("{} has what is done, go on by --resume", options.results);
}

detail::Json to_json(const ItemsFile& items, const std::vector<std::size_t>& chosen, std::span<const CalibrationReport> reports,
                     double target) {
  detail::Json json{{"data",
                     {{"name", items.name},
                      {"layout", to_string(items.read.layout)},
                      {"items", items.read.items.size()},
                      {"left_out", items.read.left_out},
                      {"chosen", chosen.size()}}},
                    {"target_fpr", target}};
  json["reports"] = detail::Json::array();
  for (const CalibrationReport& report : reports) json["reports"].push_back(to_json(report));
  return json;
}

}  // namespace

int calibrate(const CalibrateOptions& options, const Settings& settings) {
  check_usage(options);
  Interrupt interrupt;
  const Policy policy = settings.policy();
  const Terminal out = terminal_of(STDOUT_FILENO, settings.color());
  const Terminal err = terminal_of(STDERR_FILENO, settings.color());
  require_writable(options.output);
  require_writable(options.html);
  const ItemsFile items = read_items(options.data, policy, interrupt.token());
  std::vector<bool> labels;
  for (const LabelledItem& item : items.read.items) labels.push_back(item.harmful);
  const std::vector<std::size_t> chosen = drawn_items(labels, options.limit == 0 ? labels.size() : options.limit, options.seed);
  if (options.holdout) {
    std::vector<bool> of_chosen;
    for (const std::size_t index : chosen) of_chosen.push_back(labels[index]);
    static_cast<void>(held_out_half(of_chosen, options.seed));
  }

  const BackendStack backend = make_backend(settings, interrupt.token());
  FindingsFile findings{options.results, options.resume};
  const auto text_of = [&](std::string_view name) { return settings.find(name).value_or(Settings::Value{}).text; };
  const Collector collector{backend.model(),
                            text_of("backend"),
                            text_of("model"),
                            settings.max_in_flight(),
                            options.warm ? Warming::chat : Warming::none,
                            interrupt,
                            findings};
  const std::vector<FormToTry> forms = forms_to_try(options, policy, backend.model().capabilities());
  SimulationNotice notice{std::cerr, err};
  ReportOptions report_options{.goal = options.goal, .bootstrap = {.seed = options.seed}};
  if (options.in_sample) report_options.goal.target_of = TargetOf::sample;
  if (options.holdout) report_options.holdout = options.seed;
  report_options.warming = collector.warming;

  std::vector<CalibrationReport> reports;
  int exit_code = exit_answered;
  std::optional<Error> first_error;
  for (const FormToTry& form : forms) {
    CalibrationProgress progress{std::cerr, err, form.name, chosen.size()};
    const std::vector<JudgedItem> judged = collector.collect(form, items, chosen, options.quiet ? nullptr : &progress, &notice);
    if (!options.quiet) progress.write_summary();
    if (interrupt.signal() != 0) {
      std::cerr << "ecso: error: interrupted; " << how_to_resume(options) << '\n';
      return 128 + interrupt.signal();
    }
    for (const JudgedItem& item : judged) {
      if (!item.finding.error) continue;
      if (!first_error) first_error = item.finding.error;
      exit_code = std::max(exit_code, exit_code_of(*item.finding.error));
    }
    reports.push_back(calibration_report(form.name, form.form, detail::rule_of(form.policy, form.form), judged, report_options));
  }

  if (options.json) {
    std::cout << detail::dump_json(to_json(items, chosen, reports, options.goal.target_fpr), out.is_terminal ? 2 : -1) << '\n';
  } else {
    std::cout << fmt::format("{:<10}{}", "Data", wrap(describe(items, chosen.size()), std::string(10, ' '), out.columns));
    if (options.compare) {
      print_comparison(std::cout, out, reports, options.goal.target_fpr);
    } else {
      print_report(std::cout, out, reports.front(), options.goal.target_fpr);
    }
  }
  if (!std::cout.flush()) throw WriteError{"standard output cannot be written"};
  if (!options.html.empty()) {
    write_file(options.html, html_report(fmt::format("ecso calibrate: {}", reports.front().model), reports));
    std::cerr << fmt::format("the chart is in {}\n", options.html);
  }
  if (first_error) {
    std::cerr << fmt::format("ecso: error: {} of the checks failed; the first: {}\n", count_failed(reports),
                             explain(*first_error));
    return exit_code;
  }
  if (options.compare) return exit_answered;
  const CalibrationReport& report = reports.front();
  if (!report.has_probabilities) {
    if (options.output.empty()) return exit_answered;
    throw Error{Errc::unsupported, "--output: without log-probabilities there is no threshold to write"};
  }
  if (!report.chosen.meets_target) {
    std::cerr << fmt::format("ecso: error: no threshold has an FPR of at most {:.4g} on these items{}\n", options.goal.target_fpr,
                             options.output.empty() ? "" : "; no policy is written");
    return exit_goal_missed;
  }
  if (!options.output.empty()) {
    write_file(options.output, calibrated_toml(forms.front(), report, items.name, options.goal.target_fpr));
    std::cerr << fmt::format("the policy is in {}: use it by --policy {}\n", options.output, options.output);
  }
  return exit_answered;
}

}  // namespace ecso::command
