#pragma once

#include <ecso/error.hpp>

#include <curl/curl.h>

#include <memory>
#include <string>

/// Owners of libcurl's handles, and what its codes mean.
namespace ecso::detail {

/// Initialises libcurl, once in a program.
inline void curl_init_once() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw Error{Errc::internal, std::string{"libcurl: "} + curl_easy_strerror(code)};
}

/// @throws Error (internal) unless `code` is CURLM_OK.
inline void check(CURLMcode code) {
  if (code != CURLM_OK) throw Error{Errc::internal, std::string{"libcurl: "} + curl_multi_strerror(code)};
}

/// Sets an option of an easy handle. @throws Error (internal) if libcurl refuses it.
template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy, option, value);
  if (code != CURLE_OK) throw Error{Errc::internal, std::string{"libcurl: "} + curl_easy_strerror(code)};
}

struct CurlFree {
  void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};

struct CurlMultiFree {
  void operator()(CURLM* multi) const noexcept { curl_multi_cleanup(multi); }
};

/// Header lines.
class CurlLines {
 public:
  CurlLines() = default;
  CurlLines(const CurlLines&) = delete;
  CurlLines& operator=(const CurlLines&) = delete;
  ~CurlLines() { curl_slist_free_all(first_); }

  void append(const std::string& line) {
    curl_slist* const first = curl_slist_append(first_, line.c_str());
    if (first == nullptr) throw Error{Errc::internal, "libcurl: out of memory"};
    first_ = first;
  }

  [[nodiscard]] curl_slist* get() const noexcept { return first_; }

 private:
  curl_slist* first_ = nullptr;
};

/// A transfer's handle and the loop that drives it, which owns the connection. For one call at a time.
class CurlSession {
 public:
  CurlSession() : multi_{curl_multi_init()}, easy_{curl_easy_init()} {
    if (!multi_ || !easy_) throw Error{Errc::internal, "libcurl: out of memory"};
  }

  [[nodiscard]] CURLM* multi() const noexcept { return multi_.get(); }
  [[nodiscard]] CURL* easy() const noexcept { return easy_.get(); }

  /// Forgets all options; the connection stays.
  void reset() noexcept { curl_easy_reset(easy_.get()); }

 private:
  // In this order: the easy handle goes first.
  std::unique_ptr<CURLM, CurlMultiFree> multi_;
  std::unique_ptr<CURL, CurlFree> easy_;
};

/// Keeps an easy handle in a loop; a transfer that is not done at the end is broken off.
class CurlAttached {
 public:
  CurlAttached(CURLM* multi, CURL* easy) : multi_{multi}, easy_{easy} { check(curl_multi_add_handle(multi, easy)); }
  CurlAttached(const CurlAttached&) = delete;
  CurlAttached& operator=(const CurlAttached&) = delete;
  ~CurlAttached() { curl_multi_remove_handle(multi_, easy_); }

 private:
  CURLM* multi_;
  CURL* easy_;
};

/// What a failed transfer is to a caller.
[[nodiscard]] constexpr Errc curl_errc(CURLcode code) noexcept {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT: return Errc::timeout;
    case CURLE_SSL_CACERT_BADFILE:                       // HttpOptions::ca_file
    case CURLE_SSL_CERTPROBLEM: return Errc::bad_input;  // HttpOptions::client_certificate_file
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_USE_SSL_FAILED: return Errc::tls;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:  // HTTP/0.9, which is whatever is not HTTP
    case CURLE_BAD_CONTENT_ENCODING:
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE:
#endif
    case CURLE_WRITE_ERROR: return Errc::bad_reply;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT: return Errc::internal;
    default: return Errc::unavailable;
  }
}

}  // namespace ecso::detail
