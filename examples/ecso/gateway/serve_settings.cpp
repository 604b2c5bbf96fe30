#include "serve_settings.hpp"

#include "../exit_code.hpp"
#include "../files.hpp"
#include "../printing.hpp"
#include "../settings.hpp"
#include "../values.hpp"
#include "own_judge.hpp"
#include "settings_table.hpp"

#include <ecso/core/policy_json.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_keys.hpp>
#include <ecso/http/url.hpp>
#include <ecso/secret.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace ecso::command {

namespace {

using gateway::UpstreamOptions;
using PolicyPointer = std::shared_ptr<const Policy>;

/// A value and where it comes from.
struct Given {
  std::string text;
  std::string source;
};

constexpr std::size_t most_things = 10'000'000;

/// Reads one set of settings.
class Reader {
 public:
  explicit Reader(const ServeFlags& flags) : flags_{flags} {}

  ServeSettings read() {
    const auto config = find_flag("config");
    const std::string file = config ? config->text : std::string{};
    const detail::Json json = config ? parse_toml(read_settings_file(file), file) : detail::Json::object();
    folder_ = std::filesystem::path{file}.parent_path();
    SettingsTable root{json, file};
    if (json.contains("api_key")) {
      throw UsageError{root.at("api_key") +
                       ": a key does not belong here; put it in a file of its own and name that by api_key_file"};
    }
    read_policies(root);
    read_general(root);
    read_upstreams(root);
    read_routes(root);
    require_checkers(root.at("policies"));
    read_bounds(root);
    read_streams(root);
    read_images(root);
    read_rest(root);
    read_outputs(root);
    read_simulated(root);
    root.finish();
    return std::move(settings_);
  }

 private:
  gateway::Options& options() { return settings_.gateway; }

  std::optional<Given> find_flag(std::string_view name) const {
    const auto found = flags_.find(name);
    if (found == flags_.end()) return std::nullopt;
    std::string flag = "--" + found->first;
    std::ranges::replace(flag, '_', '-');
    return Given{found->second, flag};
  }

  /// A flag, or else a variable of the environment.
  std::optional<Given> find(std::string_view name) const {
    if (auto flag = find_flag(name)) return flag;
    std::string variable = "ECSO_";
    for (const char c : name) variable += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return Given{value, variable};
  }

  /// A flag, a variable, or else the text of a key.
  std::optional<Given> find(std::string_view name, SettingsTable& table, std::string_view key) const {
    std::string text;
    table.read(key, text);
    if (auto given = find(name)) return given;
    if (table.find(key) == nullptr) return std::nullopt;
    return Given{text, table.at(key)};
  }

  /// The same for a file: one that the configuration names starts at the configuration's folder.
  std::optional<Given> find_file(std::string_view name, SettingsTable& table, std::string_view key) const {
    auto given = find(name, table, key);
    if (given && !find(name)) given->text = beside_config(given->text);
    return given;
  }

  std::string beside_config(const std::string& file) const {
    if (file.empty() || file == "-") return file;
    return (folder_ / file).string();
  }

  void read_file_name(SettingsTable& table, std::string_view key, std::string& out) const {
    table.read(key, out);
    if (table.find(key) != nullptr) out = beside_config(out);
  }

  void read_policies(SettingsTable& root) {
    SettingsTable tables = root.table("policies");
    for (const std::string& name : tables.keys()) {
      const detail::Json& json = *tables.find(name);
      if (json.is_object() && json.contains("name")) {
        throw UsageError{tables.at(name) + ".name: leave it out; the policy is called " + one_line(name)};
      }
      try {
        Policy policy = policy_from_json(json, tables.at(name));
        policy.name = name;
        options().policies.push_back(std::make_shared<const Policy>(std::move(policy)));
      } catch (const Error& error) {
        const bool names_it = error.message().starts_with(tables.at(name));
        throw UsageError{names_it ? one_line(error.message()) : tables.at(name) + ": " + one_line(error.message())};
      }
    }
  }

  PolicyPointer policy_called(const std::string& name, bool is_from_config) const {
    const auto found =
        std::ranges::find_if(options_policies(), [&](const PolicyPointer& policy) { return policy->name == name; });
    if (found != options_policies().end()) return *found;
    const bool is_built_in = name == "production" || name == "paper";
    return std::make_shared<const Policy>(load_policy(is_built_in || !is_from_config ? name : beside_config(name)));
  }

  const std::vector<PolicyPointer>& options_policies() const { return settings_.gateway.policies; }

  void read_general(SettingsTable& root) {
    if (const auto listen = find("listen", root, "listen")) {
      const ListenAddress place = parse_listen_address(listen->text, listen->source);
      options().address = place.address;
      options().port = place.port;
    }
    root.read("threads", options().threads, 0, 256);
    root.read("drain_timeout", options().drain_timeout);
    if (const auto policy = find("policy", root, "policy")) options().policy = policy_called(policy->text, !find("policy"));
  }

  void read_upstreams(SettingsTable& root) {
    const detail::Json* in_file = root.find("upstream");
    const bool is_short = in_file != nullptr && in_file->is_string();
    std::vector<SettingsTable> tables;
    if (in_file != nullptr && !is_short) tables = root.tables("upstream");
    const auto key_file = find_file("api_key_file", root, "api_key_file");
    const auto dialect = find("dialect", root, "dialect");
    std::optional<Given> url = find("upstream");
    if (!url && is_short) url = find("upstream", root, "upstream");
    if (url) add_upstream({.url = url->text}, dialect, url->source);
    for (SettingsTable& table : tables) {
      // One that answers is named already; those that check stay.
      std::string name;
      table.read("name", name);
      if (!url || is_checker(name)) read_upstream(table, dialect);
    }
    options().simulated = options().upstreams.empty();
    give_key(key_file);
  }

  /// Whether a policy that is known by now has its checks made by an upstream of that name.
  bool is_checker(std::string_view name) const {
    const auto checks_there = [&](const PolicyPointer& policy) { return policy && policy->check_upstream == name; };
    const gateway::Options& known = settings_.gateway;
    return !name.empty() && (checks_there(known.policy) || std::ranges::any_of(known.policies, checks_there));
  }

  void require_checkers(const std::string& tables) {
    for (const PolicyPointer& policy : options().policies) require_checker(*policy, fmt::format("{}.{}", tables, policy->name));
    require_checker(*options().policy, "policy " + options().policy->name);
    for (const gateway::Route& route : options().routes) {
      if (route.policy) require_checker(*route.policy, "policy " + route.policy->name);
    }
  }

  void require_checker(const Policy& policy, const std::string& source) {
    if (policy.check_upstream.empty()) return;
    std::vector<std::string> known;
    for (const UpstreamOptions& upstream : options().upstreams) known.push_back(upstream.name);
    if (std::ranges::find(known, policy.check_upstream) != known.end()) return;
    const std::string advice =
        known.empty() ? "write an [[upstream]] of that name" : fmt::format("there are {}", fmt::join(known, ", "));
    throw UsageError{
        one_line(fmt::format("{}.check.upstream: there is no upstream \"{}\"; {}", source, policy.check_upstream, advice))};
  }

  /// The key that stands in no table belongs to the only upstream that answers; with several, nobody could tell to whom.
  void give_key(const std::optional<Given>& key_file) {
    std::vector<UpstreamOptions*> upstreams;
    for (UpstreamOptions& upstream : options().upstreams) {
      if (!is_checker(upstream.name)) upstreams.push_back(&upstream);
    }
    const bool is_flag = find_flag("api_key_file").has_value();
    const char* const key = std::getenv("ECSO_API_KEY");
    const bool is_variable = !is_flag && key != nullptr && *key != '\0';
    if (upstreams.size() == 1 && upstreams.front()->key.empty()) {
      if (is_variable) upstreams.front()->key = Secret::from_environment("ECSO_API_KEY");
      if (!is_variable && key_file) upstreams.front()->key = Secret::from_file(key_file->text);
    } else if (upstreams.size() > 1 && key_file) {
      throw UsageError{key_file->source + ": which of the upstreams is it for? Name it by key_file in that upstream's table"};
    }
  }

  void add_upstream(UpstreamOptions upstream, const std::optional<Given>& dialect, const std::string& source) {
    try {
      upstream.url = Url::parse(upstream.url).text();
    } catch (const Error& error) {
      throw UsageError{fmt::format("{}: {}; write http://HOST:PORT/v1", source, error.message())};
    }
    // What is reached by TLS is, as a rule, a service with more room than one machine, until it says that it has none.
    if (upstream.url.starts_with("https:")) upstream.first_in_flight = upstream.max_connections;
    const auto known = dialect ? parse_dialect(dialect->text, dialect->source) : std::nullopt;
    if (known) upstream.dialect = *known;
    if (!known) settings_.ask_dialect.push_back(options().upstreams.size());
    options().upstreams.push_back(std::move(upstream));
  }

  void read_upstream(SettingsTable& table, std::optional<Given> dialect) {
    UpstreamOptions upstream;
    std::string key_variable;
    std::string key_file;
    table.read("name", upstream.name);
    table.read("url", upstream.url);
    read_file_name(table, "key_file", key_file);
    table.read("key_variable", key_variable);
    if (std::string own; table.find("dialect") != nullptr) {
      table.read("dialect", own);
      dialect = Given{own, table.at("dialect")};
    }
    read_file_name(table, "ca_file", upstream.ca_file);
    table.read("verify_certificate", upstream.verify_certificate);
    table.read("connect_timeout", upstream.connect_timeout);
    table.read("first_byte_timeout", upstream.first_byte_timeout);
    table.read("between_bytes_timeout", upstream.between_bytes_timeout);
    table.read("max_connections", upstream.max_connections, 1, most_things);
    table.read_or_auto("max_in_flight", upstream.max_in_flight, most_things);
    table.read("idle_timeout", upstream.idle_timeout);
    table.read("down_time", upstream.down_time);
    table.read("model", upstream.check_model);
    if (bool vision = true; table.find("vision") != nullptr) {
      table.read("vision", vision);
      upstream.check_vision = vision;
    }
    table.finish();
    if (!key_file.empty() && !key_variable.empty()) throw UsageError{table.at("key_variable") + ": there is a key_file too"};
    if (!key_file.empty()) upstream.key = Secret::from_file(key_file);
    if (!key_variable.empty()) upstream.key = Secret::from_environment(key_variable);
    const auto is_same = [&](const UpstreamOptions& other) { return other.name == upstream.name; };
    if (std::ranges::any_of(options().upstreams, is_same)) {
      throw UsageError{fmt::format("{}: \"{}\" stands twice", table.at("name"), one_line(upstream.name))};
    }
    add_upstream(std::move(upstream), dialect, table.at("url"));
  }

  void read_routes(SettingsTable& root) {
    for (SettingsTable& table : root.tables("route")) {
      gateway::Route route;
      std::string policy;
      table.read("model", route.model);
      table.read("upstreams", route.upstreams);
      table.read("policy", policy);
      table.finish();
      for (const std::string& name : route.upstreams) {
        const auto is_it = [&](const UpstreamOptions& upstream) { return upstream.name == name; };
        if (std::ranges::any_of(options().upstreams, is_it)) continue;
        throw UsageError{fmt::format("{}: there is no upstream \"{}\"", table.at("upstreams"), one_line(name))};
      }
      if (!policy.empty()) route.policy = policy_called(policy, true);
      options().routes.push_back(std::move(route));
    }
  }

  void read_bounds(SettingsTable& root) {
    SettingsTable table = root.table("bounds");
    gateway::Bounds& bounds = options().bounds;
    table.read_size("max_header_bytes", bounds.max_header_bytes);
    table.read_size("max_body_bytes", bounds.max_body_bytes);
    table.read_size("max_buffered_bytes", bounds.max_buffered_bytes);
    table.read("max_connections", bounds.max_connections, 1, most_things);
    table.read_or_auto("max_in_flight", bounds.max_in_flight, most_things);
    table.read("max_queued", bounds.max_queued, 0, most_things);
    table.read("header_timeout", bounds.header_timeout);
    table.read("body_timeout", bounds.body_timeout);
    table.read("idle_timeout", bounds.idle_timeout);
    table.read("write_timeout", bounds.write_timeout);
    table.read("queue_timeout", bounds.queue_timeout);
    table.read("requests_per_second", bounds.requests_per_second, 0, 1e9);
    table.read("burst", bounds.burst, 0, 1e9);
    table.read("max_choices", options().chat.max_choices, 1, 128);
    table.read("max_depth", options().chat.max_depth, 8, 1024);
    table.finish();
  }

  void read_streams(SettingsTable& root) {
    using gateway::OnHarm;
    using gateway::StreamMode;
    SettingsTable table = root.table("stream");
    if (const auto mode = find("stream", table, "mode")) {
      options().stream =
          choose<StreamMode>(mode->text, mode->source, {{"hold", StreamMode::hold}, {"window", StreamMode::window}});
    }
    if (std::string on_harm; table.find("on_harm") != nullptr) {
      table.read("on_harm", on_harm);
      options().on_harm = choose<OnHarm>(on_harm, table.at("on_harm"),
                                         {{"stop", OnHarm::stop}, {"replace", OnHarm::replace}, {"end", OnHarm::end}});
    }
    table.read_size("lookahead_bytes", options().lookahead_bytes);
    table.read("keep_alive", options().keep_alive);
    table.read("begin_after", options().begin_after);
    table.finish();
  }

  void read_images(SettingsTable& root) {
    SettingsTable table = root.table("images");
    gateway::ChatLimits& chat = options().chat;
    table.read("max", chat.max_images, 0, 1024);
    table.read_size("max_bytes", chat.image.max_bytes);
    std::size_t max_pixels = chat.image.max_pixels;
    table.read("max_pixels", max_pixels, 1, std::size_t{1} << 40);
    chat.image.max_pixels = max_pixels;
    table.read("hosts", chat.image_hosts);
    table.finish();
  }

  void read_rest(SettingsTable& root) {
    SettingsTable overrides = root.table("overrides");
    overrides.read("policy", options().overrides.policy);
    overrides.read("stream", options().overrides.stream_mode);
    overrides.finish();

    SettingsTable tls = root.table("tls");
    read_file_name(tls, "certificate_file", options().certificate_file);
    read_file_name(tls, "private_key_file", options().private_key_file);
    tls.finish();
    if (options().certificate_file.empty() != options().private_key_file.empty()) {
      throw UsageError{tls.at("certificate_file") + " and private_key_file go together"};
    }

    SettingsTable clients = root.table("clients");
    if (const auto keys = find_file("client_keys", clients, "keys_file")) {
      try {
        options().keys = gateway::read_client_keys(read_settings_file(keys->text));
      } catch (const Error& error) {
        throw UsageError{fmt::format("{}: {}", one_line(keys->text), error.message())};
      }
      // An empty file must not open the door.
      if (options().keys.empty()) throw UsageError{one_line(keys->text) + ": there is no key in it; nobody could come in"};
    }
    clients.read("trust_system_turns", options().trust_system_turns);
    clients.finish();

    SettingsTable page = root.table("page");
    if (bool enabled = false; page.find("enabled") != nullptr) {
      page.read("enabled", enabled);
      options().page = enabled;
    }
    page.finish();

    SettingsTable cors = root.table("cors");
    cors.read("origins", options().allowed_origins);
    cors.finish();
  }

  void read_outputs(SettingsTable& root) {
    SettingsTable log = root.table("log");
    if (const auto file = find_file("log", log, "file")) settings_.log.file = file->text;
    if (const auto level = find("log_level", log, "level")) {
      settings_.log.level = choose<LogLevel>(level->text, level->source,
                                             {{"debug", LogLevel::debug},
                                              {"info", LogLevel::info},
                                              {"warn", LogLevel::warn},
                                              {"error", LogLevel::error},
                                              {"off", LogLevel::off}});
    }
    log.read("content", settings_.log.content);
    log.finish();

    SettingsTable audit = root.table("audit");
    if (const auto file = find_file("audit", audit, "file")) settings_.audit.file = file->text;
    audit.read("content", settings_.audit.content);
    audit.finish();
  }

  void read_simulated(SettingsTable& root) {
    SettingsTable table = root.table("simulated");
    SimulatedServerOptions& simulated = settings_.simulated;
    simulated.delay = std::chrono::milliseconds{300};
    simulated.words_per_second = 40;
    table.read("delay", simulated.delay);
    table.read("words_per_second", simulated.words_per_second, 0, 1e6);
    table.read("jailbroken_by_image", simulated.model.jailbroken_by_image, 0, 1);
    table.read("self_check_right", simulated.model.self_check_right, 0, 1);
    table.read("caption_leaks", simulated.model.caption_leaks, 0, 1);
    std::size_t seed = simulated.model.seed;
    table.read("seed", seed, 0, most_things);
    simulated.model.seed = seed;
    table.finish();
  }

  const ServeFlags& flags_;
  std::filesystem::path folder_;
  ServeSettings settings_;
};

std::string describe_policy(const Policy& policy) {
  std::string text = policy.name;
  std::vector<std::string_view> gaps;
  if (policy.undecided == Verdict::safe) gaps.emplace_back("an undecided verdict passes");
  if (policy.recheck == Recheck::off) gaps.emplace_back("eyes-closed answers are not checked");
  if (policy.text_only == TextOnly::pass) gaps.emplace_back("chats without images are not checked");
  if (!policy.check_upstream.empty()) text += fmt::format(", checks by the upstream {}", policy.check_upstream);
  if (!gaps.empty()) text += fmt::format(" (less than full protection: {})", fmt::join(gaps, "; "));
  return one_line(text);
}

/// How many calls an upstream gets at once.
std::string describe_in_flight(const gateway::Options& options, const UpstreamOptions& upstream) {
  if (upstream.max_in_flight > 0) return fmt::format("at most {} calls of {} at once", upstream.max_in_flight, upstream.name);
  if (options.bounds.max_in_flight > 0) return fmt::format("at most {} requests at once", options.bounds.max_in_flight);
  if (upstream.slots > 0) return fmt::format("at most {} calls of {} at once, its slots", upstream.slots, upstream.name);
  return fmt::format("as many calls of {} at once as it has slots, or does best with", upstream.name);
}

std::string names_of(const std::vector<std::string>& names) {
  return names.empty() ? "all upstreams" : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

ListenAddress parse_listen_address(std::string_view text, std::string_view source) {
  const std::size_t colon = std::min(text.rfind(':'), text.size());
  std::string_view address = text.substr(0, colon);
  const bool is_bracketed = address.starts_with('[') && address.ends_with(']');
  if (is_bracketed) address = address.substr(1, address.size() - 2);
  if (colon == text.size() || address.empty() || (!is_bracketed && address.find(':') != std::string_view::npos)) {
    throw UsageError{fmt::format("{}: \"{}\" is not ADDRESS:PORT, such as 127.0.0.1:8800 or [::1]:8800", source, one_line(text))};
  }
  const std::size_t port = parse_number(text.substr(colon + 1), source, 0, 65'535);
  return {std::string{address == "localhost" ? "127.0.0.1" : address}, static_cast<std::uint16_t>(port)};
}

ServeSettings read_serve_settings(const ServeFlags& flags) {
  try {
    return Reader{flags}.read();
  } catch (const Error& error) {
    throw UsageError{error.what()};
  }
}

std::string describe(const ServeSettings& settings) {
  const gateway::Options& options = settings.gateway;
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<10}{}\n", name, one_line(value));
  };
  const bool is_v6 = options.address.find(':') != std::string::npos;
  line("listen", fmt::format("{}://{}{}{}:{}", options.certificate_file.empty() ? "http" : "https", is_v6 ? "[" : "",
                             options.address, is_v6 ? "]" : "", options.port));
  if (options.simulated) line("upstream", "none: the built-in simulated model answers");
  for (std::size_t i = 0; i < options.upstreams.size() && !options.simulated; ++i) {
    const UpstreamOptions& upstream = options.upstreams[i];
    const bool is_asked = std::ranges::find(settings.ask_dialect, i) != settings.ask_dialect.end();
    line("upstream",
         fmt::format("{}: {}{}{}{}{}", upstream.name, upstream.url, is_checker(options, upstream.name) ? ", for checks" : "",
                     upstream.key.empty() ? "" : ", with a key", is_asked ? ", to be asked what it understands" : "",
                     upstream.verify_certificate ? "" : ", CERTIFICATE NOT VERIFIED"));
    line("in flight", describe_in_flight(options, upstream));
  }
  for (const gateway::Route& route : options.routes) {
    line("route", fmt::format("{}: {}{}", route.model, names_of(route.upstreams),
                              route.policy ? ", policy " + describe_policy(*route.policy) : ""));
  }
  line("policy", describe_policy(*options.policy));
  line("clients",
       fmt::format("{}{}", options.keys.empty() ? "everybody may come in" : fmt::format("{} with keys", options.keys.size()),
                   options.trust_system_turns ? "; checks trust their system turns" : ""));
  line("streams", options.stream == gateway::StreamMode::hold ? "held until verified" : "released by window");
  line("log", settings.log.file == "-" ? "standard error" : settings.log.file);
  if (!settings.audit.file.empty())
    line("audit", settings.audit.file + (settings.audit.content ? ", with content" : ", hashes only"));
  return text;
}

}  // namespace ecso::command
