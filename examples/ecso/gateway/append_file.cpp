#include "append_file.hpp"

#include "../exit_code.hpp"
#include "../printing.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace ecso::command {

namespace {

int open_file(const std::string& path, mode_t mode) {
  if (path == "-") return STDERR_FILENO;
  // Without O_NONBLOCK, opening a named pipe waits for its reader; what is written later shall wait again.
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, mode);
  if (fd < 0) {
    const std::string why = errno == ENXIO ? "it is a pipe that nobody reads" : std::generic_category().message(errno);
    throw WriteError{fmt::format("{}: cannot be opened for writing: {}", one_line(path), why)};
  }
  ::fcntl(fd, F_SETFL, O_APPEND);
  return fd;
}

}  // namespace

AppendFile::AppendFile(std::string path, mode_t mode) : path_{std::move(path)}, fd_{open_file(path_, mode)} {}

AppendFile::~AppendFile() {
  if (fd_ != STDERR_FILENO) ::close(fd_);
}

int AppendFile::write(std::string_view line) noexcept {
  if (is_cut_ && ::write(fd_, "\n", 1) == 1) is_cut_ = false;
  while (!line.empty()) {
    const ssize_t written = ::write(fd_, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    line.remove_prefix(static_cast<std::size_t>(written));
    is_cut_ = !line.empty();
  }
  return 0;
}

}  // namespace ecso::command
