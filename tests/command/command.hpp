#pragma once

#include "support/catch.hpp"
#include "support/run_process.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace ecso::test {

/// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ecso-command-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"no temporary folder"};
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  /// Writes a file and gives its path.
  std::string write(const std::string& name, std::string_view content) const {
    std::ofstream{path_ / name, std::ios::binary} << content;
    return path(name);
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file{path_ / name, std::ios::binary};
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
  }
  [[nodiscard]] std::string path(const std::string& name = {}) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::string command_path() {
#ifdef ECSO_COMMAND
  return ECSO_COMMAND;
#else
  const char* path = std::getenv("ECSO_COMMAND");
  if (path == nullptr) throw std::runtime_error{"ECSO_COMMAND does not name the program under test"};
  return path;
#endif
}

/// Runs the command in a clean environment.
inline Ended ecso(std::vector<std::string> arguments, ProcessOptions options = {}) {
  static const TemporaryFolder home;
  options.environment.try_emplace("XDG_CONFIG_HOME", home.path());
  for (const char* name : {"ECSO_BACKEND", "ECSO_MODEL", "ECSO_POLICY", "ECSO_DIALECT", "ECSO_DEADLINE", "ECSO_MAX_IN_FLIGHT",
                           "ECSO_COLOR", "ECSO_API_KEY", "ECSO_API_KEY_FILE", "ECSO_CONFIG", "ECSO_UPSTREAM", "ECSO_LISTEN",
                           "ECSO_LOG", "http_proxy", "HTTP_PROXY"}) {
    options.environment.try_emplace(name, "");
  }
  arguments.insert(arguments.begin(), command_path());
  return run_process(std::move(arguments), options);
}

inline std::string image_file(const std::string& name) { return "examples/images/" + name; }

/// Checks that nothing but one line "ecso: error: …" was written, and gives it.
inline std::string only_error(const Ended& ended, int exit_code) {
  INFO(ended.err);
  CHECK(ended.exit_code == exit_code);
  CHECK(ended.out.empty());
  CHECK(ended.err.starts_with("ecso: error: "));
  CHECK(std::ranges::count(ended.err, '\n') == 1);
  CHECK(ended.err.ends_with('\n'));
  return ended.err;
}

}  // namespace ecso::test
