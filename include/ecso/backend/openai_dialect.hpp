#pragma once

#include <nlohmann/json.hpp>

namespace ecso {

/// How a server is told to answer with one of `CallOptions::choices`.
enum class ChoiceStyle {
  none,                ///< Not at all: the choices are left out.
  grammar,             ///< `grammar`, in GBNF: llama-server.
  structured_outputs,  ///< `structured_outputs.choice`: vLLM from 0.11 on.
  guided_choice,       ///< `guided_choice`: older vLLM.
  /// `response_format` with a JSON schema: OpenAI and many others. The reply is `{"answer":"…"}`; see `openai_choice`.
  response_format,
};

/// Whether a server gives log-probabilities.
enum class LogprobStyle {
  none,          ///< It does not: the wish for them is left out.
  top_logprobs,  ///< `logprobs` and `top_logprobs`.
};

/// What a server calls the limit of generated tokens.
enum class TokenLimitField { max_tokens, max_completion_tokens };

/// Where servers that speak "OpenAI chat completions" differ. The default asks for nothing that any of them refuses.
struct OpenAiDialect {
  ChoiceStyle choices = ChoiceStyle::none;
  LogprobStyle logprobs = LogprobStyle::none;
  TokenLimitField token_limit = TokenLimitField::max_tokens;
  /// A JSON object, or null for none. Its members go at the end of each request, and in place of one of the same name; it cannot
  /// replace the messages.
  nlohmann::ordered_json extra = nullptr;

  bool operator==(const OpenAiDialect&) const = default;
};

/// llama-server of llama.cpp.
[[nodiscard]] inline OpenAiDialect llama_server_dialect() {
  return {.choices = ChoiceStyle::grammar, .logprobs = LogprobStyle::top_logprobs, .extra = {{"cache_prompt", true}}};
}

/// vLLM from 0.11 on; before that, the choices are `ChoiceStyle::guided_choice`.
[[nodiscard]] inline OpenAiDialect vllm_dialect() {
  return {.choices = ChoiceStyle::structured_outputs, .logprobs = LogprobStyle::top_logprobs};
}

/// OpenAI itself. A check asks for one word and reads its log-probabilities: a forced choice would be JSON, whose first token
/// says nothing.
[[nodiscard]] inline OpenAiDialect openai_dialect() {
  return {.logprobs = LogprobStyle::top_logprobs, .token_limit = TokenLimitField::max_completion_tokens};
}

}  // namespace ecso
