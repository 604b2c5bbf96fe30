#pragma once

#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ecso::gateway {

/// A place in a client's JSON, "messages[2].content[1]". Costs nothing until it is named. Refers to the place around it, which
/// must outlive it.
class JsonPath {
 public:
  JsonPath() = default;  ///< The whole body.

  [[nodiscard]] JsonPath operator/(std::string_view member) const& { return {this, member, std::nullopt}; }
  [[nodiscard]] JsonPath operator/(std::size_t item) const& { return {this, {}, item}; }
  JsonPath operator/(std::string_view member) const&& = delete;
  JsonPath operator/(std::size_t item) const&& = delete;

  [[nodiscard]] std::string text() const {
    if (around_ == nullptr) return {};
    std::string text = around_->text();
    if (item_) return text.append("[").append(std::to_string(*item_)).append("]");
    return text.append(text.empty() ? "" : ".").append(one_line(member_));
  }

  /// @throws Error (bad_input) "messages[2].content[1]: …"
  [[noreturn]] void refuse(std::string_view what) const {
    std::string message = text();
    throw Error{Errc::bad_input, message.append(message.empty() ? "" : ": ").append(what)};
  }

 private:
  JsonPath(const JsonPath* around, std::string_view member, std::optional<std::size_t> item)
      : around_{around}, member_{member}, item_{item} {}

  const JsonPath* around_ = nullptr;
  std::string_view member_;
  std::optional<std::size_t> item_;
};

}  // namespace ecso::gateway
