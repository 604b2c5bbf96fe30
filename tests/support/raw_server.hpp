#pragma once

// A server that does just what a test says, byte for byte: for everything a real HTTP server would not do.

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/patience.hpp"

namespace ecso::test {

/// A request as it came in.
struct RecordedRequest {
  std::size_t connection = 0;  ///< The connection's number, from 0.
  std::string head;            ///< Request line and headers, without the empty line.
  std::string body;            ///< Of Content-Length bytes.
};

/// The bytes of a response. Content-Length is added.
[[nodiscard]] inline std::string http_response(int status, std::string_view body,
                                               std::string_view content_type = "application/json",
                                               std::string_view more_headers = "") {
  std::string response = "HTTP/1.1 " + std::to_string(status) + " Status\r\n";
  response.append("Content-Type: ").append(content_type).append("\r\n").append(more_headers);
  return response.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n\r\n").append(body);
}

/// Where a RawServer listens.
struct Listen {
  int backlog = 64;
  bool on_ipv6 = false;          ///< On ::1 in place of 127.0.0.1.
  std::string unix_socket = {};  ///< If not empty, on this path, which the server removes at its end.
};

/// A server, by default on a free TCP port of 127.0.0.1. Each connection runs `script` in a thread of its own and is closed when
/// the script returns. The destructor stops everything: all waiting functions of a Connection come back with false.
class RawServer {
 public:
  using milliseconds = std::chrono::milliseconds;

  /// A connection, as its script sees it.
  class Connection {
   public:
    /// From 0, in the order of connecting.
    [[nodiscard]] std::size_t number() const noexcept { return number_; }

    /// Head and body of the request that was read last.
    [[nodiscard]] const std::string& last_head() const noexcept { return last_.head; }
    [[nodiscard]] const std::string& last_body() const noexcept { return last_.body; }

    /// Reads a whole request and records it. False if the client closed the connection before its end, or the server stops.
    bool read_request() {
      std::size_t head_end = std::string::npos;
      while ((head_end = buffer_.find("\r\n\r\n")) == std::string::npos) {
        if (!read_some()) return false;
      }
      RecordedRequest request{number_, buffer_.substr(0, head_end), {}};
      buffer_.erase(0, head_end + 4);
      const std::size_t length = content_length(request.head);
      while (buffer_.size() < length) {
        if (!read_some()) return false;
      }
      request.body = buffer_.substr(0, length);
      buffer_.erase(0, length);
      last_ = request;
      server_.record(std::move(request));
      return true;
    }

    /// Reads the head of a request and nothing of its body. Records nothing.
    bool read_head() {
      while (buffer_.find("\r\n\r\n") == std::string::npos) {
        if (!read_some()) return false;
      }
      return true;
    }

    /// Reads what has come, at most 64 KiB, for read_request(). False if the client has gone, or the server stops.
    bool read_some() {
      if (!wait_for(POLLIN, -1)) return false;
      chunk_.resize(64 * 1024);
      const ssize_t got = ::recv(fd_, chunk_.data(), chunk_.size(), 0);
      if (got <= 0) return false;
      buffer_.append(chunk_, 0, static_cast<std::size_t>(got));
      return true;
    }

    /// Lets the kernel keep about so many bytes that were not read, in place of as many as it likes.
    void keep_unread_at_most(int bytes) const { ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes); }

    /// False if the client has gone, or the server stops.
    bool send(std::string_view bytes) {
      while (!bytes.empty()) {
        if (!wait_for(POLLOUT, -1)) return false;
        const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      }
      return true;
    }

    /// Waits until what was sent has arrived at the client, whether or not that has read it.
    void wait_for_arrival() const {
      static_cast<void>(comes_true([this] {
        int on_its_way = 0;
        return ::ioctl(fd_, TIOCOUTQ, &on_its_way) != 0 || on_its_way == 0;
      }));
    }

    /// Does nothing for a while. False if the server stops.
    bool pause(milliseconds time) { return !server_.is_stopping_within(time); }

    /// Does nothing, not even reading, until the server stops.
    void stall() { static_cast<void>(server_.is_stopping_within(milliseconds{-1})); }

    /// True if the client closes the connection within `time`; what it sends is thrown away.
    bool wait_for_close(milliseconds time) {
      while (wait_for(POLLIN, static_cast<int>(time.count()))) {
        if (!read_some()) return true;
      }
      return false;
    }

    /// Passes bytes on between the client and a port of 127.0.0.1, both ways, until one of them closes.
    void tunnel_to(int port) {
      const int other = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const Address address = ip4(port);
      const auto pass = [](int from, int to) {
        std::array<char, 16384> bytes;
        const ssize_t got = ::recv(from, bytes.data(), bytes.size(), 0);
        return got > 0 && ::send(to, bytes.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
      };
      bool is_open = ::connect(other, address.get(), address.size) == 0;
      while (is_open) {
        pollfd fds[] = {{fd_, POLLIN, 0}, {other, POLLIN, 0}, {server_.stop_fd_, POLLIN, 0}};
        ::poll(fds, 3, -1);
        is_open = fds[2].revents == 0;
        if (fds[0].revents != 0) is_open = pass(fd_, other) && is_open;
        if (fds[1].revents != 0) is_open = pass(other, fd_) && is_open;
      }
      ::close(other);
    }

    /// Closes with a TCP reset in place of a proper end, once the script returns.
    void reset() const {
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }

   private:
    friend class RawServer;
    Connection(RawServer& server, int fd, std::size_t number) : server_{server}, fd_{fd}, number_{number} {}

    static std::size_t content_length(std::string head) {
      std::ranges::transform(head, head.begin(),
                             [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
      constexpr std::string_view name = "\r\ncontent-length:";
      const std::size_t at = head.find(name);
      return at == std::string::npos ? 0 : std::strtoull(head.c_str() + at + name.size(), nullptr, 10);
    }

    bool wait_for(short what, int timeout_ms) const {
      pollfd fds[] = {{fd_, what, 0}, {server_.stop_fd_, POLLIN, 0}};
      const int ready = ::poll(fds, 2, timeout_ms);
      return ready > 0 && fds[1].revents == 0;
    }

    RawServer& server_;
    int fd_;
    std::size_t number_;
    std::string buffer_;
    RecordedRequest last_;
    std::string chunk_;
  };

  using Script = std::function<void(Connection&)>;

  explicit RawServer(Script script, Listen listen = {})
      : script_{std::move(script)}, listen_{std::move(listen)}, stop_fd_{::eventfd(0, EFD_CLOEXEC)} {
    Address address = listen_address();
    listen_fd_ = ::socket(address.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listen_fd_, address.get(), address.size) != 0 || ::listen(listen_fd_, listen_.backlog) != 0 ||
        ::getsockname(listen_fd_, address.get(), &address.size) != 0) {
      ::close(listen_fd_);
      ::close(stop_fd_);
      throw std::runtime_error{"no server on " + url() + listen_.unix_socket};
    }
    if (listen_.unix_socket.empty()) port_ = address.port();
    if (script_) accepting_ = std::thread{[this] { accept_all(); }};
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  ~RawServer() {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(stop_fd_, &one, sizeof one));
    if (accepting_.joinable()) accepting_.join();
    for (std::thread& thread : connections_) thread.join();
    ::close(listen_fd_);
    ::close(stop_fd_);
    if (!listen_.unix_socket.empty()) ::unlink(listen_.unix_socket.c_str());
  }

  /// A server that answers every request by `response`.
  [[nodiscard]] static Script always(std::string response) {
    return [response = std::move(response)](Connection& connection) {
      while (connection.read_request() && connection.send(response)) {}
    };
  }

  /// 0 of a Unix socket.
  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] std::string url(std::string_view scheme = "http") const {
    const std::string host = listen_.on_ipv6 ? "[::1]" : "127.0.0.1";
    return std::string{scheme}.append("://").append(host).append(":").append(std::to_string(port_));
  }

  /// All requests so far.
  [[nodiscard]] std::vector<RecordedRequest> requests() const {
    const std::lock_guard lock{mutex_};
    return requests_;
  }

  /// Connections so far.
  [[nodiscard]] std::size_t connections() const {
    const std::lock_guard lock{mutex_};
    return accepted_;
  }

  /// How many of them the server has closed.
  [[nodiscard]] std::size_t closed() const {
    const std::lock_guard lock{mutex_};
    return closed_;
  }

 private:
  struct Address {
    sockaddr_storage bytes{};
    socklen_t size = 0;

    template <typename Of>
    explicit Address(const Of& address) : size{sizeof address} {
      std::memcpy(&bytes, &address, sizeof address);
    }
    [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&bytes); }
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
    [[nodiscard]] int port() const {
      // In the same place of both kinds.
      return ntohs(reinterpret_cast<const sockaddr_in*>(&bytes)->sin_port);
    }
  };

  static Address ip4(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return Address{address};
  }

  [[nodiscard]] Address listen_address() const {
    if (listen_.on_ipv6) {
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      address.sin6_addr = in6addr_loopback;
      return Address{address};
    }
    if (listen_.unix_socket.empty()) return ip4(0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (listen_.unix_socket.size() >= sizeof address.sun_path) throw std::runtime_error{"the path of a socket is too long"};
    std::memcpy(address.sun_path, listen_.unix_socket.c_str(), listen_.unix_socket.size());
    return Address{address};
  }

  void accept_all() {
    for (;;) {
      pollfd fds[] = {{listen_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0) continue;
      if (fds[1].revents != 0) return;
      const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      std::size_t number = 0;
      {
        const std::lock_guard lock{mutex_};
        number = accepted_++;
      }
      connections_.emplace_back([this, fd, number] {
        Connection connection{*this, fd, number};
        script_(connection);
        ::close(fd);
        const std::lock_guard lock{mutex_};
        ++closed_;
      });
    }
  }

  void record(RecordedRequest request) {
    const std::lock_guard lock{mutex_};
    requests_.push_back(std::move(request));
  }

  bool is_stopping_within(milliseconds time) const {
    pollfd fd{stop_fd_, POLLIN, 0};
    return ::poll(&fd, 1, static_cast<int>(time.count())) > 0;
  }

  Script script_;
  Listen listen_;
  int stop_fd_;
  int listen_fd_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<RecordedRequest> requests_;
  std::size_t accepted_ = 0;
  std::size_t closed_ = 0;
  std::vector<std::thread> connections_;
  std::thread accepting_;
};

}  // namespace ecso::test
