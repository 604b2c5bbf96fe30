#include "json_line.hpp"

#include <ecso/detail/json_out.hpp>
#include <ecso/detail/utf8.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

namespace ecso::command {

JsonLine& JsonLine::member(std::string_view name, std::string_view value) {
  key(name);
  string(value);
  return *this;
}

JsonLine& JsonLine::fraction(std::string_view name, double value) {
  if (!std::isfinite(value)) return key(name).raw("null");
  return key(name).raw(fmt::format("{:.3f}", value));
}

JsonLine& JsonLine::element(std::string_view value) {
  comma();
  string(value);
  return *this;
}

JsonLine& JsonLine::end() {
  text_ += open_.back();
  open_.pop_back();
  is_first_ = false;
  return *this;
}

std::string JsonLine::finish() && {
  text_ += "}\n";
  return std::move(text_);
}

JsonLine& JsonLine::key(std::string_view name) {
  comma();
  string(name);
  return raw(":");
}

JsonLine& JsonLine::comma() {
  if (!is_first_) text_ += ',';
  is_first_ = false;
  return *this;
}

JsonLine& JsonLine::begin(char bracket) {
  text_ += bracket;
  open_ += bracket == '[' ? ']' : '}';
  is_first_ = true;
  return *this;
}

JsonLine& JsonLine::raw(std::string_view json) {
  text_ += json;
  return *this;
}

void JsonLine::string(std::string_view value) {
  detail::JsonOut out{text_};
  text_ += '"';
  while (true) {
    const std::size_t wrong = std::min(detail::find_invalid_utf8(value), value.size());
    out.escaped(value.substr(0, wrong));
    if (wrong == value.size()) break;
    text_ += "\uFFFD";
    value.remove_prefix(wrong + 1);
  }
  text_ += '"';
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(milliseconds);
  const std::time_t whole = static_cast<std::time_t>(seconds.count());
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                     utc.tm_min, utc.tm_sec, (milliseconds - seconds).count());
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string{text};
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string{text.substr(0, end)}.append("…");
}

}  // namespace ecso::command
