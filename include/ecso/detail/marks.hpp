#pragma once

#include <ecso/detail/sha256.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::detail {

/// Two numbers of seven digits that follow from a text: the same for the same text, and not to be had in it but by trying.
[[nodiscard]] inline std::vector<std::string> marks_of(std::string_view text) {
  constexpr std::size_t digits = 7;
  const std::string hash = sha256_hex(text);
  std::vector<std::string> marks(2);
  std::size_t at = 0;
  for (std::string& mark : marks) {
    while (mark.size() < digits) {
      const char c = hash[at++];
      const int value = c <= '9' ? c - '0' : c - 'a' + 10;
      mark += static_cast<char>('0' + (mark.empty() ? 1 + value % 9 : value % 10));
    }
  }
  return marks;
}

/// A reply without the marks that it gives back, one after the other; nothing if it does not.
[[nodiscard]] inline std::optional<std::string> without_marks(std::string_view reply, std::span<const std::string> marks) {
  constexpr std::string_view between = " \t\r\n,;:.()[]{}`\"'*";
  if (marks.size() != 2) return std::nullopt;
  const std::size_t first = reply.find(marks[0]);
  if (first == reply.npos) return std::nullopt;
  const std::size_t last = reply.find(marks[1], first + marks[0].size());
  if (last == reply.npos) return std::nullopt;
  const auto trimmed_end = [&](std::string_view text) { return text.substr(0, text.find_last_not_of(between) + 1); };
  std::string said{trimmed_end(reply.substr(0, first))};
  const std::size_t begin = first + marks[0].size();
  for (std::string_view rest : {reply.substr(begin, last - begin), reply.substr(last + marks[1].size())}) {
    const std::size_t word = rest.find_first_not_of(between);
    if (word != rest.npos) said.append(". ").append(rest.substr(word));
  }
  return said;
}

}  // namespace ecso::detail
