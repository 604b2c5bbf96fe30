#pragma once

#include <ecso/core/step.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace ecso::gateway {

/// Calls of a step.
struct CallTally {
  double calls = 0;
  double seconds = 0;  ///< All together.
};

/// Calls that ended one after the other under the same limit.
struct CallWindow {
  std::size_t calls = 0;
  std::size_t under_way = 0;  ///< Summed up over them.
  std::array<CallTally, 5> steps = {};

  /// @param now_under_way calls, this one included. @param time that it took.
  void add(Step step, std::size_t now_under_way, std::chrono::duration<double> time) {
    ++calls;
    under_way += now_under_way;
    CallTally& tally = steps[static_cast<std::size_t>(step)];
    ++tally.calls;
    tally.seconds += time.count();
  }
};

/// Finds how many calls at once a server does best with, by the time that calls take while so many are under way. Calls over time
/// are what counts, which is how many are under way over what one takes: latency alone would keep a server that batches from
/// filling its batches. Of numbers that do equally well the smallest is best, since a prefix cache then serves fewer chats, and
/// what is urgent waits for less. It climbs in octaves while that pays, then tries neighbours, seldom once they were no better.
/// Measured is only while calls wait for their turn: else the limit is not what holds them up. Pure; of one thread.
class ConcurrencyFinder {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Options {
    std::size_t first = 8;     ///< Where it begins, at least 1.
    std::size_t most = 1'024;  ///< Never more than that, at least 1.

    bool operator==(const Options&) const = default;
  };

  enum class Went {
    well,         ///< Or wrong, but not for want of room.
    turned_away,  ///< The server has no room for it (429, 503, 529).
  };

  enum class Demand { met, more };

  /// A call that is over.
  struct Ended {
    Step step = Step::answer;
    Went went = Went::well;
    Demand demand = Demand::met;  ///< Whether calls wait.
    std::size_t under_way = 1;    ///< Calls, this one included.
    Time began = {};
    Time at = {};
  };

  explicit ConcurrencyFinder(const Options& options)
      : most_{std::clamp<std::size_t>(options.most, 1, top)},
        limit_{std::clamp<std::size_t>(options.first, 1, most_)},
        best_{limit_} {}

  /// Calls that may be under way now.
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

  /// Takes notice of it; the limit may be another then. Times do not go back.
  void ended(const Ended& call) {
    if (call.went == Went::turned_away) return on_turned_away(call);
    if (call.demand == Demand::met) {
      window_.reset();
      return;
    }
    // What began under another limit tells of that.
    if (settling_ > 0) {
      --settling_;
      return;
    }
    if (!window_) window_.emplace();
    window_->add(call.step, call.under_way, call.at - call.began);
    if (window_->calls < calls_needed()) return;
    const std::optional<double> score = score_of(*window_);
    window_.reset();
    if (score) on_measured(*score);
  }

 private:
  static constexpr std::size_t top = 16'384;

  enum class Phase { climbing, trying, holding };

  /// How many calls would end in a second if their steps were mixed as they have been all along: how many are under way over the
  /// time that one takes (Little's law). Ends come in bursts, answers with answers and checks with checks, so that the ends of
  /// one window tell little.
  [[nodiscard]] std::optional<double> score_of(const CallWindow& window) {
    double all = 0;
    double seconds = 0;
    for (std::size_t step = 0; step < mix_.size(); ++step) {
      CallTally& long_run = mix_[step];
      const CallTally& now = window.steps[step];
      // What lies far back counts for less and less.
      long_run.calls = 0.9 * long_run.calls + now.calls;
      if (now.calls > 0) long_run.seconds = now.seconds / now.calls;
      all += long_run.calls;
      seconds += long_run.calls * long_run.seconds;
    }
    if (seconds <= 0) return std::nullopt;
    const double at_once = static_cast<double>(window.under_way) / static_cast<double>(window.calls);
    return at_once * all / seconds;
  }

  /// Fewer until it holds for the first time: there a mistake is soon put right.
  [[nodiscard]] std::size_t calls_needed() const noexcept {
    return is_settled_ ? std::max<std::size_t>(64, 2 * limit_) : std::max<std::size_t>(16, 2 * limit_);
  }

  /// @param settling calls that end before the next window: those that began under the old limit, or found a server that was not
  /// yet full.
  void move_to(std::size_t limit, std::size_t settling) {
    window_.reset();
    limit_ = limit;
    settling_ = settling;
  }
  void move_to(std::size_t limit) { move_to(limit, limit == limit_ ? 0 : std::max(limit, limit_)); }

  /// So many eighths of an octave from the best, at least one call.
  [[nodiscard]] std::size_t neighbour() const {
    const double factor = std::exp2(direction_ * stride_ / 8.0);
    const auto value = static_cast<std::size_t>(std::lround(static_cast<double>(best_) * factor));
    if (direction_ > 0) return std::min(std::max(value, best_ + 1), most_);
    return std::max<std::size_t>(std::min(value, best_ - 1), 1);
  }

  void on_turned_away(const Ended& call) {
    if (settling_ > 0) {
      --settling_;
      return;
    }
    best_ = std::max<std::size_t>(1, std::min(call.under_way, limit_) * 7 / 10);
    hold();
    score_.reset();
    move_to(best_, call.under_way);
  }

  void on_measured(double score) {
    switch (phase_) {
      case Phase::climbing: return on_climbed(score);
      case Phase::trying: return on_tried(score);
      case Phase::holding: return on_held(score);
    }
  }

  void on_climbed(double score) {
    constexpr double least_gain = 1.05;
    const bool does_better = !score_ || score >= *score_ * least_gain;
    if (does_better) {
      score_ = score;
      best_ = limit_;
    }
    // What was measured so is more than what lasts: that hurts nobody while it climbs.
    if (does_better && limit_ < most_) return move_to(std::min(limit_ * 2, most_), 0);
    score_.reset();
    phase_ = Phase::holding;
    move_to(best_, std::max(limit_, best_));
  }

  void begin_to_try(int stride, int direction) {
    phase_ = Phase::trying;
    refines_ = !is_settled_;
    direction_ = direction;
    stride_ = stride;
    sides_left_ = 2;
    try_next();
  }

  void try_next() {
    for (; sides_left_ > 0; turn_round()) {
      const bool is_at_end = direction_ > 0 ? best_ >= most_ : best_ <= 1;
      if (!is_at_end) return move_to(neighbour());
    }
    hold();
    move_to(best_);
  }

  /// The other side; after both, half as far, unless that is one call already, or the best is an old one.
  void turn_round() {
    direction_ = -direction_;
    if (--sides_left_ > 0) return;
    const std::size_t next = neighbour();
    const bool was_nearest = std::max(next, best_) - std::min(next, best_) <= 1;
    if (stride_ == 1 || was_nearest || !refines_) return;
    stride_ /= 2;
    sides_left_ = 2;
  }

  void on_tried(double score) {
    // Fewer are better if they do as well, more only if they do better; by what is not chance.
    const bool is_fewer = limit_ < best_;
    const double needed = is_fewer ? (is_settled_ ? 0.985 : 0.92) : 1.015 + noise_ / 2;
    if (score_ && score >= *score_ * needed) {
      score_ = score;
      best_ = limit_;
      sides_left_ = 2;
      refines_ = true;
      pause_ = shortest_pause;
    } else {
      turn_round();
    }
    try_next();
  }

  void hold() {
    phase_ = Phase::holding;
    is_settled_ = true;
    windows_ = 0;
  }

  void on_held(double score) {
    if (!score_) {
      score_ = score;
      return begin_to_try(octave, -1);
    }
    noise_ += 0.2 * (std::min(std::abs(score / *score_ - 1), 0.25) - noise_);
    *score_ += 0.3 * (score - *score_);
    if (++windows_ < pause_) return;
    pause_ = std::min(pause_ * 2, longest_pause);
    // Up and down in turn, near by and far off; where it does better, it goes on from there.
    ++tries_;
    begin_to_try(tries_ % 4 < 2 ? octave / 4 : octave, tries_ % 2 == 0 ? 1 : -1);
  }

  static constexpr int octave = 8;  // strides
  static constexpr int shortest_pause = 8;
  static constexpr int longest_pause = 64;

  std::size_t most_;
  std::size_t limit_;
  std::size_t best_;             ///< So far.
  std::optional<double> score_;  ///< Of the best.
  double noise_ = 0;             ///< By how much its scores differ, of 1.
  Phase phase_ = Phase::climbing;
  int direction_ = -1;
  int stride_ = octave;
  int sides_left_ = 0;  ///< That are still to be tried with this stride.
  bool refines_ = true;
  bool is_settled_ = false;
  int windows_ = 0;
  int pause_ = shortest_pause;  ///< Windows between tries.
  int tries_ = 0;
  std::size_t settling_ = 0;  ///< Calls still to end that began under another limit.
  std::optional<CallWindow> window_;
  std::array<CallTally, 5> mix_{};  ///< Calls of late, and the seconds that one took when there was one last.
};

}  // namespace ecso::gateway
