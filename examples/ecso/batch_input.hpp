#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/error.hpp>

#include <cstddef>
#include <filesystem>
#include <istream>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ecso::command {

/// A line of a batch.
struct BatchLine {
  std::size_t number = 0;                     ///< From 1.
  detail::Json id;                            ///< null where the line has none, or is no line of a batch.
  std::variant<Conversation, Error> content;  ///< Or why it cannot be used.
};

/// Reads `{"id", "image", "query"}` lines one at a time: "image" is a path, a list of them, or null or absent for a text; a
/// relative path starts at the batch file's folder. Empty lines are passed over.
class BatchInput {
 public:
  BatchInput(std::istream& in, std::filesystem::path folder) : in_{in}, folder_{std::move(folder)} {}

  /// The next line; empty at the end. What is wrong with a line stands in the line.
  /// @param is_done tells from an id and a line number, before images are read, whether to pass over the line.
  template <typename IsDone>
  [[nodiscard]] std::optional<BatchLine> next(IsDone is_done) {
    while (auto line = next_id()) {
      if (is_done(line->id, line->number)) continue;
      if (std::holds_alternative<Conversation>(line->content)) read_content(*line);
      return line;
    }
    return std::nullopt;
  }

  /// Bytes of lines read so far.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  [[nodiscard]] std::optional<BatchLine> next_id();
  void read_content(BatchLine& line) const;

  std::istream& in_;
  std::filesystem::path folder_;
  detail::Json json_;
  std::size_t number_ = 0;
  std::size_t bytes_ = 0;
  bool is_over_ = false;
};

}  // namespace ecso::command
