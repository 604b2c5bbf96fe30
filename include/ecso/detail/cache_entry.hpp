#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

/// What a reply is kept under, and the form it is kept in:
///
///     ecso-reply-1 <key> <SHA-256 of key and reply>
///     {"text": …, "finish_reason": …}
namespace ecso::detail {

inline constexpr int cache_schema = 1;

/// JSON on one line; empty if it holds text that is not UTF-8. `dump_json` would mend such text, and make one of two.
[[nodiscard]] inline std::optional<std::string> exact_json(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::type_error&) {
    return std::nullopt;
  }
}

/// SHA-256 of all that a reply depends on; empty for a request that JSON cannot hold exactly.
[[nodiscard]] inline std::optional<std::string> cache_key(const Json& scope, const ModelRequest& request) {
  const Sampling& sampling = options_of(request).sampling;
  if (!std::isfinite(sampling.temperature.value_or(0)) || !std::isfinite(sampling.top_p.value_or(0))) return std::nullopt;
  // A vision request without images reads as a text request, but goes another way.
  const char* const kind = std::holds_alternative<VisionRequest>(request) ? "vision" : "text";
  const std::optional<std::string> text =
      exact_json({{"schema", cache_schema}, {"scope", scope}, {"kind", kind}, {"request", to_json(request)}});
  if (!text) return std::nullopt;
  return sha256_hex(*text);
}

[[nodiscard]] inline std::string cache_header(std::string_view key, std::string_view reply) {
  std::string sealed{key};
  sealed += reply;
  return "ecso-reply-" + std::to_string(cache_schema) + ' ' + std::string{key} + ' ' + sha256_hex(sealed) + '\n';
}

/// A reply that costs nothing: what was spent is told once, by the call that spent it.
[[nodiscard]] inline Reply as_free(Reply reply) {
  reply.usage = {};
  reply.duration = {};
  return reply;
}

/// The kept form of a reply; empty for one that would not come back as it is.
[[nodiscard]] inline std::optional<std::string> write_cache_entry(const std::string& key, const Reply& reply) {
  // JSON gets the lowest number for all that is not finite. For minus infinity that says the same; for the rest, which a verdict
  // must not rest on, it would not.
  const auto is_kept = [](double logprob) {
    return std::isfinite(logprob) || logprob == -std::numeric_limits<double>::infinity();
  };
  for (const TokenLogprobs& token : reply.logprobs) {
    if (!is_kept(token.logprob) || !std::ranges::all_of(token.top, is_kept, &TokenLogprob::logprob)) return std::nullopt;
  }
  const std::optional<std::string> json = exact_json(to_json(as_free(reply)));
  if (!json) return std::nullopt;
  return cache_header(key, *json) + *json;
}

/// Reads what was kept under a key; empty if it is anything but what `write_cache_entry` wrote for that key.
[[nodiscard]] inline std::optional<Reply> read_cache_entry(const std::string& key, std::string_view entry) {
  const std::size_t end_of_header = entry.find('\n');
  if (end_of_header == std::string_view::npos) return std::nullopt;
  const std::string_view json = entry.substr(end_of_header + 1);
  if (entry.substr(0, end_of_header + 1) != cache_header(key, json)) return std::nullopt;
  try {
    return as_free(reply_from_json(parse_json(json, "cached reply")));
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace ecso::detail
