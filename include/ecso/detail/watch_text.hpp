#pragma once

#include <ecso/core/backend.hpp>

#include <string_view>
#include <utility>

namespace ecso::detail {

/// The context of a call with `notice` called before each piece of text that is not empty; empty ones are dropped. A context that
/// wants no pieces stays so, as a wish for them changes how some backends call their server. `context` must outlive the result.
template <typename Notice>
[[nodiscard]] CallContext watch_text(const CallContext& context, Notice notice) {
  CallContext watched{context.stop, context.deadline, {}, context.query};
  if (!context.on_text) return watched;
  watched.on_text = [&on_text = context.on_text, notice = std::move(notice)](std::string_view piece) {
    if (piece.empty()) return;
    notice();
    on_text(piece);
  };
  return watched;
}

}  // namespace ecso::detail
