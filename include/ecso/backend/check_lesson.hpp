#pragma once

#include <ecso/backend/ollama_wire.hpp>
#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/read_verdict.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/detail/verdict_text.hpp>
#include <ecso/detail/verdict_wrapping.hpp>

#include <algorithm>
#include <string>
#include <string_view>

namespace ecso {

/// What the reply to a check shows of how its model is to be asked: some servers ignore a field that they do not know.
struct CheckLesson {
  bool ignored_choices = false;   ///< It is none of the choices that were forced.
  bool ignored_logprobs = false;  ///< It has no log-probabilities, which were asked for.
  bool thinks_first = false;      ///< It was cut in its thoughts.

  bool operator==(const CheckLesson&) const = default;
};

/// Reads it. A reply that a filter stopped, that calls a tool or that says nothing shows nothing. Pure.
/// @param options of the check, as far as its server was asked for them.
[[nodiscard]] inline CheckLesson lesson_of(const CallOptions& options, const Reply& reply) {
  CheckLesson lesson;
  if (!asks_for_verdict(options.step)) return lesson;
  lesson.thinks_first = was_cut_in_thoughts(reply.text, reply.finish_reason);
  const std::string words = detail::own_words(reply.text);
  const std::string_view said = detail::strip_decoration(detail::without_end_tokens(detail::after_reasoning(words)));
  const bool is_whole = reply.finish_reason == FinishReason::stop || reply.finish_reason == FinishReason::unknown;
  const bool is_cut = reply.finish_reason == FinishReason::length;
  if (said.empty() || (!is_whole && !is_cut)) return lesson;
  lesson.ignored_logprobs = options.top_logprobs > 0 && reply.logprobs.empty();
  lesson.ignored_choices = !options.choices.empty() && std::ranges::none_of(options.choices, [&](const std::string& choice) {
    const std::string lower = detail::own_words(choice);
    const std::string_view bare = detail::strip_decoration(lower);
    return said == bare || (is_cut && bare.starts_with(said));
  });
  return lesson;
}

/// Gives a check whose verdict is read from words alone room for them: 256 tokens at least. Of a reply with log-probabilities,
/// fewer would do.
inline void give_room_for_words(CallOptions& check) {
  constexpr int tokens = 256;
  if (check.sampling.max_tokens) check.sampling.max_tokens = std::max(*check.sampling.max_tokens, tokens);
}

/// Whether a request's answer is held to its choices.
[[nodiscard]] inline bool forces_choice(const CallOptions& options, const OpenAiDialect& dialect) noexcept {
  if (options.choices.empty() || dialect.choices == ChoiceStyle::none) return false;
  const bool has_logprobs = options.top_logprobs > 0 && dialect.logprobs != LogprobStyle::none;
  return dialect.choices != ChoiceStyle::format || !has_logprobs;
}

/// Fits a check to what its model turned out to need.
inline void fit_check(CallOptions& check, const OpenAiDialect& dialect) {
  if (!asks_for_verdict(check.step)) return;
  if (dialect.thinks_first) return give_room_to_think(check, dialect.context_tokens);
  if (check.top_logprobs > 0 && dialect.logprobs == LogprobStyle::none && !forces_choice(check, dialect)) {
    give_room_for_words(check);
  }
}

/// The same for Ollama's own API.
inline void fit_check(CallOptions& check, const OllamaDialect& dialect) {
  if (!asks_for_verdict(check.step)) return;
  if (dialect.thinks_first) return give_room_to_think(check, dialect.num_ctx);
  if (check.top_logprobs > 0 && !dialect.logprobs && !forces_choice(check, dialect)) give_room_for_words(check);
}

/// Takes over what the reply to a check has shown.
inline void learn_from_check(OpenAiDialect& dialect, const CallOptions& options, const Reply& reply) {
  CallOptions asked = options;
  if (!forces_choice(options, dialect)) asked.choices.clear();
  if (dialect.logprobs == LogprobStyle::none || dialect.choices == ChoiceStyle::response_format) asked.top_logprobs = 0;
  const CheckLesson lesson = lesson_of(asked, reply);
  if (lesson.ignored_choices) dialect.choices = ChoiceStyle::none;
  if (lesson.ignored_logprobs) dialect.logprobs = LogprobStyle::none;
  dialect.thinks_first = dialect.thinks_first || lesson.thinks_first;
}

/// The same for Ollama's own API.
inline void learn_from_check(OllamaDialect& dialect, const CallOptions& options, const Reply& reply) {
  CallOptions asked = options;
  if (!forces_choice(options, dialect)) asked.choices.clear();
  if (!dialect.logprobs) asked.top_logprobs = 0;
  const CheckLesson lesson = lesson_of(asked, reply);
  if (lesson.ignored_choices) dialect.choices = false;
  if (lesson.ignored_logprobs) dialect.logprobs = false;
  dialect.thinks_first = dialect.thinks_first || lesson.thinks_first;
}

}  // namespace ecso
