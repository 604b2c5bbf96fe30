#pragma once

#include "command/command.hpp"
#include "support/patience.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::test {

/// The command, running beside the test until it is told to end; killed with the test.
class Serving {
 public:
  /// Waits until it says that it serves.
  explicit Serving(std::vector<std::string> arguments, std::map<std::string, std::string> environment = {}) {
    arguments.insert(arguments.begin(), command_path());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, folder_.path("err").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
    for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
    const int failed = ::posix_spawn(&pid_, arguments.front().c_str(), &actions, nullptr, detail::pointers(arguments).data(),
                                     detail::pointers(variables).data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error{"cannot run " + arguments.front()};
    constexpr std::string_view end_of_url = "/v1\n";
    if (!says(end_of_url)) throw std::runtime_error{"it does not serve: " + said()};
    url_ = said();
    url_.resize(url_.find(end_of_url));
    url_.erase(0, url_.rfind("http://"));
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;
  ~Serving() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    static_cast<void>(end());
  }

  /// Without "/v1".
  [[nodiscard]] const std::string& url() const { return url_; }
  /// What stands on standard error so far.
  [[nodiscard]] std::string said() const { return folder_.read("err"); }

  /// Waits until `text` stands there.
  [[nodiscard]] bool says(std::string_view text) const {
    return happens([&] { return said().find(text) != std::string::npos; });
  }

  template <typename Condition>
  [[nodiscard]] static bool happens(Condition condition) {
    return comes_true(condition);
  }

  void signal(int number) const { ::kill(pid_, number); }

  /// @return its exit code, or 128 and the signal that killed it
  [[nodiscard]] int end() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  TemporaryFolder folder_;
  pid_t pid_ = 0;
  std::string url_;
};

}  // namespace ecso::test
