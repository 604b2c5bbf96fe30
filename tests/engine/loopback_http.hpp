#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ecso::test {

/// What a server said. Status 0: nothing listens, or the connection ended without an answer.
struct HttpAnswer {
  int status = 0;
  std::string body;
};

/// A TCP socket on 127.0.0.1, closed at the end.
class LoopbackSocket {
 public:
  LoopbackSocket() : fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    if (fd_ < 0) throw std::runtime_error{"no socket"};
  }
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;
  ~LoopbackSocket() { ::close(fd_); }

  [[nodiscard]] int fd() const noexcept { return fd_; }

  [[nodiscard]] bool connect(int port) const {
    const sockaddr_in address = address_of(port);
    return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  /// Takes a port that is free at this moment.
  [[nodiscard]] int bind_any() const {
    sockaddr_in address = address_of(0);
    socklen_t size = sizeof address;
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error{"no free port on 127.0.0.1"};
    }
    return ntohs(address.sin_port);
  }

 private:
  static sockaddr_in address_of(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<in_port_t>(port));
    return address;
  }

  int fd_;
};

/// A port of 127.0.0.1 on which nothing listens (until somebody else takes it).
[[nodiscard]] inline int free_port() { return LoopbackSocket{}.bind_any(); }

/// One plain HTTP exchange, below and beside the library under test: for probing a server, and for requests that the library
/// refuses to make. Waits 10 s at most for each piece of the answer.
[[nodiscard]] inline HttpAnswer http_exchange(int port, std::string_view method, std::string_view path,
                                              std::string_view body = {}) {
  const LoopbackSocket socket;
  const timeval patience{.tv_sec = 120, .tv_usec = 0};
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (!socket.connect(port)) return {};

  std::string request;
  request.append(method).append(" ").append(path).append(" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n");
  request.append("Content-Type: application/json\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n\r\n");
  request.append(body);
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t sent = ::send(socket.fd(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;  // a server may answer, and hang up, before it has read everything
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }

  std::string answer;
  char buffer[4096];
  for (ssize_t got; (got = ::recv(socket.fd(), buffer, sizeof buffer, 0)) > 0;)
    answer.append(buffer, static_cast<std::size_t>(got));
  const std::size_t head = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || head == std::string::npos) return {};
  return {.status = std::atoi(answer.c_str() + sizeof "HTTP/1.1"), .body = answer.substr(head + 4)};
}

}  // namespace ecso::test
