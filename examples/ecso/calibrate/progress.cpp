#include "progress.hpp"

#include <fmt/format.h>

#include <chrono>

namespace ecso::command {

void CalibrationProgress::add(const CheckFinding& finding) {
  ++done_;
  if (finding.error) {
    ++failed_;
  } else if (!finding.released_above && finding.doubt != Doubt::none) {
    ++undecided_;
  }
  if (!line_.is_due()) return;
  const double seconds = std::chrono::duration<double>{line_.elapsed()}.count();
  const auto left = static_cast<double>(total_ - skipped_ - done_) * seconds / static_cast<double>(done_);
  line_.show(counts() + fmt::format("; about {:.0f} {} left", left < 120 ? left : left / 60, left < 120 ? "s" : "min"));
}

std::string CalibrationProgress::counts() const {
  std::string text =
      fmt::format("{}: {} of {} checked, {} undecided, {} failed", name_, skipped_ + done_, total_, undecided_, failed_);
  if (skipped_ > 0) text += fmt::format(", {} done before", skipped_);
  return text;
}

void CalibrationProgress::write_summary() {
  clear();
  out_ << counts() << fmt::format("; {:.1f} s\n", std::chrono::duration<double>{line_.elapsed()}.count()) << std::flush;
}

}  // namespace ecso::command
