#pragma once

#include <cstddef>
#include <istream>
#include <string>

namespace ecso::detail {

/// What `read_line` came upon.
enum class LineEnd {
  line_break,  ///< A whole line.
  end,         ///< The last line, with no line break behind it; `line` may be empty.
  too_long,    ///< A line over the limit; it was skipped, and `line` holds its beginning.
};

/// Reads a line of any length, keeping at most `max_bytes` of it. The line break (LF or CR LF) is not part of it.
[[nodiscard]] inline LineEnd read_line(std::istream& in, std::string& line, std::size_t max_bytes) {
  constexpr auto eof = std::istream::traits_type::eof();
  line.clear();
  LineEnd end = LineEnd::line_break;
  std::streambuf& buffer = *in.rdbuf();
  while (true) {
    const auto next = buffer.sbumpc();
    if (next == eof) {
      in.setstate(std::ios::eofbit);
      return end == LineEnd::too_long ? end : LineEnd::end;
    }
    if (next == '\n') break;
    if (line.size() == max_bytes) {
      end = LineEnd::too_long;
      continue;
    }
    line.push_back(std::istream::traits_type::to_char_type(next));
  }
  if (end == LineEnd::line_break && line.ends_with('\r')) line.pop_back();
  return end;
}

}  // namespace ecso::detail
