#pragma once

#include <ecso/backend/openai_reply.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json_out.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text_stream.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_said.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What whole and streamed chat completions have in common: what stands in a choice beside what it says, and JSON for what leaves
/// in its place.
namespace ecso::gateway {

[[nodiscard]] inline FinishReason openai_finish_reason(detail::JsonValue value) {
  return detail::finish_reason_of(detail::Json(value.text()));
}

[[nodiscard]] inline Usage openai_usage(detail::JsonValue root) {
  const detail::JsonValue usage = root["usage"];
  const detail::JsonValue cached = usage["prompt_tokens_details"]["cached_tokens"];
  return {.prompt_tokens = count_of(usage["prompt_tokens"]),
          .cached_tokens = count_of(cached.is_number() ? cached : root["timings"]["cache_n"]),
          .completion_tokens = count_of(usage["completion_tokens"])};
}

/// What the model read and wrote, of a completion with one choice. What it thought is told where servers give the thoughts; where
/// they give less, such as a summary of them, they do not count.
class OpenAiCounts {
 public:
  void take_usage(detail::JsonValue usage) {
    prompt_ = count_of(usage["prompt_tokens"]);
    completion_ = count_of(usage["completion_tokens"]);
    reasoning_ = count_of(usage["completion_tokens_details"]["reasoning_tokens"]);
  }

  /// @param thoughts how many bytes of the text are thoughts.
  [[nodiscard]] TokenCounts counts(AnswerText which, std::size_t thoughts) const noexcept {
    // A token has a byte at the least.
    const bool has_all = which == AnswerText::everything && std::cmp_greater_equal(thoughts, reasoning_);
    if (which == AnswerText::content && thoughts != 0) return {.prompt = prompt_};
    return {.prompt = prompt_, .text = has_all ? completion_ : std::max<std::int64_t>(completion_ - reasoning_, 0)};
  }

 private:
  std::int64_t prompt_ = 0;
  std::int64_t completion_ = 0;
  std::int64_t reasoning_ = 0;
};

/// The value of a member "usage" with the numbers of `usage` where it has any.
[[nodiscard]] inline std::string with_usage(detail::JsonValue value, const Usage& usage) {
  JsonEdits edits{value.raw()};
  edits.set_number(value["prompt_tokens"], usage.prompt_tokens);
  edits.set_number(value["completion_tokens"], usage.completion_tokens);
  edits.set_number(value["total_tokens"], usage.prompt_tokens + usage.completion_tokens);
  edits.set_number(value["prompt_tokens_details"]["cached_tokens"], usage.cached_tokens);
  return edits.text();
}

/// The number of a choice: its index, or its place where it has none.
/// @throws Error (bad_reply) if that is not below `choices`, or the choice is no object.
[[nodiscard]] inline std::size_t openai_choice_number(detail::JsonValue choice, std::size_t place, std::size_t choices) {
  if (!choice.is_object()) throw Error{Errc::bad_reply, "a choice that is no object"};
  const detail::JsonValue index = choice["index"];
  if (!index || index.is_null()) return place;
  const auto number = index.integer();
  if (!number || *number < 0 || std::cmp_greater_equal(*number, choices)) {
    throw Error{Errc::bad_reply, "a choice has the index " + one_line(index.raw()) + " of " + std::to_string(choices)};
  }
  return static_cast<std::size_t>(*number);
}

/// The choice as it is, but that its index is `number`.
[[nodiscard]] inline std::string numbered_choice(detail::JsonValue choice, std::size_t number) {
  JsonEdits edits{choice.raw()};
  if (choice["index"].integer() != static_cast<std::int64_t>(number)) edits.set(choice, "index", std::to_string(number));
  return edits.text();
}

/// Whether all choices leave as they came. @throws Error (internal) if the releases are none for that many choices.
[[nodiscard]] inline bool is_all_direct(std::span<const Release> releases, std::size_t choices) {
  if (releases.size() != choices) throw Error{Errc::internal, "releases do not fit the choices"};
  for (const Release& release : releases) {
    const bool is_known = release.path == Path::direct || release.path == Path::refused ||
                          (release.path == Path::eyes_closed && release.regenerated != nullptr);
    if (!is_known) throw Error{Errc::internal, "a choice cannot leave that did not end well"};
  }
  return std::ranges::all_of(releases, [](const Release& release) { return release.path == Path::direct; });
}

/// A string of JSON, its quotes included. What is not UTF-8 becomes U+FFFD.
[[nodiscard]] inline std::string openai_string(std::string_view text) {
  std::string json;
  detail::JsonOut{json}.string(detail::to_valid_utf8(text));
  return json;
}

[[nodiscard]] inline std::string openai_error_body(std::string_view code, std::string_view message) {
  constexpr std::size_t max_characters = 2000;
  const std::string line = detail::one_line(message, {}, max_characters);
  return R"({"error":{"message":)" + openai_string(line) + R"(,"type":)" + openai_string(one_line(code)) +
         R"(,"param":null,"code":)" + openai_string(one_line(code)) + "}}";
}

}  // namespace ecso::gateway
