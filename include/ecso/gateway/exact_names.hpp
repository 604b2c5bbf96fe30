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
/// upper case within it.
[[nodiscard]] inline std::string folded_name(std::string_view name) {
  std::string folded = detail::lower_ascii(name);
  const auto replace_all = [&](std::string_view letter, char with) {
    for (std::size_t at = folded.find(letter); at != folded.npos; at = folded.find(letter, at)) {
      folded.replace(at, letter.size(), 1, with);
    }
  };
  replace_all("\xC5\xBF", 's');      // U+017F, a long s
  replace_all("\xE2\x84\xAA", 'k');  // U+212A, the sign of the kelvin
  return folded;
}

/// Refuses a member that is called like one of `names` but for its case: a server may read it in that one's place, and what it
/// says has not been checked.
/// @param names in lower case.
/// @throws Error (bad_input)
inline void require_exact_names(detail::JsonValue object, std::initializer_list<std::string_view> names, const JsonPath& path) {
  std::string storage;
  for (const detail::JsonMember& member : object.members()) {
    const std::string_view name = member.key.text(storage);
    const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
    if (std::ranges::all_of(name, is_plain)) continue;
    const std::string folded = folded_name(name);
    if (std::ranges::find(names, folded) != names.end()) (path / name).refuse("is to be written \"" + folded + "\"");
  }
}

}  // namespace ecso::gateway
