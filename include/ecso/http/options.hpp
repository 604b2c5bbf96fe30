#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ecso {

/// Whether a server must prove by its certificate that it is the one the URL names.
enum class TlsVerify {
  full,  ///< It must.
  none,  ///< Anybody on the way may read the key and change the answers: for tests only.
};

/// How an HttpClient connects and waits.
struct HttpOptions {
  /// Time for name, connection and TLS handshake. Zero: 300 s.
  std::chrono::milliseconds connect_timeout{10'000};
  /// Time from the last byte sent to the first byte of the response; interim responses (status 1xx) are none. A server that does
  /// not stream sends nothing before its answer is complete. Zero: no limit of its own.
  std::chrono::milliseconds first_byte_timeout{0};
  /// Time without a byte once the response has begun. Zero: no limit of its own.
  std::chrono::milliseconds between_bytes_timeout{60'000};
  /// Time for one call, connection included. Zero: no limit but the call's deadline.
  std::chrono::milliseconds call_timeout{300'000};
  /// A longer response, unpacked, is an error, known as soon as its length is.
  std::size_t max_response_bytes = std::size_t{16} * 1024 * 1024;
  std::size_t max_idle_connections = 16;  ///< Connections kept for later calls; more calls than that at once are fine.
  std::string ca_file = {};               ///< PEM file of the only certificates to trust; empty: the system's.
  TlsVerify verify = TlsVerify::full;
  std::string client_certificate_file = {};  ///< PEM file by which we prove who we are; empty: we do not.
  std::string client_key_file = {};          ///< PEM file of its private key; empty: it is in the certificate's file.
  std::string user_agent = "ecso";
  /// Proxy URL, of which no message repeats the password; "": none; not set: http_proxy, https_proxy, no_proxy of the
  /// environment.
  std::optional<std::string> proxy = std::nullopt;
  std::string unix_socket = {};  ///< Path of a Unix socket to connect to, whatever host the URL and the proxy name; empty: TCP.
};

/// One header line. Neither part may hold a control character.
struct HttpHeader {
  std::string name;
  std::string value;
};

/// What a server answered.
struct HttpResponse {
  int status = 0;
  std::string body = {};                                                ///< Empty if a callback took it.
  std::string content_type = {};                                        ///< As sent; empty if it was not.
  std::string server = {};                                              ///< The Server header.
  std::string location = {};                                            ///< Where a redirect (status 3xx) points to.
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;  ///< Of the Retry-After header, seconds or date.
};

/// Takes the body of a response of status 2xx as it comes, in the thread of the call. What it throws ends the call and comes out
/// of it.
using OnBody = std::function<void(std::string_view bytes)>;

}  // namespace ecso
