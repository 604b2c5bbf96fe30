#pragma once

#include <ecso/error.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace ecso::gateway {

/// A bucket of tokens for each of many names: a key's, or an address. It remembers at most 65,536 of them, and forgets full
/// buckets first, which makes no difference, then the one nearest to full. Thread safe. Has no clock: the time is given.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  /// @param per_second tokens that flow in. 0: no limit. Otherwise from one a day to a million.
  /// @param burst tokens of a full bucket, from 1 to a million; 0: as many as flow in within a second, at least 1.
  /// @throws Error (bad_input)
  explicit RateLimit(double per_second, double burst = 0) {
    constexpr double most = 1e6;
    if (!(per_second == 0 || (per_second >= 1.0 / 86'400 && per_second <= most))) {
      throw Error{Errc::bad_input, "rate limit: requests a second must be 0, or from one a day to a million"};
    }
    if (!(burst == 0 || (burst >= 1 && burst <= most))) {
      throw Error{Errc::bad_input, "rate limit: the burst must be 0, or from 1 to a million"};
    }
    if (per_second == 0) return;
    const double tokens = burst == 0 ? std::max(per_second, 1.0) : burst;
    constexpr double longest_s = 365.0 * 86'400;
    token_ = to_duration(1 / per_second);
    room_ = to_duration(std::min((tokens - 1) / per_second, longest_s));
  }
  RateLimit(const RateLimit&) = delete;
  RateLimit& operator=(const RateLimit&) = delete;

  /// Takes a token of a name. Nothing if there was one, else how long to wait until there is, at least 1 ms.
  /// @param now may go back a little from call to call.
  [[nodiscard]] std::optional<std::chrono::milliseconds> take(std::string_view who, Clock::time_point now) {
    if (token_ == Clock::duration::zero()) return std::nullopt;
    Shard& shard = shards_[std::hash<std::string_view>{}(who) % shards_.size()];
    const std::lock_guard lock{shard.mutex};
    const auto found = shard.by_name.find(who);
    if (found == shard.by_name.end()) {
      shard.make_room(now);
      shard.add(who, now + token_);
      return std::nullopt;
    }
    const Clock::time_point full_at = std::max(found->second->first, now);
    if (full_at - now > room_) {
      return std::max(std::chrono::ceil<std::chrono::milliseconds>(full_at - now - room_), std::chrono::milliseconds{1});
    }
    // The node moves, its name stays where it is.
    auto bucket = shard.by_full.extract(found->second);
    bucket.key() = full_at + token_;
    found->second = shard.by_full.insert(std::move(bucket));
    return std::nullopt;
  }

  /// How many names it remembers.
  [[nodiscard]] std::size_t size() const {
    std::size_t size = 0;
    for (const Shard& shard : shards_) {
      const std::lock_guard lock{shard.mutex};
      size += shard.by_name.size();
    }
    return size;
  }

  static constexpr std::size_t max_names = 65'536;

 private:
  static constexpr std::size_t shard_count = 16;

  /// A bucket is the moment at which it will be full again; one that is full says nothing.
  struct Shard {
    using Buckets = std::multimap<Clock::time_point, std::string>;

    void add(std::string_view who, Clock::time_point full_at) {
      const auto bucket = by_full.emplace(full_at, who);
      by_name.emplace(bucket->second, bucket);
    }

    void make_room(Clock::time_point now) {
      // Two for each that comes, so that what is full is gone sooner or later and no call takes long.
      for (int i = 0; i < 2 && !by_full.empty() && by_full.begin()->first <= now; ++i) drop_first();
      if (by_name.size() >= max_names / shard_count) drop_first();
    }

    void drop_first() {
      by_name.erase(by_full.begin()->second);
      by_full.erase(by_full.begin());
    }

    mutable std::mutex mutex;
    Buckets by_full;
    std::unordered_map<std::string_view, Buckets::iterator> by_name;
  };

  [[nodiscard]] static Clock::duration to_duration(double seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{seconds});
  }

  Clock::duration token_{0};  // in which one token flows in
  Clock::duration room_{0};   // in which a bucket with one token left fills up
  std::array<Shard, shard_count> shards_;
};

}  // namespace ecso::gateway
