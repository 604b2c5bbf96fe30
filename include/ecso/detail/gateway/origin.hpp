#pragma once

#include <ecso/detail/text.hpp>

#include <boost/asio/ip/address.hpp>
#include <boost/system/error_code.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// Who asks, as far as browsers tell. Pure.
namespace ecso::detail::gateway {

/// The host of "host", "host:port" or "[address]:port", without brackets.
[[nodiscard]] inline std::string_view host_without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, std::min(host.find(']'), host.size()) - 1);
  return host.substr(0, host.find(':'));
}

/// Whether a Host header names this machine. A page elsewhere can have its own name resolve to it, and then counts for browsers
/// as of the same origin; it cannot make them send another name.
[[nodiscard]] inline bool is_loopback_host(std::string_view host) {
  const std::string_view name = host_without_port(host);
  if (equal_ignoring_case(name, "localhost")) return true;
  boost::system::error_code not_an_address;
  const auto address = boost::asio::ip::make_address(std::string{name}, not_an_address);
  return !not_an_address && address.is_loopback();
}

/// Whether a page of this origin may ask: that which was served here, or one that is listed.
/// @param origin of the header, such as "https://example.org:8443".
[[nodiscard]] inline bool is_allowed_origin(std::string_view origin, std::string_view host,
                                            const std::vector<std::string>& listed) {
  const std::size_t scheme_end = origin.find("://");
  const bool is_own = scheme_end != origin.npos && equal_ignoring_case(origin.substr(scheme_end + 3), host);
  return is_own || std::ranges::any_of(listed, [&](const std::string& one) { return one == "*" || one == origin; });
}

/// What a rate is kept of: an address, or the network of an IPv6 address, of which one client has all.
[[nodiscard]] inline std::string rate_name(const boost::asio::ip::address& address) {
  if (!address.is_v6() || address.to_v6().is_v4_mapped()) return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return boost::asio::ip::make_address_v6(bytes).to_string() + "/64";
}

}  // namespace ecso::detail::gateway
