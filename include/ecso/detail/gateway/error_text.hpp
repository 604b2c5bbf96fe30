#pragma once

#include <ecso/detail/gateway/upstream_call.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/readable.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// The bodies of errors. Servers put what a model has generated into them where they could not make a reply of it: a call of a
/// tool that does not parse, say. That is an answer like any other, which nobody has verified. Pure.
namespace ecso::detail::gateway {

/// Whether a server says this before it generates anything.
[[nodiscard]] constexpr bool precedes_generation(int status) noexcept {
  constexpr int statuses[] = {401, 402, 403, 404, 405, 407, 408, 411, 413, 415, 429, 503, 529};
  return std::ranges::find(statuses, status) != std::ranges::end(statuses);
}

/// All that the body of an error says, as a check can read it. Nothing if that is too much, or if it looks like an answer.
[[nodiscard]] inline std::optional<std::string> error_text(const UpstreamResponse& response) {
  constexpr std::size_t most_bytes = std::size_t{16} * 1024;
  if (response.body.size() > most_bytes || response.content_type.starts_with("text/event-stream")) return std::nullopt;
  if (find_invalid_utf8(response.body) != std::string_view::npos) return std::nullopt;
  try {
    const JsonText json{response.body, {.max_values = 4096}};
    for (const std::string_view member : {"choices", "content", "candidates", "output", "response", "text"}) {
      if (json.root()[member]) return std::nullopt;
    }
    if (json.root()["message"].is_object()) return std::nullopt;
    return ecso::gateway::readable_json(json.root());
  } catch (const Error&) {
    const bool has_answer = response.body.find("\"choices\"") != std::string::npos;
    return has_answer ? std::nullopt : std::optional{response.body};
  }
}

}  // namespace ecso::detail::gateway
