#pragma once

#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// Sees whether an upstream takes connections. Gives up after a time. Of one thread.
class Probe final : public Timed, public std::enable_shared_from_this<Probe> {
 public:
  Probe(Sweeper& sweeper, std::shared_ptr<Upstream> upstream)
      : Timed{sweeper},
        upstream_{std::move(upstream)},
        socket_{upstream_->executor()},
        changed_{std::make_shared<Event>(upstream_->executor())} {}

  Task<bool> run(std::shared_ptr<Probe> self) {
    static_cast<void>(self);
    expire_after(patience);
    const auto gives_up = [this] { return is_late_; };
    error_code error;
    auto endpoints = co_await upstream_->resolve(changed_, gives_up, &error);
    for (std::size_t i = 0; i < endpoints.size() && !is_late_; ++i) {
      auto result = co_await socket_.async_connect(endpoints[i], awaited);
      if (!std::get<0>(result)) co_return true;
      error_code ignored;
      socket_.close(ignored);
    }
    co_return false;
  }

 private:
  static constexpr std::chrono::milliseconds patience{2'000};

  void on_expired() override {
    is_late_ = true;
    error_code ignored;
    socket_.close(ignored);
    changed_->signal();
  }

  std::shared_ptr<Upstream> upstream_;
  Socket socket_;
  std::shared_ptr<Event> changed_;
  bool is_late_ = false;
};

/// Whether one of them takes connections: all are tried at once.
inline Task<bool> reach_any(Sweeper& sweeper, std::vector<std::shared_ptr<Upstream>> upstreams) {
  struct Tried {
    explicit Tried(const Executor& executor) : changed{executor} {}
    Event changed;
    std::size_t open = 0;
    bool is_reached = false;
  };
  auto tried = std::make_shared<Tried>(upstreams.front()->executor());
  tried->open = upstreams.size();
  for (const auto& upstream : upstreams) {
    auto probe = std::make_shared<Probe>(sweeper, upstream);
    asio::co_spawn(upstream->executor(), probe->run(probe), [tried](const std::exception_ptr& failed, bool is_reached) {
      tried->is_reached = tried->is_reached || (!failed && is_reached);
      --tried->open;
      tried->changed.signal();
    });
  }
  while (tried->open > 0 && !tried->is_reached) co_await tried->changed.wait();
  co_return tried->is_reached;
}

}  // namespace ecso::detail::gateway
