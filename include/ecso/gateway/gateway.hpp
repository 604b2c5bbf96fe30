#pragma once

#include <ecso/detail/gateway/session.hpp>
#include <ecso/detail/gateway/worker.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/gateway/request_record.hpp>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// An HTTP server between clients and the upstreams that answer them: the same API, with every answer checked by ECSO before it
/// leaves, and repaired or refused where it is harmful. See `Options`. Thread safe.
///
///     ecso::gateway::Gateway gateway{{.upstreams = {{.url = "http://127.0.0.1:8080/v1"}}}};
///     gateway.start();
class Gateway {
 public:
  /// Opens the port. @throws Error (bad_input, tls) that names the option, (unavailable) if the port cannot be had.
  explicit Gateway(Options options, OnRequest on_request = {})
      : config_{std::make_shared<const detail::gateway::Config>(std::move(options))},
        shared_{std::make_shared<detail::gateway::Shared>(*config_->options, std::move(on_request))} {
    const Options& given = *config_->options;
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    const std::size_t count = given.threads == 0 ? cores : given.threads;
    for (std::size_t i = 0; i < count; ++i) {
      workers_.push_back(std::make_unique<detail::gateway::Worker>(shared_));
      workers_.back()->apply(config_, count);
    }
    listen(given);
  }
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  ~Gateway() { stop(); }

  /// Its threads begin to serve.
  void start() {
    if (!threads_.empty()) return;
    detail::gateway::asio::co_spawn(acceptor_->get_executor(), accept(), detail::gateway::asio::detached);
    for (const auto& worker : workers_) {
      detail::gateway::asio::co_spawn(worker->context.get_executor(), tick(*worker), detail::gateway::asio::detached);
    }
    for (const auto& worker : workers_) {
      threads_.emplace_back([worker = worker.get()] { serve(*worker); });
    }
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  /// Such as "http://127.0.0.1:8800".
  [[nodiscard]] std::string url() const {
    const Options& given = *config_->options;
    const bool is_v6 = given.address.find(':') != std::string::npos;
    const std::string host = is_v6 ? "[" + given.address + "]" : given.address;
    return (given.certificate_file.empty() ? "http://" : "https://") + host + ":" + std::to_string(port_);
  }

  /// What Prometheus would read.
  [[nodiscard]] const Metrics& metrics() const noexcept { return *shared_->metrics; }

  /// Requests that begin from now on see these options; those under way go on with the ones before.
  /// @throws Error (bad_input) that names what is wrong, or what needs a restart; then nothing changes.
  void reload(Options options) {
    const std::lock_guard lock{mutex_};
    const Options& before = *config_->options;
    const bool is_port_new = options.port != before.port && options.port != port_;
    if (options.address != before.address || is_port_new) throw needs_restart("the address to listen on");
    if (options.threads != before.threads) throw needs_restart("threads");
    if (options.certificate_file.empty() != before.certificate_file.empty()) throw needs_restart("TLS on or off");
    auto next = std::make_shared<const detail::gateway::Config>(std::move(options));
    const Bounds& bounds = next->options->bounds;
    shared_->in_flight->resize({bounds.max_in_flight, bounds.max_queued});
    shared_->bodies->resize({.capacity = bounds.max_buffered_bytes});
    config_ = next;
    for (const auto& worker : workers_) {
      detail::gateway::asio::post(worker->context,
                                  [worker = worker.get(), next, count = workers_.size()] { worker->apply(next, count); });
    }
  }

  /// Takes no more connections and no more requests; those under way are answered. Returns at once.
  void drain() {
    shared_->is_draining = true;
    detail::gateway::asio::post(acceptor_->get_executor(), [this] { close_acceptor(); });
    for (const auto& worker : workers_) {
      detail::gateway::asio::post(worker->context, [worker = worker.get()] {
        for (detail::gateway::Connection* const connection : worker->connections) {
          if (connection->is_idle()) connection->close();
        }
      });
    }
  }

  /// Until the last connection is over. False if the time ran out first.
  [[nodiscard]] bool wait(std::chrono::milliseconds time) const {
    const auto until = std::chrono::steady_clock::now() + time;
    while (shared_->connections != 0) {
      if (std::chrono::steady_clock::now() >= until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return true;
  }

  /// Ends everything at once.
  void stop() {
    for (const auto& worker : workers_) worker->context.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    // A lease that comes back from here on would wake somebody whose thread is gone.
    shared_->in_flight->forget_waiting();
    shared_->bodies->forget_waiting();
  }

 private:
  using Acceptor = detail::gateway::asio::basic_socket_acceptor<detail::gateway::tcp, detail::gateway::Executor>;

  [[nodiscard]] static Error needs_restart(const std::string& what) {
    return Error{Errc::bad_input, "reload: " + what + " changes only by a restart"};
  }

  void listen(const Options& given) {
    const auto address = detail::gateway::asio::ip::make_address(given.address);
    const detail::gateway::tcp::endpoint endpoint{address, given.port};
    acceptor_ = std::make_unique<Acceptor>(workers_.front()->context.get_executor());
    detail::gateway::error_code error;
    acceptor_->open(endpoint.protocol(), error);
    if (!error) acceptor_->set_option(Acceptor::reuse_address{true}, error);
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) acceptor_->listen(4096, error);
    if (error) {
      throw Error{
          Errc::unavailable, "cannot listen: " + error.message(), {.endpoint = given.address + ":" + std::to_string(given.port)}};
    }
    port_ = acceptor_->local_endpoint().port();
  }

  void close_acceptor() {
    detail::gateway::error_code ignored;
    acceptor_->close(ignored);
  }

  static void serve(detail::gateway::Worker& worker) {
    for (;;) {
      try {
        worker.context.run();
        return;
      } catch (const std::exception&) {
        continue;  // Of one connection or call, which ends with it; out of memory, most likely. The others go on.
      }
    }
  }

  static detail::gateway::Task<void> tick(detail::gateway::Worker& worker) {
    detail::gateway::Timer timer{worker.context.get_executor()};
    for (;;) {
      timer.expires_after(detail::gateway::Sweeper::interval);
      auto result = co_await timer.async_wait(detail::gateway::awaited);
      if (std::get<0>(result)) co_return;
      const auto now = detail::gateway::Clock::now();
      worker.sweeper.sweep(now);
      for (const auto& upstream : worker.upstreams) {
        upstream->tidy(now);
        upstream->report(*worker.shared->metrics);
      }
    }
  }

  [[nodiscard]] detail::gateway::Worker& least_loaded() {
    return **std::ranges::min_element(workers_, {}, [](const auto& worker) { return worker->load.load(); });
  }

  detail::gateway::Task<void> accept() {
    for (;;) {
      if (shared_->connections >= config_limit()) {
        detail::gateway::Timer pause{acceptor_->get_executor()};
        pause.expires_after(std::chrono::milliseconds{10});
        auto waited = co_await pause.async_wait(detail::gateway::awaited);
        static_cast<void>(waited);
        if (!acceptor_->is_open()) co_return;
        continue;
      }
      detail::gateway::Worker& worker = least_loaded();
      auto accepted = co_await acceptor_->async_accept(worker.context, detail::gateway::awaited);
      if (!acceptor_->is_open()) co_return;
      if (std::get<0>(accepted)) {
        // No descriptor left, perhaps: they come back.
        detail::gateway::Timer pause{acceptor_->get_executor()};
        pause.expires_after(std::chrono::milliseconds{10});
        auto waited = co_await pause.async_wait(detail::gateway::awaited);
        static_cast<void>(waited);
        continue;
      }
      ++shared_->connections;
      ++worker.load;
      hand_over(worker, std::move(std::get<1>(accepted)));
    }
  }

  [[nodiscard]] std::size_t config_limit() {
    const std::lock_guard lock{mutex_};
    return config_->options->bounds.max_connections;
  }

  template <typename AcceptedSocket>
  static void hand_over(detail::gateway::Worker& worker, AcceptedSocket accepted) {
    auto socket = std::make_shared<detail::gateway::Socket>(std::move(accepted));
    detail::gateway::asio::post(worker.context, [&worker, socket] {
      detail::gateway::asio::co_spawn(worker.context.get_executor(), serve_connection(worker, socket),
                                      detail::gateway::asio::detached);
    });
  }

  /// Whatever ends it, it is counted off.
  struct Counted {
    detail::gateway::Worker& worker;
    detail::gateway::Connection* connection;

    ~Counted() {
      worker.connections.erase(connection);
      --worker.load;
      --worker.shared->connections;
    }
  };

  static detail::gateway::Task<void> serve_connection(detail::gateway::Worker& worker,
                                                      std::shared_ptr<detail::gateway::Socket> socket) {
    detail::gateway::error_code ignored;
    socket->set_option(detail::gateway::tcp::no_delay{true}, ignored);
    const auto peer = socket->remote_endpoint(ignored);
    auto connection =
        std::make_shared<detail::gateway::Connection>(worker.sweeper, std::move(*socket), peer.address().to_string());
    worker.connections.insert(connection.get());
    const Counted counted{worker, connection.get()};
    auto session = std::make_shared<detail::gateway::Session>(worker, connection);
    co_await detail::gateway::Session::run(session);
  }

  std::mutex mutex_;
  std::shared_ptr<const detail::gateway::Config> config_;
  std::shared_ptr<detail::gateway::Shared> shared_;
  std::vector<std::unique_ptr<detail::gateway::Worker>> workers_;
  std::unique_ptr<Acceptor> acceptor_;
  std::uint16_t port_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace ecso::gateway
