#pragma once

// Runs a program and looks at all of it: what it writes, and how it ends.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

extern char** environ;

namespace ecso::test {

/// How a program ended.
struct Ended {
  int exit_code = -1;  ///< 128 and the number of the signal that killed it.
  std::string out;
  std::string err;
};

struct ProcessOptions {
  std::string input = {};                               ///< What it reads from standard input.
  bool keep_input_open = false;                         ///< No end of input until the program ends.
  std::map<std::string, std::string> environment = {};  ///< Beside the own environment.
  /// Called when it has written something to standard output; may send it a signal.
  std::function<void(pid_t, const std::string& out)> on_output = {};
  std::function<void(pid_t)> on_start = {};  ///< Called once it runs.
  std::chrono::seconds timeout{300};         ///< It is killed after that.
};

namespace detail {

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close(0);
    close(1);
  }
  [[nodiscard]] int end(std::size_t i) const { return ends_[i]; }
  void close(std::size_t i) {
    if (ends_[i] >= 0) ::close(ends_[i]);
    ends_[i] = -1;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

inline std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace detail

/// @param arguments the program's path first.
inline Ended run_process(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
  ::signal(SIGPIPE, SIG_IGN);
  detail::Pipe in;
  detail::Pipe out;
  detail::Pipe err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.end(0), 0);
  posix_spawn_file_actions_adddup2(&actions, out.end(1), 1);
  posix_spawn_file_actions_adddup2(&actions, err.end(1), 2);

  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (!options.environment.contains(std::string{text.substr(0, text.find('='))})) variables.emplace_back(text);
  }
  for (const auto& [name, value] : options.environment) variables.push_back(name + "=" + value);
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, arguments.front().c_str(), &actions, nullptr, detail::pointers(arguments).data(),
                                   detail::pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error{"cannot run " + arguments.front()};
  if (options.on_start) options.on_start(pid);
  in.close(0);
  out.close(1);
  err.close(1);

  Ended ended;
  std::string_view input = options.input;
  ::fcntl(in.end(1), F_SETFL, O_NONBLOCK);
  const auto give_up = std::chrono::steady_clock::now() + options.timeout;
  const auto read_some = [](detail::Pipe& pipe, std::string& text) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(pipe.end(0), buffer.data(), buffer.size());
    if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
    if (got <= 0) pipe.close(0);
  };
  while (out.end(0) >= 0 || err.end(0) >= 0) {
    if (input.empty() && !options.keep_input_open) in.close(1);
    std::array<pollfd, 3> ready{{{out.end(0), POLLIN, 0}, {err.end(0), POLLIN, 0}, {input.empty() ? -1 : in.end(1), POLLOUT, 0}}};
    ::poll(ready.data(), ready.size(), 100);
    if (std::chrono::steady_clock::now() > give_up) ::kill(pid, SIGKILL);
    if (ready[0].revents != 0) {
      read_some(out, ended.out);
      if (options.on_output) options.on_output(pid, ended.out);
    }
    if (ready[1].revents != 0) read_some(err, ended.err);
    if (ready[2].revents == 0) continue;
    const ssize_t written = ::write(in.end(1), input.data(), input.size());
    if (written > 0) input.remove_prefix(static_cast<std::size_t>(written));
    if (written < 0 && errno != EAGAIN) input = {};
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended;
}

}  // namespace ecso::test
