#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace ecso::command {

/// A file to which lines are added, each by one write at its end, so that lines of several programs do not mix. For one thread.
class AppendFile {
 public:
  /// @param path "-" is standard error. A named pipe that nobody reads cannot be opened, in place of waiting for a reader.
  /// @param mode of a file that is not there yet.
  /// @throws WriteError that names the file.
  explicit AppendFile(std::string path, mode_t mode = 0644);
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();

  /// Waits as long as the file takes it.
  /// @param line ends with a line break.
  /// @return 0, or the number of the error; a line of which only a part could be written is ended.
  int write(std::string_view line) noexcept;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  const std::string path_;
  const int fd_;
  bool is_cut_ = false;  ///< The last line lacks its end.
};

}  // namespace ecso::command
