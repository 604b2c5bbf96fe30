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

AppendFile::AppendFile(std::string path, mode_t mode) : path_{std::move(path)}, mode_{mode}, fd_{open()} {}

AppendFile::~AppendFile() {
  if (fd_ != STDERR_FILENO) ::close(fd_);
}

int AppendFile::write(std::string_view line) noexcept {
  const std::lock_guard lock{mutex_};
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

void AppendFile::reopen() {
  const int fd = open();
  const std::lock_guard lock{mutex_};
  if (fd_ != STDERR_FILENO) ::close(fd_);
  fd_ = fd;
  is_cut_ = false;
}

int AppendFile::open() const {
  if (path_ == "-") return STDERR_FILENO;
  const int fd = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode_);
  if (fd < 0)
    throw WriteError{
        fmt::format("{}: cannot be opened for writing: {}", one_line(path_), std::generic_category().message(errno))};
  return fd;
}

}  // namespace ecso::command
