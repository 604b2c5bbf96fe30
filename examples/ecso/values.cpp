#include "values.hpp"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <system_error>

namespace ecso::command {

std::chrono::milliseconds parse_duration(std::string_view text, std::string_view source) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit{rest, end};
  double milliseconds = -1;
  if (unit.empty() || unit == "s") milliseconds = number * 1000;
  if (unit == "ms") milliseconds = number;
  if (unit == "m" || unit == "min") milliseconds = number * 60'000;
  constexpr double most = std::numeric_limits<std::int32_t>::max();
  if (error != std::errc{} || !(milliseconds >= 0 && milliseconds <= most)) {
    throw UsageError{fmt::format("{}: \"{}\" is no time; write 30s, 500ms or 2m, or 0 for none", source, one_line(text))};
  }
  return std::chrono::milliseconds{std::llround(milliseconds)};
}

std::size_t parse_size(std::string_view text, std::string_view source) {
  std::size_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit{rest, end};
  int shift = -1;
  if (unit.empty() || unit == "B") shift = 0;
  if (unit == "KiB") shift = 10;
  if (unit == "MiB") shift = 20;
  if (unit == "GiB") shift = 30;
  if (error != std::errc{} || shift < 0 || number > std::numeric_limits<std::size_t>::max() >> 1 >> shift) {
    throw UsageError{fmt::format("{}: \"{}\" is no size; write 1000, 16KiB, 64MiB or 1GiB", source, one_line(text))};
  }
  return number << shift;
}

std::size_t parse_number(std::string_view text, std::string_view source, std::size_t least, std::size_t most) {
  std::size_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || rest != end || number < least || number > most) {
    throw UsageError{fmt::format("{}: \"{}\" is no number from {} to {}", source, one_line(text), least, most)};
  }
  return number;
}

std::optional<OpenAiDialect> parse_dialect(std::string_view text, std::string_view source) {
  if (text == "auto") return std::nullopt;
  return choose<OpenAiDialect>(text, source,
                               {{"plain", OpenAiDialect{}},
                                {"llama-server", llama_server_dialect()},
                                {"vllm", vllm_dialect()},
                                {"sglang", sglang_dialect()},
                                {"ollama", ollama_dialect()},
                                {"openai", openai_dialect()}});
}

}  // namespace ecso::command
