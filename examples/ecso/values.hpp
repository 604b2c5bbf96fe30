#pragma once

#include "exit_code.hpp"
#include "printing.hpp"

#include <ecso/backend/openai_dialect.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// Values of settings as people write them. Whatever is not one is a UsageError that begins with `source`: the flag, the variable
/// or the file and key it comes from.
namespace ecso::command {

/// "30", "30s", "1.5s", "500ms", "2m", at most 24 days.
[[nodiscard]] std::chrono::milliseconds parse_duration(std::string_view text, std::string_view source);

/// "1000", "64KiB", "64MiB", "2GiB".
[[nodiscard]] std::size_t parse_size(std::string_view text, std::string_view source);

/// A whole number within a range.
[[nodiscard]] std::size_t parse_number(std::string_view text, std::string_view source, std::size_t least, std::size_t most);

/// The value that a name stands for.
template <typename T>
[[nodiscard]] T choose(std::string_view text, std::string_view source,
                       std::initializer_list<std::pair<std::string_view, T>> choices) {
  std::string known;
  for (const auto& [name, choice] : choices) {
    if (name == text) return choice;
    known.append(known.empty() ? "" : ", ").append(name);
  }
  throw UsageError{fmt::format("{}: \"{}\" is none of {}", source, one_line(text), known)};
}

/// What an OpenAI-compatible server understands, by its name; none for "auto".
[[nodiscard]] std::optional<OpenAiDialect> parse_dialect(std::string_view text, std::string_view source);

}  // namespace ecso::command
