#include "line_writer.hpp"

#include "append_file.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <utility>

namespace ecso::command {

struct LineWriter::Shared {
  Shared(const LineWriterOptions& options, OnLost told)
      : file{options.file, options.mode}, on_lost{std::move(told)}, max_waiting_bytes{options.max_waiting_bytes} {}

  AppendFile file;       ///< Of the thread.
  const OnLost on_lost;  ///< Called under `mutex`, so never behind the back of whoever abandons it.
  const std::size_t max_waiting_bytes;
  std::mutex mutex;
  std::condition_variable has_work;
  std::condition_variable has_written;
  std::deque<std::string> waiting;  ///< The first one until it is written.
  std::size_t waiting_bytes = 0;
  std::size_t written = 0;
  bool is_closing = false;
  bool is_over = false;
  bool is_abandoned = false;
};

LineWriter::LineWriter(const LineWriterOptions& options, OnLost on_lost)
    : shared_{std::make_shared<Shared>(options, std::move(on_lost))},
      patience_{options.patience},
      thread_{[shared = shared_] { run(*shared); }} {}

LineWriter::~LineWriter() {
  std::unique_lock lock{shared_->mutex};
  shared_->is_closing = true;
  shared_->has_work.notify_one();
  for (std::size_t before = shared_->written;; before = shared_->written) {
    const auto goes_on = [&] { return shared_->is_over || shared_->written != before; };
    const bool is_stuck = !shared_->has_written.wait_for(lock, patience_, goes_on);
    if (shared_->is_over) {
      lock.unlock();
      thread_.join();
      return;
    }
    if (is_stuck) break;
  }
  // It hangs in a write that nothing ends. Whoever waited for it would hang as well.
  shared_->on_lost(shared_->waiting.size(), "the file takes nothing");
  shared_->is_abandoned = true;
  thread_.detach();
}

bool LineWriter::write(std::string line) {
  const std::lock_guard lock{shared_->mutex};
  if (!shared_->waiting.empty() && shared_->waiting_bytes + line.size() > shared_->max_waiting_bytes) {
    shared_->on_lost(1, "lines come faster than the file takes them");
    return false;
  }
  shared_->waiting_bytes += line.size();
  shared_->waiting.push_back(std::move(line));
  if (shared_->waiting.size() == 1) shared_->has_work.notify_one();
  return true;
}

void LineWriter::run(Shared& shared) {
  std::unique_lock lock{shared.mutex};
  for (;;) {
    shared.has_work.wait(lock, [&] { return shared.is_closing || !shared.waiting.empty(); });
    if (shared.waiting.empty()) break;
    // Others only add lines behind it, which moves none of a deque.
    const std::string& line = shared.waiting.front();
    lock.unlock();
    const int error = shared.file.write(line);
    lock.lock();
    if (shared.is_abandoned) return;
    ++shared.written;
    if (error != 0) shared.on_lost(1, std::generic_category().message(error));
    shared.waiting_bytes -= line.size();
    shared.waiting.pop_front();
    shared.has_written.notify_one();
  }
  shared.is_over = true;
  shared.has_written.notify_one();
}

}  // namespace ecso::command
