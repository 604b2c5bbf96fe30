#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/loopback_http.hpp"
#include "support/patience.hpp"

namespace ecso::test {

/// The directory that setup.sh filled: its rule for where that is.
[[nodiscard]] inline std::filesystem::path engine_directory() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string{value == nullptr ? "" : value};
  };
  if (const std::string given = variable("ECSO_ENGINE_DIR"); !given.empty()) return given;
  const std::string cache = variable("XDG_CACHE_HOME");
  return std::filesystem::path{cache.empty() ? variable("HOME") + "/.cache" : cache} / "ecso" / "engine";
}

/// False where setup.sh could not get an engine, or was not run.
[[nodiscard]] inline bool engine_is_there() {
  const auto directory = engine_directory();
  return std::filesystem::exists(directory / "llama-server") && std::filesystem::exists(directory / "model" / "mmproj.gguf");
}

/// The last lines of a file, under its name.
[[nodiscard]] inline std::string last_lines(const std::filesystem::path& path) {
  constexpr std::size_t most = 30;
  std::ifstream file{path};
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
    if (lines.size() > most) lines.pop_front();
  }
  std::string text = path.string() + ":";
  for (const std::string& line : lines) text.append("\n").append(line);
  return text;
}

/// How to start an EngineServer.
struct EngineOptions {
  std::string name = "engine";           ///< Its log is NAME.log in the working directory; the model's alias is NAME.
  bool with_images = true;               ///< False: a text-only server, without the projector.
  std::filesystem::path program{};       ///< Another llama-server than the directory's.
  std::vector<std::string> arguments{};  ///< More options for llama-server; a later one wins.
  bool wait_until_ready = true;          ///< False: come back at once, while the model is still loading.
};

/// A llama-server with the tiny model on a free port of 127.0.0.1, for as long as the object lives.
/// It is killed if the thread that started it dies.
class EngineServer {
 public:
  /// @throws std::runtime_error with the end of the server's log if it does not get ready.
  explicit EngineServer(EngineOptions options = {}) : options_{std::move(options)} {
    constexpr int attempts = 3;  // another program may take the port between our look and the server's bind
    for (int attempt = 1;; ++attempt) {
      port_ = free_port();
      start();
      if (!options_.wait_until_ready || wait_until_ready()) return;
      const bool died = !is_running();
      stop();
      if (!died || attempt == attempts) throw std::runtime_error{"llama-server did not get ready\n" + log_tail()};
    }
  }
  EngineServer(const EngineServer&) = delete;
  EngineServer& operator=(const EngineServer&) = delete;
  ~EngineServer() { stop(); }

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// Waits until /health says 200. False if the server died.
  [[nodiscard]] bool wait_until_ready() {
    return comes_true([&] { return !is_running() || http_exchange(port_, "GET", "/health").status == 200; }) && is_running();
  }

  /// The end of the server's log, under its name.
  [[nodiscard]] std::string log_tail() const { return last_lines(log_path()); }

  /// Ends the server at once, whatever it is doing.
  void kill() const noexcept {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
  }

  /// Ends the server. SIGTERM with a request in flight makes it hang, and a second one ends it.
  void stop() noexcept {
    for (const auto& [signal, time] : {std::pair{SIGTERM, 2'500}, {SIGTERM, 1'000}, {SIGKILL, 60'000}}) {
      if (pid_ <= 0) return;
      ::kill(pid_, signal);
      if (happens_within(std::chrono::milliseconds{time}, [&] { return !is_running(); })) return;
    }
  }

 private:
  [[nodiscard]] std::filesystem::path log_path() const { return std::filesystem::absolute(options_.name + ".log"); }

  /// The options that are quick and steady on a busy machine: one thread, four slots of 4096 tokens. An image is so small a part
  /// of the prompts here that the server would by default rather take an idle slot than the one that knows the image.
  [[nodiscard]] std::vector<std::string> command() const {
    const auto directory = engine_directory();
    const auto model = directory / "model";
    const auto program = options_.program.empty() ? directory / "llama-server" : options_.program;
    std::vector<std::string> words{program, "--model", model / "text.gguf"};
    const std::vector<std::string> eyes{"--mmproj", model / "mmproj.gguf"};
    if (options_.with_images) words.insert(words.end(), eyes.begin(), eyes.end());
    // clang-format off
    const std::vector<std::string> common{"--alias", options_.name, "--host", "127.0.0.1", "--port", std::to_string(port_),
                                          "-t", "1", "-tb", "1", "-np", "4", "-c", "16384", "--slot-prompt-similarity", "0.05"};
    // clang-format on
    words.insert(words.end(), common.begin(), common.end());
    words.insert(words.end(), options_.arguments.begin(), options_.arguments.end());
    return words;
  }

  void start() {
    std::vector<std::string> words = command();
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int log = ::open(log_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log < 0) throw std::runtime_error{"cannot write " + log_path().string()};
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(127);
      ::dup2(log, STDOUT_FILENO);
      ::dup2(log, STDERR_FILENO);
      ::execv(argv.front(), argv.data());
      ::_exit(127);
    }
    ::close(log);
    if (pid_ < 0) throw std::runtime_error{"cannot fork"};
  }

  [[nodiscard]] bool is_running() noexcept {
    if (pid_ <= 0) return false;
    const pid_t ended = ::waitpid(pid_, nullptr, WNOHANG);
    if (ended == pid_ || (ended < 0 && errno == ECHILD)) pid_ = -1;
    return pid_ > 0;
  }

  EngineOptions options_;
  int port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace ecso::test
