#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::command {

/// Writes one line of JSON, member by member, from texts of whatever bytes: what is not UTF-8 becomes U+FFFD.
///
///     JsonLine line;
///     line.member("id", "7").member("status", 200);
///     std::move(line).finish();  // {"id":"7","status":200}\n
class JsonLine {
 public:
  JsonLine& member(std::string_view name, std::string_view value);
  JsonLine& member(std::string_view name, const char* value) { return member(name, std::string_view{value}); }
  template <std::integral Integer>
    requires(!std::same_as<Integer, bool>)
  JsonLine& member(std::string_view name, Integer value) {
    return key(name).raw(std::to_string(value));
  }
  JsonLine& flag(std::string_view name, bool value) { return key(name).raw(value ? "true" : "false"); }
  /// With three digits behind the point.
  JsonLine& fraction(std::string_view name, double value);
  JsonLine& milliseconds(std::string_view name, std::chrono::nanoseconds time) {
    return fraction(name, std::chrono::duration<double, std::milli>{time}.count());
  }

  /// Begins an array or an object as a member, or as an element of an array; `end` ends what was begun last.
  JsonLine& begin_array(std::string_view name) { return key(name).begin('['); }
  JsonLine& begin_array() { return comma().begin('['); }
  JsonLine& begin_object(std::string_view name) { return key(name).begin('{'); }
  JsonLine& begin_object() { return comma().begin('{'); }
  JsonLine& element(std::string_view value);
  JsonLine& end();

  /// The line, its break included.
  [[nodiscard]] std::string finish() &&;

 private:
  JsonLine& key(std::string_view name);
  JsonLine& comma();
  JsonLine& begin(char bracket);
  JsonLine& raw(std::string_view json);
  void string(std::string_view value);

  std::string text_ = "{";
  std::string open_;  ///< Brackets that are to be closed, the last one first needed at its end.
  bool is_first_ = true;
};

/// A time as RFC 3339 has it, in UTC with milliseconds: "2025-01-31T12:00:00.000Z".
[[nodiscard]] std::string rfc3339(std::chrono::system_clock::time_point time);

/// At most `most` bytes of `text`, cut between code points, with an ellipsis where something is left out.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t most);

}  // namespace ecso::command
