#pragma once

#include <ecso/detail/json_out.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::detail {

/// JSON made of text of its own and of ranges of somebody else's bytes, which it does not copy: an image stays where it arrived.
/// The ranges must outlive it. Not thread safe; movable.
class Spliced {
 public:
  /// Finished JSON, copied.
  Spliced& raw(std::string_view json) {
    own_ += json;
    return *this;
  }

  /// A string with its quotes. @throws Error (bad_input) if it is not UTF-8.
  Spliced& string(std::string_view text) {
    JsonOut{own_}.raw("\"").escaped(text).raw("\"");
    return *this;
  }

  /// A number, a list of strings: what JsonOut writes.
  template <typename Write>
  Spliced& with(const Write& write) {
    JsonOut out{own_};
    write(out);
    return *this;
  }

  /// Finished JSON that stays where it is; a short piece is copied.
  Spliced& range(std::string_view json) {
    constexpr std::size_t worth_referring_to = 1024;
    if (json.size() < worth_referring_to) return raw(json);
    ranges_.push_back({own_.size(), json});
    foreign_ += json.size();
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return own_.size() + foreign_; }

  /// Everything in order. The views live as long as this is neither changed nor moved.
  [[nodiscard]] std::vector<std::string_view> pieces() const {
    std::vector<std::string_view> pieces;
    pieces.reserve(2 * ranges_.size() + 1);
    std::size_t begin = 0;
    for (const Range& range : ranges_) {
      if (range.at > begin) pieces.push_back(std::string_view{own_}.substr(begin, range.at - begin));
      pieces.push_back(range.bytes);
      begin = range.at;
    }
    if (begin < own_.size()) pieces.push_back(std::string_view{own_}.substr(begin));
    return pieces;
  }

  /// Everything in one text.
  [[nodiscard]] std::string text() const {
    std::string text;
    text.reserve(size());
    for (const std::string_view piece : pieces()) text += piece;
    return text;
  }

 private:
  struct Range {
    std::size_t at;
    std::string_view bytes;
  };

  std::string own_;
  std::vector<Range> ranges_;
  std::size_t foreign_ = 0;
};

}  // namespace ecso::detail
