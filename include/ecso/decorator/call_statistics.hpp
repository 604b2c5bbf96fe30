#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/core/step.hpp>
#include <ecso/decorator/latency_histogram.hpp>
#include <ecso/decorator/observe.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace ecso {

/// Calls, summed up.
struct CallSummary {
  std::uint64_t calls = 0;                    ///< All, failed ones included.
  std::map<Errc, std::uint64_t> errors = {};  ///< Failed calls by reason; only reasons that came.
  Usage usage = {};                           ///< Tokens of all calls; a sum too large stays at the largest number.
  LatencyHistogram latency = {};              ///< Durations of the calls that did not fail.
  LatencyHistogram time_to_first_text = {};   ///< Of those of them that streamed.

  /// Calls that failed.
  [[nodiscard]] std::uint64_t failed() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& [code, count] : errors) sum += count;
    return sum;
  }

  bool operator==(const CallSummary&) const = default;
};

/// Adds up the calls that an `ObserveBackend` sees: of all, and of each step. Of fixed size; thread safe.
///
///     ecso::CallStatistics statistics;
///     ecso::ObserveBackend model{server, std::ref(statistics)};
///     …
///     fmt::print("{}", to_text(statistics));
class CallStatistics {
 public:
  void operator()(const CallRecord& record) {
    const std::lock_guard lock{mutex_};
    add(total_, record);
    add(steps_.at(static_cast<std::size_t>(record.step)), record);
  }

  /// All calls up to now.
  [[nodiscard]] CallSummary total() const {
    const std::lock_guard lock{mutex_};
    return total_;
  }

  /// The calls of a step up to now.
  [[nodiscard]] CallSummary of(Step step) const {
    const std::lock_guard lock{mutex_};
    return steps_.at(static_cast<std::size_t>(step));
  }

 private:
  static void add(CallSummary& sum, const CallRecord& record) {
    ++sum.calls;
    add_tokens(sum.usage.prompt_tokens, record.usage.prompt_tokens);
    add_tokens(sum.usage.cached_tokens, record.usage.cached_tokens);
    add_tokens(sum.usage.completion_tokens, record.usage.completion_tokens);
    if (record.error) {
      ++sum.errors[record.error->code()];
      return;
    }
    sum.latency.add(record.duration);
    if (record.time_to_first_text) sum.time_to_first_text.add(*record.time_to_first_text);
  }

  // A server may say any number.
  static void add_tokens(std::int64_t& sum, std::int64_t count) noexcept {
    sum += std::clamp(count, std::int64_t{0}, std::numeric_limits<std::int64_t>::max() - sum);
  }

  mutable std::mutex mutex_;
  CallSummary total_;
  std::array<CallSummary, detail::all_steps.size()> steps_;
};

/// `{"count": 2, "p50": 1.5, "p90": 2.0, "p99": 2.0, "max": 2.0}`, in milliseconds.
[[nodiscard]] inline nlohmann::ordered_json to_json(const LatencyHistogram& latency) {
  return {{"count", latency.count()},
          {"p50", detail::to_milliseconds(latency.quantile(0.5))},
          {"p90", detail::to_milliseconds(latency.quantile(0.9))},
          {"p99", detail::to_milliseconds(latency.quantile(0.99))},
          {"max", detail::to_milliseconds(latency.max())}};
}

/// `{"calls": 3, "errors": {"timeout": 1}, "usage": {…}, "latency_ms": {…}, "time_to_first_text_ms": {…}}`.
[[nodiscard]] inline nlohmann::ordered_json to_json(const CallSummary& summary) {
  auto errors = nlohmann::ordered_json::object();
  for (const auto& [code, count] : summary.errors) errors[std::string{to_string(code)}] = count;
  return {{"calls", summary.calls},
          {"errors", std::move(errors)},
          {"usage", to_json(summary.usage)},
          {"latency_ms", to_json(summary.latency)},
          {"time_to_first_text_ms", to_json(summary.time_to_first_text)}};
}

/// The summary of all calls, and under "steps" that of each step that had one.
[[nodiscard]] inline nlohmann::ordered_json to_json(const CallStatistics& statistics) {
  auto json = to_json(statistics.total());
  json["steps"] = nlohmann::ordered_json::object();
  for (const Step step : detail::all_steps) {
    const CallSummary summary = statistics.of(step);
    if (summary.calls != 0) json["steps"][std::string{to_string(step)}] = to_json(summary);
  }
  return json;
}

/// A table for people: a line for each step that had a call, one for all, then the errors.
///
///     step         calls failed    p50 ms    p90 ms    p99 ms    max ms     prompt     cached completion
///     answer           2      1      12.0      12.0      12.0      12.0        640          0         31
///     all              2      1      12.0      12.0      12.0      12.0        640          0         31
///     errors: timeout 1
[[nodiscard]] inline std::string to_text(const CallStatistics& statistics) {
  std::string text = fmt::format("{:<10} {:>7} {:>6} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10}\n", "step", "calls", "failed",
                                 "p50 ms", "p90 ms", "p99 ms", "max ms", "prompt", "cached", "completion");
  const auto add_line = [&text](std::string_view name, const CallSummary& sum) {
    const LatencyHistogram& latency = sum.latency;
    fmt::format_to(std::back_inserter(text), "{:<10} {:>7} {:>6} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>10} {:>10} {:>10}\n",
                   name, sum.calls, sum.failed(), detail::to_milliseconds(latency.quantile(0.5)),
                   detail::to_milliseconds(latency.quantile(0.9)), detail::to_milliseconds(latency.quantile(0.99)),
                   detail::to_milliseconds(latency.max()), sum.usage.prompt_tokens, sum.usage.cached_tokens,
                   sum.usage.completion_tokens);
  };
  for (const Step step : detail::all_steps) {
    const CallSummary summary = statistics.of(step);
    if (summary.calls != 0) add_line(to_string(step), summary);
  }
  const CallSummary total = statistics.total();
  add_line("all", total);
  if (total.errors.empty()) return text;
  text += "errors:";
  for (const auto& [code, count] : total.errors)
    text.append(" ").append(to_string(code)).append(" ").append(std::to_string(count));
  return text += '\n';
}

}  // namespace ecso
