#include "batch_report.hpp"

#include "exit_code.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace ecso::command {

void BatchReport::add(std::size_t line, const Outcome& outcome, std::size_t bytes_read) {
  ++done_;
  ++paths_[outcome.path];
  calls_ += outcome.steps.size();
  usage_ += outcome.usage();
  if (outcome.error) ++errors_[std::string{to_string(outcome.error->code())}];
  if (outcome.path == Path::failed) exit_code_ = std::max(exit_code_, exit_code_of(outcome));
  if (outcome.error && !first_error_) {
    const std::string text = explain(*outcome.error);
    const std::string where = fmt::format("line {}", line);
    first_error_ = text.starts_with(where + ":") ? text : where + ": " + text;
  }

  if (!line_.is_due()) return;
  std::string progress = counts();
  if (input_bytes_ != 0)
    progress = fmt::format("{:3.0f} %  ",
                           100.0 * static_cast<double>(std::min(bytes_read, input_bytes_)) / static_cast<double>(input_bytes_)) +
               progress;
  const double seconds = std::chrono::duration<double>{line_.elapsed()}.count();
  line_.show(progress + fmt::format("; {:.1f} a second", static_cast<double>(done_) / seconds));
}

std::string BatchReport::counts() const {
  const auto of = [&](Path path) {
    const auto found = paths_.find(path);
    return found == paths_.end() ? 0 : found->second;
  };
  return fmt::format("{} line{}: {} direct, {} eyes closed, {} refused, {} failed", done_, done_ == 1 ? "" : "s",
                     of(Path::direct), of(Path::eyes_closed), of(Path::refused), of(Path::failed));
}

void BatchReport::write_summary() {
  clear();
  out_ << counts();
  if (skipped_ != 0) out_ << fmt::format("; {} done before", skipped_);
  out_ << '\n' << describe_cost(calls_, usage_, line_.elapsed()) << '\n';
  if (!errors_.empty()) {
    out_ << "errors:";
    for (const auto& [code, count] : errors_) out_ << ' ' << count << ' ' << code << (code == errors_.rbegin()->first ? "" : ",");
    out_ << "; the first: " << *first_error_ << '\n';
  }
  out_ << std::flush;
}

}  // namespace ecso::command
