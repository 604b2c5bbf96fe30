#pragma once

#include <ecso/backend/ollama_wire.hpp>
#include <ecso/backend/openai_dialect.hpp>
#include <ecso/core/step.hpp>

#include <optional>

namespace ecso {

/// Whether a call to an OpenAI-compatible server takes Ollama's own API: all but the chat's own.
[[nodiscard]] constexpr bool takes_ollama_chat(Step step, OwnCalls own_calls) noexcept {
  return own_calls == OwnCalls::ollama_chat && step != Step::answer;
}

/// How Ollama's own API is asked by who speaks its OpenAI API else. The dialect's extra fields are not for it. An answer without
/// the image thinks as the server has it, like the first one.
[[nodiscard]] inline OllamaDialect ollama_dialect_of(const OpenAiDialect& dialect, Step step) {
  const bool may_switch = dialect.thinking == ThinkingSwitch::think;
  const std::optional<bool> no_thoughts = may_switch ? std::optional{false} : std::nullopt;
  return {.think = step == Step::regenerate ? std::nullopt : no_thoughts,
          .check_thinks = no_thoughts,
          .logprobs = dialect.logprobs != LogprobStyle::none,
          .choices = dialect.choices == ChoiceStyle::format};
}

}  // namespace ecso
