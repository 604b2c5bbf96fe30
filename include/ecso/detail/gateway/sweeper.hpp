#pragma once

#include <ecso/detail/gateway/task.hpp>

#include <chrono>
#include <cstddef>
#include <vector>

namespace ecso::detail::gateway {

class Sweeper;

/// Something that is ended if it takes too long.
class Timed {
 public:
  explicit Timed(Sweeper& sweeper);
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  virtual ~Timed();

  /// From now on; zero: no limit.
  void expire_after(std::chrono::milliseconds time) {
    deadline_ = time.count() > 0 ? Clock::now() + time : Clock::time_point::max();
  }
  void expire_at(Clock::time_point time) noexcept { deadline_ = time; }
  void expire_never() noexcept { deadline_ = Clock::time_point::max(); }

 protected:
  /// Its time is over: called once for each deadline that was set.
  virtual void on_expired() = 0;

 private:
  friend class Sweeper;
  Sweeper& sweeper_;
  std::size_t place_;
  Clock::time_point deadline_ = Clock::time_point::max();
};

/// Looks at everything that is timed a few times a second. A timer an operation would cost each request more than the exactness
/// is worth. Of one thread.
class Sweeper {
 public:
  static constexpr std::chrono::milliseconds interval{50};

  /// Ends what is overdue.
  void sweep(Clock::time_point now) {
    // What expires may end others, so places are looked up anew.
    for (std::size_t i = 0; i < timed_.size(); ++i) {
      Timed& timed = *timed_[i];
      if (timed.deadline_ > now) continue;
      timed.expire_never();
      timed.on_expired();
    }
  }

 private:
  friend class Timed;
  std::vector<Timed*> timed_;
};

inline Timed::Timed(Sweeper& sweeper) : sweeper_{sweeper}, place_{sweeper.timed_.size()} { sweeper.timed_.push_back(this); }

inline Timed::~Timed() {
  Timed*& here = sweeper_.timed_[place_];
  here = sweeper_.timed_.back();
  here->place_ = place_;
  sweeper_.timed_.pop_back();
}

}  // namespace ecso::detail::gateway
