#pragma once

#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>

#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>

#include <memory>

namespace ecso::detail::gateway {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

/// What the gateway shows its clients. @throws Error (tls) that names the file.
[[nodiscard]] inline TlsContext server_tls(const ecso::gateway::Options& options) {
  using boost::asio::ssl::context;
  auto made = std::make_shared<context>(context::tls_server);
  SSL_CTX_set_min_proto_version(made->native_handle(), TLS1_2_VERSION);
  boost::system::error_code error;
  made->use_certificate_chain_file(options.certificate_file, error);
  if (error) throw Error{Errc::tls, "certificate_file: " + error.message(), {.endpoint = options.certificate_file}};
  made->use_private_key_file(options.private_key_file, context::pem, error);
  if (error) throw Error{Errc::tls, "private_key_file: " + error.message(), {.endpoint = options.private_key_file}};
  return made;
}

/// What the gateway trusts of an upstream. @throws Error (tls) that names the file.
[[nodiscard]] inline TlsContext client_tls(const ecso::gateway::UpstreamOptions& options) {
  using boost::asio::ssl::context;
  auto made = std::make_shared<context>(context::tls_client);
  SSL_CTX_set_min_proto_version(made->native_handle(), TLS1_2_VERSION);
  boost::system::error_code error;
  if (options.ca_file.empty()) {
    made->set_default_verify_paths(error);
  } else {
    made->load_verify_file(options.ca_file, error);
  }
  if (error) throw Error{Errc::tls, "ca_file: " + error.message(), {.endpoint = options.ca_file}};
  made->set_verify_mode(options.verify_certificate ? boost::asio::ssl::verify_peer : boost::asio::ssl::verify_none);
  return made;
}

}  // namespace ecso::detail::gateway
