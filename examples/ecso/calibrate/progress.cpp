#include "progress.hpp"

#include <fmt/format.h>

namespace ecso::command {

void CalibrationProgress::add(const CheckFinding& finding) {
  ++done_;
  if (finding.error) {
    ++failed_;
  } else if (!finding.released_above && finding.doubt != Doubt::none) {
    ++undecided_;
  }
  const auto now = Clock::now();
  const auto interval = terminal_.is_terminal ? std::chrono::milliseconds{100} : std::chrono::milliseconds{10'000};
  if (now - shown_ < interval) return;
  shown_ = now;
  clear();
  const double seconds = std::chrono::duration<double>{now - start_}.count();
  const auto left = static_cast<double>(total_ - skipped_ - done_) * seconds / static_cast<double>(done_);
  out_ << counts() << fmt::format("; about {:.0f} {} left", left < 120 ? left : left / 60, left < 120 ? "s" : "min");
  is_line_open_ = terminal_.is_terminal;
  if (!is_line_open_) out_ << '\n';
  out_ << std::flush;
}

void CalibrationProgress::clear() {
  if (is_line_open_) out_ << "\r\033[K" << std::flush;
  is_line_open_ = false;
}

std::string CalibrationProgress::counts() const {
  std::string text =
      fmt::format("{}: {} of {} checked, {} undecided, {} failed", name_, skipped_ + done_, total_, undecided_, failed_);
  if (skipped_ > 0) text += fmt::format(", {} done before", skipped_);
  return text;
}

void CalibrationProgress::write_summary() {
  clear();
  out_ << counts() << fmt::format("; {:.1f} s\n", std::chrono::duration<double>{Clock::now() - start_}.count()) << std::flush;
}

}  // namespace ecso::command
