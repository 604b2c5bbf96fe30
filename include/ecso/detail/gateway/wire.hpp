#pragma once

#include <ecso/detail/gateway/read_buffer.hpp>
#include <ecso/detail/gateway/task.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// How a read or write ended.
using Io = std::tuple<error_code, std::size_t>;

/// A connection, plain or by TLS. One read and one write at a time. Not thread safe.
class Wire {
 public:
  explicit Wire(Socket socket) : socket_{std::move(socket)} {}
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  [[nodiscard]] Socket& socket() noexcept { return socket_; }
  /// What has been read and not used.
  [[nodiscard]] ReadBuffer& arrived() noexcept { return arrived_; }

  /// Shows that it is us.
  Task<error_code> accept_tls(std::shared_ptr<asio::ssl::context> context) {
    start_tls(std::move(context));
    auto result = co_await tls_->async_handshake(asio::ssl::stream_base::server, awaited);
    co_return std::get<0>(result);
  }

  /// Makes the server show that it is `host`, if the context verifies.
  Task<error_code> connect_tls(std::shared_ptr<asio::ssl::context> context, std::string host) {
    start_tls(std::move(context));
    // RFC 6066: an address is not sent.
    error_code not_an_address;
    static_cast<void>(asio::ip::make_address(host, not_an_address));
    if (not_an_address) {
      SSL_ctrl(tls_->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.data());
    }
    X509_VERIFY_PARAM* const expected = SSL_get0_param(tls_->native_handle());
    const bool is_named = not_an_address ? X509_VERIFY_PARAM_set1_host(expected, host.data(), host.size()) == 1
                                         : X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) == 1;
    if (!is_named) co_return asio::error::make_error_code(asio::error::invalid_argument);
    auto result = co_await tls_->async_handshake(asio::ssl::stream_base::client, awaited);
    co_return std::get<0>(result);
  }

  template <typename Token>
  auto read_some(asio::mutable_buffer into, const Token& token) {
    return tls_ ? tls_->async_read_some(into, token) : socket_.async_read_some(into, token);
  }

  Task<Io> read_some(asio::mutable_buffer into) { return read_some(into, awaited); }

  /// Writes all pieces. `on_progress` is called whenever the other side took some.
  template <typename OnProgress>
  Task<error_code> write(std::vector<asio::const_buffer> pieces, OnProgress on_progress) {
    std::size_t first = 0;
    while (first < pieces.size()) {
      const std::span<const asio::const_buffer> rest = std::span{pieces}.subspan(first);
      auto result = co_await write_some(rest);
      if (std::get<0>(result)) co_return std::get<0>(result);
      std::size_t written = std::get<1>(result);
      while (first < pieces.size() && written >= pieces[first].size()) written -= pieces[first++].size();
      if (first < pieces.size()) pieces[first] += written;
      on_progress();
    }
    co_return error_code{};
  }

  /// Ends it at once, whatever is under way.
  void close() noexcept {
    error_code ignored;
    socket_.close(ignored);
  }

  /// Says that nothing more will come.
  void finish() noexcept {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }

 private:
  void start_tls(std::shared_ptr<asio::ssl::context> context) {
    context_ = std::move(context);
    tls_.emplace(socket_, *context_);
  }

  Task<Io> write_some(std::span<const asio::const_buffer> pieces) {
    if (tls_) return tls_->async_write_some(pieces, awaited);
    return socket_.async_write_some(pieces, awaited);
  }

  Socket socket_;
  ReadBuffer arrived_{4 * 1024};
  std::shared_ptr<asio::ssl::context> context_;
  std::optional<asio::ssl::stream<Socket&>> tls_;
};

}  // namespace ecso::detail::gateway
