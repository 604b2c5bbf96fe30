#include "serve.hpp"

#include "../exit_code.hpp"
#include "../printing.hpp"
#include "audit.hpp"
#include "dialect_probe.hpp"
#include "own_judge.hpp"
#include "serve_log.hpp"
#include "service.hpp"
#include "simulated_chat.hpp"
#include "simulated_server.hpp"

#include <ecso/detail/gateway/config.hpp>
#include <ecso/gateway/gateway.hpp>
#include <ecso/version.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::command {

namespace {

constexpr std::string_view simulation_warning =
    "SIMULATED: no upstream is named, so a built-in stand-in plays the model. Its answers mean nothing. Name a real one by "
    "--upstream URL.";

/// Where requests are told of. A reload makes new ones.
struct Outputs {
  explicit Outputs(const ServeSettings& settings) : log{settings.log} {
    if (!settings.audit.file.empty()) {
      audit.emplace(settings.audit, [this](std::string_view message) { log.message(LogLevel::error, message); });
    }
  }

  ServeLog log;
  std::optional<Audit> audit;
};

gateway::UpstreamOptions simulated_upstream(const std::string& url, const SimulatedServerOptions& options) {
  gateway::UpstreamOptions upstream;
  upstream.name = "simulated";
  upstream.url = url;
  upstream.dialect = vllm_dialect();
  upstream.max_connections = options.max_connections;
  upstream.slots = options.max_connections;
  return upstream;
}

/// Servers that batch have room for many calls; the search need not begin at a few.
std::size_t first_in_flight(const OpenAiServer& server) {
  constexpr std::size_t of_a_batch = 64;
  const bool is_batching = server.name == "vLLM" || server.name == "SGLang" || server.name == "LMDeploy";
  return is_batching ? of_a_batch : 1;
}

/// What is said of an upstream when it has told what it is.
std::string calls_at_once(const gateway::Bounds& bounds, const gateway::UpstreamOptions& upstream) {
  if (upstream.max_in_flight > 0 || bounds.max_in_flight > 0) return {};
  if (upstream.slots == 0) return "; how many calls at once it does best with is found out";
  return fmt::format("; it gets {} calls at once, as many as it has slots", upstream.slots);
}

/// The running service. Its settings are changed by the thread that waits for signals, and by the probe while there is one.
class Service {
 public:
  /// Opens the port. Writes nothing to the log: if it cannot be had, that is all there is to say.
  explicit Service(const ServeFlags& flags)
      : flags_{flags},
        settings_{read_serve_settings(flags)},
        files_{raise_file_limit()},
        outputs_{std::make_unique<Outputs>(settings_)} {
    add_simulated(settings_);
    gateway_ =
        std::make_unique<gateway::Gateway>(settings_.gateway, [this](const gateway::RequestRecord& record) { tell(record); });
  }

  int run(const ServiceSignals& signals) {
    gateway_->start();
    greet();
    warn_of_few_files();
    notify_service_manager("READY=1");
    warn_of_own_judges();
    ask_dialects();
    while (true) {
      constexpr std::chrono::milliseconds long_time{3'600'000};
      const auto signal = signals.wait(long_time);
      if (!signal) continue;
      if (*signal != SIGHUP) return end(signals);
      reload();
    }
  }

 private:
  void log(LogLevel level, std::string_view message) {
    const std::shared_lock lock{outputs_mutex_};
    outputs_->log.message(level, message);
  }

  void tell(const gateway::RequestRecord& record) {
    const std::shared_lock lock{outputs_mutex_};
    outputs_->log.request(record);
    if (outputs_->audit) outputs_->audit->request(record);
  }

  void add_simulated(ServeSettings& settings) {
    if (!settings.gateway.simulated) return;
    if (!simulated_) simulated_ = std::make_unique<SimulatedServer>(settings.simulated);
    settings.gateway.upstreams = {simulated_upstream(simulated_->url(), settings.simulated)};
  }

  /// Begins to ask those upstreams of which it is not said what they understand. Until one tells, nothing special is asked of it.
  void ask_dialects() {
    std::vector<DialectProbe::Upstream> upstreams;
    for (const std::size_t place : settings_.ask_dialect) upstreams.push_back({place, settings_.gateway.upstreams[place]});
    if (upstreams.empty()) return;
    probe_ = std::make_unique<DialectProbe>(
        std::move(upstreams),
        DialectProbe::Listener{
            .on_answer = [this](std::size_t place, const OpenAiServer& server) { learn(place, server); },
            .on_silence =
                [this](std::size_t place, const Error& error, bool is_asked_again) {
                  if (!is_asked_again) listed_[settings_.gateway.upstreams[place].name];
                  if (!is_asked_again) warn_of_own_judges();
                  log(LogLevel::warn,
                      fmt::format("upstream {} cannot say what it understands, so nothing special is asked of it{}: {}",
                                  settings_.gateway.upstreams[place].name, is_asked_again ? " until it can" : "", error.what()));
                }});
  }

  void learn(std::size_t place, const OpenAiServer& server) {
    gateway::UpstreamOptions& upstream = settings_.gateway.upstreams[place];
    upstream.dialect = server.dialect;
    upstream.slots = static_cast<std::size_t>(server.slots);
    upstream.first_in_flight = std::max(upstream.first_in_flight, first_in_flight(server));
    if (is_checker(settings_.gateway, upstream.name)) {
      if (upstream.check_model.empty() && server.models.size() == 1) upstream.check_model = server.models.front();
      if (!upstream.check_vision) upstream.check_vision = server.vision;
    }
    std::erase(settings_.ask_dialect, place);
    listed_[upstream.name] = server.models;
    try {
      warn_of_own_judges();
      gateway_->reload(settings_.gateway);
      if (server.name == OpenAiServer{}.name) {
        log(LogLevel::warn, fmt::format("upstream {} does not say what it is, so nothing special is asked of it; it answered {}. "
                                        "If it understands more, say so by \"dialect\"",
                                        upstream.name, server.asked));
        return;
      }
      const std::string_view space = server.version.empty() ? "" : " ";
      log(LogLevel::info, fmt::format("upstream {} is {}{}{}{}", upstream.name, server.name, space, server.version,
                                      calls_at_once(settings_.gateway.bounds, upstream)));
    } catch (const std::exception& error) {
      log(LogLevel::error, error.what());
    }
  }

  /// What an upstream has told holds until it is asked again.
  void take_over_dialects(ServeSettings& fresh) const {
    for (const std::size_t place : fresh.ask_dialect) {
      gateway::UpstreamOptions& upstream = fresh.gateway.upstreams[place];
      const auto found = std::ranges::find(settings_.gateway.upstreams, upstream.url, &gateway::UpstreamOptions::url);
      if (found == settings_.gateway.upstreams.end()) continue;
      upstream.dialect = found->dialect;
      upstream.slots = found->slots;
      upstream.first_in_flight = found->first_in_flight;
      if (upstream.name != found->name) continue;
      if (upstream.check_model.empty()) upstream.check_model = found->check_model;
      if (!upstream.check_vision) upstream.check_vision = found->check_vision;
    }
  }

  void reload() {
    notify_reloading();
    try {
      ServeSettings fresh = read_serve_settings(flags_);
      auto outputs = std::make_unique<Outputs>(fresh);
      probe_.reset();
      add_simulated(fresh);
      take_over_dialects(fresh);
      gateway_->reload(fresh.gateway);
      if (fresh.gateway.simulated) simulated_->change(fresh.simulated);
      settings_ = std::move(fresh);
      listed_.clear();
      {
        const std::lock_guard lock{outputs_mutex_};
        outputs_.swap(outputs);
      }
      log(LogLevel::info, "the configuration was read again");
    } catch (const std::exception& error) {
      log(LogLevel::error,
          fmt::format("the configuration was read again and cannot be used, so the old one stays: {}", error.what()));
    }
    if (!probe_) {
      warn_of_own_judges();
      ask_dialects();
    }
    notify_service_manager("READY=1");
  }

  /// Once for each thing there is to say; of upstreams that are still asked, later.
  void warn_of_own_judges() {
    const auto is_told = [&](std::size_t place) {
      const std::string& name = settings_.gateway.upstreams[place].name;
      return listed_.contains(name) || is_checker(settings_.gateway, name);
    };
    if (!std::ranges::all_of(settings_.ask_dialect, is_told)) return;
    const auto warning = own_judge_warning(settings_.gateway, listed_);
    if (!warning || *warning == own_judge_warning_) return;
    own_judge_warning_ = *warning;
    log(LogLevel::warn, *warning);
  }

  void warn_of_few_files() {
    constexpr std::size_t own_files = 64;
    std::size_t wanted = settings_.gateway.bounds.max_connections + own_files;
    for (const auto& upstream : settings_.gateway.upstreams) wanted += upstream.max_connections;
    if (files_ >= wanted) return;
    log(LogLevel::warn, fmt::format("only {} files may be open at once, where max_connections may take {}", files_, wanted));
  }

  void greet() {
    const Terminal terminal = terminal_of(STDERR_FILENO, ColorMode::automatic);
    const std::string url = gateway_->url();
    std::string text = fmt::format("ecso {} serves {}/v1\n", version, url);
    if (is_page_served()) text += fmt::format("page      {}/\n", url);
    ServeSettings shown = settings_;
    shown.gateway.port = gateway_->port();
    text += describe(shown);
    if (settings_.gateway.simulated) {
      const StepPrinter printer{std::cerr, terminal, Detail::summary};
      text += printer.styled(std::string{simulation_warning}, "1;33") + "\n";
    }
    std::cerr << text << std::flush;
    log(LogLevel::info,
        fmt::format("ecso {} serves {}{}", version, url, settings_.gateway.simulated ? " on the simulated model" : ""));
  }

  [[nodiscard]] bool is_page_served() const { return detail::gateway::Config{settings_.gateway}.serves_page; }

  int end(const ServiceSignals& signals) {
    notify_service_manager("STOPPING=1");
    probe_.reset();
    gateway_->drain();
    log(LogLevel::info, "told to end; requests under way go on");
    const auto until = std::chrono::steady_clock::now() + settings_.gateway.drain_timeout;
    constexpr std::chrono::milliseconds look{50};
    while (!gateway_->wait(look)) {
      const bool is_late = settings_.gateway.drain_timeout.count() > 0 && std::chrono::steady_clock::now() >= until;
      const auto again = signals.wait(std::chrono::milliseconds{0});
      if (!is_late && (!again || *again == SIGHUP)) continue;
      log(LogLevel::warn, is_late ? "requests under way were cut, as drain_timeout is over" : "requests under way were cut");
      break;
    }
    gateway_->stop();
    log(LogLevel::info, "ended");
    return exit_answered;
  }

  const ServeFlags& flags_;
  ServeSettings settings_;
  const std::size_t files_;  ///< That may be open at once.
  std::unique_ptr<SimulatedServer> simulated_;
  /// Requests read the pointer, only a reload changes it; so the old outputs end in its thread, where writing out may take time.
  std::shared_mutex outputs_mutex_;
  std::unique_ptr<Outputs> outputs_;
  std::unique_ptr<gateway::Gateway> gateway_;
  ListedModels listed_;            ///< Changes with the settings.
  std::string own_judge_warning_;  ///< The last.
  std::unique_ptr<DialectProbe> probe_;
};

/// What the gateway says of its options, as errors of the configuration; that it cannot be reached is no advice for a server.
template <typename Function>
auto reported(Function function) {
  try {
    return function();
  } catch (const Error& error) {
    if (error.code() == Errc::bad_input || error.code() == Errc::tls) throw UsageError{error.what()};
    throw UnavailableError{error.what()};
  }
}

}  // namespace

int check_serve(const ServeFlags& flags) {
  const ServeSettings settings = read_serve_settings(flags);
  gateway::Options options = settings.gateway;
  if (options.simulated) options.upstreams = {simulated_upstream("http://127.0.0.1:1/v1", settings.simulated)};
  reported([&] { return detail::gateway::Config{options}.serves_page; });
  std::cout << describe(settings);
  if (const auto warning = own_judge_warning(settings.gateway, {})) std::cout << "note      " << one_line(*warning) << ".\n";
  std::cout << "The configuration can be used.\n";
  if (!std::cout.flush()) throw WriteError{"standard output cannot be written"};
  return exit_answered;
}

int serve(const ServeFlags& flags) {
  const ServiceSignals signals;
  return reported([&] { return Service{flags}.run(signals); });
}

}  // namespace ecso::command
