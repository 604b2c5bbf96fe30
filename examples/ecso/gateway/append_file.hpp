#pragma once

#include <sys/types.h>

#include <mutex>
#include <string>
#include <string_view>

namespace ecso::command {

/// A file to which lines are added, each by one write at its end, so that lines of several programs do not mix. Thread safe.
class AppendFile {
 public:
  /// @param path "-" is standard error.
  /// @param mode of a file that is not there yet.
  /// @throws WriteError that names the file.
  explicit AppendFile(std::string path, mode_t mode = 0644);
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();

  /// @param line ends with a line break.
  /// @return 0, or the number of the error; a line of which only a part could be written is ended.
  int write(std::string_view line) noexcept;

  /// Opens the file by its name again, as is needed when it was moved away; the old one stays open if that fails.
  /// @throws WriteError
  void reopen();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  [[nodiscard]] int open() const;

  const std::string path_;
  const mode_t mode_;
  std::mutex mutex_;
  int fd_ = -1;
  bool is_cut_ = false;  ///< The last line lacks its end.
};

}  // namespace ecso::command
