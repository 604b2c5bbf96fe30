#pragma once

#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

namespace ecso::detail::gateway {

/// The upstreams in the order to try them: the one that answered last (null: none did) first, those that are down last.
[[nodiscard]] inline std::vector<std::shared_ptr<Upstream>> in_order_to_try(
    const std::vector<std::shared_ptr<Upstream>>& upstreams, const std::shared_ptr<Upstream>& last) {
  const auto rank = [&](const auto& upstream) { return upstream == last ? 0 : upstream->is_down() ? 2 : 1; };
  std::vector<std::shared_ptr<Upstream>> order;
  order.reserve(upstreams.size());
  for (const int wanted : {0, 1, 2}) {
    std::ranges::copy_if(upstreams, std::back_inserter(order), [&](const auto& one) { return rank(one) == wanted; });
  }
  return order;
}

/// Whether another upstream may do what this one did not.
[[nodiscard]] inline bool may_try_another(const Error& error, bool has_response) {
  if (error.code() == Errc::cancelled) return false;
  const int status = error.context().http_status;
  if (status == 429 || status == 502 || status == 503 || status == 504 || status == 529) return true;
  return !has_response && (error.code() == Errc::unavailable || error.code() == Errc::tls || error.code() == Errc::timeout);
}

/// Marks an upstream that could not be reached as down.
inline void note_health(Upstream& upstream, const Error& error, bool has_response) {
  if (!has_response && (error.code() == Errc::unavailable || error.code() == Errc::tls)) upstream.mark_down();
}

}  // namespace ecso::detail::gateway
