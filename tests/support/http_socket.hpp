#pragma once

// A client that sends just the bytes that a test says, and reads what comes back byte by byte.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "support/patience.hpp"

namespace ecso::test {

/// One response.
struct HttpReply {
  int status = 0;       ///< 0: none came, or none that is HTTP.
  std::string head;     ///< Status line and headers, without the empty line.
  std::string body;     ///< Without its chunks' sizes; all that came of it.
  bool whole = false;   ///< It ended as its framing says.
  bool closed = false;  ///< The server closed the connection before the end of it.

  /// The value of a header; empty if it is not there.
  [[nodiscard]] std::string header(std::string name) const {
    const auto lower = [](std::string text) {
      std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      return text;
    };
    name = lower("\r\n" + name + ":");
    const std::size_t at = lower(head).find(name);
    if (at == std::string::npos) return {};
    const std::size_t end = std::min(head.find("\r\n", at + 2), head.size());
    const std::string value = head.substr(at + name.size(), end - at - name.size());
    const std::size_t begin = value.find_first_not_of(' ');
    return begin == std::string::npos ? std::string{} : value.substr(begin);
  }
};

namespace detail {

/// Undoes chunks as far as they have come. Gives the bytes used if the last chunk was there.
inline std::optional<std::size_t> read_chunks(std::string_view bytes, std::string& body) {
  std::size_t at = 0;
  for (;;) {
    const std::size_t line = bytes.find("\r\n", at);
    if (line == bytes.npos) return std::nullopt;
    const std::size_t size = std::strtoull(std::string{bytes.substr(at, line - at)}.c_str(), nullptr, 16);
    body.append(bytes.substr(line + 2, size));
    if (bytes.size() < line + 2 + size + 2) return std::nullopt;
    at = line + 2 + size + 2;
    if (size == 0) return at;
  }
}

/// The response at the beginning of what came, and the bytes that it took. `is_over`: nothing more comes.
inline std::pair<HttpReply, std::size_t> read_response(std::string_view bytes, bool is_over, bool has_no_body) {
  HttpReply reply;
  reply.closed = is_over;
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == bytes.npos || !bytes.starts_with("HTTP/1.")) return {reply, 0};
  reply.head = bytes.substr(0, head_end);
  reply.status = std::atoi(reply.head.c_str() + std::string_view{"HTTP/1.1 "}.size());
  const std::string_view rest = bytes.substr(head_end + 4);
  std::optional<std::size_t> used;
  if (has_no_body || reply.status < 200 || reply.status == 204 || reply.status == 304) {
    used = 0;
  } else if (reply.header("transfer-encoding") == "chunked") {
    used = read_chunks(rest, reply.body);
  } else if (const std::string length = reply.header("content-length"); !length.empty()) {
    const std::size_t size = std::strtoull(length.c_str(), nullptr, 10);
    reply.body = rest.substr(0, size);
    if (rest.size() >= size) used = size;
  } else {
    reply.body = rest;
    if (is_over) used = rest.size();
  }
  reply.whole = used.has_value();
  return {reply, head_end + 4 + used.value_or(rest.size())};
}

}  // namespace detail

/// A connection to a port of 127.0.0.1.
class HttpSocket {
 public:
  using milliseconds = std::chrono::milliseconds;

  /// @param receive_buffer bytes that the kernel holds for it, if not its own choice: for slow readers.
  /// @throws std::runtime_error if nobody listens.
  explicit HttpSocket(int port, int receive_buffer = 0) : fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(fd_);
      throw std::runtime_error{"cannot connect to port " + std::to_string(port)};
    }
  }
  HttpSocket(const HttpSocket&) = delete;
  HttpSocket& operator=(const HttpSocket&) = delete;
  ~HttpSocket() { ::close(fd_); }

  /// False if the server has closed, or takes nothing for so long.
  bool send(std::string_view bytes, milliseconds time = patience) {
    const auto end = Clock::now() + time;
    while (!bytes.empty()) {
      if (!wait_for(POLLOUT, end)) return false;
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// The next response, as far as it comes within `time`.
  HttpReply read(milliseconds time = patience, bool has_no_body = false) {
    const auto end = Clock::now() + time;
    for (;;) {
      auto [reply, used] = detail::read_response(buffer_, is_over_, has_no_body);
      if (reply.whole) {
        buffer_.erase(0, used);
        reply.closed = false;
        return reply;
      }
      if (is_over_ || !read_some(end)) return reply;
    }
  }

  /// Whether the server closes. What it still sends is kept in `rest()`.
  bool is_closed() { return is_closed_within(patience); }
  bool is_closed_within(milliseconds time) {
    const auto end = Clock::now() + time;
    while (!is_over_ && read_some(end)) {}
    return is_over_;
  }

  /// Takes a few bytes, if there are any. Gives how many.
  std::size_t read_at_most(std::size_t most) {
    std::string bytes(most, '\0');
    const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got <= 0) return 0;
    all_.append(bytes, 0, static_cast<std::size_t>(got));
    return static_cast<std::size_t>(got);
  }

  /// What came beyond the responses that were read.
  [[nodiscard]] const std::string& rest() const noexcept { return buffer_; }
  /// Every byte that ever came.
  [[nodiscard]] const std::string& all() const noexcept { return all_; }

  /// No more is sent; responses can still be read.
  void finish_sending() const { ::shutdown(fd_, SHUT_WR); }

  /// Closes with a TCP reset in place of a proper end.
  void reset_at_end() const {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

 private:
  using Clock = std::chrono::steady_clock;

  bool wait_for(short what, Clock::time_point end) const {
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    pollfd fd{fd_, what, 0};
    return left.count() >= 0 && ::poll(&fd, 1, static_cast<int>(left.count()) + 1) > 0;
  }

  /// False if the time is over.
  bool read_some(Clock::time_point end) {
    if (!wait_for(POLLIN, end)) return false;
    std::array<char, 64 * 1024> bytes;
    const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      is_over_ = true;
      return true;
    }
    buffer_.append(bytes.data(), static_cast<std::size_t>(got));
    all_.append(bytes.data(), static_cast<std::size_t>(got));
    return true;
  }

  int fd_;
  bool is_over_ = false;
  std::string buffer_;
  std::string all_;
};

}  // namespace ecso::test
