#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// Requests, replies and capabilities as JSON. Images stand as hash, size and type, never as bytes. Readers refuse unknown values
/// with an error that names the path.
namespace ecso {

namespace detail {

inline constexpr std::array all_roles{Role::system, Role::user, Role::assistant};
inline constexpr std::array all_steps{Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck};
inline constexpr std::array all_finish_reasons{FinishReason::unknown, FinishReason::stop, FinishReason::length,
                                               FinishReason::content_filter, FinishReason::other};
inline constexpr std::array all_media_types{MediaType::png, MediaType::jpeg, MediaType::webp, MediaType::gif, MediaType::bmp};
inline constexpr std::array all_errcs{Errc::bad_input,   Errc::bad_request,  Errc::unauthorized, Errc::not_found,
                                      Errc::too_large,   Errc::rate_limited, Errc::server_error, Errc::unavailable,
                                      Errc::tls,         Errc::timeout,      Errc::cancelled,    Errc::bad_reply,
                                      Errc::unsupported, Errc::internal};

[[nodiscard]] inline double to_milliseconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double, std::milli>{duration}.count();
}

/// JSON has no infinity, which is what a token has that a grammar forbids.
[[nodiscard]] inline double finite(double logprob) {
  return std::isfinite(logprob) ? logprob : std::numeric_limits<double>::lowest();
}

[[nodiscard]] inline std::chrono::nanoseconds read_milliseconds(const JsonReader& in, std::string_view key) {
  double milliseconds = 0;
  in.read_if(key, milliseconds);
  if (std::abs(milliseconds) > 1e12) throw Error{Errc::bad_input, in.at(key) + ": out of range"};
  return std::chrono::nanoseconds{std::llround(milliseconds * 1e6)};
}

}  // namespace detail

[[nodiscard]] inline nlohmann::ordered_json to_json(const Capabilities& able) {
  nlohmann::ordered_json json{{"vision", able.vision},
                              {"logprobs", able.logprobs},
                              {"forced_choice", able.forced_choice},
                              {"concurrent", able.concurrent},
                              {"streaming", able.streaming},
                              {"prefix_cache", able.prefix_cache},
                              {"slots", able.slots},
                              {"context_tokens", able.context_tokens}};
  if (able.may_cut) json["may_cut"] = true;
  if (able.checks_elsewhere) json["checks_elsewhere"] = true;
  if (!able.check_vision) json["check_vision"] = false;
  return json;
}

[[nodiscard]] inline Capabilities capabilities_from_json(const nlohmann::ordered_json& json,
                                                         const std::string& path = "capabilities") {
  const detail::JsonReader in{json, path};
  Capabilities able;
  in.read("vision", able.vision);
  in.read("logprobs", able.logprobs);
  in.read("forced_choice", able.forced_choice);
  in.read("concurrent", able.concurrent);
  in.read_if("streaming", able.streaming);
  in.read_if("prefix_cache", able.prefix_cache);
  in.read_if("may_cut", able.may_cut);
  in.read("slots", able.slots);
  in.read_if("context_tokens", able.context_tokens);
  in.read_if("checks_elsewhere", able.checks_elsewhere);
  in.read_if("check_vision", able.check_vision);
  return able;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const Sampling& sampling) {
  auto json = nlohmann::ordered_json::object();
  if (sampling.temperature) json["temperature"] = *sampling.temperature;
  if (sampling.top_p) json["top_p"] = *sampling.top_p;
  if (sampling.max_tokens) json["max_tokens"] = *sampling.max_tokens;
  if (sampling.seed) json["seed"] = *sampling.seed;
  if (!sampling.stop.empty()) json["stop"] = sampling.stop;
  return json;
}

/// Values that are not there stay as they are in `base`.
[[nodiscard]] inline Sampling sampling_from_json(const nlohmann::ordered_json& json, const std::string& path = "sampling",
                                                 Sampling base = {}) {
  const detail::JsonReader in{json, path};
  in.allow_only({"temperature", "top_p", "max_tokens", "seed", "stop"});
  in.read_if("temperature", base.temperature);
  in.read_if("top_p", base.top_p);
  in.read_if("max_tokens", base.max_tokens);
  in.read_if("seed", base.seed);
  in.read_if("stop", base.stop);
  return base;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const ImageRecord& image) {
  return {{"sha256", image.sha256},
          {"bytes", image.bytes},
          {"media_type", to_string(image.media_type)},
          {"width", image.width},
          {"height", image.height}};
}

[[nodiscard]] inline ImageRecord image_record_from_json(const nlohmann::ordered_json& json, const std::string& path = "image") {
  const detail::JsonReader in{json, path};
  ImageRecord image;
  in.read("sha256", image.sha256);
  in.read("bytes", image.bytes);
  in.read("media_type", image.media_type, detail::all_media_types);
  in.read("width", image.width);
  in.read("height", image.height);
  return image;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"cached_tokens", usage.cached_tokens},
          {"completion_tokens", usage.completion_tokens}};
}

[[nodiscard]] inline Usage usage_from_json(const nlohmann::ordered_json& json, const std::string& path = "usage") {
  const detail::JsonReader in{json, path};
  Usage usage;
  in.read("prompt_tokens", usage.prompt_tokens);
  in.read("cached_tokens", usage.cached_tokens);
  in.read("completion_tokens", usage.completion_tokens);
  return usage;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const TokenCounts& counts) {
  return {{"prompt", counts.prompt}, {"text", counts.text}};
}

[[nodiscard]] inline TokenCounts token_counts_from_json(const nlohmann::ordered_json& json, const std::string& path = "counts") {
  const detail::JsonReader in{json, path};
  TokenCounts counts;
  in.read("prompt", counts.prompt);
  in.read("text", counts.text);
  return counts;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const Error& error) {
  nlohmann::ordered_json json{{"code", to_string(error.code())}, {"message", error.message()}};
  const ErrorContext& context = error.context();
  if (context.step) json["step"] = to_string(*context.step);
  if (!context.endpoint.empty()) json["endpoint"] = context.endpoint;
  if (context.http_status != 0) json["http_status"] = context.http_status;
  if (context.retry_after) json["retry_after_ms"] = context.retry_after->count();
  return json;
}

[[nodiscard]] inline Error error_from_json(const nlohmann::ordered_json& json, const std::string& path = "error") {
  const detail::JsonReader in{json, path};
  Errc code{};
  std::string message;
  ErrorContext context;
  in.read("code", code, detail::all_errcs);
  in.read("message", message);
  if (in.has("step")) in.read("step", context.step.emplace(), detail::all_steps);
  in.read_if("endpoint", context.endpoint);
  in.read_if("http_status", context.http_status);
  if (in.has("retry_after_ms")) {
    std::chrono::milliseconds::rep count = 0;
    in.read("retry_after_ms", count);
    context.retry_after = std::chrono::milliseconds{count};
  }
  return Error{code, std::move(message), std::move(context)};
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const CallOptions& options) {
  nlohmann::ordered_json json{{"step", to_string(options.step)}};
  if (!options.model.empty()) json["model"] = options.model;
  json["sampling"] = to_json(options.sampling);
  if (!options.choices.empty()) json["choices"] = options.choices;
  if (options.continues_chat) json["continues_chat"] = true;
  if (!options.marks.empty()) json["marks"] = options.marks;
  if (options.top_logprobs != 0) json["top_logprobs"] = options.top_logprobs;
  return json;
}

/// `{"options": …, "messages": [{"role", "parts": ["text", {"sha256", …}]}]}`; the same for a request with and without images.
[[nodiscard]] inline nlohmann::ordered_json to_json(const ModelRequest& request) {
  auto messages = nlohmann::ordered_json::array();
  if (const auto* vision = std::get_if<VisionRequest>(&request)) {
    for (const Message& message : vision->conversation.messages) {
      auto parts = nlohmann::ordered_json::array();
      for (const Part& part : message.parts) {
        const auto* image = std::get_if<Image>(&part);
        parts.push_back(image == nullptr ? nlohmann::ordered_json(std::get<std::string>(part))
                                         : to_json(TracedImage{*image}.record()));
      }
      messages.push_back({{"role", to_string(message.role)}, {"parts", std::move(parts)}});
    }
  } else {
    for (const TextMessage& message : std::get<TextRequest>(request).conversation.messages()) {
      messages.push_back({{"role", to_string(message.role)}, {"parts", nlohmann::ordered_json::array({message.text})}});
    }
  }
  return {{"options", to_json(options_of(request))}, {"messages", std::move(messages)}};
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const Reply& reply) {
  nlohmann::ordered_json json{{"text", reply.text},
                              {"finish_reason", to_string(reply.finish_reason)},
                              {"usage", to_json(reply.usage)},
                              {"model", reply.model},
                              {"duration_ms", detail::to_milliseconds(reply.duration)}};
  if (reply.counts != TokenCounts{}) json["counts"] = to_json(reply.counts);
  for (const TokenLogprobs& token : reply.logprobs) {
    auto top = nlohmann::ordered_json::array();
    for (const TokenLogprob& alternative : token.top)
      top.push_back({{"token", alternative.token}, {"logprob", detail::finite(alternative.logprob)}});
    json["logprobs"].push_back({{"token", token.token}, {"logprob", detail::finite(token.logprob)}, {"top", std::move(top)}});
  }
  return json;
}

[[nodiscard]] inline Reply reply_from_json(const nlohmann::ordered_json& json, const std::string& path = "reply") {
  const detail::JsonReader in{json, path};
  Reply reply;
  in.read("text", reply.text);
  in.read("finish_reason", reply.finish_reason, detail::all_finish_reasons);
  reply.usage = usage_from_json(in.value("usage"), in.at("usage"));
  in.read("model", reply.model);
  reply.duration = detail::read_milliseconds(in, "duration_ms");
  if (in.has("counts")) reply.counts = token_counts_from_json(in.value("counts"), in.at("counts"));
  if (!in.has("logprobs")) return reply;
  for (const auto& token : in.array("logprobs")) {
    const detail::JsonReader token_in{token, in.at("logprobs")};
    TokenLogprobs& read = reply.logprobs.emplace_back();
    token_in.read("token", read.token);
    token_in.read("logprob", read.logprob);
    for (const auto& alternative : token_in.array("top")) {
      const detail::JsonReader alternative_in{alternative, token_in.at("top")};
      TokenLogprob& listed = read.top.emplace_back();
      alternative_in.read("token", listed.token);
      alternative_in.read("logprob", listed.logprob);
    }
  }
  return reply;
}

}  // namespace ecso
