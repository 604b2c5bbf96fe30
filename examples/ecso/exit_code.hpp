#pragma once

#include <ecso/core/trace.hpp>
#include <ecso/error.hpp>

#include <stdexcept>
#include <string>

namespace ecso::command {

/// What the command exits with; the numbers are those of sysexits.h where it has them. A signal's is 128 and its number: 130 for
/// Ctrl-C.
enum ExitCode : int {
  exit_answered = 0,
  exit_refused = 3,
  exit_goal_missed = 4,
  exit_usage = 64,
  exit_bad_input = 65,
  exit_unavailable = 69,
  exit_internal = 70,
  exit_cannot_write = 74,
  exit_try_again = 75,
  exit_interrupted = 130,
};

/// The command line, the environment or the configuration asks for something that there is not.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An output cannot be written.
class WriteError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What the command is to run, or to ask, cannot be had: a port, for example.
class UnavailableError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[nodiscard]] int exit_code_of(const Error& error) noexcept;
[[nodiscard]] int exit_code_of(const Outcome& outcome) noexcept;

/// What went wrong, where, and what to do; on one line.
[[nodiscard]] std::string explain(const Error& error);

}  // namespace ecso::command
