#pragma once

#include <ecso/detail/fence.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace ecso {

/// The places that a prompt can have. In a template they are written `{query}`, `{response}`, `{caption}` and `{review}`; a
/// literal brace is written twice.
enum class Slot { query, response, caption, review };

/// What goes into the slots. Taken as it is: braces and percent signs in it mean nothing.
struct SlotValues {
  std::string_view query = {};
  std::string_view response = {};
  std::string_view caption = {};
  std::string_view review = {};
};

/// How a value is put into its slot.
enum class Fence {
  none,  ///< As it is, as the paper does.
  /// As quoted data: every line begins with "> ", and tokens that steer a model (`</s>`, `<|im_start|>`, `[INST]`) are broken
  /// up.
  quote,
};

[[nodiscard]] constexpr std::string_view to_string(Fence fence) noexcept { return fence == Fence::none ? "none" : "quote"; }

[[nodiscard]] constexpr std::string_view to_string(Slot slot) noexcept {
  switch (slot) {
    case Slot::query: return "query";
    case Slot::response: return "response";
    case Slot::caption: return "caption";
    case Slot::review: return "review";
  }
  return "unknown";
}

namespace detail {

inline constexpr std::array all_slots{Slot::query, Slot::response, Slot::caption, Slot::review};

/// Calls `on_text(piece)` and `on_slot(name)` for the parts of a template in order; `on_error(reason)` for a brace that is not
/// closed or not opened.
template <typename OnText, typename OnSlot, typename OnError>
constexpr void scan_template(std::string_view text, OnText on_text, OnSlot on_slot, OnError on_error) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t brace = text.find_first_of("{}", at);
    if (brace != at) on_text(text.substr(at, brace == std::string_view::npos ? brace : brace - at));
    if (brace == std::string_view::npos) return;
    if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
      on_text(text.substr(brace, 1));
      at = brace + 2;
      continue;
    }
    const std::size_t end = text.find('}', brace);
    if (text[brace] == '}' || end == std::string_view::npos)
      return on_error("a brace that is not closed or not opened; write a literal brace twice");
    on_slot(text.substr(brace + 1, end - brace - 1));
    at = end + 1;
  }
}

// Not constexpr on purpose: calling one of these while compiling is the error message.
inline void this_prompt_has_a_slot_it_may_not_have() {}
inline void this_prompt_lacks_a_slot_it_must_have() {}
inline void this_prompt_has_an_unbalanced_brace() {}

}  // namespace detail

/// A prompt literal whose slots are checked while compiling: it must have each of `Slots` at least once and no other.
template <Slot... Slots>
class StaticPrompt {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a literal is the prompt.
  consteval StaticPrompt(const char* text) : text_{text} {
    detail::scan_template(
        text_, [](std::string_view) {},
        []([[maybe_unused]] std::string_view name) {
          if (!((name == to_string(Slots)) || ...)) detail::this_prompt_has_a_slot_it_may_not_have();
        },
        [](std::string_view) { detail::this_prompt_has_an_unbalanced_brace(); });
    if (!(contains(Slots) && ...)) detail::this_prompt_lacks_a_slot_it_must_have();
  }

  /// The template's text; it lives as long as the program.
  [[nodiscard]] constexpr std::string_view text() const noexcept { return text_; }

 private:
  [[nodiscard]] constexpr bool contains(Slot slot) const {
    bool found = false;
    detail::scan_template(
        text_, [](std::string_view) {}, [&](std::string_view name) { found = found || name == to_string(slot); },
        [](std::string_view) {});
    return found;
  }

  std::string_view text_;
};

/// A prompt with named slots that owns its text: made from a literal, which is checked while compiling, or from a `std::string`,
/// which is checked then.
template <Slot... Slots>
class PromptTemplate {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a checked literal loses nothing by becoming an owning template.
  PromptTemplate(StaticPrompt<Slots...> prompt) : text_{prompt.text()} {}

  /// @throws Error (bad_input) that names the missing or unknown slot.
  explicit PromptTemplate(std::same_as<std::string> auto text) : text_{std::move(text)} {
    std::array<bool, detail::all_slots.size()> seen{};
    detail::scan_template(
        text_, [](std::string_view) {},
        [&](std::string_view name) {
          if (!((name == to_string(Slots)) || ...))
            throw Error{Errc::bad_input, "prompt template: unknown slot {" + std::string{name} + "}" + known()};
          for (const Slot slot : detail::all_slots) seen.at(static_cast<std::size_t>(slot)) |= name == to_string(slot);
        },
        [](std::string_view reason) { throw Error{Errc::bad_input, "prompt template: " + std::string{reason}}; });
    [[maybe_unused]] const auto require = [&](Slot slot) {
      if (!seen.at(static_cast<std::size_t>(slot))) {
        throw Error{Errc::bad_input, "prompt template: missing slot {" + std::string{to_string(slot)} + "}" + known()};
      }
    };
    (require(Slots), ...);
  }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  /// The prompt with its slots filled. Values are never read as templates.
  [[nodiscard]] std::string fill(const SlotValues& values, Fence fence = Fence::none) const {
    std::string filled;
    const std::size_t size =
        text_.size() + values.query.size() + values.response.size() + values.caption.size() + values.review.size();
    filled.reserve(fence == Fence::none ? size : size + size / 16 + 16);
    detail::scan_template(
        text_, [&](std::string_view piece) { filled += piece; },
        [&](std::string_view name) {
          const std::string_view value = value_of(name, values);
          if (fence == Fence::quote) {
            detail::append_quoted(filled, value);
          } else {
            filled += value;
          }
        },
        [](std::string_view) {});
    return filled;
  }

  bool operator==(const PromptTemplate&) const = default;

 private:
  [[nodiscard]] static std::string known() {
    std::string list;
    ((list += std::string{list.empty() ? "{" : ", {"} + std::string{to_string(Slots)} + "}"), ...);
    return list.empty() ? "; this prompt has no slots" : "; this prompt has the slots " + list;
  }

  [[nodiscard]] static std::string_view value_of(std::string_view name, const SlotValues& values) noexcept {
    if (name == to_string(Slot::query)) return values.query;
    if (name == to_string(Slot::response)) return values.response;
    return name == to_string(Slot::caption) ? values.caption : values.review;
  }

  std::string text_;
};

}  // namespace ecso
