#pragma once

#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace ecso {

/// A key that cannot be printed by accident: no stream operator, no conversion to text, and no error message holds it. Immutable;
/// copies are independent.
///
///     const auto key = ecso::Secret::from_environment("OPENAI_API_KEY");
class Secret {
 public:
  /// No key at all.
  Secret() = default;

  /// Takes the key itself. Line breaks at its end are cut off, as `echo key > file` puts one there.
  /// @throws Error (bad_input) if it is empty or has anything but visible ASCII characters, which could smuggle in a header; so
  /// do the others.
  [[nodiscard]] static Secret from_text(std::string text) { return Secret{std::move(text), "key"}; }

  /// Reads the environment variable `name`.
  /// @throws Error (bad_input) also if there is none.
  [[nodiscard]] static Secret from_environment(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) throw Error{Errc::bad_input, "key from the environment: " + name + " is not set"};
    return Secret{value, "key from the environment: " + name};
  }

  /// Reads a file, or a pipe to its end: at most 16 KiB.
  /// @throws Error (bad_input) also if it cannot be read.
  [[nodiscard]] static Secret from_file(const std::filesystem::path& path) {
    const std::string source = "key file " + path.string();
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) throw Error{Errc::bad_input, source + ": is a folder"};
    std::ifstream file{path, std::ios::binary};
    if (!file) throw Error{Errc::bad_input, source + ": cannot be opened for reading"};
    std::string text(max_bytes + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) throw Error{Errc::bad_input, source + ": cannot be read"};
    text.resize(static_cast<std::size_t>(file.gcount()));
    return Secret{std::move(text), source};
  }

  [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

  /// The key, for the one place that sends it.
  [[nodiscard]] const std::string& reveal() const noexcept { return text_; }

  /// `text` with "[key]" in place of each copy of the key: for what a server says, as some echo the key they refuse.
  [[nodiscard]] std::string redact(std::string text) const {
    constexpr std::string_view mask = "[key]";
    if (empty()) return text;
    for (std::size_t at = text.find(text_); at != std::string::npos; at = text.find(text_, at + mask.size())) {
      text.replace(at, text_.size(), mask);
    }
    return text;
  }

  bool operator==(const Secret&) const = default;

 private:
  static constexpr std::size_t max_bytes = std::size_t{16} * 1024;

  Secret(std::string text, const std::string& source) : text_{std::move(text)} {
    text_.erase(text_.find_last_not_of("\r\n") + 1);
    if (text_.empty()) throw Error{Errc::bad_input, source + ": is empty"};
    if (text_.size() > max_bytes)
      throw Error{Errc::bad_input, source + ": is longer than " + std::to_string(max_bytes) + " bytes"};
    const auto wrong = std::ranges::find_if_not(text_, [](char c) { return c > ' ' && c <= '~'; });
    if (wrong != text_.end()) {
      throw Error{Errc::bad_input, source + ": a space, a control character or one that is not ASCII at offset " +
                                       std::to_string(wrong - text_.begin())};
    }
  }

  std::string text_;
};

}  // namespace ecso
