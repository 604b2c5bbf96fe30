#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace ecso::detail {

/// Has one caller a key make the call while the others wait for what comes of it.
class SingleFlight {
  struct Flight {
    bool is_over = false;
    std::optional<Reply> reply;
  };

 public:
  /// A caller's part in a flight. The leader ends the flight when it goes; those who wait then go on, with a reply only if it
  /// gave one.
  class Seat {
   public:
    Seat(SingleFlight& flights, std::string key) : flights_{flights}, key_{std::move(key)} {
      const std::lock_guard lock{flights_.mutex_};
      std::shared_ptr<Flight>& flight = flights_.under_way_[key_];
      leads_ = flight == nullptr;
      if (leads_) flight = std::make_shared<Flight>();
      flight_ = flight;
    }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

    ~Seat() {
      if (!leads_) return;
      const std::lock_guard lock{flights_.mutex_};
      flights_.under_way_.erase(key_);
      flight_->is_over = true;
      flights_.ended_.notify_all();
    }

    [[nodiscard]] bool leads() const noexcept { return leads_; }

    /// What the leader has for those who wait.
    void share(Reply reply) {
      const std::lock_guard lock{flights_.mutex_};
      flight_->reply = std::move(reply);
      flight_->is_over = true;
      flights_.ended_.notify_all();
    }

    /// Waits for the leader; empty if it came to nothing.
    /// @throws Error (cancelled, timeout) if the caller's own time is over first.
    [[nodiscard]] std::optional<Reply> wait(const CallContext& context) {
      std::unique_lock lock{flights_.mutex_};
      const auto is_over = [this] { return flight_->is_over; };
      if (context.deadline) {
        flights_.ended_.wait_until(lock, context.stop, *context.deadline, is_over);
      } else {
        flights_.ended_.wait(lock, context.stop, is_over);
      }
      if (flight_->is_over) return flight_->reply;
      if (context.stop.stop_requested()) throw Error{Errc::cancelled, "cancelled while the same call was under way"};
      throw Error{Errc::timeout, "the deadline passed while the same call was under way"};
    }

   private:
    SingleFlight& flights_;
    std::string key_;
    std::shared_ptr<Flight> flight_;
    bool leads_ = false;
  };

 private:
  std::mutex mutex_;
  std::condition_variable_any ended_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> under_way_;
};

}  // namespace ecso::detail
