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
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// What `ecso::gateway::Gateway` keeps behind its wall; its public functions promise the same.
class Engine {
 public:
  Engine(ecso::gateway::Options options, ecso::gateway::OnRequest on_request)
      : shared_{std::make_shared<Shared>(std::move(on_request))} {
    use(std::make_shared<const Config>(std::move(options)));
    const ecso::gateway::Options& given = *served_->config->options;
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    const std::size_t count = given.threads == 0 ? cores : given.threads;
    for (std::size_t i = 0; i < count; ++i) {
      workers_.push_back(std::make_unique<Worker>(shared_));
      workers_.back()->apply(served_);
    }
    listen(given);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { stop(); }

  void start() {
    if (!threads_.empty()) return;
    asio::co_spawn(acceptor_->get_executor(), accept(), asio::detached);
    for (const auto& worker : workers_) {
      asio::co_spawn(worker->context.get_executor(), tick(*worker), asio::detached);
    }
    for (const auto& worker : workers_) {
      threads_.emplace_back([worker = worker.get()] { serve(*worker); });
    }
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  [[nodiscard]] std::string url() const {
    const std::lock_guard lock{mutex_};
    const ecso::gateway::Options& given = *served_->config->options;
    const bool is_v6 = given.address.find(':') != std::string::npos;
    const std::string host = is_v6 ? "[" + given.address + "]" : given.address;
    return (given.certificate_file.empty() ? "http://" : "https://") + host + ":" + std::to_string(port_);
  }

  [[nodiscard]] const ecso::gateway::Metrics& metrics() const noexcept { return *shared_->metrics; }

  void reload(ecso::gateway::Options options) {
    const std::lock_guard lock{mutex_};
    const ecso::gateway::Options& before = *served_->config->options;
    const bool is_port_new = options.port != before.port && options.port != port_;
    if (options.address != before.address || is_port_new) throw needs_restart("the address to listen on");
    if (options.threads != before.threads) throw needs_restart("threads");
    if (options.certificate_file.empty() != before.certificate_file.empty()) throw needs_restart("TLS on or off");
    use(std::make_shared<const Config>(std::move(options)));
    for (const auto& worker : workers_) {
      asio::post(worker->context, [worker = worker.get(), next = served_] { worker->apply(next); });
    }
  }

  void drain() {
    shared_->is_draining = true;
    asio::post(acceptor_->get_executor(), [this] { close_acceptor(); });
    for (const auto& worker : workers_) {
      asio::post(worker->context, [worker = worker.get()] {
        for (Connection* const connection : worker->connections) {
          if (connection->is_idle()) connection->close();
        }
      });
    }
  }

  [[nodiscard]] bool wait(std::chrono::milliseconds time) const {
    const auto until = std::chrono::steady_clock::now() + time;
    while (shared_->connections != 0) {
      if (std::chrono::steady_clock::now() >= until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return true;
  }

  void stop() {
    for (const auto& worker : workers_) worker->context.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    // A lease that comes back from here on would wake somebody whose thread is gone.
    shared_->in_flight->forget_waiting();
    shared_->bodies->forget_waiting();
    for (const auto& places : served_->places) places->forget_waiting();
    for (const auto& calls : served_->calls) calls->forget_waiting();
  }

 private:
  using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;

  [[nodiscard]] static Error needs_restart(const std::string& what) {
    return Error{Errc::bad_input, "reload: " + what + " changes only by a restart"};
  }

  /// What follows is served with this. Called under the lock, or before there are threads.
  void use(std::shared_ptr<const Config> config) {
    served_ = Served::make(std::move(config), served_.get());
    const ecso::gateway::Bounds& bounds = served_->config->options->bounds;
    constexpr std::size_t most_requests = 4'096;
    shared_->in_flight->resize({bounds.max_in_flight == 0 ? most_requests : bounds.max_in_flight, bounds.max_queued});
    shared_->bodies->resize({.capacity = bounds.max_buffered_bytes});
    shared_->answers->resize(bounds.max_buffered_bytes);
    max_connections_ = bounds.max_connections;
  }

  void listen(const ecso::gateway::Options& given) {
    const auto address = asio::ip::make_address(given.address);
    const tcp::endpoint endpoint{address, given.port};
    acceptor_ = std::make_unique<Acceptor>(workers_.front()->context.get_executor());
    error_code error;
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
    error_code ignored;
    acceptor_->close(ignored);
  }

  static void serve(Worker& worker) {
    const auto guard = asio::make_work_guard(worker.context);
    for (;;) {
      try {
        worker.context.run();
        return;
      } catch (const std::exception&) {
        continue;  // Of one connection or call, which ends with it; out of memory, most likely. The others go on.
      }
    }
  }

  /// What goes wrong once must not end the ticking, by which all time limits are kept.
  static void look_after(Worker& worker) {
    const auto now = Clock::now();
    try {
      worker.sweeper.sweep(now);
      // Ends no connection at once: what it wakes goes on later.
      for (Connection* const connection : worker.connections) connection->look();
      for (const auto& upstream : worker.view->upstreams) {
        upstream->tidy(now);
        upstream->report(*worker.shared->metrics);
      }
    } catch (const std::exception&) {
      return;
    }
  }

  static Task<void> tick(Worker& worker) {
    Timer timer{worker.context.get_executor()};
    for (;;) {
      timer.expires_after(Sweeper::interval);
      auto result = co_await timer.async_wait(awaited);
      if (std::get<0>(result)) co_return;
      look_after(worker);
    }
  }

  [[nodiscard]] Worker& least_loaded() {
    return **std::ranges::min_element(workers_, {}, [](const auto& worker) { return worker->load.load(); });
  }

  Task<void> accept() {
    Timer pause{acceptor_->get_executor()};
    while (acceptor_->is_open()) {
      bool has_accepted = false;
      if (shared_->connections < max_connections_) {
        Worker& worker = least_loaded();
        auto accepted = co_await acceptor_->async_accept(worker.context, awaited);
        has_accepted = !std::get<0>(accepted) && hand_over(worker, std::move(std::get<1>(accepted)));
      }
      if (has_accepted) continue;
      // Too many, or no descriptor or memory left, perhaps: they come back.
      pause.expires_after(std::chrono::milliseconds{10});
      auto waited = co_await pause.async_wait(awaited);
      static_cast<void>(waited);
    }
  }

  /// One connection among all that are open. Whatever ends it, it is counted off, and closed.
  class Counted {
   public:
    explicit Counted(Worker& worker) : worker_{worker} {
      ++worker_.shared->connections;
      ++worker_.load;
    }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() {
      if (connection_) {
        worker_.connections.erase(connection_.get());
        connection_->close();
      }
      --worker_.load;
      --worker_.shared->connections;
    }

    void count(std::shared_ptr<Connection> connection) {
      worker_.connections.insert(connection.get());
      connection_ = std::move(connection);
    }

   private:
    Worker& worker_;
    std::shared_ptr<Connection> connection_;
  };

  template <typename AcceptedSocket>
  static bool hand_over(Worker& worker, AcceptedSocket accepted) {
    try {
      auto counted = std::make_shared<Counted>(worker);
      auto socket = std::make_shared<Socket>(std::move(accepted));
      asio::post(worker.context, [&worker, socket, counted] {
        asio::co_spawn(worker.context.get_executor(), serve_connection(worker, socket, counted), asio::detached);
      });
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  static Task<void> serve_connection(Worker& worker, std::shared_ptr<Socket> socket, std::shared_ptr<Counted> counted) {
    error_code ignored;
    socket->set_option(tcp::no_delay{true}, ignored);
    const auto address = socket->remote_endpoint(ignored).address();
    auto connection = std::make_shared<Connection>(worker.sweeper, std::move(*socket), address);
    counted->count(connection);
    auto session = std::make_shared<Session>(worker, connection);
    co_await Session::run(session);
  }

  mutable std::mutex mutex_;
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<const Served> served_;
  std::atomic<std::size_t> max_connections_{0};
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Acceptor> acceptor_;
  std::uint16_t port_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace ecso::detail::gateway
