#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/error.hpp>
#include <ecso/http/curl.hpp>
#include <ecso/http/options.hpp>
#include <ecso/http/transfer.hpp>
#include <ecso/http/url.hpp>

#include <algorithm>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// A blocking HTTP client over libcurl: HTTP/1.1, and HTTP/2 where a server offers it over TLS; gzip and deflate. Connections are
/// kept and used again. Thread safe; calls run side by side. The first client initialises libcurl for the whole program
/// (curl_global_init). It raises no signals.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options = {}) : options_{std::move(options)} { detail::curl_init_once(); }

  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Posts `body` and waits for the whole response, of whatever status. Redirects are not followed. A request on a kept
  /// connection that the server has closed meanwhile is sent once more.
  /// @throws Error with `url` as endpoint: `unavailable` (no such host, refused, reset or broken off), `tls`, `timeout` (see
  /// HttpOptions, and the context's deadline), `cancelled` (within milliseconds of the stop request, but not while libcurl
  /// reads the trusted certificates, some 50 ms for a new TLS connection), `bad_reply` (not HTTP, not to be unpacked, too large,
  /// or with more than 256 KiB of headers), `bad_input` (header, CA file, client certificate, proxy or Unix socket); and what
  /// `on_body` throws. A packed body that is cut short, but complete as HTTP, is given as far as it goes: libcurl does not tell.
  [[nodiscard]] HttpResponse post(const Url& url, std::string_view body, std::span<const HttpHeader> headers = {},
                                  const CallContext& context = {}, const OnBody& on_body = {}) {
    return send(url, {.body = body, .on_body = &on_body}, headers, context);
  }

  /// Gets `url`. Otherwise as `post`.
  [[nodiscard]] HttpResponse get(const Url& url, std::span<const HttpHeader> headers = {}, const CallContext& context = {}) {
    return send(url, {.is_post = false}, headers, context);
  }

 private:
  [[nodiscard]] HttpResponse send(const Url& url, detail::HttpSend what, std::span<const HttpHeader> headers,
                                  const CallContext& context) {
    detail::Transfer transfer{options_, url.text(), context};
    detail::CurlLines lines;
    add_headers(lines, headers, url.text());
    what.headers = lines.get();
    detail::CurlSession session = take();
    transfer.run(session, what);
    put_back(std::move(session));
    return std::move(transfer).response();
  }

  static void add_headers(detail::CurlLines& lines, std::span<const HttpHeader> headers, const std::string& url) {
    lines.append("Expect:");  // libcurl would hold a large body back for a second where a server does not know "100-continue"
    for (const HttpHeader& header : headers) {
      const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; };
      const bool has_bad_name = header.name.empty() || header.name.find_first_of(": ") != std::string::npos;
      if (has_bad_name || std::ranges::any_of(header.name, is_control) || std::ranges::any_of(header.value, is_control)) {
        throw Error{Errc::bad_input, "a header's name or value has a character that it cannot have", {.endpoint = url}};
      }
      lines.append(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
    }
  }

  [[nodiscard]] detail::CurlSession take() {
    const std::lock_guard lock{mutex_};
    if (idle_.empty()) return {};
    detail::CurlSession session = std::move(idle_.back());
    idle_.pop_back();
    return session;
  }

  void put_back(detail::CurlSession session) {
    const std::lock_guard lock{mutex_};
    if (idle_.size() < options_.max_idle_connections) idle_.push_back(std::move(session));
  }

  HttpOptions options_;
  std::mutex mutex_;
  // The last one is the most recently used, whose connection is the likeliest to be alive.
  std::vector<detail::CurlSession> idle_;
};

}  // namespace ecso
