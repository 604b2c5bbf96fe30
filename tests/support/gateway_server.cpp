#include "support/gateway_server.hpp"

#include <ecso/gateway/gateway.hpp>

#include <utility>

namespace ecso::test {

GatewayServer::GatewayServer(gateway::Options options, gateway::OnRequest on_request)
    : gateway_{std::make_unique<gateway::Gateway>(std::move(options), std::move(on_request))} {}
GatewayServer::~GatewayServer() = default;

void GatewayServer::start() { gateway_->start(); }
std::uint16_t GatewayServer::port() const { return gateway_->port(); }
std::string GatewayServer::url() const { return gateway_->url(); }
void GatewayServer::reload(gateway::Options options) { gateway_->reload(std::move(options)); }
void GatewayServer::drain() { gateway_->drain(); }
bool GatewayServer::wait(std::chrono::milliseconds time) const { return gateway_->wait(time); }
void GatewayServer::stop() { gateway_->stop(); }

}  // namespace ecso::test
