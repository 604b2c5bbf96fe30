#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/gateway/json_path.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace ecso::gateway {

/// A name as servers read it that do not mind its case, as those of Go's JSON package: two letters outside ASCII have a lower or
/// upper case within it. Written to `storage` only where it is another.
[[nodiscard]] inline std::string_view folded_name(std::string_view name, std::string& storage) {
  const auto is_folded = [](char c) { return static_cast<unsigned char>(c) < 0x80 && detail::to_lower(c) == c; };
  if (std::ranges::all_of(name, is_folded)) return name;
  storage = detail::lower_ascii(name);
  const auto replace_all = [&](std::string_view letter, char with) {
    for (std::size_t at = storage.find(letter); at != storage.npos; at = storage.find(letter, at)) {
      storage.replace(at, letter.size(), 1, with);
    }
  };
  replace_all("\xC5\xBF", 's');      // U+017F, a long s
  replace_all("\xE2\x84\xAA", 'k');  // U+212A, the sign of the kelvin
  return storage;
}

/// Refuses a member that is called like one of `names` but for its case: a server may read it in that one's place, and what it
/// says has not been checked.
/// @param names in lower case.
/// @throws Error (bad_input)
inline void require_exact_names(detail::JsonValue object, std::initializer_list<std::string_view> names, const JsonPath& path) {
  std::string storage;
  std::string folded_storage;
  for (const detail::JsonMember& member : object.members()) {
    const std::string_view name = member.key.text(storage);
    const std::string_view folded = folded_name(name, folded_storage);
    if (folded == name || std::ranges::find(names, folded) == names.end()) continue;
    (path / name).refuse("is to be written \"" + std::string{folded} + "\"");
  }
}

}  // namespace ecso::gateway
