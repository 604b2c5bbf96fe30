#pragma once

#include "line_writer.hpp"
#include "serve_settings.hpp"

#include <ecso/gateway/request_record.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace ecso::command {

/// The number that "schema" of an audit line carries. It grows when a reader of the old form would misread the new one.
inline constexpr int audit_schema = 1;

/// The audit line of a choice that was repaired, refused or, as a stream, stopped. Schema 1:
///
///     {"schema":1,"time":"…","id":"…","choice":0,"client":"…","model":"…","upstream":"…","policy":"…",
///      "path":"eyes_closed|refused|stopped","images":["SHA-256"],
///      "verdicts":[{"step":"check|recheck","round":0,"verdict":"harmful","p_harmful":0.98}],
///      "query_sha256":"…","rejected_sha256":["…"],"captions_sha256":["…"],"released_sha256":"…"}
///
/// An undecided verdict has a "reason". With `content`, texts take the place of hashes: "query", "rejected" (answers that were
/// withheld, in order), "captions" and "released"; and of a chat of several turns "messages":
/// [{"role":"user","text":"…","images":["SHA-256"]}]. So a line of path eyes_closed is a preference pair: the prompt is
/// "messages" or else "query" with "images", "released" is chosen and "rejected"[0] is rejected. In one of path stopped, released
/// is what had left of the rejected answer.
/// @param choice one of `record.outcomes`.
[[nodiscard]] std::string audit_line(const gateway::RequestRecord& record, std::size_t choice,
                                     std::chrono::system_clock::time_point time, bool content);

/// A file of audit lines, readable by its owner alone, written by a thread of its own. Thread safe. A line that cannot be
/// written, or for which there is no room behind 64 MiB that wait, fails and delays no request: it is counted, and told at most
/// once a minute.
class Audit {
 public:
  /// @param tell is told of lost lines, in any thread; it must not block.
  /// @throws WriteError if the file cannot be opened.
  Audit(const AuditSettings& settings, std::function<void(std::string_view message)> tell);
  Audit(const Audit&) = delete;
  Audit& operator=(const Audit&) = delete;
  /// Writes what waits.
  ~Audit() = default;

  /// Takes a line for each choice that was repaired, refused or stopped.
  void request(const gateway::RequestRecord& record);
  /// Lines that could not be written so far.
  [[nodiscard]] std::size_t lost() const noexcept { return lost_; }

 private:
  void lose(std::size_t lines, std::string_view why);

  const std::string file_;
  const bool content_;
  const std::function<void(std::string_view)> tell_;
  std::atomic<std::size_t> lost_ = 0;
  std::atomic<std::int64_t> silent_until_ = 0;  ///< Ticks of the steady clock.
  LineWriter writer_;                           ///< Last: what it cannot write at its end is told by the others.
};

}  // namespace ecso::command
