#pragma once

#include <ecso/error.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace ecso::detail::gateway {

/// An upstream's base URL, taken apart.
struct UpstreamUrl {
  bool tls = false;
  std::string host;  ///< Without brackets, lower case.
  std::uint16_t port = 0;
  std::string authority;  ///< As the Host header wants it.
  std::string path;       ///< Without a slash at its end; "/v1" where the URL has none.

  /// What `path` is without its "/v1": where a server has APIs of its own.
  [[nodiscard]] std::string_view root() const noexcept {
    const std::string_view whole = path;
    return whole.ends_with("/v1") ? whole.substr(0, whole.size() - 3) : whole;
  }
};

/// @throws Error (bad_input) that says what is wrong; it never repeats a user or a query, which may hold a key.
[[nodiscard]] inline UpstreamUrl parse_upstream_url(std::string_view text) {
  const auto fail = [](std::string_view what) { return Error{Errc::bad_input, "upstream URL: it " + std::string{what}}; };
  const auto is_odd = [](char c) { return c <= ' ' || c >= '\x7F' || c == '\\' || c == '"' || c == '<' || c == '>'; };
  if (std::ranges::any_of(text, is_odd)) throw fail("has a character that no URL has");
  UpstreamUrl url;
  if (text.starts_with("https://")) {
    url.tls = true;
  } else if (!text.starts_with("http://")) {
    throw fail("does not start with http:// or https://");
  }
  text.remove_prefix(url.tls ? 8 : 7);
  if (text.find('?') != text.npos || text.find('#') != text.npos) throw fail("has a query or a fragment");
  const std::string_view authority = text.substr(0, text.find('/'));
  if (authority.find('@') != authority.npos) throw fail("holds a user or a password; give the key by the option for the key");
  url.path = text.substr(authority.size());
  url.path.erase(url.path.find_last_not_of('/') + 1);
  if (url.path.empty()) url.path = "/v1";
  url.authority = authority;

  const bool has_brackets = authority.starts_with('[');
  const std::size_t host_end = has_brackets ? authority.find(']') : authority.find(':');
  if (has_brackets && host_end == authority.npos) throw fail("has a bracket that does not close");
  url.host = has_brackets ? authority.substr(1, host_end - 1) : authority.substr(0, host_end);
  std::ranges::transform(url.host, url.host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (url.host.empty()) throw fail("names no host");
  url.port = url.tls ? 443 : 80;
  const std::string_view rest =
      host_end == authority.npos ? std::string_view{} : authority.substr(host_end + (has_brackets ? 1 : 0));
  if (rest.empty()) return url;
  const char* const end = rest.data() + rest.size();
  const auto [stop, error] = std::from_chars(rest.data() + 1, end, url.port);
  if (rest.front() != ':' || error != std::errc{} || stop != end || url.port == 0) {
    throw fail("has a port that is not a number from 1 to 65535");
  }
  return url;
}

}  // namespace ecso::detail::gateway
