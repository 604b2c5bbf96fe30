#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
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
  /// `format` with a JSON schema, in Ollama's own API. The reply is a JSON string, whose quote moves the word that is drawn:
  /// where log-probabilities are asked for, the choices are left out.
  format,
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
  none,              ///< Not at all.
  enable_thinking,   ///< `chat_template_kwargs.enable_thinking`: llama-server, vLLM, SGLang. Templates that do not know it ignore
                     ///< it.
  reasoning_effort,  ///< `reasoning_effort`: OpenAI; see `OpenAiDialect::reasoning_effort`.
  think,             ///< `think: false`, in Ollama's own API.
};

/// How a server is told not to cut a prompt that it has no room for.
enum class CutSwitch {
  none,        ///< Not at all.
  transforms,  ///< `transforms: []`: OpenRouter, which would cut the middle out.
};

/// Which API of a server takes the calls that the method adds to a chat.
enum class OwnCalls {
  same_api,          ///< The one that the chat takes.
  chat_completions,  ///< Chat completions for checks and captions of a chat that takes another: they have log-probabilities and
                     ///< forced choices.
  ollama_chat,       ///< `/api/chat` beside "/v1", which can be told not to cut a prompt: Ollama.
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
  OwnCalls own_calls = OwnCalls::same_api;
  /// Where `thinking` says so, how much a check's model may think: "none", "minimal", "low". Empty: the least that the model's
  /// name promises (`least_reasoning_effort`).
  std::string reasoning_effort = {};
  bool prefix_cache = false;  ///< Whether the server reads only what is new of a prompt that begins like one before.
  bool may_cut = true;        ///< As in Capabilities: so of a server that is not known to refuse.
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
          .own_calls = OwnCalls::chat_completions,
          .prefix_cache = true,
          .may_cut = false,
          .extra = {{"cache_prompt", true}}};
}

/// vLLM from 0.11 on; before that, the choices are `ChoiceStyle::guided_choice`.
[[nodiscard]] inline OpenAiDialect vllm_dialect() {
  return {.choices = ChoiceStyle::structured_outputs,
          .logprobs = LogprobStyle::top_logprobs,
          .thinking = ThinkingSwitch::enable_thinking,
          .own_calls = OwnCalls::chat_completions,
          .prefix_cache = true,
          .may_cut = false};
}

/// SGLang.
[[nodiscard]] inline OpenAiDialect sglang_dialect() {
  return {.choices = ChoiceStyle::regex,
          .logprobs = LogprobStyle::top_logprobs,
          .thinking = ThinkingSwitch::enable_thinking,
          .own_calls = OwnCalls::chat_completions,
          .may_cut = false};
}

/// Ollama from 0.12.11 on. Only the chat itself takes `/v1`, which cuts a prompt that it has no room for without a word.
[[nodiscard]] inline OpenAiDialect ollama_dialect() {
  return {.choices = ChoiceStyle::format,
          .logprobs = LogprobStyle::top_logprobs,
          .thinking = ThinkingSwitch::think,
          .own_calls = OwnCalls::ollama_chat,
          .prefix_cache = true,
          .may_cut = false};
}

/// OpenAI itself. A check asks for one word and reads its log-probabilities: a forced choice would be JSON, whose first token
/// says nothing.
[[nodiscard]] inline OpenAiDialect openai_dialect() {
  return {.logprobs = LogprobStyle::top_logprobs,
          .token_limit = TokenLimitField::max_completion_tokens,
          .thinking = ThinkingSwitch::reasoning_effort,
          .may_cut = false};
}

/// The least that a model of OpenAI's can be told to think, by its name: "none" of gpt-5.1 and later, "minimal" of gpt-5, "low"
/// of the o-series and gpt-oss; empty for one that is not known to think.
[[nodiscard]] inline std::string_view least_reasoning_effort(std::string_view model) noexcept {
  if (const auto slash = model.rfind('/'); slash != model.npos) model.remove_prefix(slash + 1);
  if (model.starts_with("gpt-5.")) return "none";
  if (model.starts_with("gpt-5")) return "minimal";
  const bool is_o_series = model.size() > 1 && model[0] == 'o' && model[1] >= '1' && model[1] <= '9';
  return is_o_series || model.starts_with("gpt-oss") ? "low" : "";
}

}  // namespace ecso
