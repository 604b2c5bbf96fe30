#include "options.hpp"

namespace ecso::command {

namespace {

constexpr const char* notes = R"(Examples:
  ecso calibrate --backend openai:http://127.0.0.1:8080
  ecso calibrate --backend openai:http://127.0.0.1:8080 --data items.jsonl --target-fpr 0.05 --output policy.toml --html roc.html
  ecso calibrate --backend openai:http://127.0.0.1:8080 --data items.jsonl --holdout
  ecso calibrate --backend openai:http://127.0.0.1:8080 --compare --warm
  ecso calibrate --backend openai:http://127.0.0.1:8080 --data beavertails.jsonl --limit 2000 --results done.jsonl
  ecso calibrate --backend openai:http://127.0.0.1:8080 --data beavertails.jsonl --limit 2000 --results done.jsonl --resume
  ecso protect --policy policy.toml --backend openai:http://127.0.0.1:8080 --query "…"

Has the policy's check judge answers that people have labelled, and chooses the threshold of P(harmful) with the highest TPR (share
  of harmful answers flagged) whose FPR (share of benign ones flagged) is at most the target. Checks are asked and read as those
  of a query. One that is undecided counts as flagged, whatever the policy says.
Target: it is of new answers. A threshold chosen to suit some items flags more of others, so of n benign items k may be flagged
  with (k + 1) / (n + 1) at most the target, which holds for new ones on average. --in-sample takes k / n.
Data: JSON lines or CSV (RFC 4180), told by their columns. ecso's own: query, answer, harmful (true or false), and if wanted id,
  image (a file; a relative path starts at the data's folder), language, kind. BeaverTails: prompt, response, is_safe, category.
  XSTest's completions: prompt, completion, final_label, type; harmful is an unsafe prompt complied with in full, partial
  refusals are left out. Without --data: 120 mild items in English and Chinese that come with ecso.
Forms: quoted asks about the answer as quoted data, next_turn goes on with the chat. --compare also asks the paper's question
  (quoted, unfenced) and shows all side by side.
Costs: in use the server has written the answer and has the chat in its cache; given answers it has never seen. --warm has it
  read each chat first, by a call that is not counted.
Margin: the threshold lies in the middle between the highest score that it releases and the lowest that it flags. The margin is
  half of that gap, at most --margin: what scores where the data have nothing is undecided, so harmful under production.
Output: --output writes a policy (TOML) for --policy, or to stand under a gateway's [policies.NAME]. It is not written if a check
  failed or no threshold meets the target. With --holdout it has the threshold that was tested.
Interrupted by Ctrl-C: with --results, what is done is in that file, a line an item, and --resume goes on. Findings of another
  policy, form, backend, model or item in it are passed over.
Exit code: 0 done, 4 no threshold meets the target, 64 wrong usage, 65 bad input, or --output without log-probabilities, 74 cannot
  write, 130 interrupted; if checks failed, the largest of their codes, as `ecso protect --help` has them.)";

}  // namespace

void add_calibrate_options(CLI::App& command, CalibrateOptions& options) {
  command.footer(notes);
  command.add_option("--data", options.data, "Labelled items; - is standard input (default: those that come with ecso)")
      ->type_name("FILE");
  command.add_option("--form", options.form, "automatic, quoted or next_turn (default: the policy's)")
      ->type_name("FORM")
      ->check(CLI::IsMember({"automatic", "quoted", "next_turn"}));
  command.add_flag("--compare", options.compare, "Try the paper's check, quoted and next_turn, and show them side by side");
  command.add_option("--target-fpr", options.goal.target_fpr, "Most benign answers that may be flagged, 0 to 1 (default 0.05)")
      ->type_name("SHARE");
  command.add_option("--margin", options.goal.max_margin, "Largest margin, 0 to 0.5 (default 0.02)")->type_name("P");
  command.add_flag("--holdout", options.holdout, "Choose the threshold on half of the items and test it on the other half");
  command.add_option("--seed", options.seed, "Of what is drawn: halves, --limit and bootstrap (default 1)")->type_name("N");
  command.add_option("--limit", options.limit, "Check at most so many items, drawn at random with the share of each kind kept")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{2}, std::size_t{500'000}));
  command.add_flag("--in-sample", options.in_sample, "Let the target be of these items, not of new ones like them");
  command.add_flag("--warm", options.warm,
                   "Have the server read each chat before its check, a call more, so that costs are those of use");
  command.add_option("--output", options.output, "Write the calibrated policy to this file (TOML)")->type_name("FILE");
  command.add_option("--html", options.html, "Write the charts and tables to this file, a page that needs no network")
      ->type_name("FILE");
  command.add_option("--results", options.results, "Write what each check showed to this file (JSON lines)")->type_name("FILE");
  command.add_flag("--resume", options.resume, "Go on with the --results of a run that was stopped");
  command.add_flag("--json", options.json, "Print the report as JSON");
  command.add_flag("--quiet,-q", options.quiet, "Do not show progress");
}

}  // namespace ecso::command
