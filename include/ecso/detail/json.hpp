#pragma once

#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ecso::detail {

using Json = nlohmann::ordered_json;

/// Deepest nesting that is read from outside.
inline constexpr int max_json_depth = 64;

/// Parses text from outside.
/// @throws Error (`code`) "what: …" that says where the text stops being JSON, or that it nests too deep.
[[nodiscard]] inline Json parse_json(std::string_view text, std::string_view what, Errc code = Errc::bad_input) {
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > max_json_depth)
      throw Error{code, std::string{what} + ": JSON is nested deeper than " + std::to_string(max_json_depth) + " levels"};
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), limit_depth);
  } catch (const Json::parse_error& error) {
    throw Error{code, std::string{what} + ": not JSON at byte " + std::to_string(error.byte)};
  } catch (const Json::exception& error) {
    throw Error{code, std::string{what} + ": not JSON: " + error.what()};
  }
}

/// One line of JSON; bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] inline std::string dump_json(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// Reads an object whose every key must be known. Errors name the path to the value.
class JsonReader {
 public:
  /// @throws Error (bad_input) if `json` is no object.
  JsonReader(const Json& json, std::string path) : json_{json}, path_{std::move(path)} {
    if (!json_.is_object()) throw Error{Errc::bad_input, path_ + ": must be an object"};
  }

  /// @throws Error (bad_input) naming the first key that is not among `keys`.
  void allow_only(std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, value] : json_.items()) {
      if (std::ranges::find(keys, key) != keys.end()) continue;
      std::string known;
      for (const std::string_view k : keys) known.append(known.empty() ? "" : ", ").append(k);
      throw Error{Errc::bad_input, at(key) + ": unknown key; known are " + known};
    }
  }

  [[nodiscard]] bool has(std::string_view key) const { return json_.contains(key); }

  /// The value of `key`; @throws Error (bad_input) if it is missing.
  [[nodiscard]] const Json& value(std::string_view key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) throw Error{Errc::bad_input, at(key) + ": missing"};
    return *found;
  }

  [[nodiscard]] JsonReader object(std::string_view key) const { return {value(key), at(key)}; }

  /// The elements of the array `key`.
  [[nodiscard]] const Json& array(std::string_view key) const {
    const Json& found = value(key);
    if (!found.is_array()) throw Error{Errc::bad_input, at(key) + ": must be an array"};
    return found;
  }

  void read(std::string_view key, std::string& out) const {
    const Json& found = value(key);
    if (!found.is_string()) throw Error{Errc::bad_input, at(key) + ": must be a string"};
    out = found.get_ref<const std::string&>();
  }

  void read(std::string_view key, bool& out) const {
    const Json& found = value(key);
    if (!found.is_boolean()) throw Error{Errc::bad_input, at(key) + ": must be true or false"};
    out = found.get<bool>();
  }

  void read(std::string_view key, double& out) const {
    const Json& found = value(key);
    if (!found.is_number() || !std::isfinite(found.get<double>())) throw Error{Errc::bad_input, at(key) + ": must be a number"};
    out = found.get<double>();
  }

  template <std::integral Integer>
    requires(!std::same_as<Integer, bool>)
  void read(std::string_view key, Integer& out) const {
    const Json& found = value(key);
    const bool fits = found.is_number_unsigned() ? std::in_range<Integer>(found.get<std::uint64_t>())
                                                 : found.is_number_integer() && std::in_range<Integer>(found.get<std::int64_t>());
    if (!fits) throw Error{Errc::bad_input, at(key) + ": must be a whole number in range"};
    out = found.get<Integer>();
  }

  void read(std::string_view key, std::vector<std::string>& out) const {
    out.clear();
    for (const Json& item : array(key)) {
      if (!item.is_string()) throw Error{Errc::bad_input, at(key) + ": must be an array of strings"};
      out.push_back(item.get<std::string>());
    }
  }

  template <std::integral Integer>
  void read(std::string_view key, std::vector<Integer>& out) const {
    out.clear();
    for (const Json& item : array(key)) {
      if (!item.is_number_integer() || !std::in_range<Integer>(item.get<std::int64_t>()))
        throw Error{Errc::bad_input, at(key) + ": must be an array of whole numbers in range"};
      out.push_back(item.get<Integer>());
    }
  }

  /// null or a missing key gives an empty optional.
  template <typename T>
  void read(std::string_view key, std::optional<T>& out) const {
    out.reset();
    if (has(key) && !value(key).is_null()) read(key, out.emplace());
  }

  /// An enumeration by the names that its `to_string` gives.
  template <typename Enum>
  void read(std::string_view key, Enum& out, std::span<const std::type_identity_t<Enum>> values) const {
    std::string name;
    read(key, name);
    const auto found = std::ranges::find_if(values, [&](Enum e) { return to_string(e) == name; });
    if (found != values.end()) {
      out = *found;
      return;
    }
    std::string known;
    for (const Enum e : values) known.append(known.empty() ? "" : ", ").append(to_string(e));
    throw Error{Errc::bad_input, at(key) + ": \"" + name + "\" is none of " + known};
  }

  /// Reads `key` only if it is there.
  template <typename... Args>
  void read_if(std::string_view key, Args&&... args) const {
    if (has(key)) read(key, std::forward<Args>(args)...);
  }

  [[nodiscard]] std::string at(std::string_view key) const { return path_ + "." + std::string{key}; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  const Json& json_;
  std::string path_;
};

}  // namespace ecso::detail
