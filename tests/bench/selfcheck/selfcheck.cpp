// How well, and at what price, a model judges labelled answers: a line for each form of the check. See `usage`.

#include <ecso/backend/openai.hpp>
#include <ecso/backend/openai_probe.hpp>
#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/core/read_check.hpp>
#include <ecso/core/read_verdict.hpp>
#include <ecso/core/step_requests.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bench/selfcheck/items.hpp"
#include "bench/selfcheck/roc.hpp"

namespace {

using namespace ecso;

constexpr std::string_view usage = R"(usage: selfcheck --server URL --data FILE [--limit N] [--model NAME] [--only FORM]

Asks an OpenAI-compatible server about labelled answers, one at a time, and prints a line for each form of the check: the paper's
prompt, the hardened one (quoted), and next_turn, the chat going on. FILE is a JSON array or a line each of objects with query,
answer and harmful (or q, a, harm). A chat is in the server's cache before its checks, as it is in life.
)";

struct Arguments {
  std::string server;
  std::string data;
  std::string model = {};
  std::string only = {};
  std::size_t limit = SIZE_MAX;
};

struct Form {
  std::string_view name;
  Policy policy;
};

/// Without limits of time: a slow server is measured, not given up.
Policy policy_of(CheckForm form, const Prompts& prompts) {
  Policy policy = policy::production();
  policy.check_form = form;
  policy.prompts = prompts;
  policy.deadline = std::chrono::milliseconds{0};
  return policy;
}

/// In the order in which they are asked: the chat is still in its slot when it goes on.
std::vector<Form> all_forms() {
  return {{"next_turn", policy_of(CheckForm::next_turn, prompts::hardened)},
          {"quoted", policy_of(CheckForm::quoted, prompts::hardened)},
          {"paper", policy_of(CheckForm::quoted, prompts::paper)}};
}

/// What one form came to.
struct Tally {
  bench::Scores scores;
  std::size_t found = 0;      ///< Harmful answers whose verdict, after all calls and by the policy, is harmful.
  std::size_t refused = 0;    ///< The same of harmless ones.
  std::size_t undecided = 0;  ///< Checks that left a doubt.
  std::size_t without_figures = 0;
  std::size_t calls = 0;
  std::int64_t new_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::vector<double> ms = {};  ///< Of a check, with what it was asked again.
};

Reply call(MllmBackend& model, const ModelRequest& request, QueryScope& scope) {
  const CallContext context{.query = &scope};
  return std::visit([&](const auto& asked) { return model.generate(asked, context); }, request);
}

/// What the protocol does with an answer, up to its verdict.
void judge(MllmBackend& model, const Form& form, const bench::LabelledAnswer& item, QueryScope& scope, Tally& tally) {
  const Capabilities capabilities = model.capabilities();
  const std::optional<Sampling> none;
  const StepRequests requests{form.policy, capabilities, none};
  const Conversation chat = ask({}, item.query);
  ModelRequest request = requests.check(chat, item.answer);
  VerdictReading reading;
  for (int clarification = 0;; ++clarification) {
    const Reply reply = call(model, request, scope);
    reading = read_check(form.policy, request, reply, least_tokens(request));
    ++tally.calls;
    tally.new_tokens += reply.usage.prompt_tokens - reply.usage.cached_tokens;
    tally.cached_tokens += reply.usage.cached_tokens;
    if (clarification == 0) {
      tally.undecided += static_cast<std::size_t>(reading.verdict == Verdict::undecided);
      // A policy may find the words yes and no too improbable to go by; which of them is likelier orders the answers all the
      // same.
      const auto p_harmful = probability_verdict(reply.logprobs, {.min_mass = 0.0}).p_harmful;
      tally.without_figures += static_cast<std::size_t>(!p_harmful);
      const double by_words = reading.verdict == Verdict::safe ? 0.0 : reading.verdict == Verdict::harmful ? 1.0 : 0.5;
      (item.is_harmful ? tally.scores.harmful : tally.scores.harmless).push_back(p_harmful.value_or(by_words));
    }
    if (reading.verdict != Verdict::undecided || clarification == form.policy.clarifications) break;
    auto again = requests.clarify(Step::check, chat, item.answer, reading.doubt, reply.text);
    if (!again) break;
    request = std::move(*again);
  }
  const bool is_harmful = reading.verdict == Verdict::harmful || reading.verdict == Verdict::undecided;
  if (is_harmful) ++(item.is_harmful ? tally.found : tally.refused);
}

/// Puts a chat with its answer where a server that has just answered has it. Not all servers go on from an answer: then not.
void put_in_cache(MllmBackend& model, const bench::LabelledAnswer& item, QueryScope& scope) {
  Conversation chat = ask({}, item.query);
  chat.messages.push_back({Role::assistant, {item.answer}});
  const CallOptions one_token{.sampling = {.temperature = 0.0, .max_tokens = 1}};
  try {
    static_cast<void>(call(model, TextRequest{close_eyes(chat, {}), one_token}, scope));
  } catch (const Error& error) {
    if (error.code() != Errc::bad_request) throw;
  }
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

void print(const Form& form, const Tally& tally) {
  const auto harmful = static_cast<double>(tally.scores.harmful.size());
  const auto harmless = static_cast<double>(tally.scores.harmless.size());
  const double items = harmful + harmless;
  const bench::Interval interval = bench::bootstrap_interval(tally.scores);
  const bench::Operation best = bench::best_within(tally.scores, 0.10);
  double seconds = 0;
  for (const double ms : tally.ms) seconds += ms / 1000;
  fmt::print(
      "{:<10} {:.3f} [{:.3f}, {:.3f}]   {:.2f}, {:.2f}   {:.2f} at {:.2f}   {:>5}   {:>6.2f}   {:>6.1f} / {:<6.1f}   {:>6.0f}   "
      "{:>6.1f}\n",
      form.name, bench::area_under_curve(tally.scores), interval.low, interval.high, static_cast<double>(tally.found) / harmful,
      static_cast<double>(tally.refused) / harmless, best.found, best.threshold, tally.undecided,
      static_cast<double>(tally.calls) / items, static_cast<double>(tally.new_tokens) / items,
      static_cast<double>(tally.cached_tokens) / items, median(tally.ms), seconds);
  if (tally.without_figures > 0) {
    fmt::print("{:<10} {} checks came without probabilities and count as 0, 0.5 or 1 by their words\n", "",
               tally.without_figures);
  }
}

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (value.empty()) throw std::invalid_argument{fmt::format("{} needs a value", name)};
    if (name == "--server") {
      arguments.server = value;
    } else if (name == "--data") {
      arguments.data = value;
    } else if (name == "--model") {
      arguments.model = value;
    } else if (name == "--only") {
      arguments.only = value;
    } else if (name == "--limit") {
      const auto read = std::from_chars(value.data(), value.data() + value.size(), arguments.limit);
      if (read.ec != std::errc{} || read.ptr != value.data() + value.size() || arguments.limit == 0) {
        throw std::invalid_argument{"--limit is a number from 1 on"};
      }
    } else {
      throw std::invalid_argument{fmt::format("there is no option {}", name)};
    }
  }
  if (arguments.server.empty() || arguments.data.empty()) throw std::invalid_argument{"--server and --data are needed"};
  return arguments;
}

/// At most `limit` items, with as large a share of harmful ones: each k-th of both kinds.
std::vector<bench::LabelledAnswer> spread(std::vector<bench::LabelledAnswer> items, std::size_t limit) {
  if (limit >= items.size()) return items;
  std::ranges::stable_partition(items, &bench::LabelledAnswer::is_harmful);
  std::vector<bench::LabelledAnswer> chosen;
  for (std::size_t i = 0; i < limit; ++i) chosen.push_back(items[i * items.size() / limit]);
  return chosen;
}

void run(const Arguments& arguments) {
  const auto items = spread(bench::read_items(arguments.data), arguments.limit);
  OpenAiOptions options{.base_url = arguments.server, .model = arguments.model};
  options.http.call_timeout = options.http.between_bytes_timeout = std::chrono::milliseconds{0};
  options = probed(options);
  OpenAiBackend model{options};
  std::vector<Form> forms = all_forms();
  if (!arguments.only.empty()) std::erase_if(forms, [&](const Form& form) { return form.name != arguments.only; });
  if (forms.empty()) throw std::invalid_argument{"--only is next_turn, quoted or paper"};
  std::vector<Tally> tallies(forms.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    QueryScope scope;
    put_in_cache(model, items[i], scope);
    for (std::size_t form = 0; form < forms.size(); ++form) {
      const auto start = std::chrono::steady_clock::now();
      judge(model, forms[form], items[i], scope, tallies[form]);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
      tallies[form].ms.push_back(took.count());
    }
    if ((i + 1) % 10 == 0 || i + 1 == items.size()) fmt::print(stderr, "{} of {}\n", i + 1, items.size());
  }
  fmt::print(
      "{} items, {} of them harmful; one at a time; TPR and FPR are shares of harmful and harmless answers that a default\n",
      items.size(), tallies[0].scores.harmful.size());
  fmt::print(
      "policy takes for harmful, undecided ones included; \"best\" is the highest TPR at an FPR of 0.10, and its threshold\n\n");
  fmt::print("form       AUC [95 %]             TPR, FPR     best           unde-   calls    prompt tokens     median   all\n");
  fmt::print("                                                              cided   a check  new / cached      ms       s\n");
  for (std::size_t form = 0; form < forms.size(); ++form) print(forms[form], tallies[form]);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(read_arguments(argc, argv));
    return EXIT_SUCCESS;
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "selfcheck: {}\n{}", error.what(), usage);
    return 64;
  } catch (const std::exception& error) {
    fmt::print(stderr, "selfcheck: {}\n", error.what());
    return EXIT_FAILURE;
  }
}
