#include "serve_log.hpp"

#include "json_line.hpp"

#include <ecso/core/conversation.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/verdict.hpp>

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/base_sink.h>

#include <utility>

namespace ecso::command {

namespace {

constexpr std::size_t most_lines_waiting = 4096;
constexpr std::size_t most_content_bytes = std::size_t{16} * 1024;

std::string_view name_of(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
    case LogLevel::off: return "off";
  }
  return "unknown";
}

/// Hands lines on as they are.
class LineSink final : public spdlog::sinks::sink {
 public:
  explicit LineSink(std::shared_ptr<AppendFile> file) : file_{std::move(file)} {}

  // A line that cannot be written has nowhere to be told of.
  void log(const spdlog::details::log_msg& message) override { file_->write({message.payload.data(), message.payload.size()}); }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  std::shared_ptr<AppendFile> file_;
};

void write_outcomes(JsonLine& line, const gateway::RequestRecord& record) {
  if (record.outcomes.empty()) return;
  line.member("policy", record.outcomes.front()->policy);
  line.begin_array("paths");
  for (const Outcome* outcome : record.outcomes) line.element(to_string(outcome->path));
  line.end().begin_array("verdicts");
  std::size_t calls = 0;
  Usage usage;
  for (const Outcome* outcome : record.outcomes) {
    line.begin_array();
    for (const StepRecord& step : outcome->steps) {
      if (step.verdict) line.element(to_string(*step.verdict));
    }
    line.end();
    calls += outcome->steps.size();
    usage += outcome->usage();
  }
  line.end();
  line.member("calls", calls);
  line.member("prompt_tokens", usage.prompt_tokens);
  line.member("cached_tokens", usage.cached_tokens);
  line.member("completion_tokens", usage.completion_tokens);
}

void write_content(JsonLine& line, const gateway::RequestRecord& record) {
  if (record.conversation != nullptr) line.member("query", shortened(query_of(*record.conversation), most_content_bytes));
  if (record.outcomes.empty()) return;
  line.begin_array("answers");
  for (const Outcome* outcome : record.outcomes) line.element(shortened(outcome->text, most_content_bytes));
  line.end();
}

}  // namespace

std::string request_line(const gateway::RequestRecord& record, std::chrono::system_clock::time_point time, bool content) {
  JsonLine line;
  line.member("time", rfc3339(time)).member("level", name_of(level_of(record))).member("id", record.id);
  if (!record.client.empty()) line.member("client", record.client);
  line.member("address", record.address).member("method", record.method).member("target", record.target);
  if (!record.model.empty()) line.member("model", record.model);
  if (!record.upstream.empty()) line.member("upstream", record.upstream);
  line.member("status", record.status);
  write_outcomes(line, record);
  line.milliseconds("ms", record.duration).milliseconds("upstream_ms", record.upstream_time);
  line.member("request_bytes", record.request_bytes).member("response_bytes", record.response_bytes);
  if (!record.error.empty()) line.member("error", record.error);
  if (content) write_content(line, record);
  return std::move(line).finish();
}

LogLevel level_of(const gateway::RequestRecord& record) noexcept {
  if (record.status >= 500) return LogLevel::error;
  const bool is_probe = record.target == "/healthz" || record.target == "/readyz" || record.target == "/metrics";
  if (is_probe && record.status < 400) return LogLevel::debug;
  return record.status >= 400 || !record.error.empty() ? LogLevel::warn : LogLevel::info;
}

ServeLog::ServeLog(const LogSettings& settings)
    : file_{std::make_shared<AppendFile>(settings.file)},
      pool_{std::make_shared<spdlog::details::thread_pool>(most_lines_waiting, 1)},
      logger_{std::make_shared<spdlog::async_logger>("serve", std::make_shared<LineSink>(file_), pool_,
                                                     spdlog::async_overflow_policy::overrun_oldest)},
      level_{settings.level},
      content_{settings.content} {}

ServeLog::~ServeLog() { tell_dropped(); }

void ServeLog::request(const gateway::RequestRecord& record) {
  if (level_of(record) < level_) return;
  write(request_line(record, std::chrono::system_clock::now(), content_));
}

void ServeLog::message(LogLevel level, std::string_view text) {
  if (level < level_) return;
  JsonLine line;
  line.member("time", rfc3339(std::chrono::system_clock::now())).member("level", name_of(level)).member("message", text);
  write(std::move(line).finish());
}

void ServeLog::write(std::string_view line) {
  tell_dropped();
  logger_->log(spdlog::level::info, spdlog::string_view_t{line.data(), line.size()});
}

void ServeLog::tell_dropped() {
  const std::size_t dropped = pool_->overrun_counter();
  std::size_t told = dropped_;
  if (dropped == told || !dropped_.compare_exchange_strong(told, dropped)) return;
  JsonLine line;
  line.member("time", rfc3339(std::chrono::system_clock::now())).member("level", "warn");
  line.member("message", "lines of this log were dropped, as they came faster than they could be written")
      .member("dropped", dropped - told);
  const std::string text = std::move(line).finish();
  logger_->log(spdlog::level::info, spdlog::string_view_t{text.data(), text.size()});
}

}  // namespace ecso::command
