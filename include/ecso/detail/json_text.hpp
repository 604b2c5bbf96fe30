#pragma once

#include <ecso/detail/json_number.hpp>
#include <ecso/detail/json_scanner.hpp>
#include <ecso/detail/json_string.hpp>

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace ecso::detail {

template <typename Item>
class JsonRange;
struct JsonMember;

/// A value in a `JsonText`: a cheap handle; an absent one answers every lookup with absent.
class JsonValue {
 public:
  /// An absent one.
  JsonValue() = default;
  JsonValue(const char* text, const JsonNode* node) noexcept : text_{text}, node_{node} {}

  /// Whether there is one.
  explicit operator bool() const noexcept { return node_ != nullptr; }
  /// Of an absent one null.
  [[nodiscard]] JsonKind kind() const noexcept { return node_ != nullptr ? node_->kind() : JsonKind::null; }
  [[nodiscard]] bool is_string() const noexcept { return is(JsonKind::string); }
  [[nodiscard]] bool is_array() const noexcept { return is(JsonKind::array); }
  [[nodiscard]] bool is_object() const noexcept { return is(JsonKind::object); }
  [[nodiscard]] bool is_number() const noexcept { return is(JsonKind::number); }
  [[nodiscard]] bool is_boolean() const noexcept { return is(JsonKind::boolean); }
  /// False if absent.
  [[nodiscard]] bool is_null() const noexcept { return is(JsonKind::null); }

  /// Its bytes in the text, quotes and braces included; empty if absent.
  [[nodiscard]] std::string_view raw() const noexcept {
    return node_ != nullptr ? std::string_view{text_ + node_->begin, node_->end - node_->begin} : std::string_view{};
  }

  /// What a string says. Written to `storage` only if it has escapes; else a view of the text. Empty if it is no string.
  [[nodiscard]] std::string_view text(std::string& storage) const {
    if (!is_string()) return {};
    if (node_->is_escaped == 0) return inside();
    storage.clear();
    json_unescape(inside(), storage);
    return storage;
  }

  [[nodiscard]] std::string text() const {
    std::string storage;
    const std::string_view view = text(storage);
    if (view.data() != storage.data()) storage = view;
    return storage;
  }

  /// The inside of a string that has no escape.
  [[nodiscard]] std::optional<std::string_view> plain() const noexcept {
    if (!is_string() || node_->is_escaped != 0) return std::nullopt;
    return inside();
  }

  /// How many characters of a string before its `=` or `==`, if any, are known to be letters of standard base64; often 0.
  [[nodiscard]] std::size_t base64_tail() const noexcept { return is_string() ? node_->size : 0; }

  /// A number without fraction and exponent that fits.
  [[nodiscard]] std::optional<std::int64_t> integer() const noexcept {
    if (!is_number()) return std::nullopt;
    const std::string_view digits = raw();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  }

  /// The nearest double of any number; finite.
  [[nodiscard]] std::optional<double> number() const noexcept {
    if (!is_number()) return std::nullopt;
    return json_double(raw());
  }

  [[nodiscard]] std::optional<bool> boolean() const noexcept {
    if (!is_boolean()) return std::nullopt;
    return raw().front() == 't';
  }

  /// Items of an array or members of an object; 0 of all else.
  [[nodiscard]] std::size_t size() const noexcept { return is_array() || is_object() ? node_->size : 0; }

  /// The member of that name, its escapes read; absent if this is no object or has none. Looks at all members before it.
  [[nodiscard]] JsonValue operator[](std::string_view member) const;

  /// The item of an array; absent if there is none. Walks over all before it: for all of them take `items`.
  [[nodiscard]] JsonValue at(std::size_t index) const noexcept;

  /// The items of an array; none of all else.
  [[nodiscard]] JsonRange<JsonValue> items() const noexcept;

  /// The members of an object in their order; none of all else.
  [[nodiscard]] JsonRange<JsonMember> members() const noexcept;

 private:
  [[nodiscard]] bool is(JsonKind kind) const noexcept { return node_ != nullptr && node_->kind() == kind; }
  [[nodiscard]] std::string_view inside() const noexcept {
    return {text_ + node_->begin + 1, std::size_t{node_->end} - node_->begin - 2};
  }

  const char* text_ = nullptr;
  const JsonNode* node_ = nullptr;
};

/// A member of an object.
struct JsonMember {
  JsonMember() = default;
  JsonMember(const char* text, const JsonNode* node) noexcept : key{text, node}, value{text, node + 1} {}

  JsonValue key;  ///< A string.
  JsonValue value;
};

/// The items or the members of a value, for range-for and the algorithms of std::ranges.
template <typename Item>
class JsonRange {
 public:
  class Iterator {
   public:
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::forward_iterator_tag;
    using iterator_category = std::input_iterator_tag;

    Iterator() = default;
    Iterator(const char* text, const JsonNode* node) noexcept : text_{text}, node_{node} {}

    [[nodiscard]] Item operator*() const noexcept { return Item{text_, node_}; }
    Iterator& operator++() noexcept {
      if constexpr (std::same_as<Item, JsonMember>) ++node_;
      node_ += node_->span;
      return *this;
    }
    Iterator operator++(int) noexcept {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator& other) const noexcept { return node_ == other.node_; }

   private:
    const char* text_ = nullptr;
    const JsonNode* node_ = nullptr;
  };

  /// Of a container; nothing of null.
  JsonRange(const char* text, const JsonNode* container) noexcept
      : begin_{text, container != nullptr ? container + 1 : nullptr},
        end_{text, container != nullptr ? container + container->span : nullptr} {}

  [[nodiscard]] Iterator begin() const noexcept { return begin_; }
  [[nodiscard]] Iterator end() const noexcept { return end_; }

 private:
  Iterator begin_;
  Iterator end_;
};

inline JsonRange<JsonValue> JsonValue::items() const noexcept { return {text_, is_array() ? node_ : nullptr}; }

inline JsonRange<JsonMember> JsonValue::members() const noexcept { return {text_, is_object() ? node_ : nullptr}; }

inline JsonValue JsonValue::operator[](std::string_view member) const {
  std::string storage;
  for (const JsonMember& each : members()) {
    if (each.key.text(storage) == member) return each.value;
  }
  return {};
}

inline JsonValue JsonValue::at(std::size_t index) const noexcept {
  for (const JsonValue item : items()) {
    if (index-- == 0) return item;
  }
  return {};
}

/// A JSON text that was checked once and is read where it stands. Strict (RFC 8259): one value, nothing but white space around
/// it, UTF-8 throughout and no byte order mark, no half of a surrogate pair, no number beyond the range of a double; and no
/// member twice in an object, names compared with their escapes read. So there is one way only to understand it. Movable: its
/// values stay good. The text must outlive it and its values. Thread safe.
class JsonText {
 public:
  /// @throws Error (bad_input) "JSON: … at byte N".
  explicit JsonText(std::string_view text, const JsonLimits& limits = {})
      : text_{text.data()}, nodes_{JsonScanner{text, limits}.scan()} {}
  JsonText(const JsonText&) = delete;
  JsonText& operator=(const JsonText&) = delete;
  JsonText(JsonText&&) noexcept = default;
  JsonText& operator=(JsonText&&) noexcept = default;
  ~JsonText() = default;

  /// The one value.
  [[nodiscard]] JsonValue root() const noexcept { return {text_, nodes_.data()}; }

 private:
  const char* text_;
  std::vector<JsonNode> nodes_;
};

}  // namespace ecso::detail
