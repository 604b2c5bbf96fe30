#include "files.hpp"

#include <ecso/error.hpp>

#include <toml++/toml.h>

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace ecso::command {

namespace {

constexpr std::size_t max_settings_bytes = 1024 * 1024;

detail::Json to_json(const toml::node& node, const std::string& file) {
  if (const auto* table = node.as_table()) {
    auto json = detail::Json::object();
    for (const auto& [key, value] : *table) json[std::string{key.str()}] = to_json(value, file);
    return json;
  }
  if (const auto* array = node.as_array()) {
    auto json = detail::Json::array();
    for (const auto& value : *array) json.push_back(to_json(value, file));
    return json;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* whole = node.as_integer()) return whole->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  throw Error{Errc::bad_input,
              "line " + std::to_string(node.source().begin.line) + ": a date or time has no meaning here",
              {.endpoint = file}};
}

}  // namespace

std::string read_settings_file(const std::filesystem::path& file) {
  const auto bad = [&](std::string message) { return Error{Errc::bad_input, std::move(message), {.endpoint = file.string()}}; };
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) throw bad("a folder, not a file");
  if (!std::filesystem::exists(file, ignored)) throw bad("no such file");
  std::ifstream in{file, std::ios::binary};
  if (!in) throw bad("cannot be opened for reading");
  std::string text(max_settings_bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) throw bad("cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > max_settings_bytes) throw bad("longer than " + std::to_string(max_settings_bytes) + " bytes");
  return text;
}

detail::Json parse_toml(std::string_view text, const std::string& file) {
  try {
    return to_json(toml::parse(text, file), file);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    throw Error{Errc::bad_input,
                "not TOML at line " + std::to_string(at.line) + ", column " + std::to_string(at.column) + ": " +
                    std::string{error.description()},
                {.endpoint = file}};
  }
}

FdInput::int_type FdInput::underflow() {
  while (!stop_.stop_requested()) {
    constexpr int look_for_stop_after_ms = 100;
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, look_for_stop_after_ms) == 0) continue;
    const ssize_t got = ::read(fd_, buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    setg(buffer_.data(), buffer_.data(), buffer_.data() + got);
    return traits_type::to_int_type(buffer_.front());
  }
  return traits_type::eof();
}

}  // namespace ecso::command
