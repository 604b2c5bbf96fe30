#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace ecso {

/// How a server is told to answer with one of `CallOptions::choices`.
enum class ChoiceStyle {
  none,                ///< Not at all: the choices are left out.
  grammar,             ///< `grammar`, in GBNF: llama-server.
  structured_outputs,  ///< `structured_outputs.choice`: vLLM from 0.11 on.
  guided_choice,       ///< `guided_choice`: older vLLM.
  regex,               ///< `regex`: SGLang.
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

/// Whether a call may name the server's slot, so that the calls of a query find its prefix cache again.
enum class SlotStyle {
  none,     ///< It may not.
  id_slot,  ///< `id_slot`: llama-server.
};

/// How a check's model is told to give its verdict without thinking first.
enum class ThinkingSwitch {
  none,             ///< Not at all.
  enable_thinking,  ///< `chat_template_kwargs.enable_thinking`: llama-server, vLLM, SGLang. Templates that do not know it ignore
                    ///< it.
};

/// How a server is told not to cut a prompt that it has no room for.
enum class CutSwitch {
  none,        ///< Not at all.
  transforms,  ///< `transforms: []`: OpenRouter, which would cut the middle out.
};

/// When a reply is streamed though nobody asked to see it come.
enum class StreamUse {
  when_asked,    ///< Never. A call that sets `CallContext::on_text` is streamed all the same.
  long_answers,  ///< Always, but for a handful of tokens: the server notices that a caller went away only then.
};

/// Where servers that speak "OpenAI chat completions" differ. The default asks for nothing that any of them refuses.
struct OpenAiDialect {
  ChoiceStyle choices = ChoiceStyle::none;
  LogprobStyle logprobs = LogprobStyle::none;
  TokenLimitField token_limit = TokenLimitField::max_tokens;
  SlotStyle slots = SlotStyle::none;
  StreamUse stream = StreamUse::when_asked;
  ThinkingSwitch thinking = ThinkingSwitch::none;
  CutSwitch cutting = CutSwitch::none;
  bool prefix_cache = false;  ///< Whether the server reads only what is new of a prompt that begins like one before.
  int context_tokens = 0;     ///< As in Capabilities.
  bool thinks_first = false;  ///< Whether its checks need room for thoughts (`give_room_to_think`), as some did when it was
                              ///< asked.
  /// Optional fields of a request that are not to be sent, such as "seed".
  std::vector<std::string> omit = {};
  /// A JSON object, or null for none. Its members go at the end of each request, and in place of one of the same name; it cannot
  /// replace the messages.
  nlohmann::ordered_json extra = nullptr;

  bool operator==(const OpenAiDialect&) const = default;
};

/// llama-server of llama.cpp.
[[nodiscard]] inline OpenAiDialect llama_server_dialect() {
  return {.choices = ChoiceStyle::grammar,
          .logprobs = LogprobStyle::top_logprobs,
          .slots = SlotStyle::id_slot,
          .stream = StreamUse::long_answers,
          .thinking = ThinkingSwitch::enable_thinking,
          .prefix_cache = true,
          .extra = {{"cache_prompt", true}}};
}

/// vLLM from 0.11 on; before that, the choices are `ChoiceStyle::guided_choice`.
[[nodiscard]] inline OpenAiDialect vllm_dialect() {
  return {.choices = ChoiceStyle::structured_outputs,
          .logprobs = LogprobStyle::top_logprobs,
          .thinking = ThinkingSwitch::enable_thinking,
          .prefix_cache = true};
}

/// SGLang.
[[nodiscard]] inline OpenAiDialect sglang_dialect() {
  return {.choices = ChoiceStyle::regex, .logprobs = LogprobStyle::top_logprobs, .thinking = ThinkingSwitch::enable_thinking};
}

/// OpenAI itself. A check asks for one word and reads its log-probabilities: a forced choice would be JSON, whose first token
/// says nothing.
[[nodiscard]] inline OpenAiDialect openai_dialect() {
  return {.logprobs = LogprobStyle::top_logprobs, .token_limit = TokenLimitField::max_completion_tokens};
}

}  // namespace ecso
