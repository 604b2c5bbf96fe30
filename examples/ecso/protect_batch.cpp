#include "backends.hpp"
#include "batch_input.hpp"
#include "batch_output.hpp"
#include "batch_report.hpp"
#include "exit_code.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "printing.hpp"
#include "protect.hpp"
#include "query.hpp"

#include <ecso/core/protocol.hpp>
#include <ecso/decorator/record.hpp>
#include <ecso/drive/run_batch.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <system_error>

namespace ecso::command {

namespace {

/// A batch file open for reading, or standard input.
struct InputFile {
  explicit InputFile(const std::string& name) : fd{name == "-" ? STDIN_FILENO : ::open(name.c_str(), O_RDONLY | O_CLOEXEC)} {
    std::error_code error;
    if (name == "-") return;
    const auto bad = [&](const char* what) { return Error{Errc::bad_input, what, {.endpoint = name}}; };
    if (!std::filesystem::exists(name, error)) throw bad("no such file");
    if (std::filesystem::is_directory(name, error)) throw bad("a folder, not a batch file");
    if (fd < 0) throw bad("cannot be opened for reading");
    if (std::filesystem::is_regular_file(name, error)) bytes = std::filesystem::file_size(name, error);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() {
    if (fd > STDERR_FILENO) ::close(fd);
  }

  int fd;
  std::size_t bytes = 0;
};

Outcome failed(const Error& error, const Policy& policy) {
  Outcome outcome;
  outcome.policy = policy.name;
  outcome.error = error;
  return outcome;
}

std::string how_to_resume(const ProtectOptions& options) {
  if (options.output.empty()) return "the lines above are whole; with --output FILE, --resume goes on where it stopped";
  return fmt::format("{} keeps what is done; the same command with --resume goes on", options.output);
}

}  // namespace

int protect_batch(const ProtectOptions& options, const Settings& settings) {
  Interrupt interrupt;
  const auto policy = std::make_shared<const Policy>(settings.policy());
  const std::size_t max_in_flight = settings.max_in_flight();
  const Terminal err = terminal_of(STDERR_FILENO, settings.color());
  InputFile file{options.batch};
  FdInput buffer{file.fd, interrupt.token()};
  std::istream stream{&buffer};
  BatchInput input{stream, options.batch == "-" ? std::filesystem::path{} : std::filesystem::path{options.batch}.parent_path()};

  const BackendStack backend = make_backend(settings, interrupt.token());
  BatchOutput output{options.output, options.resume};
  std::ofstream cassette;
  std::optional<RecordBackend> recorded;
  if (!options.record.empty()) {
    cassette.open(options.record, options.resume ? std::ios::binary | std::ios::app : std::ios::binary);
    recorded.emplace(backend.model(), cassette, options.record);
  }
  MllmBackend& model = recorded ? static_cast<MllmBackend&>(*recorded) : backend.model();

  BatchReport report{std::cerr, err, file.bytes};
  SimulationNotice notice{std::cerr, err};
  struct Place {
    detail::Json id;
    std::size_t line;
  };
  std::map<std::size_t, Place> under_way;
  std::size_t taken = 0;

  const auto give = [&](const Place& place, const Outcome& outcome) {
    const bool is_cut_off = interrupt.signal() != 0 && outcome.error && outcome.error->code() == Errc::cancelled;
    if (is_cut_off) return;
    if (!outcome.steps.empty() && notice.is_due(outcome.steps.front())) {
      report.clear();
      notice.look_at(outcome.steps.front());
    }
    output.write(place.id, place.line, outcome);
    report.add(place.line, outcome, input.bytes());
  };
  const auto is_done = [&](const detail::Json& id, std::size_t line) {
    if (!output.is_done(id, line)) return false;
    report.skip();
    return true;
  };
  const auto next = [&]() -> std::optional<EcsoProtocol> {
    while (auto line = input.next(is_done)) {
      if (interrupt.signal() != 0) break;
      const Place place{line->id, line->number};
      try {
        if (const auto* error = std::get_if<Error>(&line->content)) throw Error{*error};
        EcsoProtocol protocol{std::get<Conversation>(std::move(line->content)), policy, model.capabilities()};
        under_way.emplace(taken++, place);
        return protocol;
      } catch (const Error& error) {
        give(place, failed(error, *policy));
      }
    }
    return std::nullopt;
  };
  const auto on_done = [&](std::size_t index, EcsoProtocol protocol) {
    give(under_way.extract(index).mapped(), std::move(protocol).outcome());
  };

  run_batch(next, model, on_done, {.stop = interrupt.token(), .deadline = policy->deadline, .max_in_flight = max_in_flight});
  report.write_summary();
  if (interrupt.signal() == 0) return report.exit_code();
  std::cerr << "ecso: error: interrupted; " << how_to_resume(options) << '\n';
  return 128 + interrupt.signal();
}

}  // namespace ecso::command
