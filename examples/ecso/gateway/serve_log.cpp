#include "serve_log.hpp"

#include "json_line.hpp"
#include "line_writer.hpp"

#include <ecso/core/conversation.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/verdict.hpp>

#include <spdlog/logger.h>
#include <spdlog/sinks/sink.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

namespace ecso::command {

namespace {

constexpr std::size_t most_waiting_bytes = std::size_t{16} * 1024 * 1024;
constexpr std::size_t most_content_bytes = std::size_t{16} * 1024;
constexpr std::size_t most_text_bytes = 1024;

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

spdlog::level::level_enum spdlog_level(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::off: return spdlog::level::off;
  }
  return spdlog::level::off;
}

/// The line of something that is no request.
std::string message_line(LogLevel level, std::string_view text, std::optional<std::size_t> lost = std::nullopt) {
  JsonLine line;
  line.member("time", rfc3339(std::chrono::system_clock::now())).member("level", name_of(level)).member("message", text);
  if (lost) line.member("lost", *lost);
  return std::move(line).finish();
}

/// Writes lines as they are. Not by spdlog's own queue, which is bounded by lines: one has a hundred bytes or a hundred thousand.
class LineSink final : public spdlog::sinks::sink {
 public:
  explicit LineSink(const std::string& file)
      : writer_{{.file = file, .max_waiting_bytes = most_waiting_bytes},
                [this](std::size_t lines, std::string_view) { lost_ += lines; }} {}
  LineSink(const LineSink&) = delete;
  LineSink& operator=(const LineSink&) = delete;
  ~LineSink() override { tell_lost(); }

  void log(const spdlog::details::log_msg& message) override {
    if (writer_.write(std::string{message.payload.data(), message.payload.size()})) tell_lost();
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  void tell_lost() {
    const std::size_t lost = lost_;
    std::size_t told = told_;
    if (lost == told || !told_.compare_exchange_strong(told, lost)) return;
    writer_.write(message_line(LogLevel::warn, "lines of this log were lost, as its file did not take them", lost));
  }

  std::atomic<std::size_t> lost_ = 0;  ///< Lines so far.
  std::atomic<std::size_t> told_ = 0;  ///< As far as a line has said.
  LineWriter writer_;
};

/// Why checks were undecided; nothing if none was.
void write_doubts(JsonLine& line, const gateway::RequestRecord& record) {
  std::vector<std::string_view> doubts;
  for (const Outcome* outcome : record.outcomes) {
    for (const StepRecord& step : outcome->steps) {
      if (step.doubt != Doubt::none) doubts.push_back(to_string(step.doubt));
    }
  }
  if (doubts.empty()) return;
  line.begin_array("doubts");
  for (const std::string_view doubt : doubts) line.element(doubt);
  line.end();
}

/// What guard models found; nothing if none did.
void write_categories(JsonLine& line, const gateway::RequestRecord& record) {
  std::vector<std::string_view> categories;
  for (const Outcome* outcome : record.outcomes) {
    for (const StepRecord& step : outcome->steps) {
      if (!step.category.empty()) categories.push_back(step.category);
    }
  }
  if (categories.empty()) return;
  line.begin_array("categories");
  for (const std::string_view category : categories) line.element(category);
  line.end();
}

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
  write_doubts(line, record);
  write_categories(line, record);
  line.member("calls", calls);
  line.member("prompt_tokens", usage.prompt_tokens);
  line.member("cached_tokens", usage.cached_tokens);
  line.member("completion_tokens", usage.completion_tokens);
}

void write_content(JsonLine& line, const gateway::RequestRecord& record) {
  std::size_t room = most_content_bytes;
  const auto fitting = [&](std::string_view text) {
    std::string cut = shortened(text, room);
    room -= std::min(room, text.size());
    return cut;
  };
  if (record.conversation != nullptr) line.member("query", fitting(query_of(*record.conversation)));
  if (record.outcomes.empty()) return;
  line.begin_array("answers");
  for (const Outcome* outcome : record.outcomes) line.element(fitting(outcome->text));
  line.end();
}

}  // namespace

std::string request_line(const gateway::RequestRecord& record, std::chrono::system_clock::time_point time, bool content) {
  const auto cut = [](std::string_view text) { return shortened(text, most_text_bytes); };
  JsonLine line;
  line.member("time", rfc3339(time)).member("level", name_of(level_of(record))).member("id", record.id);
  if (!record.client.empty()) line.member("client", record.client);
  line.member("address", record.address).member("method", record.method).member("target", cut(record.target));
  if (!record.model.empty()) line.member("model", cut(record.model));
  if (!record.upstream.empty()) line.member("upstream", record.upstream);
  if (!record.checker.empty()) line.member("checker", record.checker);
  line.member("status", record.status);
  write_outcomes(line, record);
  line.milliseconds("ms", record.duration).milliseconds("upstream_ms", record.upstream_time);
  line.member("request_bytes", record.request_bytes).member("response_bytes", record.response_bytes);
  if (!record.error.empty()) line.member("error", cut(record.error));
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
    : logger_{std::make_unique<spdlog::logger>("serve", std::make_shared<LineSink>(settings.file))}, content_{settings.content} {
  logger_->set_level(spdlog_level(settings.level));
}

ServeLog::~ServeLog() = default;

void ServeLog::request(const gateway::RequestRecord& record) {
  const LogLevel level = level_of(record);
  if (!logger_->should_log(spdlog_level(level))) return;
  write(level, request_line(record, std::chrono::system_clock::now(), content_));
}

void ServeLog::message(LogLevel level, std::string_view text) {
  if (logger_->should_log(spdlog_level(level))) write(level, message_line(level, text));
}

void ServeLog::write(LogLevel level, std::string_view line) {
  logger_->log(spdlog_level(level), spdlog::string_view_t{line.data(), line.size()});
}

}  // namespace ecso::command
