#pragma once

#include <ecso/detail/json.hpp>

#include <cstddef>
#include <filesystem>
#include <stop_token>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::command {

/// The text of a settings file.
/// @throws Error (bad_input) that names the file: missing, a folder, over 1 MiB.
[[nodiscard]] std::string read_settings_file(const std::filesystem::path& file);

/// @throws Error (bad_input) that names file, line and column.
[[nodiscard]] detail::Json parse_toml(std::string_view text, const std::string& file);

/// A file descriptor's bytes; ends when a stop is requested, even while it waits for input.
class FdInput final : public std::streambuf {
 public:
  FdInput(int fd, std::stop_token stop) : fd_{fd}, stop_{std::move(stop)} {}

 private:
  int_type underflow() override;

  int fd_;
  std::stop_token stop_;
  std::vector<char> buffer_ = std::vector<char>(64 * 1024);
};

}  // namespace ecso::command
