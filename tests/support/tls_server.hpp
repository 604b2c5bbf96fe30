#pragma once

// TLS servers of other people, for tests of the HTTP client: `openssl s_server`, and whatever else takes a certificate.

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/patience.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

namespace ecso::test {

/// A program that runs beside the test and is killed at the end. It says nothing, unless asked to by the descriptors.
class Child {
 public:
  /// @param words the program first, looked for in PATH.
  explicit Child(std::vector<std::string> words, int in = -1, int out = -1) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nothing = ::open("/dev/null", O_RDWR);
    ::dup2(in >= 0 ? in : nothing, STDIN_FILENO);
    ::dup2(out >= 0 ? out : nothing, STDOUT_FILENO);
    ::dup2(nothing, STDERR_FILENO);
    if (::getppid() == parent) ::execvp(argv.front(), argv.data());
    ::_exit(127);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  /// Waits for its end: true if the program could be run and was content.
  bool succeeds() {
    int status = -1;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status == 0;
  }

  /// Waits until a connection to `port` of 127.0.0.1 is taken. False if the program ends before.
  bool is_listening(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool is_connected = false;
    const auto is_settled = [&] {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      is_connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
      ::close(fd);
      if (!is_connected && ::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;
      return is_connected || pid_ < 0;
    };
    return comes_true(is_settled) && is_connected;
  }

 private:
  pid_t pid_ = -1;
};

/// A certificate for 127.0.0.1 that signed itself, in a folder of its own.
class Certificate {
 public:
  Certificate() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ecso-tls-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error{"no folder " + pattern};
    folder_ = pattern;
    exists_ = Child{{"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                     "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key(), "-out", certificate()}}
                  .succeeds();
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;
  ~Certificate() { std::filesystem::remove_all(folder_); }

  /// False where there is no openssl command.
  [[nodiscard]] bool exists() const noexcept { return exists_; }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] std::string certificate() const { return (folder_ / "certificate.pem").string(); }
  [[nodiscard]] std::string key() const { return (folder_ / "key.pem").string(); }

 private:
  std::filesystem::path folder_;
  bool exists_ = false;
};

/// `openssl s_server`, which serves one connection after the other. What comes in can be read by `wait_for`; what is given to
/// `send` goes to the client that is connected.
class TlsServer {
 public:
  /// @param arguments more of them, for example "-www".
  explicit TlsServer(const Certificate& certificate, const std::vector<std::string>& arguments = {}) {
    if (!certificate.exists()) return;
    if (::pipe2(in_.data(), O_CLOEXEC) != 0 || ::pipe2(out_.data(), O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
    std::vector<std::string> words{"openssl",
                                   "s_server",
                                   "-quiet",
                                   "-accept",
                                   std::to_string(port()),
                                   "-key",
                                   certificate.key(),
                                   "-cert",
                                   certificate.certificate()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    child_.emplace(std::move(words), in_[0], out_[1]);
    if (!child_->is_listening(port())) throw std::runtime_error{"openssl s_server does not start"};
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;
  ~TlsServer() {
    for (const int fd : {in_[0], in_[1], out_[0], out_[1]}) {
      if (fd >= 0) ::close(fd);
    }
  }

  [[nodiscard]] int port() const noexcept { return reserved_.port(); }
  [[nodiscard]] std::string url() const { return "https://127.0.0.1:" + std::to_string(port()); }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::write(in_[1], bytes.data(), bytes.size());
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  /// Waits until clients have sent `text`. False if they never do.
  bool wait_for(std::string_view text) {
    while (received_.find(text) == std::string::npos) {
      pollfd fd{out_[0], POLLIN, 0};
      if (::poll(&fd, 1, static_cast<int>(patience.count())) <= 0) return false;
      std::array<char, 16384> bytes;
      const ssize_t got = ::read(out_[0], bytes.data(), bytes.size());
      if (got <= 0) return false;
      received_.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return true;
  }

  /// What `wait_for` has read.
  [[nodiscard]] const std::string& received() const noexcept { return received_; }

 private:
  std::array<int, 2> in_{-1, -1};
  std::array<int, 2> out_{-1, -1};
  ReservedPort reserved_;
  std::string received_;
  std::optional<Child> child_;
};

}  // namespace ecso::test
