#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace ecso::test {

/// A loopback address's port that nobody is given by chance for as long as this lives. Connections to it are refused, unless a
/// server is told to listen there: it can, if it lets its address be used again (SO_REUSEADDR), as servers do.
class ReservedPort {
 public:
  explicit ReservedPort(int family = AF_INET) : family_{family}, fd_{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    const int one = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_storage address{};
    socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    address.ss_family = static_cast<sa_family_t>(family);
    if (family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr = in6addr_loopback;
    } else {
      reinterpret_cast<sockaddr_in*>(&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    // Not listening is what refuses.
    if (::bind(fd_, any, size) != 0 || ::getsockname(fd_, any, &size) != 0) {
      ::close(fd_);
      throw std::runtime_error{"no port can be reserved"};
    }
    port_ = ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);  // in the same place of both kinds
  }
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;
  ~ReservedPort() { ::close(fd_); }

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] std::string address() const { return (family_ == AF_INET6 ? "[::1]:" : "127.0.0.1:") + std::to_string(port_); }
  [[nodiscard]] std::string url() const { return "http://" + address(); }

 private:
  int family_;
  int fd_;
  int port_ = 0;
};

}  // namespace ecso::test
