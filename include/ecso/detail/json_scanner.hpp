#pragma once

#include <ecso/detail/base64_range.hpp>
#include <ecso/detail/json_number.hpp>
#include <ecso/detail/json_string.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace ecso::detail {

/// What a JSON text from outside may ask for.
struct JsonLimits {
  std::size_t max_depth = 64;          ///< Arrays and objects within each other.
  std::size_t max_values = 1'000'000;  ///< Values and names of members, of 16 bytes of memory each; at most 2^28 - 1.
};

/// What a JSON value is.
enum class JsonKind : std::uint8_t { null, boolean, number, string, array, object };

/// A value of a text or a member's name. A container's children stand behind it, a member as its name and its value.
struct JsonNode {
  std::uint32_t begin = 0;  ///< Offset of its first byte in the text, its quote or brace.
  std::uint32_t end = 0;    ///< One past its last byte.
  std::uint32_t span = 1;   ///< Nodes up to the one after it and all that it holds.
  std::uint32_t size : 28;  ///< Items or members; of a string what `JsonValue::base64_tail` tells.
  std::uint32_t kind_number : 3;
  std::uint32_t is_escaped : 1;  ///< Of a string: it has a backslash.

  JsonNode(JsonKind kind, std::size_t at) noexcept
      : begin{static_cast<std::uint32_t>(at)}, size{0}, kind_number{static_cast<std::uint32_t>(kind) & 7U}, is_escaped{0} {}

  [[nodiscard]] JsonKind kind() const noexcept { return static_cast<JsonKind>(kind_number); }
};

/// Checks a JSON text (RFC 8259) in one pass and notes where its values stand. Without recursion; the time is linear but for the
/// sorting of the names of large objects.
class JsonScanner {
 public:
  JsonScanner(std::string_view text, const JsonLimits& limits) noexcept
      : text_{text}, at_{text.data()}, end_{text.data() + text.size()}, limits_{limits} {
    limits_.max_values = std::min(limits_.max_values, largest_count);
  }

  /// The nodes, the root first. @throws Error (bad_input) "JSON: … at byte N".
  [[nodiscard]] std::vector<JsonNode> scan() && {
    if (text_.size() > std::numeric_limits<std::uint32_t>::max()) {
      throw Error{Errc::bad_input, fmt::format("JSON: {} bytes; the limit is 4 GiB", text_.size())};
    }
    constexpr std::size_t ordinary = 64;
    nodes_.reserve(std::min(ordinary, text_.size() / 4 + 1));
    do {
      skip_space();
      read_value();
    } while (goes_on());
    skip_space();
    if (at_ != end_) fail("text behind the value", at_);
    return std::move(nodes_);
  }

 private:
  static constexpr std::size_t largest_count = (std::size_t{1} << 28U) - 1;
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  [[nodiscard]] std::size_t offset(const char* at) const noexcept { return static_cast<std::size_t>(at - text_.data()); }

  [[noreturn]] void fail(std::string_view what, const char* at) const {
    throw Error{Errc::bad_input, fmt::format("JSON: {} at byte {}", what, offset(at))};
  }

  /// What is next, or a character that JSON has nowhere.
  [[nodiscard]] char next() const noexcept { return at_ != end_ ? *at_ : '\0'; }

  void skip_space() noexcept {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  std::uint32_t add(JsonKind kind, const char* at) {
    if (nodes_.size() >= limits_.max_values) fail(fmt::format("more than {} values", limits_.max_values), at);
    nodes_.emplace_back(kind, offset(at));
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }

  void end_here(std::uint32_t node) noexcept { nodes_[node].end = static_cast<std::uint32_t>(offset(at_)); }

  /// Reads a value; of an array or object that is not empty, up to where its first value begins.
  void read_value() {
    if (open_ != none) nodes_[open_].size = (nodes_[open_].size + 1) & 0xFFF'FFFF;
    switch (next()) {
      case '"': read_string(); return;
      case '{': open(JsonKind::object); return;
      case '[': open(JsonKind::array); return;
      case 't': read_word("true", JsonKind::boolean); return;
      case 'f': read_word("false", JsonKind::boolean); return;
      case 'n': read_word("null", JsonKind::null); return;
      default: read_number(); return;
    }
  }

  /// After a value or an opening brace: closes what ends here. Whether there is another value, to which it moves.
  [[nodiscard]] bool goes_on() {
    while (open_ != none) {
      skip_space();
      const JsonNode& in = nodes_[open_];
      const bool is_object = in.kind() == JsonKind::object;
      const bool is_fresh = in.size == 0;
      if (next() == (is_object ? '}' : ']')) {
        ++at_;
        close();
        continue;
      }
      if (!is_fresh) {
        if (next() != ',') fail(is_object ? "no , or } after a member" : "no , or ] after an item", at_);
        ++at_;
        skip_space();
      }
      if (is_object) read_name();
      return true;
    }
    return false;
  }

  void open(JsonKind kind) {
    if (++depth_ > limits_.max_depth) fail(fmt::format("nested deeper than {} levels", limits_.max_depth), at_);
    const std::uint32_t node = add(kind, at_++);
    // Until it is closed, the way back to what it stands in.
    nodes_[node].span = open_;
    open_ = node;
  }

  void close() {
    const std::uint32_t closed = open_;
    JsonNode& node = nodes_[closed];
    open_ = node.span;
    node.span = static_cast<std::uint32_t>(nodes_.size()) - closed;
    end_here(closed);
    --depth_;
    if (node.kind() == JsonKind::object && node.size > 1) check_names(&node);
  }

  void read_name() {
    if (next() != '"') fail("no name of a member", at_);
    read_string();
    skip_space();
    if (next() != ':') fail("no : after the name of a member", at_);
    ++at_;
  }

  void read_string() {
    const char* const begin = at_++;
    const std::uint32_t node = add(JsonKind::string, begin);
    bool is_ascii = true;
    const std::string_view letters = skip_letters(is_ascii);
    for (;;) {
      at_ = json_plain_end(at_, end_, is_ascii);
      if (at_ == end_) fail("a string that does not end", begin);
      if (*at_ == '"') break;
      if (*at_ != '\\') fail(fmt::format("a bare control character 0x{:02x} in a string", static_cast<unsigned char>(*at_)), at_);
      const JsonEscape escape = json_escape({at_, static_cast<std::size_t>(end_ - at_)});
      if (escape.size == 0) fail("a wrong escape or half of a surrogate pair", at_);
      nodes_[node].is_escaped = 1;
      at_ += escape.size;
    }
    if (!is_ascii) {
      const std::size_t wrong = find_invalid_utf8({begin, static_cast<std::size_t>(at_ - begin)});
      if (wrong != std::string_view::npos) fail("not UTF-8", begin + wrong);
    }
    nodes_[node].size = tail_size(letters) & 0xFFF'FFFF;
    ++at_;
    end_here(node);
  }

  /// Moves over the base64 that a long string holds, so that whoever reads the image need not look at it all again.
  [[nodiscard]] std::string_view skip_letters(bool& is_ascii) noexcept {
    constexpr std::ptrdiff_t worth_it = 256;
    constexpr std::ptrdiff_t longest_start = 64;  // of a data URI, "data:image/png;base64,"
    if (end_ - at_ < worth_it) return {};
    const char* const from = at_ + longest_start;
    at_ = json_plain_end(at_, from, is_ascii);
    if (at_ != from) return {};
    at_ += base64_letters({from, static_cast<std::size_t>(end_ - from)});
    return {from, static_cast<std::size_t>(at_ - from)};
  }

  /// How many of `letters` a string ends with at `at_`, but for padding.
  [[nodiscard]] std::uint32_t tail_size(std::string_view letters) const noexcept {
    if (letters.empty()) return 0;
    const std::string_view rest{letters.data() + letters.size(), static_cast<std::size_t>(at_ - letters.data()) - letters.size()};
    if (rest != "" && rest != "=" && rest != "==") return 0;
    return static_cast<std::uint32_t>(std::min(letters.size(), largest_count));
  }

  void read_word(std::string_view word, JsonKind kind) {
    if (!std::string_view{at_, static_cast<std::size_t>(end_ - at_)}.starts_with(word)) fail("no value", at_);
    const std::uint32_t node = add(kind, at_);
    at_ += word.size();
    end_here(node);
  }

  void read_number() {
    const std::string_view rest{at_, static_cast<std::size_t>(end_ - at_)};
    const std::size_t size = json_number_size(rest);
    if (size == 0) fail("no value", at_);
    if (!json_number_fits(rest.substr(0, size))) fail("a number that is too large", at_);
    const std::uint32_t node = add(JsonKind::number, at_);
    at_ += size;
    end_here(node);
  }

  [[nodiscard]] std::string_view inside(const JsonNode& string) const noexcept {
    return text_.substr(string.begin + 1, string.end - string.begin - 2);
  }

  /// Refuses two members of one name: readers differ in which of them counts.
  void check_names(const JsonNode* object) const {
    constexpr std::size_t few = 16;
    if (object->size > few) return check_many_names(object);
    std::array<std::string_view, few> names;
    const JsonNode* name = object + 1;
    for (std::size_t i = 0; i < object->size; ++i) {
      if (name->is_escaped != 0) return check_many_names(object);
      names[i] = inside(*name);
      for (std::size_t j = 0; j < i; ++j) {
        if (names[i] == names[j]) fail_twice(names[i], name->begin);
      }
      name += 1 + name[1].span;
    }
  }

  /// Sorts by hash and, where that is the same, by name: names chosen to collide cost no more than a sort.
  void check_many_names(const JsonNode* object) const {
    struct Name {
      std::size_t hash;
      std::string_view text;
      std::size_t begin;
      bool operator<(const Name& other) const noexcept {
        return hash != other.hash ? hash < other.hash : std::tie(text, begin) < std::tie(other.text, other.begin);
      }
    };
    std::vector<Name> names;
    names.reserve(object->size);
    std::deque<std::string> unescaped;
    const JsonNode* name = object + 1;
    for (std::size_t i = 0; i < object->size; ++i) {
      std::string_view text = inside(*name);
      if (name->is_escaped != 0) {
        json_unescape(text, unescaped.emplace_back());
        text = unescaped.back();
      }
      names.push_back({std::hash<std::string_view>{}(text), text, name->begin});
      name += 1 + name[1].span;
    }
    std::ranges::sort(names, std::less<>{});
    const Name* twice = nullptr;
    for (std::size_t i = 1; i < names.size(); ++i) {
      const bool is_same = names[i - 1].hash == names[i].hash && names[i - 1].text == names[i].text;
      if (is_same && (twice == nullptr || names[i].begin < twice->begin)) twice = &names[i];
    }
    if (twice != nullptr) fail_twice(twice->text, twice->begin);
  }

  [[noreturn]] void fail_twice(std::string_view name, std::size_t begin) const {
    constexpr std::size_t shown = 64;
    std::string start{truncate_code_points(name, shown)};
    // An error is one line.
    std::ranges::replace_if(start, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
    fail("a member stands twice: " + start, text_.data() + begin);
  }

  std::string_view text_;
  const char* at_;
  const char* end_;
  JsonLimits limits_;
  std::vector<JsonNode> nodes_;
  std::uint32_t open_ = none;
  std::size_t depth_ = 0;
};

}  // namespace ecso::detail
