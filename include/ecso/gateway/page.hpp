#pragma once

#include <ecso/detail/base64.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/gateway/page_html.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace ecso::detail {

/// What stands between `open` and the first `close` after it; empty if one of them is missing.
[[nodiscard]] inline std::string_view between(std::string_view text, std::string_view open, std::string_view close) noexcept {
  const std::size_t begin = text.find(open);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = text.substr(begin + open.size());
  const std::size_t size = rest.find(close);
  return size == std::string_view::npos ? std::string_view{} : rest.substr(0, size);
}

/// A source expression of a Content-Security-Policy that allows exactly this inline text: "'sha256-…'".
[[nodiscard]] inline std::string csp_hash(std::string_view text) {
  const std::string hex = sha256_hex(text);
  const auto digit = [&](std::size_t at) { return hex[at] <= '9' ? hex[at] - '0' : hex[at] - 'a' + 10; };
  std::array<char, 32> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(digit(2 * i) * 16 + digit(2 * i + 1));
  std::string encoded(base64_encoded_size(bytes.size()), '\0');
  base64_encode_to({bytes.data(), bytes.size()}, encoded.data());
  return "'sha256-" + encoded + "'";
}

}  // namespace ecso::detail

namespace ecso::gateway {

/// A header field of a response.
struct PageHeader {
  std::string_view name;
  std::string value;
};

/// The headers to serve the page with, `Content-Type` included. They let it run its own script, talk to its own origin and show
/// images that it has already, and nothing else: no markup made of strings, no frame around it, no other page with a hand on it.
/// Made once; thread safe.
[[nodiscard]] inline const std::array<PageHeader, 8>& page_security_headers() {
  static const std::array<PageHeader, 8> headers{{
      {"Content-Type", "text/html; charset=utf-8"},
      {"Content-Security-Policy", "default-src 'none'; script-src " +
                                      detail::csp_hash(detail::between(page_html, "<script>", "</script>")) + "; style-src " +
                                      detail::csp_hash(detail::between(page_html, "<style>", "</style>")) +
                                      "; img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                                      "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      // Not "no-store": that would take the history of the tab from whoever goes back to it.
      {"Cache-Control", "no-cache"},
  }};
  return headers;
}

}  // namespace ecso::gateway
