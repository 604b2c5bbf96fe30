#include "dialect_probe.hpp"

#include <ecso/backend/openai_probe.hpp>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

namespace ecso::command {

namespace {

OpenAiServer ask_once(const gateway::UpstreamOptions& upstream, const std::stop_token& stop) {
  OpenAiOptions asked;
  asked.base_url = upstream.url;
  asked.key = upstream.key;
  asked.http.connect_timeout = std::chrono::milliseconds{2'000};
  asked.http.ca_file = upstream.ca_file;
  asked.http.verify = upstream.verify_certificate ? TlsVerify::full : TlsVerify::none;
  constexpr std::chrono::milliseconds patience{3'000};
  return probe_openai_server(asked, {.stop = stop, .deadline = std::chrono::steady_clock::now() + patience});
}

}  // namespace

struct DialectProbe::Shared {
  explicit Shared(Listener told, std::size_t count) : listener{std::move(told)}, running{count} {}

  const Listener listener;  ///< Called under `mutex`, so never after the end.
  std::stop_source stop;
  std::mutex mutex;
  std::condition_variable_any changed;
  std::size_t running;
};

DialectProbe::DialectProbe(std::vector<Upstream> upstreams, Listener listener)
    : shared_{std::make_shared<Shared>(std::move(listener), upstreams.size())} {
  for (Upstream& upstream : upstreams) {
    threads_.emplace_back([shared = shared_, upstream = std::move(upstream)] {
      ask(*shared, upstream);
      const std::lock_guard lock{shared->mutex};
      --shared->running;
      shared->changed.notify_all();
    });
  }
}

DialectProbe::~DialectProbe() {
  shared_->stop.request_stop();
  constexpr std::chrono::milliseconds moment{200};
  std::unique_lock lock{shared_->mutex};
  const bool are_over = shared_->changed.wait_for(lock, moment, [&] { return shared_->running == 0; });
  lock.unlock();
  for (std::thread& thread : threads_) are_over ? thread.join() : thread.detach();
}

void DialectProbe::ask(Shared& shared, const Upstream& upstream) {
  const std::stop_token stop = shared.stop.get_token();
  constexpr std::chrono::milliseconds pause{5'000};
  for (bool is_told = false;; is_told = true) {
    std::optional<OpenAiServer> server;
    std::optional<Error> failure;
    try {
      server = ask_once(upstream.options, stop);
    } catch (const Error& error) {
      failure = error;
    } catch (const std::exception& error) {
      failure = Error{Errc::internal, error.what()};
    }
    std::unique_lock lock{shared.mutex};
    if (stop.stop_requested()) return;
    if (server) return shared.listener.on_answer(upstream.place, *server);
    const bool may_come = worth_retrying(failure->code());
    if (!is_told) shared.listener.on_silence(upstream.place, *failure, may_come);
    if (!may_come) return;
    shared.changed.wait_for(lock, stop, pause, [] { return false; });
    if (stop.stop_requested()) return;
  }
}

}  // namespace ecso::command
