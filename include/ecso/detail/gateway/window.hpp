#pragma once

#include <ecso/core/policy.hpp>

#include <cstddef>
#include <memory>
#include <span>

namespace ecso::detail::gateway {

/// The policy with the early checks that a window needs, and without those that several choices cannot have.
[[nodiscard]] inline std::shared_ptr<const Policy> policy_for(bool is_window, std::size_t choices,
                                                              const std::shared_ptr<const Policy>& policy) {
  const bool has_marks = !policy->incremental_check.empty();
  const bool wants_marks = is_window || (has_marks && choices == 1);
  if (has_marks == wants_marks) return policy;
  auto changed = std::make_shared<Policy>(*policy);
  changed->incremental_check.clear();
  if (wants_marks) changed->incremental_check = {16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096};
  return changed;
}

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
