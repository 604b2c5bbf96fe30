#pragma once

#include "printing.hpp"

#include <ecso/core/image.hpp>
#include <ecso/core/trace.hpp>

#include <cstddef>
#include <ostream>
#include <stop_token>
#include <string>

namespace ecso::command {

/// @throws Error (bad_input) that names the file, also for a URL.
[[nodiscard]] Image read_image(const std::string& file);

/// A query's text; "-" reads standard input to its end, at most one byte more than `max_bytes`.
/// @throws Error (cancelled) if a stop is requested while it waits.
[[nodiscard]] std::string read_query(const std::string& text_or_dash, std::size_t max_bytes, const std::stop_token& stop);

/// Says once that answers are simulated, when the first simulated reply turns up, be it live or replayed.
class SimulationNotice {
 public:
  SimulationNotice(std::ostream& out, const Terminal& terminal) : out_{out}, terminal_{terminal} {}

  [[nodiscard]] bool is_due(const StepRecord& record) const { return !is_said_ && record.model == "simulated"; }
  void look_at(const StepRecord& record);

 private:
  std::ostream& out_;
  Terminal terminal_;
  bool is_said_ = false;
};

}  // namespace ecso::command
