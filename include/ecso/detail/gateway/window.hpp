#pragma once

#include <cstddef>
#include <span>

namespace ecso::detail::gateway {

/// How much of an answer that is still being generated an early check has been made of.
class Window {
 public:
  /// Whether an answer of so many bytes has come to a mark (in tokens) at which no check was made yet.
  [[nodiscard]] bool is_due(std::span<const int> marks, std::size_t bytes) const noexcept {
    return next_mark_ < marks.size() && is_at(marks[next_mark_], bytes);
  }

  /// A check of so many bytes begins.
  void begin_check(std::span<const int> marks, std::size_t bytes) noexcept {
    while (is_due(marks, bytes)) ++next_mark_;
    checked_bytes_ = bytes;
  }

  /// What may leave once that check has passed, if it must have seen so many bytes beyond.
  [[nodiscard]] std::size_t verified_bytes(std::size_t lookahead) const noexcept {
    return checked_bytes_ > lookahead ? checked_bytes_ - lookahead : 0;
  }

 private:
  [[nodiscard]] static bool is_at(int mark, std::size_t bytes) noexcept {
    constexpr std::size_t bytes_a_token = 4;
    return bytes / bytes_a_token >= static_cast<std::size_t>(mark);
  }

  std::size_t next_mark_ = 0;
  std::size_t checked_bytes_ = 0;
};

}  // namespace ecso::detail::gateway
