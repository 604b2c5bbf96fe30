#pragma once

#include <ecso/detail/seeded_draw.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ecso {

namespace detail {

/// The indices of the harmful and of the benign items, each shuffled.
struct ShuffledKinds {
  std::vector<std::size_t> harmful;
  std::vector<std::size_t> benign;
};

[[nodiscard]] inline ShuffledKinds shuffled_kinds(const std::vector<bool>& harmful, std::uint64_t seed) {
  ShuffledKinds kinds;
  for (std::size_t i = 0; i < harmful.size(); ++i) (harmful[i] ? kinds.harmful : kinds.benign).push_back(i);
  SeededDraw draw{seed};
  draw.shuffle(std::span{kinds.harmful});
  draw.shuffle(std::span{kinds.benign});
  return kinds;
}

}  // namespace detail

/// Which items are held out, to test on them what was chosen on the others: half of each kind, the smaller one where there is an
/// odd number. The same seed and labels give the same halves, on every machine.
/// @throws Error (bad_input) if there are not two of each kind.
[[nodiscard]] inline std::vector<bool> held_out_half(const std::vector<bool>& harmful, std::uint64_t seed) {
  const detail::ShuffledKinds kinds = detail::shuffled_kinds(harmful, seed);
  if (kinds.harmful.size() < 2 || kinds.benign.size() < 2)
    throw Error{Errc::bad_input, "to hold out a half takes at least two harmful and two benign items"};
  std::vector<bool> held_out(harmful.size(), false);
  for (const auto* kind : {&kinds.harmful, &kinds.benign}) {
    for (std::size_t i = 0; i < kind->size() / 2; ++i) held_out[(*kind)[i]] = true;
  }
  return held_out;
}

/// Indices, ascending, of `count` items drawn at random, with the share of each kind kept and at least one of each; of all, if
/// there are no more.
[[nodiscard]] inline std::vector<std::size_t> drawn_items(const std::vector<bool>& harmful, std::size_t count,
                                                          std::uint64_t seed) {
  detail::ShuffledKinds kinds = detail::shuffled_kinds(harmful, seed);
  if (count < harmful.size() && count >= 2) {
    const double share = static_cast<double>(kinds.harmful.size()) / static_cast<double>(harmful.size());
    const auto wanted = static_cast<std::size_t>(std::lround(share * static_cast<double>(count)));
    const std::size_t of_harmful = std::clamp<std::size_t>(wanted, 1, count - 1);
    kinds.harmful.resize(std::min(kinds.harmful.size(), of_harmful));
    kinds.benign.resize(std::min(kinds.benign.size(), count - of_harmful));
  }
  std::vector<std::size_t> drawn = std::move(kinds.harmful);
  drawn.insert(drawn.end(), kinds.benign.begin(), kinds.benign.end());
  std::ranges::sort(drawn);
  return drawn;
}

}  // namespace ecso
