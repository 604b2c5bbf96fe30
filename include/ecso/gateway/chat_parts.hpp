#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the chat formats have in common: reading the JSON of upstreams, and small changes to JSON. Pure.
namespace ecso::gateway {

/// A stranger's text as a short piece of one line of UTF-8, for a message.
[[nodiscard]] inline std::string one_line(std::string_view text) {
  constexpr std::size_t max_characters = 80;
  return detail::one_line(text, {}, max_characters);
}

/// Whether a name is among others.
[[nodiscard]] inline bool is_among(std::span<const std::string_view> names, std::string_view name) noexcept {
  return std::ranges::find(names, name) != names.end();
}
[[nodiscard]] inline bool is_among(std::initializer_list<std::string_view> names, std::string_view name) noexcept {
  return std::ranges::find(names, name) != names.end();
}

/// The JSON of a reply or of an event. The text must outlive it.
/// @throws Error (bad_reply) if it is none, is no object, or has a member twice; (server_error) if it is an error in spite of its
/// status.
[[nodiscard]] inline detail::JsonText reply_json(std::string_view text) {
  // A reply with the log-probabilities of several long choices has millions.
  constexpr detail::JsonLimits limits{.max_values = 16'000'000};
  try {
    detail::JsonText json{text, limits};
    if (!json.root().is_object()) throw Error{Errc::bad_reply, "the reply is no JSON object: " + detail::excerpt_of(text, {})};
    const detail::JsonValue error = json.root()["error"];
    if (!error || error.is_null()) return json;
  } catch (const Error& error) {
    if (error.code() != Errc::bad_input) throw;
    const std::string excerpt = detail::excerpt_of(text, {});
    throw Error{Errc::bad_reply, excerpt.empty() ? "an empty response" : error.message() + ": " + excerpt};
  }
  static_cast<void>(detail::parse_server_json(text, {}));
  throw Error{Errc::server_error, "an error without a message"};
}

/// A count of tokens; 0 for what is none.
[[nodiscard]] inline std::int64_t count_of(detail::JsonValue value) {
  constexpr double most = 1'099'511'627'776.0;
  return static_cast<std::int64_t>(std::clamp(value.number().value_or(0), 0.0, most));
}

/// Changes to a JSON text that leave all its other bytes as they are. The text must outlive it.
class JsonEdits {
 public:
  explicit JsonEdits(std::string_view text) : text_{text} {}

  /// Puts `json` in the place of `part`, which is a view into the text. Parts must not overlap.
  void replace(std::string_view part, std::string json) {
    const auto at = static_cast<std::size_t>(part.data() - text_.data());
    changes_.insert(std::ranges::upper_bound(changes_, at, {}, &Change::at), {at, part.size(), std::move(json)});
  }

  /// Sets a member of an object of the text, which gets at most one that it did not have. `name` needs no escapes.
  void set(detail::JsonValue object, std::string_view name, std::string json) {
    if (const detail::JsonValue old = object[name]) return replace(old.raw(), std::move(json));
    std::string member{object.size() == 0 ? "\"" : ",\""};
    member.append(name).append("\":").append(json);
    replace(object.raw().substr(object.raw().size() - 1, 0), std::move(member));
  }

  /// Replaces a number; does nothing to what is none or is that number.
  void set_number(detail::JsonValue number, std::int64_t value) {
    if (number.is_number() && number.integer() != value) replace(number.raw(), std::to_string(value));
  }

  /// The text with all changes.
  [[nodiscard]] std::string text() const {
    std::string text;
    std::size_t at = 0;
    for (const Change& change : changes_) {
      text.append(text_.substr(at, change.at - at)).append(change.json);
      at = change.at + change.size;
    }
    return text.append(text_.substr(at));
  }

 private:
  struct Change {
    std::size_t at;
    std::size_t size;
    std::string json;
  };

  std::string_view text_;
  std::vector<Change> changes_;  ///< In the order of their places.
};

}  // namespace ecso::gateway
