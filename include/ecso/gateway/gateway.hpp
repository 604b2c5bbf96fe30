#pragma once

#include <ecso/gateway/options.hpp>
#include <ecso/gateway/request_record.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace ecso::detail::gateway {
class Engine;
}

namespace ecso::gateway {

class Metrics;

/// An HTTP server between clients and the upstreams that answer them: the same API, with every answer checked by ECSO before it
/// leaves, and repaired or refused where it is harmful. See `Options`. Thread safe.
///
///     ecso::gateway::Gateway gateway{{.upstreams = {{.url = "http://127.0.0.1:8080/v1"}}}};
///     gateway.start();
///
/// Its engine is `ecso/gateway/src.hpp`: the CMake target `ecso::gateway` compiles it; without CMake, include it in one source.
class Gateway {
 public:
  /// Opens the port. @throws Error (bad_input, tls) that names the option, (unavailable) if the port cannot be had.
  explicit Gateway(Options options, OnRequest on_request = {});
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  ~Gateway();

  /// Its threads begin to serve.
  void start();

  [[nodiscard]] std::uint16_t port() const noexcept;

  /// Such as "http://127.0.0.1:8800".
  [[nodiscard]] std::string url() const;

  /// What Prometheus would read; `ecso/gateway/metrics.hpp` has the class.
  [[nodiscard]] const Metrics& metrics() const noexcept;

  /// Requests that begin from now on see these options; those under way go on with the ones before.
  /// @throws Error (bad_input) that names what is wrong, or what needs a restart; then nothing changes.
  void reload(Options options);

  /// Takes no more connections and no more requests; those under way are answered. Returns at once.
  void drain();

  /// Until the last connection is over. False if the time ran out first.
  [[nodiscard]] bool wait(std::chrono::milliseconds time) const;

  /// Ends everything at once. Waits for a name lookup that is under way.
  void stop();

 private:
  std::unique_ptr<detail::gateway::Engine> engine_;
};

}  // namespace ecso::gateway
