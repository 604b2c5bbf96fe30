#pragma once

#include <ecso/calibrate/threshold.hpp>

#include <CLI/CLI.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace ecso::command {

/// What `ecso calibrate` was asked for, settings aside.
struct CalibrateOptions {
  std::string data;  ///< File of labelled items, "-" for standard input; empty for those that come with ecso.
  std::string form;  ///< automatic, quoted or next_turn; empty for the policy's.
  ThresholdGoal goal;
  std::uint64_t seed = 1;  ///< Of the halves, of the draw of `limit` items, and of the bootstrap.
  std::size_t limit = 0;   ///< Most items to check; 0 for all.
  std::string output;
  std::string html;
  std::string results;
  bool compare = false;
  bool holdout = false;
  bool warm = false;
  bool in_sample = false;
  bool resume = false;
  bool json = false;
  bool quiet = false;
};

/// Gives the command its own flags and its help.
void add_calibrate_options(CLI::App& command, CalibrateOptions& options);

}  // namespace ecso::command
