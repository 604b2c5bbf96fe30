#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/answer_text.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The log-probabilities of a choice of a chat completion, which tell its tokens once more.
namespace ecso::gateway {

[[nodiscard]] inline std::vector<TokenLogprobs> openai_logprobs(detail::JsonValue choice) {
  constexpr double impossible = -9999.0;  // As the OpenAI API has it.
  std::vector<TokenLogprobs> tokens;
  for (const detail::JsonValue item : choice["logprobs"]["content"].items()) {
    TokenLogprobs token{item["token"].text(), item["logprob"].number().value_or(impossible), {}};
    for (const detail::JsonValue other : item["top_logprobs"].items()) {
      token.top.push_back({other["token"].text(), other["logprob"].number().value_or(impossible)});
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// What log-probabilities tell.
struct ToldTokens {
  std::string text;   ///< All tokens, those of a refusal last.
  std::string other;  ///< What else they say.
};

/// @throws Error (bad_reply) if there are tokens that no check could read.
[[nodiscard]] inline ToldTokens openai_told_tokens(detail::JsonValue logprobs) {
  ToldTokens told;
  const auto require_words = [](detail::JsonValue token) {
    constexpr std::string_view prefix = "token_id:";
    const std::string text = token.text();
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    const bool is_id = text.starts_with(prefix) && std::ranges::all_of(text.substr(prefix.size()), is_digit);
    if (token.is_number() || is_id) throw Error{Errc::bad_reply, "the answer has token ids, which cannot be checked"};
  };
  // An alternative says no more than what a token might have been.
  const auto take = [&](const auto& self, detail::JsonValue list, std::string& text) -> void {
    if (!list.is_array()) return append_unknown({}, list, told.other);
    for (const detail::JsonValue item : list.items()) {
      if (!item.is_object()) {
        append_unknown({}, item, told.other);
        continue;
      }
      require_words(item["token"]);
      text += item["token"].text();
      std::string alternatives;
      if (item["top_logprobs"]) self(self, item["top_logprobs"], alternatives);
      const bool has_bytes =
          item["bytes"].is_array() && std::ranges::all_of(item["bytes"].items(), &detail::JsonValue::is_number);
      append_others(item,
                    {"top_logprobs", item["token"].is_string() ? "token" : "top_logprobs", has_bytes ? "bytes" : "top_logprobs"},
                    {}, told.other);
    }
  };
  if (!logprobs.is_object()) {
    append_unknown({}, logprobs, told.other);
    return told;
  }
  for (const std::string_view name : {"content", "refusal"}) take(take, logprobs[name], told.text);
  append_others(logprobs, {"content", "refusal"}, {}, told.other);
  return told;
}

}  // namespace ecso::gateway
