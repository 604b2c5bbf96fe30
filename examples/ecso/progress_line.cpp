#include "progress_line.hpp"

namespace ecso::command {

bool ProgressLine::is_due() {
  const auto now = Clock::now();
  const auto interval = is_terminal_ ? std::chrono::milliseconds{100} : std::chrono::milliseconds{10'000};
  if (now - shown_ < interval) return false;
  shown_ = now;
  return true;
}

void ProgressLine::show(std::string_view text) {
  clear();
  out_ << text;
  is_open_ = is_terminal_;
  if (!is_open_) out_ << '\n';
  out_ << std::flush;
}

void ProgressLine::clear() {
  if (is_open_) out_ << "\r\033[K" << std::flush;
  is_open_ = false;
}

}  // namespace ecso::command
