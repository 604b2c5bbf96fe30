#pragma once

#include <ecso/detail/gateway/upstream.hpp>

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

}  // namespace ecso::detail::gateway
