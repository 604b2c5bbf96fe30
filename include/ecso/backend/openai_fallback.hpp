#pragma once

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {
namespace detail {

/// Whether `text` has `name` as a word of its own.
[[nodiscard]] inline bool names_field(std::string_view text, std::string_view name) {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

/// After a model refused how little it was to think: the next effort that some have for their least, then none is named.
inline void ask_for_more_thought(OpenAiDialect& dialect, std::string_view model) {
  const std::string_view refused = dialect.reasoning_effort.empty() ? least_reasoning_effort(model) : dialect.reasoning_effort;
  dialect.reasoning_effort = refused == "none" ? "minimal" : refused == "minimal" ? "low" : "";
  if (dialect.reasoning_effort.empty()) dialect.thinking = ThinkingSwitch::none;
}

}  // namespace detail

/// Whether an error may mean that the server does not know a field of the request.
[[nodiscard]] inline bool may_be_about_fields(const Error& error) noexcept {
  return error.context().http_status == 400 || error.context().http_status == 422;
}

/// The same server asked for nothing but an answer.
[[nodiscard]] inline OpenAiDialect plain_dialect(const OpenAiDialect& dialect) {
  return {.token_limit = dialect.token_limit,
          .cutting = dialect.cutting,
          .own_calls = dialect.own_calls,
          .prefix_cache = dialect.prefix_cache,
          .may_cut = dialect.may_cut,
          .context_tokens = dialect.context_tokens,
          .thinks_first = dialect.thinks_first,
          .omit = {"stream_options", "seed"}};
}

/// The dialect to try after a server refused a request: without the optional field that its message names. Nothing if the error
/// is not about one that was sent. Pure.
/// @param options of the request that was refused.
/// @param model that it asked where the options name none.
[[nodiscard]] inline std::optional<OpenAiDialect> openai_fallback(const OpenAiDialect& dialect, const CallOptions& options,
                                                                  const Error& error, std::string_view model = {}) {
  if (!may_be_about_fields(error)) return std::nullopt;
  const auto is_named = [&](std::string_view field) { return detail::names_field(error.message(), field); };
  OpenAiDialect plainer = dialect;

  const bool wants_logprobs = options.top_logprobs > 0 && dialect.logprobs != LogprobStyle::none;
  if (wants_logprobs && (is_named("logprobs") || is_named("top_logprobs"))) {
    plainer.logprobs = LogprobStyle::none;
    return plainer;
  }
  if (!options.choices.empty() && dialect.choices != ChoiceStyle::none) {
    for (const std::string_view field :
         {"grammar", "structured_outputs", "guided_choice", "regex", "response_format", "json_schema", "format"}) {
      if (!is_named(field) || (field == "format" && dialect.choices != ChoiceStyle::format)) continue;
      plainer.choices = ChoiceStyle::none;
      return plainer;
    }
  }
  if (asks_for_verdict(options.step) && dialect.thinking != ThinkingSwitch::none &&
      (is_named("chat_template_kwargs") || is_named("enable_thinking"))) {
    plainer.thinking = ThinkingSwitch::none;
    return plainer;
  }
  if (asks_for_verdict(options.step) && dialect.thinking == ThinkingSwitch::reasoning_effort && is_named("reasoning_effort")) {
    detail::ask_for_more_thought(plainer, options.model.empty() ? model : std::string_view{options.model});
    return plainer;
  }
  if (asks_for_verdict(options.step) && dialect.thinking == ThinkingSwitch::think && is_named("think")) {
    plainer.thinking = ThinkingSwitch::none;
    return plainer;
  }
  if (options.sampling.max_tokens) {
    const bool has_new_name = dialect.token_limit == TokenLimitField::max_completion_tokens;
    if (is_named(has_new_name ? "max_completion_tokens" : "max_tokens")) {
      // Some servers know one name only; the other is tried once.
      const std::string_view tried = has_new_name ? "max_tokens" : "max_completion_tokens";
      if (std::ranges::find(dialect.omit, tried) != dialect.omit.end()) return std::nullopt;
      plainer.token_limit = has_new_name ? TokenLimitField::max_tokens : TokenLimitField::max_completion_tokens;
      plainer.omit.emplace_back(has_new_name ? "max_completion_tokens" : "max_tokens");
      return plainer;
    }
  }
  for (const std::string_view field : {"stream_options", "id_slot", "seed", "top_p", "temperature", "stop"}) {
    const bool is_left_out = std::ranges::find(dialect.omit, field) != dialect.omit.end();
    if (is_left_out || !is_named(field)) continue;
    plainer.omit.emplace_back(field);
    return plainer;
  }
  if (dialect.extra.is_object()) {
    for (const auto& [field, value] : dialect.extra.items()) {
      if (!is_named(field)) continue;
      plainer.extra.erase(field);
      return plainer;
    }
  }
  return std::nullopt;
}

}  // namespace ecso
