#pragma once

#include <ecso/core/check_input.hpp>
#include <ecso/detail/gateway/upstream_url.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/client_keys.hpp>
#include <ecso/gateway/options.hpp>
#include <ecso/gateway/rate_limit.hpp>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::detail::gateway {

/// Options that were checked, with what follows from them. Does not change; all threads share it.
struct Config {
  /// @throws Error (bad_input, tls) that names the option.
  explicit Config(ecso::gateway::Options given)
      : options{std::make_shared<const ecso::gateway::Options>(std::move(given))},
        keys{options->keys},
        rate{options->bounds.requests_per_second, options->bounds.burst} {
    check();
    if (!options->certificate_file.empty()) tls = server_context();
    error_code not_an_address;
    const auto address = boost::asio::ip::make_address(options->address, not_an_address);
    if (not_an_address) throw bad("address: \"" + options->address + "\" is not an IP address");
    serves_page = options->page.value_or(address.is_loopback());
  }

  std::shared_ptr<const ecso::gateway::Options> options;
  ecso::gateway::ClientKeys keys;
  mutable ecso::gateway::RateLimit rate;
  std::shared_ptr<boost::asio::ssl::context> tls;
  bool serves_page = false;

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
  using error_code = boost::system::error_code;

  [[nodiscard]] static Error bad(const std::string& what) { return Error{Errc::bad_input, "gateway: " + what}; }

  void check() const {
    const auto& o = *options;
    if (o.upstreams.empty()) throw bad("no upstream");
    if (!o.policy) throw bad("policy: none");
    check_policy(*o.policy);
    for (const auto& policy : o.policies) {
      if (!policy) throw bad("policies: one of them is null");
      check_policy(*policy);
    }
    std::set<std::string_view> names;
    for (const auto& upstream : o.upstreams) {
      if (upstream.name.empty()) throw bad("upstream: a name is empty");
      if (!names.insert(upstream.name).second) throw bad("upstream: the name " + upstream.name + " stands twice");
      static_cast<void>(parse_upstream_url(upstream.url));
      if (upstream.max_connections == 0) throw bad("upstream " + upstream.name + ": max_connections is 0");
    }
    for (const auto& route : o.routes) {
      if (route.model.empty() || route.model.find('*') < route.model.size() - 1) {
        throw bad("route: model \"" + route.model + "\" is neither a name nor a beginning with one \"*\" at its end");
      }
      for (const std::string& name : route.upstreams) {
        if (!names.contains(name)) throw bad("route " + route.model + ": there is no upstream " + name);
      }
      if (route.policy) check_policy(*route.policy);
    }
    const auto& b = o.bounds;
    if (b.max_header_bytes < 256 || b.max_header_bytes > (std::size_t{1} << 20))
      throw bad("bounds: max_header_bytes ranges from 256 to 1 MiB");
    if (b.max_body_bytes == 0 || b.max_body_bytes > (std::size_t{2} << 30))
      throw bad("bounds: max_body_bytes ranges from 1 to 2 GiB");
    if (b.max_buffered_bytes < b.max_body_bytes && b.max_buffered_bytes < 64 * 1024)
      throw bad("bounds: max_buffered_bytes is below 64 KiB");
    if (b.max_connections == 0 || b.max_in_flight == 0) throw bad("bounds: max_connections and max_in_flight are at least 1");
    if (o.threads > 256) throw bad("threads: at most 256");
    if (o.certificate_file.empty() != o.private_key_file.empty())
      throw bad("TLS needs both certificate_file and private_key_file");
    if (o.chat.max_choices == 0 || o.chat.max_depth < 8) throw bad("chat: max_choices is at least 1, max_depth at least 8");
  }

  [[nodiscard]] std::shared_ptr<boost::asio::ssl::context> server_context() const {
    auto context = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    error_code error;
    context->use_certificate_chain_file(options->certificate_file, error);
    if (error) throw Error{Errc::tls, "certificate_file: " + error.message(), {.endpoint = options->certificate_file}};
    context->use_private_key_file(options->private_key_file, boost::asio::ssl::context::pem, error);
    if (error) throw Error{Errc::tls, "private_key_file: " + error.message(), {.endpoint = options->private_key_file}};
    return context;
  }
};

}  // namespace ecso::detail::gateway
