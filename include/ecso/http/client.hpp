#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/error.hpp>
#include <ecso/http/curl.hpp>
#include <ecso/http/url.hpp>

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// Whether a server must prove by its certificate that it is the one the URL names.
enum class TlsVerify {
  full,  ///< It must.
  none,  ///< Anybody on the way may read the key and change the answers: for tests only.
};

/// How an HttpClient connects and waits.
struct HttpOptions {
  /// Time for name, connection and TLS handshake. Zero: libcurl's own, 300 s.
  std::chrono::milliseconds connect_timeout{10'000};
  /// Time for one call, connection included. Zero: no limit but the call's deadline.
  std::chrono::milliseconds call_timeout{300'000};
  /// A longer response is an error, known as soon as its length is.
  std::size_t max_response_bytes = std::size_t{16} * 1024 * 1024;
  std::size_t max_idle_connections = 16;  ///< Connections kept for later calls; more calls than that at once are fine.
  std::string ca_file = {};               ///< PEM file of the certificates to trust; empty: the system's.
  TlsVerify verify = TlsVerify::full;
  std::string user_agent = "ecso";
  /// Proxy URL; "": none; not set: http_proxy, https_proxy, no_proxy of the environment.
  std::optional<std::string> proxy = std::nullopt;
};

/// One header line. Neither part may hold a control character.
struct HttpHeader {
  std::string name;
  std::string value;
};

/// What a server answered.
struct HttpResponse {
  int status = 0;
  std::string body = {};
  std::string content_type = {};                                        ///< As sent; empty if it was not.
  std::string location = {};                                            ///< Where a redirect (status 3xx) points to.
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;  ///< Of the Retry-After header, seconds or date.
};

/// A blocking HTTP client over libcurl: HTTP/1.1, and HTTP/2 where a server offers it over TLS. Connections are kept and used
/// again. Thread safe; calls run side by side. The first client initialises libcurl for the whole program (curl_global_init). It
/// raises no signals.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options = {}) : options_{std::move(options)} { detail::curl_init_once(); }

  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Posts `body` and waits for the whole response, of whatever status. Redirects are not followed. A request on a kept
  /// connection that the server has closed meanwhile is sent once more.
  /// @throws Error with `url` as endpoint: `unavailable` (no such host, refused, reset or broken off), `tls`, `timeout` (of the
  /// connection, the call or the context's deadline), `cancelled` (within milliseconds of the stop request, but not while libcurl
  /// reads the trusted certificates, some 50 ms for a new TLS connection), `bad_reply` (not HTTP, or too large), `bad_input`
  /// (header or CA file).
  [[nodiscard]] HttpResponse post(const Url& url, std::string_view body, std::span<const HttpHeader> headers = {},
                                  const CallContext& context = {}) {
    Transfer transfer{options_, url.text(), context};
    detail::CurlLines lines;
    add_headers(lines, headers, url.text());
    detail::CurlSession session = take();
    transfer.run(session, body, lines.get());
    put_back(std::move(session));
    return std::move(transfer).response();
  }

 private:
  /// One call. Pinned: libcurl holds its address.
  class Transfer {
   public:
    Transfer(const HttpOptions& options, const std::string& url, const CallContext& context)
        : options_{options}, url_{url}, context_{context} {}
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    /// Leaves `session` fit for another call, or throws.
    void run(detail::CurlSession& session, std::string_view body, curl_slist* headers) {
      CURL* easy = session.easy();
      session.reset();
      set_options(easy, body, headers);
      const CURLcode result = wait(session);
      if (result != CURLE_OK) fail(easy, result);
      read_head(easy);
      session.reset();  // the header lines, with the key, do not outlive the call
    }

    [[nodiscard]] HttpResponse response() && { return std::move(response_); }

   private:
    using Clock = std::chrono::steady_clock;

    void set_options(CURL* easy, std::string_view body, curl_slist* headers) {
      using detail::set;
      set(easy, CURLOPT_URL, url_.c_str());
      set(easy, CURLOPT_POST, 1L);
      set(easy, CURLOPT_POSTFIELDS, body.data() == nullptr ? "" : body.data());
      set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      set(easy, CURLOPT_HTTPHEADER, headers);
      set(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
      set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
      set(easy, CURLOPT_FOLLOWLOCATION, 0L);
      set(easy, CURLOPT_NOSIGNAL, 1L);
      set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
      set(easy, CURLOPT_ERRORBUFFER, error_text_);
      set(easy, CURLOPT_WRITEFUNCTION, &Transfer::write);
      set(easy, CURLOPT_WRITEDATA, this);
      set(easy, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(options_.max_response_bytes));
      set(easy, CURLOPT_CONNECTTIMEOUT_MS, clamped(options_.connect_timeout));
      set(easy, CURLOPT_TIMEOUT_MS, clamped(time_left()));
      set(easy, CURLOPT_SSL_VERIFYPEER, options_.verify == TlsVerify::full ? 1L : 0L);
      set(easy, CURLOPT_SSL_VERIFYHOST, options_.verify == TlsVerify::full ? 2L : 0L);
      if (!options_.ca_file.empty()) set(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
      if (options_.proxy) set(easy, CURLOPT_PROXY, options_.proxy->c_str());
#if LIBCURL_VERSION_NUM >= 0x075700
      set(easy, CURLOPT_QUICK_EXIT, 1L);  // a cancelled call does not wait for its name to be resolved
#endif
      easy_ = easy;
    }

    [[nodiscard]] CURLcode wait(detail::CurlSession& session) {
      CURLM* multi = session.multi();
      const std::stop_callback wake_up{context_.stop, [multi] { curl_multi_wakeup(multi); }};
      const detail::CurlAttached attached{multi, easy_};
      for (;;) {
        int running = 0;
        detail::check(curl_multi_perform(multi, &running));
        int left = 0;
        if (const CURLMsg* message = curl_multi_info_read(multi, &left)) return message->data.result;
        if (context_.stop.stop_requested()) throw error(Errc::cancelled, "cancelled");
        constexpr int longest_wait_ms = 1000;
        detail::check(curl_multi_poll(multi, nullptr, 0, longest_wait_ms, nullptr));
      }
    }

    /// What is left for this call; zero: no limit.
    [[nodiscard]] std::chrono::milliseconds time_left() {
      if (context_.stop.stop_requested()) throw error(Errc::cancelled, "cancelled before the call started");
      limit_ = options_.call_timeout;
      if (!context_.deadline) return limit_;
      const auto rest = std::chrono::ceil<std::chrono::milliseconds>(*context_.deadline - Clock::now());
      if (rest.count() <= 0) throw error(Errc::timeout, "the deadline passed before the call started");
      if (limit_.count() > 0 && limit_ <= rest) return limit_;
      is_deadline_ = true;
      return limit_ = rest;
    }

    [[nodiscard]] static long clamped(std::chrono::milliseconds time) {
      // libcurl adds its times up.
      constexpr std::chrono::milliseconds::rep longest = std::numeric_limits<int>::max() / 2;
      return static_cast<long>(std::clamp<std::chrono::milliseconds::rep>(time.count(), 0, longest));
    }

    static std::size_t write(char* data, std::size_t size, std::size_t count, void* self) noexcept {
      auto& transfer = *static_cast<Transfer*>(self);
      std::string& body = transfer.response_.body;
      const std::size_t limit = transfer.options_.max_response_bytes;
      if (count * size > limit - body.size()) {
        transfer.is_too_large_ = true;
        return 0;
      }
      try {
        if (body.empty()) body.reserve(transfer.announced_size(limit));
        body.append(data, count * size);
      } catch (...) {
        return 0;
      }
      return count * size;
    }

    /// The Content-Length, not more than `limit`; 0 if the server gave none.
    [[nodiscard]] std::size_t announced_size(std::size_t limit) const {
      curl_off_t size = 0;
      curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
      return size <= 0 ? 0 : std::min(static_cast<std::size_t>(size), limit);
    }

    void read_head(CURL* easy) {
      response_.status = status(easy);
      const auto text = [&](CURLINFO which) -> std::string {
        const char* value = nullptr;
        curl_easy_getinfo(easy, which, &value);
        return value == nullptr ? "" : value;
      };
      response_.content_type = text(CURLINFO_CONTENT_TYPE);
      response_.location = text(CURLINFO_REDIRECT_URL);
      curl_off_t seconds = 0;
      curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
      constexpr curl_off_t a_year = curl_off_t{365} * 24 * 3600;
      if (seconds > 0) response_.retry_after = std::chrono::seconds{std::min(seconds, a_year)};
    }

    [[nodiscard]] static int status(CURL* easy) {
      long value = 0;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &value);
      return static_cast<int>(value);
    }

    [[nodiscard]] Error error(Errc code, std::string message, int http_status = 0) const {
      return Error{code, std::move(message), {.endpoint = url_, .http_status = http_status}};
    }

    [[noreturn]] void fail(CURL* easy, CURLcode result) const {
      if (is_too_large_ || result == CURLE_FILESIZE_EXCEEDED) {
        throw error(Errc::bad_reply, fmt::format("the response is larger than {} bytes", options_.max_response_bytes),
                    status(easy));
      }
      if (result == CURLE_OPERATION_TIMEDOUT) throw error(Errc::timeout, describe_timeout(easy));
      const std::string_view reason = error_text_[0] != '\0' ? error_text_ : curl_easy_strerror(result);
      throw error(detail::curl_errc(result), std::string{reason}, status(easy));
    }

    [[nodiscard]] std::string describe_timeout(CURL* easy) const {
      curl_off_t connected_us = 0;
      curl_off_t taken_us = 0;
      curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
      curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &taken_us);
      const std::chrono::milliseconds taken{taken_us / 1000};
      const bool is_limit_reached = limit_.count() > 0 && taken >= limit_;
      if (connected_us == 0 && !is_limit_reached)
        return fmt::format("no connection within {} ms", options_.connect_timeout.count());
      return fmt::format("no complete response within {} ms ({}), {}", limit_.count(),
                         is_deadline_ ? "the time left until the deadline" : "the limit for a call",
                         connected_us == 0 ? "not even a connection" : fmt::format("{} bytes of it", response_.body.size()));
    }

    const HttpOptions& options_;
    const std::string& url_;
    const CallContext& context_;
    HttpResponse response_;
    CURL* easy_ = nullptr;
    std::chrono::milliseconds limit_{0};
    bool is_deadline_ = false;
    bool is_too_large_ = false;
    char error_text_[CURL_ERROR_SIZE] = "";
  };

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
  std::vector<detail::CurlSession> idle_;  // the last one is the most recently used, whose connection is the likeliest to be
                                           // alive
};

}  // namespace ecso
