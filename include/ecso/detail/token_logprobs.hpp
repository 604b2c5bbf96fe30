#pragma once

#include <ecso/core/request.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace ecso::detail {

/// A model's scores for the next token as log-probabilities, over the whole vocabulary.
class TokenDistribution {
 public:
  /// @param logits one for each token; read while this object lives.
  /// @throws Error (server_error) if they give no probabilities, as where one is not a number.
  explicit TokenDistribution(std::span<const float> logits) : logits_{logits} {
    const double most = logits.empty() ? 0.0 : static_cast<double>(*std::ranges::max_element(logits));
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
    log_sum_ = most + std::log(sum);
    if (!std::isfinite(log_sum_)) throw Error{Errc::server_error, "the model's scores are no numbers"};
  }

  [[nodiscard]] double logprob(std::size_t token) const { return static_cast<double>(logits_[token]) - log_sum_; }

  /// The `count` likeliest tokens, the likeliest first; of equals, the first in the vocabulary.
  [[nodiscard]] std::vector<std::size_t> likeliest(std::size_t count) const {
    std::vector<std::size_t> tokens(logits_.size());
    std::iota(tokens.begin(), tokens.end(), std::size_t{0});
    const auto middle = tokens.begin() + static_cast<std::ptrdiff_t>(std::min(count, tokens.size()));
    std::partial_sort(tokens.begin(), middle, tokens.end(),
                      [&](std::size_t a, std::size_t b) { return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b; });
    tokens.erase(middle, tokens.end());
    return tokens;
  }

 private:
  std::span<const float> logits_;
  double log_sum_ = 0;
};

/// The entry of a reply for `token`.
/// @param text_of gives a token's text.
[[nodiscard]] inline TokenLogprobs token_logprobs(const TokenDistribution& distribution, std::size_t token, std::size_t top,
                                                  const std::function<std::string(std::size_t)>& text_of) {
  TokenLogprobs entry{text_of(token), distribution.logprob(token), {}};
  for (const std::size_t other : distribution.likeliest(top)) {
    entry.top.push_back({text_of(other), distribution.logprob(other)});
  }
  return entry;
}

}  // namespace ecso::detail
