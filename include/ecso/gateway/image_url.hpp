#pragma once

#include <ecso/detail/text.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace ecso::gateway {

/// Whether an image URL may go on to the upstream, which will fetch it. Anything that one URL parser may read differently from
/// another is refused: a user, a backslash, an escaped or foreign character before the path, white space anywhere. Pure.
/// @param hosts "example.org" for the scheme's own port, or "example.org:8080"; compared without regard to case.
[[nodiscard]] inline bool is_listed_image_url(std::string_view url, const std::vector<std::string>& hosts) {
  const auto is_odd = [](char c) { return c <= ' ' || c > '~' || c == '\\'; };
  if (std::ranges::any_of(url, is_odd)) return false;
  const auto starts_with = [&](std::string_view scheme) {
    return detail::equal_ignoring_case(url.substr(0, scheme.size()), scheme);
  };
  constexpr std::string_view http = "http://";
  constexpr std::string_view https = "https://";
  const bool is_secure = starts_with(https);
  if (!is_secure && !starts_with(http)) return false;
  std::string_view authority = url.substr(is_secure ? https.size() : http.size());
  authority = authority.substr(0, authority.find_first_of("/?#"));

  std::string_view host = authority.substr(0, authority.find(':'));
  const auto is_named = [](char c) { return detail::is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'; };
  if (host.empty() || !std::ranges::all_of(host, is_named)) return false;
  const std::uint16_t own_port = is_secure ? 443 : 80;
  std::uint16_t port = own_port;
  if (host.size() < authority.size()) {
    const std::string_view digits = authority.substr(host.size() + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) return false;
  }
  const std::string with_port = std::string{host}.append(":").append(std::to_string(port));
  return std::ranges::any_of(hosts, [&](std::string_view listed) {
    return detail::equal_ignoring_case(listed, with_port) || (port == own_port && detail::equal_ignoring_case(listed, host));
  });
}

}  // namespace ecso::gateway
