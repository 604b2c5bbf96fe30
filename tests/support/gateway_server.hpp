#pragma once

#include <ecso/gateway/options.hpp>
#include <ecso/gateway/request_record.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace ecso::gateway {
class Gateway;
}

namespace ecso::test {

/// `gateway::Gateway` behind a wall: its header takes the compiler most of a minute, and many tests want one.
class GatewayServer {
 public:
  explicit GatewayServer(gateway::Options options, gateway::OnRequest on_request = {});
  GatewayServer(const GatewayServer&) = delete;
  GatewayServer& operator=(const GatewayServer&) = delete;
  ~GatewayServer();

  void start();
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string url() const;
  void reload(gateway::Options options);
  void drain();
  [[nodiscard]] bool wait(std::chrono::milliseconds time) const;
  void stop();

 private:
  std::unique_ptr<gateway::Gateway> gateway_;
};

}  // namespace ecso::test
