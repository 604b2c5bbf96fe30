#pragma once

#include "append_file.hpp"
#include "serve_settings.hpp"

#include <ecso/gateway/request_record.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace spdlog {
class async_logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace ecso::command {

/// The JSON line of a request: time, level, id, client, address, method, target, model, upstream, status, policy, the path and
/// verdicts of each choice, calls, tokens, ms, upstream_ms, bytes, error. Texts of the chat stand in it only with `content`, each
/// cut at 16 KiB.
[[nodiscard]] std::string request_line(const gateway::RequestRecord& record, std::chrono::system_clock::time_point time,
                                       bool content);

/// How much a request deserves to be looked at: by its status; those that only ask how the gateway is count as debug.
[[nodiscard]] LogLevel level_of(const gateway::RequestRecord& record) noexcept;

/// The log of `ecso serve`: JSON lines, written by a thread of its own. Where that falls behind, the oldest lines are dropped,
/// and a line says how many. Thread safe.
class ServeLog {
 public:
  /// @throws WriteError if the file cannot be opened.
  explicit ServeLog(const LogSettings& settings);
  ServeLog(const ServeLog&) = delete;
  ServeLog& operator=(const ServeLog&) = delete;
  /// Writes what waits.
  ~ServeLog();

  void request(const gateway::RequestRecord& record);
  /// Something that the program does or meets.
  void message(LogLevel level, std::string_view text);

 private:
  void write(std::string_view line);
  void tell_dropped();

  std::shared_ptr<AppendFile> file_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
  const LogLevel level_;
  const bool content_;
  std::atomic<std::size_t> dropped_ = 0;  ///< As far as a line has said.
};

}  // namespace ecso::command
