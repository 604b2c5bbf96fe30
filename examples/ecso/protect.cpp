#include "protect.hpp"

#include "backends.hpp"
#include "exit_code.hpp"
#include "interrupt.hpp"
#include "printing.hpp"
#include "query.hpp"

#include <ecso/core/trace_json.hpp>
#include <ecso/decorator/record.hpp>
#include <ecso/ecso.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>

namespace ecso::command {

namespace {

void write_answer(const Outcome& outcome, const Terminal& out, bool as_json) {
  if (as_json) {
    std::cout << detail::dump_json(to_json(outcome), out.is_terminal ? 2 : -1) << '\n';
  } else if (outcome.path != Path::failed) {
    std::cout << (out.is_terminal ? printable(outcome.text) : outcome.text) << '\n';
  }
  if (!std::cout.flush()) throw WriteError{"standard output cannot be written"};
}

}  // namespace

int protect(const ProtectOptions& options, const Settings& settings) {
  Interrupt interrupt;
  const Policy policy = settings.policy();
  const Terminal out = terminal_of(STDOUT_FILENO, settings.color());
  const Terminal err = terminal_of(STDERR_FILENO, settings.color());
  std::vector<Image> images;
  for (const std::string& file : options.images) images.push_back(read_image(file));
  Conversation conversation = ask(std::move(images), read_query(options.query, policy.max_text_bytes, interrupt.token()));
  check_conversation(conversation, policy);

  const BackendStack backend = make_backend(settings, interrupt.token());
  std::optional<RecordBackend> recorded;
  if (!options.record.empty()) recorded.emplace(backend.model(), options.record);

  const bool shows_steps = !options.quiet && !options.json;
  StepPrinter printer{std::cerr, err, options.trace ? Detail::trace : Detail::summary};
  SimulationNotice notice{std::cerr, err};
  PipelineObserver observer;
  if (shows_steps) observer.on_call = [&](const PendingCall& call) { printer.on_call(call); };
  observer.on_step = [&](const StepRecord& record) {
    printer.clear();
    notice.look_at(record);
    if (shows_steps) printer.on_step(record);
  };
  const EcsoPipeline pipeline{recorded ? static_cast<MllmBackend&>(*recorded) : backend.model(), policy, observer};

  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = pipeline.try_run(std::move(conversation), {.stop = interrupt.token()});
  printer.clear();
  if (shows_steps && outcome.path != Path::failed) {
    printer.on_end(outcome, std::chrono::steady_clock::now() - start);
    if (out.is_terminal && err.is_terminal) std::cerr << '\n';
  }
  if (outcome.error) {
    std::cerr << "ecso: error: " << explain(*outcome.error)
              << (outcome.path == Path::refused ? "; the policy refuses instead" : "") << '\n';
  }
  write_answer(outcome, out, options.json);
  return interrupt.signal() != 0 && outcome.error ? 128 + interrupt.signal() : exit_code_of(outcome);
}

}  // namespace ecso::command
