#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/readable.hpp>
#include <ecso/gateway/unreadable.hpp>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// What an upstream's answer says where nobody knows its members: it is put before the check, or the answer is refused. Pure.
namespace ecso::gateway {

/// @throws Error (bad_reply) if a part of an answer has tokens or vectors as numbers.
inline void require_no_numbers(detail::JsonValue value) {
  if (has_number_list(value)) throw Error{Errc::bad_reply, "the answer has token ids, which cannot be checked"};
}

/// @throws Error (bad_reply) always.
[[noreturn]] inline void refuse_medium() {
  throw Error{Errc::bad_reply, "the answer has an image or another medium, which cannot be checked"};
}

/// Whether a member is the signature of a thought, which says nothing.
[[nodiscard]] inline bool is_signature(std::string_view name, detail::JsonValue value) {
  return (name == "signature" || name == "thought_signature") && is_opaque(value);
}

/// The value as JSON that can be read, with empty signatures.
[[nodiscard]] inline std::string unsigned_json(detail::JsonValue value) {
  JsonEdits edits{value.raw()};
  const auto walk = [&](const auto& self, detail::JsonValue each) -> void {
    std::string storage;
    for (const detail::JsonValue item : each.items()) self(self, item);
    for (const detail::JsonMember& member : each.members()) {
      if (is_signature(member.key.text(storage), member.value)) edits.replace(member.value.raw(), "\"\"");
      self(self, member.value);
    }
  };
  walk(walk, value);
  return with_escapes_read(edits.text());
}

/// Adds what a member says that nobody knows: a text as it is, all else as JSON, so that names and types in it count.
/// @throws Error (bad_reply) if no check could read it.
inline void append_unknown(std::string_view name, detail::JsonValue value, std::string& out) {
  require_no_numbers(value);
  if (has_media(name, value)) refuse_medium();
  if (!has_words(value) || is_signature(name, value)) return;
  append_line(out, value.is_string() ? value.text() : unsigned_json(value));
}

/// Adds what the members of an object say but for those of the names `read`, and for the `own` ones of an API, which are a word,
/// a number or nothing.
inline void append_others(detail::JsonValue object, std::initializer_list<std::string_view> read,
                          std::span<const std::string_view> own, std::string& out) {
  std::string storage;
  for (const detail::JsonMember& member : object.members()) {
    const std::string_view name = member.key.text(storage);
    const bool is_own = !member.value.is_array() && !member.value.is_object() && is_among(own, name);
    if (!is_own && !is_among(read, name)) append_unknown(name, member.value, out);
  }
}

/// The JSON of a reply without a member "ecso", which only the gateway itself writes; nothing if it has none.
[[nodiscard]] inline std::optional<std::string> without_note(detail::JsonValue root) {
  std::string storage;
  std::string folded;
  const auto is_note = [&](const detail::JsonMember& member) { return folded_name(member.key.text(storage), folded) == "ecso"; };
  if (std::ranges::none_of(root.members(), is_note)) return std::nullopt;
  std::string kept;
  for (const detail::JsonMember& member : root.members()) {
    if (!is_note(member)) kept.append(kept.empty() ? "{" : ",").append(member.key.raw()).append(":").append(member.value.raw());
  }
  return kept.append(kept.empty() ? "{}" : "}");
}

}  // namespace ecso::gateway
