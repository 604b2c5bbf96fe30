#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/detail/verdict_text.hpp>
#include <ecso/detail/verdict_wrapping.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

/// Where the verdict stands among a reply's tokens.
namespace ecso::detail {

/// The tokens after reasoning.
[[nodiscard]] inline std::span<const TokenLogprobs> answer_tokens(std::span<const TokenLogprobs> tokens) {
  std::string text;
  for (const TokenLogprobs& token : tokens) text += token.token;
  const std::string lower = lower_ascii(text);
  const std::size_t begin = lower.size() - after_reasoning(lower).size();
  std::size_t at = 0;
  while (!tokens.empty() && at < begin) {
    at += tokens.front().token.size();
    tokens = tokens.subspan(1);
  }
  return tokens;
}

[[nodiscard]] inline bool is_verdict_token(const TokenLogprobs& token) {
  return read_word(lower_ascii(bare_token(token.token))) != Verdict::undecided;
}

/// The first token after reasoning that is yes or no, or, if none is, that is a word; null if there is none.
[[nodiscard]] inline const TokenLogprobs* verdict_token(std::span<const TokenLogprobs> tokens) {
  const std::span<const TokenLogprobs> answer = answer_tokens(tokens);
  auto found = std::ranges::find_if(answer, is_verdict_token);
  if (found == answer.end())
    found = std::ranges::find_if(answer, [](const TokenLogprobs& token) { return !bare_token(token.token).empty(); });
  return found == answer.end() ? nullptr : &*found;
}

/// Whether one of the tokens after reasoning is yes or no.
[[nodiscard]] inline bool has_verdict_token(std::span<const TokenLogprobs> tokens) {
  return std::ranges::any_of(answer_tokens(tokens), is_verdict_token);
}

}  // namespace ecso::detail
