#pragma once

#include <ecso/detail/gateway/read_buffer.hpp>
#include <ecso/detail/gateway/task.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// How a read or write ended.
using Io = std::tuple<error_code, std::size_t>;

/// What is still to be written: views of bytes that somebody else keeps.
class Outgoing {
 public:
  Outgoing() = default;
  explicit Outgoing(std::vector<asio::const_buffer> pieces) : pieces_{std::move(pieces)} { skip_empty(); }

  [[nodiscard]] bool empty() const noexcept { return first_ == pieces_.size(); }
  [[nodiscard]] std::span<const asio::const_buffer> pieces() const noexcept { return std::span{pieces_}.subspan(first_); }

  void consume(std::size_t count) {
    while (!empty() && count >= pieces_[first_].size()) count -= pieces_[first_++].size();
    if (!empty()) pieces_[first_] += count;
    skip_empty();
  }

 private:
  void skip_empty() noexcept {
    while (!empty() && pieces_[first_].size() == 0) ++first_;
  }

  std::vector<asio::const_buffer> pieces_;
  std::size_t first_ = 0;
};

/// A connection, plain or by TLS. One read and one write at a time. Not thread safe.
class Wire {
 public:
  explicit Wire(Socket socket) : socket_{std::move(socket)} {}
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  [[nodiscard]] Socket& socket() noexcept { return socket_; }
  [[nodiscard]] bool is_tls() const noexcept { return tls_.has_value(); }
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
    // RFC 9525: the names of a certificate are its alternative names.
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
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

  /// Writes what the kernel takes at once. Whether that was all; an error shows in the next `write`.
  bool write_now(Outgoing& out) {
    if (tls_) return out.empty();
    error_code error;
    if (!socket_.non_blocking()) socket_.non_blocking(true, error);
    while (!out.empty() && !error) out.consume(socket_.write_some(out.pieces(), error));
    return out.empty();
  }

  /// Writes everything. `on_progress` is called whenever the other side took some, with how much.
  template <typename OnProgress>
  Task<error_code> write(Outgoing* out, OnProgress on_progress) {
    while (!out->empty()) {
      auto result = co_await write_some(out->pieces());
      if (std::get<0>(result)) co_return std::get<0>(result);
      out->consume(std::get<1>(result));
      on_progress(std::get<1>(result));
    }
    co_return error_code{};
  }

  /// Has the kernel wake us only when so many bytes are there to be read, or the end is; a read takes what there is all the same.
  void wake_at(std::size_t bytes) {
    if (std::exchange(wakes_at_, bytes) == bytes) return;
    error_code ignored;
    socket_.set_option(asio::socket_base::receive_low_watermark{static_cast<int>(bytes)}, ignored);
  }

  /// Bytes that have come and can be read at once.
  [[nodiscard]] std::size_t waiting_bytes() const noexcept {
    error_code error;
    return socket_.available(error);
  }

  /// Whether nothing has come that nobody has read, not even the end.
  [[nodiscard]] bool is_quiet() noexcept {
    if (arrived_.size() != 0) return false;
    char byte = 0;
    const ssize_t got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

  /// Whether the other side has closed, even where bytes that nobody has read stand before the end.
  [[nodiscard]] bool is_left() noexcept {
    pollfd asked{.fd = socket_.native_handle(), .events = POLLRDHUP, .revents = 0};
    return ::poll(&asked, 1, 0) > 0 && (asked.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  /// Ends what is read or written at the moment.
  void cancel() noexcept {
    error_code ignored;
    socket_.cancel(ignored);
  }

  /// Ends it at once, whatever is under way.
  void close() noexcept {
    error_code ignored;
    socket_.close(ignored);
  }

  /// Says that nothing more will come.
  Task<void> finish() {
    if (tls_) {
      auto result = co_await tls_->async_shutdown(awaited);
      static_cast<void>(result);
    }
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
  std::size_t wakes_at_ = 1;
  std::shared_ptr<asio::ssl::context> context_;
  std::optional<asio::ssl::stream<Socket&>> tls_;
};

}  // namespace ecso::detail::gateway
