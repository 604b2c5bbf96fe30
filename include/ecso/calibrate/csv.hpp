#pragma once

#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

/// Reads comma-separated values as RFC 4180 has them: fields in quotes may hold commas, line breaks and doubled quotes; lines end
/// with LF or CR LF. Empty lines are passed over. What is not so is refused, not guessed.
class CsvReader {
 public:
  /// @param text must outlive the reader.
  explicit CsvReader(std::string_view text) noexcept : rest_{text} {}

  struct Record {
    std::size_t line = 0;  ///< On which it begins, from 1.
    std::vector<std::string> fields;
  };

  /// The next record; none at the end.
  /// @throws Error (bad_input) "line 7: …".
  [[nodiscard]] std::optional<Record> next() {
    while (rest_.starts_with('\n') || rest_.starts_with("\r\n")) take_line_break();
    if (rest_.empty()) return std::nullopt;
    Record record{line_, {}};
    record.fields.push_back(take_field());
    while (rest_.starts_with(',')) {
      rest_.remove_prefix(1);
      record.fields.push_back(take_field());
    }
    if (!rest_.empty()) take_line_break();
    return record;
  }

 private:
  [[noreturn]] static void refuse(std::size_t line, std::string_view why) {
    throw Error{Errc::bad_input, "line " + std::to_string(line) + ": " + std::string{why}};
  }

  void take_line_break() {
    if (rest_.starts_with("\r\n")) rest_.remove_prefix(1);
    rest_.remove_prefix(1);
    ++line_;
  }

  /// Up to a comma, a line break or the end.
  [[nodiscard]] std::string take_field() {
    if (rest_.starts_with('"')) return take_quoted();
    const std::size_t end = std::min(rest_.find_first_of(",\r\n\""), rest_.size());
    std::string field{rest_.substr(0, end)};
    rest_.remove_prefix(end);
    if (rest_.starts_with('"')) refuse(line_, "a quotation mark inside a field that does not begin with one");
    require_end_of_field();
    return field;
  }

  [[nodiscard]] std::string take_quoted() {
    const std::size_t begin = line_;
    std::string field;
    rest_.remove_prefix(1);
    while (true) {
      const std::size_t end = rest_.find_first_of("\"\n");
      if (end == std::string_view::npos) refuse(begin, "a quoted field that begins here has no end");
      field.append(rest_.substr(0, end));
      const bool is_quote = rest_[end] == '"';
      rest_.remove_prefix(end + 1);
      if (is_quote && !rest_.starts_with('"')) break;
      field += is_quote ? '"' : '\n';
      if (is_quote) rest_.remove_prefix(1);
      if (!is_quote) ++line_;
    }
    if (!rest_.empty() && rest_.front() != ',' && rest_.front() != '\n' && rest_.front() != '\r')
      refuse(line_, "text behind the end of a quoted field");
    require_end_of_field();
    return field;
  }

  void require_end_of_field() const {
    if (rest_.starts_with('\r') && !rest_.starts_with("\r\n")) refuse(line_, "a carriage return without a line feed");
  }

  std::string_view rest_;
  std::size_t line_ = 1;
};

}  // namespace ecso
