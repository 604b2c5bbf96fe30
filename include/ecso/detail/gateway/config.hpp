#pragma once

#include <ecso/detail/gateway/served_policies.hpp>
#include <ecso/detail/gateway/tls.hpp>
#include <ecso/detail/gateway/upstream_url.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_keys.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/gateway/rate_limit.hpp>

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// Options that were checked, with what follows from them. Does not change; all threads share it.
struct Config {
  /// @throws Error (bad_input, tls) that names the option.
  explicit Config(ecso::gateway::Options given)
      : options{std::make_shared<const ecso::gateway::Options>(std::move(given))}, keys{options->keys}, policies{*options} {
    check();
    find_checkers();
    if (!options->certificate_file.empty()) tls = server_tls(*options);
    for (const auto& upstream : options->upstreams) {
      upstream_urls.push_back(parse_upstream_url(upstream.url));
      upstream_tls.push_back(upstream_urls.back().tls ? client_tls(upstream) : nullptr);
    }
    boost::system::error_code not_an_address;
    const auto address = boost::asio::ip::make_address(options->address, not_an_address);
    if (not_an_address) throw bad("address: \"" + options->address + "\" is not an IP address");
    serves_page = options->page.value_or(address.is_loopback());
  }

  std::shared_ptr<const ecso::gateway::Options> options;
  ecso::gateway::ClientKeys keys;
  ServedPolicies policies;
  TlsContext tls;
  std::vector<UpstreamUrl> upstream_urls;  ///< One an upstream.
  std::vector<TlsContext> upstream_tls;    ///< The same; null for plain HTTP.
  bool serves_page = false;
  std::set<std::string, std::less<>> checkers;  ///< Upstreams that policies name for their checks.

  /// Whether an upstream answers clients: one that checks alone does not.
  [[nodiscard]] bool answers(std::string_view upstream) const {
    const auto names_it = [&](const std::string& name) { return name == upstream; };
    return !checkers.contains(upstream) || std::ranges::any_of(options->routes, [&](const ecso::gateway::Route& route) {
      return std::ranges::any_of(route.upstreams, names_it);
    });
  }

  /// The policies that a request may be served with.
  [[nodiscard]] std::vector<std::shared_ptr<const Policy>> policies_in_use() const {
    std::vector<std::shared_ptr<const Policy>> used;
    const auto is_whole = [](const ecso::gateway::Route& route) { return route.policy == nullptr; };
    if (options->routes.empty() || std::ranges::any_of(options->routes, is_whole)) used.push_back(options->policy);
    for (const auto& route : options->routes) {
      if (route.policy) used.push_back(route.policy);
    }
    if (options->overrides.policy) used.insert(used.end(), options->policies.begin(), options->policies.end());
    return used;
  }

  /// The policy that `x-ecso-policy` names; null if there is none of that name.
  [[nodiscard]] std::shared_ptr<const Policy> policy_named(std::string_view name) const {
    const auto is_it = [&](const auto& policy) { return policy->name == name; };
    const auto found = std::ranges::find_if(options->policies, is_it);
    return found == options->policies.end() ? nullptr : *found;
  }

  [[nodiscard]] const ecso::gateway::Route* route_of(std::string_view model) const {
    const auto matches = [&](const ecso::gateway::Route& route) {
      const std::string_view pattern = route.model;
      if (pattern.ends_with('*')) return model.starts_with(pattern.substr(0, pattern.size() - 1));
      return model == pattern;
    };
    const auto found = std::ranges::find_if(options->routes, matches);
    return found == options->routes.end() ? nullptr : &*found;
  }

 private:
  [[nodiscard]] static Error bad(const std::string& what) { return Error{Errc::bad_input, "gateway: " + what}; }

  void find_checkers() {
    const auto add = [&](const std::shared_ptr<const Policy>& policy) {
      const std::string& name = policy->check_upstream;
      if (name.empty()) return;
      if (std::ranges::find(options->upstreams, name, &ecso::gateway::UpstreamOptions::name) == options->upstreams.end()) {
        std::string known;
        for (const auto& upstream : options->upstreams) known.append(known.empty() ? "" : ", ").append(upstream.name);
        throw bad("policy " + policy->name + ": check.upstream: there is no upstream \"" + name + "\"; there are " + known);
      }
      checkers.insert(name);
    };
    add(options->policy);
    for (const auto& policy : options->policies) add(policy);
    for (const auto& route : options->routes) {
      if (route.policy) add(route.policy);
    }
    const auto answers_all = [&](const ecso::gateway::UpstreamOptions& upstream) { return !checkers.contains(upstream.name); };
    const auto wants_all = [](const ecso::gateway::Route& route) { return route.upstreams.empty(); };
    const bool is_any_wanted = options->routes.empty() || std::ranges::any_of(options->routes, wants_all);
    if (is_any_wanted && std::ranges::none_of(options->upstreams, answers_all)) {
      throw bad(
          "upstream: every one is named by a policy's check.upstream, so none answers; add the one that does, or name one in "
          "the upstreams of each route");
    }
    for (const auto& upstream : options->upstreams) {
      const bool is_set = !upstream.check_model.empty() || upstream.check_vision.has_value();
      if (!is_set || checkers.contains(upstream.name)) continue;
      throw bad("upstream " + upstream.name +
                ": model and vision are for one that a policy's check.upstream names; clients say which model answers");
    }
  }

  void check() const {
    const auto& o = *options;
    if (o.upstreams.empty()) throw bad("no upstream");
    std::set<std::string_view> names;
    for (const auto& upstream : o.upstreams) {
      if (upstream.name.empty()) throw bad("upstream: a name is empty");
      if (!names.insert(upstream.name).second) throw bad("upstream: the name " + upstream.name + " stands twice");
      if (upstream.max_connections == 0) throw bad("upstream " + upstream.name + ": max_connections is 0");
      if (upstream.first_in_flight == 0) throw bad("upstream " + upstream.name + ": first_in_flight is 0");
    }
    for (const auto& route : o.routes) {
      if (route.model.empty() || route.model.find('*') < route.model.size() - 1) {
        throw bad("route: model \"" + route.model + "\" is neither a name nor a beginning with one \"*\" at its end");
      }
      for (const std::string& name : route.upstreams) {
        if (!names.contains(name)) throw bad("route " + route.model + ": there is no upstream " + name);
      }
    }
    check_bounds(o.bounds);
    if (o.threads > 256) throw bad("threads: at most 256");
    if (o.certificate_file.empty() != o.private_key_file.empty())
      throw bad("TLS needs both certificate_file and private_key_file");
    if (o.chat.max_choices == 0 || o.chat.max_depth < 8) throw bad("chat: max_choices is at least 1, max_depth at least 8");
  }

  static void check_bounds(const ecso::gateway::Bounds& b) {
    if (b.max_header_bytes < 256 || b.max_header_bytes > (std::size_t{1} << 20))
      throw bad("bounds: max_header_bytes ranges from 256 to 1 MiB");
    if (b.max_body_bytes == 0 || b.max_body_bytes > (std::size_t{2} << 30))
      throw bad("bounds: max_body_bytes ranges from 1 to 2 GiB");
    if (b.max_buffered_bytes < 64 * 1024) throw bad("bounds: max_buffered_bytes is below 64 KiB");
    if (b.max_connections == 0) throw bad("bounds: max_connections is at least 1");
    static_cast<void>(ecso::gateway::RateLimit{b.requests_per_second, b.burst});
  }
};

}  // namespace ecso::detail::gateway
