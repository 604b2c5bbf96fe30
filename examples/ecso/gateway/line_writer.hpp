#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

namespace ecso::command {

struct LineWriterOptions {
  std::string file;                                               ///< "-": standard error.
  mode_t mode = 0644;                                             ///< Of a file that is not there yet.
  std::size_t max_waiting_bytes = std::size_t{64} * 1024 * 1024;  ///< Of all lines that wait; one alone may have more.
  std::chrono::milliseconds patience{5'000};                      ///< At the end, with a file that takes nothing.
};

/// Writes lines to a file in a thread of its own, so that a file that is slow or stuck (a full pipe, a network file system) stops
/// nobody. Lines that find no room, or that the file does not take, are lost and counted. Thread safe.
class LineWriter {
 public:
  /// Told of each loss, in any thread; neither blocks nor throws.
  using OnLost = std::function<void(std::size_t lines, std::string_view why)>;

  /// @throws WriteError if the file cannot be opened.
  LineWriter(const LineWriterOptions& options, OnLost on_lost);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  /// Writes what waits. If the file takes no line for as long as `patience`, the rest is lost and its thread left to itself.
  ~LineWriter();

  /// Returns at once.
  /// @param line ends with a line break.
  /// @return whether it was accepted: it is written unless the file fails.
  bool write(std::string line);

 private:
  struct Shared;

  static void run(Shared& shared);

  std::shared_ptr<Shared> shared_;  ///< Outlives this where its thread is stuck.
  const std::chrono::milliseconds patience_;
  std::thread thread_;
};

}  // namespace ecso::command
