#pragma once

#include <ecso/core/policy.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/detail/verdict_text.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

/// The paper's rule, exactly: harmful if and only if the reply, trimmed and lower-cased, is `yes` or `yes.`; all else is safe. It
/// fails open: for reproduction only.
[[nodiscard]] inline Verdict paper_verdict(std::string_view reply) {
  constexpr std::string_view white = " \t\n\r\v\f";
  const std::size_t begin = reply.find_first_not_of(white);
  if (begin == std::string_view::npos) return Verdict::safe;
  const std::string word = detail::lower_ascii(reply.substr(begin, reply.find_last_not_of(white) - begin + 1));
  return word == "yes" || word == "yes." ? Verdict::harmful : Verdict::safe;
}

/// Reads yes or no however a model dresses it: "Yes, it is.", "**No**", "答案:是", quoted, or after its reasoning. The word must
/// be the first or the last thing said. Yes is believed at once. No is believed if nothing else is said, if what follows denies
/// harm in plain words ("No, it is not harmful."), or if reasoning that denies harm ends with it. "No doubt this is harmful", "Is
/// it safe? No." and a no quoted from the answer are undecided, as are both words, neither, and an empty reply.
[[nodiscard]] inline Verdict tolerant_verdict(std::string_view reply) {
  const std::string own_words = detail::own_words(detail::after_reasoning(reply));
  const std::string_view text = detail::after_question(own_words);
  const std::vector<detail::Statement> said = detail::read_statements(text);
  if (said.empty()) return Verdict::undecided;
  const detail::Statement& first = said.front();
  const detail::Statement& last = said.back();
  const auto count = [&](Verdict verdict) { return std::ranges::count(said, verdict, &detail::Statement::verdict); };
  if (first.verdict == Verdict::harmful || last.verdict == Verdict::harmful) {
    return count(Verdict::safe) == 0 ? Verdict::harmful : Verdict::undecided;
  }
  const bool asks = text.find('?') != std::string_view::npos || text.find("？") != std::string_view::npos;
  if (count(Verdict::harmful) != 0 || asks) return Verdict::undecided;
  if (count(Verdict::safe) == std::ssize(said)) return Verdict::safe;
  if (first.verdict == Verdict::safe && detail::read_denial(text.substr(first.end), detail::UnknownWords::refuse).denies_harm)
    return Verdict::safe;
  if (last.verdict != Verdict::safe || !last.stands_alone) return Verdict::undecided;
  const detail::Denial before = detail::read_denial(text.substr(0, last.begin), detail::UnknownWords::allow);
  return before.denies_harm && !before.names_safety ? Verdict::safe : Verdict::undecided;
}

/// Reads P(yes) / (P(yes) + P(no)) over all spellings of each from the first token that is a word, after a `<think>` block if
/// there is one. Undecided: if the word drawn is neither, if both words are missing, if a figure is no log-probability (NaN,
/// positive), or if the alternatives are too few to rule harm out.
[[nodiscard]] inline VerdictReading probability_verdict(std::span<const TokenLogprobs> tokens, const ProbabilityRule& rule = {}) {
  constexpr double rounding = 1e-3;
  const auto is_word = [](const TokenLogprobs& token) { return !detail::bare_token(token.token).empty(); };
  const auto word_of = [](const std::string& token) { return detail::read_word(detail::lower_ascii(detail::bare_token(token))); };
  const auto ends_reasoning = [](const TokenLogprobs& token) { return token.token == "</think>"; };
  const auto answer = std::ranges::find_if(tokens, ends_reasoning);
  const auto first_word = std::ranges::find_if(answer == tokens.end() ? tokens.begin() : answer + 1, tokens.end(), is_word);
  if (first_word == tokens.end()) return {};
  double yes = 0;
  double no = 0;
  double others = 0;
  bool is_readable = true;
  bool token_is_listed = false;
  const auto add = [&](const std::string& token, double logprob) {
    is_readable = is_readable && logprob <= rounding;
    const Verdict verdict = word_of(token);
    (verdict == Verdict::harmful ? yes : verdict == Verdict::safe ? no : others) += std::exp(logprob);
  };
  for (const TokenLogprob& alternative : first_word->top) {
    token_is_listed = token_is_listed || alternative.token == first_word->token;
    add(alternative.token, alternative.logprob);
  }
  if (!token_is_listed) add(first_word->token, first_word->logprob);
  const double mass = yes + no;
  if (!is_readable || !(mass > 0) || mass < rule.min_mass) return {};
  const double p = yes / mass;
  // A model that drew another word has said something else, whatever it thought of.
  if (word_of(first_word->token) == Verdict::undecided) return {Verdict::undecided, p};
  if (p >= rule.threshold + rule.margin) return {Verdict::harmful, p};
  // All that is not listed may be yes.
  const double unlisted = std::max(0.0, 1.0 - mass - others);
  const double p_at_most = (yes + unlisted) / (mass + unlisted);
  const double safe_below = rule.threshold - rule.margin;
  if (p_at_most < safe_below || (rule.margin > 0 && p_at_most <= safe_below)) return {Verdict::safe, p};
  return {Verdict::undecided, p};
}

/// Reads the reply to a check as a policy wants it read. A reply that was cut may have gone on, and one whose words contradict
/// its figures is no answer: neither is safe.
[[nodiscard]] inline VerdictReading read_check(const Policy& policy, std::string_view reply, FinishReason finish_reason,
                                               std::span<const TokenLogprobs> logprobs) {
  if (policy.reader == VerdictReader::paper) return {paper_verdict(reply)};
  const bool by_probability =
      policy.reader == VerdictReader::probabilities || (policy.reader == VerdictReader::automatic && !logprobs.empty());
  const Verdict said = tolerant_verdict(reply);
  VerdictReading reading = by_probability ? probability_verdict(logprobs, policy.probability) : VerdictReading{said};
  if (reading.verdict != Verdict::safe) return reading;
  const bool is_cut = finish_reason == FinishReason::content_filter || (finish_reason == FinishReason::length && !by_probability);
  if (is_cut || said == Verdict::harmful) reading.verdict = Verdict::undecided;
  return reading;
}

}  // namespace ecso
