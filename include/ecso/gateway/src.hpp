#pragma once

// The gateway's engine, for one source of a program: it takes the compiler half a minute. The CMake target `ecso::gateway` has it
// compiled already.

#include <ecso/gateway/gateway.hpp>

#include <ecso/detail/gateway/engine.hpp>
#include <ecso/gateway/metrics.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/gateway/request_record.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace ecso::gateway {

// Not inline: one source has them for all.
// NOLINTBEGIN(misc-definitions-in-headers)
Gateway::Gateway(Options options, OnRequest on_request)
    : engine_{std::make_unique<detail::gateway::Engine>(std::move(options), std::move(on_request))} {}
Gateway::~Gateway() = default;

void Gateway::start() { engine_->start(); }
std::uint16_t Gateway::port() const noexcept { return engine_->port(); }
std::string Gateway::url() const { return engine_->url(); }
const Metrics& Gateway::metrics() const noexcept { return engine_->metrics(); }
void Gateway::reload(Options options) { engine_->reload(std::move(options)); }
void Gateway::drain() { engine_->drain(); }
bool Gateway::wait(std::chrono::milliseconds time) const { return engine_->wait(time); }
void Gateway::stop() { engine_->stop(); }
// NOLINTEND(misc-definitions-in-headers)

}  // namespace ecso::gateway
