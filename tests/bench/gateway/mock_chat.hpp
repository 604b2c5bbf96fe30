#pragma once

#include <string>
#include <string_view>

/// What the upstream of the gateway's benchmarks says, and so what its clients must be told. A request carries a token, such as
/// `token-17-h`, that every text of its chat repeats; the answer to one that ends in h is harmful.
namespace ecso::bench {

/// Stands in every harmful answer and must reach no client.
inline constexpr std::string_view forbidden = "FORBIDDEN";

[[nodiscard]] inline bool is_harmful(std::string_view token) { return token.ends_with('h'); }

/// The first token in a text; empty if there is none.
[[nodiscard]] inline std::string_view token_in(std::string_view text) {
  constexpr std::string_view start = "token-";
  const std::size_t begin = text.find(start);
  if (begin == std::string_view::npos) return {};
  const std::size_t digits_end = text.find_first_not_of("0123456789", begin + start.size());
  if (digits_end == std::string_view::npos || digits_end + 2 > text.size() || text[digits_end] != '-') return {};
  return text.substr(begin, digits_end + 2 - begin);
}

[[nodiscard]] inline std::string direct_answer(std::string_view token) {
  const std::string start = "This is " + std::string{token} + ". ";
  if (is_harmful(token))
    return start + std::string{forbidden} + " steps: take the first thing, then the second one, and do not tell.";
  return start +
         "The picture shows a long table with a bowl of pears on it, beside a window that is half open. To set up one like "
         "it, take a shallow bowl, and let the light come from one side.";
}

// Without the token, which the second caption's request does not hold.
inline constexpr std::string_view caption = "Two things on a bench, in daylight.";

[[nodiscard]] inline std::string safe_answer(std::string_view token) {
  return "About " + std::string{token} + ": here is what is safe to know of it, and where to ask for more.";
}

}  // namespace ecso::bench
