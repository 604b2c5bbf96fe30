#pragma once

#include "serve_settings.hpp"

#include <ecso/gateway/request_record.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace ecso::command {

/// The JSON line of a request: time, level, id, client, address, method, target, model, upstream, status, policy, the path and
/// verdicts of each choice, calls, tokens, ms, upstream_ms, bytes, error. Target, model and error are cut at 1 KiB. Texts of the
/// chat stand in it only with `content`, cut where there are 16 KiB of them.
[[nodiscard]] std::string request_line(const gateway::RequestRecord& record, std::chrono::system_clock::time_point time,
                                       bool content);

/// How much a request deserves to be looked at: by its status; those that only ask how the gateway is count as debug.
[[nodiscard]] LogLevel level_of(const gateway::RequestRecord& record) noexcept;

/// The log of `ecso serve`: JSON lines, written by a thread of its own. Where that falls 16 MiB behind, further lines are lost,
/// and the next one that is not says how many. Thread safe.
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
  void write(LogLevel level, std::string_view line);

  std::unique_ptr<spdlog::logger> logger_;
  const bool content_;
};

}  // namespace ecso::command
