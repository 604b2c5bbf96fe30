#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/exact_names.hpp>
#include <ecso/gateway/json_path.hpp>
#include <ecso/gateway/readable.hpp>
#include <ecso/gateway/unreadable.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::gateway {

/// What a client's request may show a model beside its turns, a line "path: JSON" each, for `Conversation::context`. Every member
/// that nobody reads otherwise may, as templates print what they like, but for those that say how to draw, route or book an
/// answer. What no check could read is refused: all throw Error (bad_input) that names the place. Not thread safe.
class ClientContext {
 public:
  /// Adds what the members of the request itself say but for those of the names `read`.
  void add_options(detail::JsonValue root, std::initializer_list<std::string_view> read, const JsonPath& path) {
    std::string storage;
    for (const detail::JsonMember& member : root.members()) {
      const std::string_view name = member.key.text(storage);
      if (is_among(read, name) || is_among(never_shown, name) || is_setting(name, member.value)) continue;
      require_checkable_option(name, member.value, path / name);
      add(name, member.value, path / name);
    }
  }

  /// Adds what the members of an object say but for those of the names `read`.
  void add_others(detail::JsonValue object, std::initializer_list<std::string_view> read, const JsonPath& path) {
    std::string storage;
    for (const detail::JsonMember& member : object.members()) {
      const std::string_view name = member.key.text(storage);
      if (!is_among(read, name)) add(name, member.value, path / name);
    }
  }

  /// Adds what a value says; null is nothing. @param name of the member that it is, if it is one.
  void add(std::string_view name, detail::JsonValue value, const JsonPath& path) {
    if (!value || value.is_null()) return;
    require_checkable_name(name, path);
    if (!is_shown_as_json(name) && has_number_list(value)) path.refuse("a list of numbers cannot be checked; leave it out");
    if (!has_words(value) || is_id(name, value)) return;
    if (has_data_uri(value)) path.refuse("cannot be checked but as an image in a part of the content; leave it out");
    if (one_line(name) != name) path.refuse("has a name that cannot be checked; leave it out");
    append_line(text_, path.text().append(": ").append(readable_json(value)));
  }

  /// Refuses what stands in a part of a content beside the members `read` if it says anything, or is called as media are: some
  /// servers go by that and not by the part's type, even where it is null.
  static void require_bare(detail::JsonValue part, std::initializer_list<std::string_view> read, const JsonPath& path) {
    std::string storage;
    for (const detail::JsonMember& member : part.members()) {
      const std::string_view name = member.key.text(storage);
      if (is_among(read, name)) continue;
      require_checkable_name(name, path / name);
      const bool may_be_plain = name == "cache_control" || name == "detail";
      const bool says_nothing = !has_words(member.value) || (may_be_plain && is_plain(member.value));
      if (!says_nothing || has_number_list(member.value)) (path / name).refuse("cannot be checked in a part; leave it out");
    }
  }

  /// All lines.
  [[nodiscard]] std::string text() && noexcept { return std::move(text_); }

 private:
  /// Options, of either API or of servers that have one of them, that a model is not shown.
  static constexpr std::string_view never_shown[] = {"allowed_token_ids",
                                                     "bad_words",
                                                     "bad_words_ids",
                                                     "banned_tokens",
                                                     "cache_salt",
                                                     "inference_geo",
                                                     "keep_alive",
                                                     "logit_bias",
                                                     "metadata",
                                                     "model",
                                                     "models",
                                                     "priority",
                                                     "prompt_cache_key",
                                                     "provider",
                                                     "prompt_cache_retention",
                                                     "request_id",
                                                     "rid",
                                                     "route",
                                                     "safety_identifier",
                                                     "sampler_order",
                                                     "samplers",
                                                     "service_tier",
                                                     "stop",
                                                     "stop_sequences",
                                                     "stop_token_ids",
                                                     "store",
                                                     "stream_options",
                                                     "user"};

  /// By which a server would read, or give, what no check could read.
  static void require_checkable_option(std::string_view name, detail::JsonValue value, const JsonPath& path) {
    std::string storage;
    const std::string_view folded = folded_name(name, storage);
    const bool is_prompt = is_among({"bootstrap_host", "bootstrap_room", "ec_transfer_params", "input", "input_ids",
                                     "kv_transfer_params", "prompt", "prompt_token_ids", "session_params"},
                                    folded);
    if (is_prompt && !value.is_null()) path.refuse("what a model would read by it cannot be checked; leave it out");
    const bool is_shape = is_among(
        {"return_hidden_states", "return_prompt_token_ids", "return_token_ids", "return_tokens", "return_tokens_as_token_ids"},
        folded);
    if (is_shape && !value.is_null() && value.boolean() != false)
      path.refuse("an answer of that kind cannot be checked; leave it out");
  }

  static void require_checkable_name(std::string_view name, const JsonPath& path) {
    std::string storage;
    const std::string_view folded = folded_name(name, storage);
    // What stands for something that a server keeps.
    const bool is_kept =
        is_among({"file_id", "file_ids", "mm_uuids", "multi_modal_uuids", "previous_response_id", "uuid"}, folded);
    if (is_kept || is_media_name(name)) path.refuse("cannot be checked here; leave it out (images go into parts of the content)");
  }

  /// Short, and without a space.
  [[nodiscard]] static bool is_identifier(detail::JsonValue text) {
    constexpr std::size_t max_size = 64;
    const auto is_sign = [](char c) {
      return detail::is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == ':' || c == '-';
    };
    const auto plain = text.plain();
    return plain && plain->size() <= max_size && std::ranges::all_of(*plain, is_sign);
  }

  /// Whether a value has no text but such as `is_it` knows, and no list.
  template <typename Predicate>
  [[nodiscard]] static bool has_only(detail::JsonValue value, const Predicate& is_it) {
    const auto member_is = [&](const detail::JsonMember& member) {
      return is_identifier(member.key) && has_only(member.value, is_it);
    };
    return value.is_string() ? is_it(value) : !value.is_array() && std::ranges::all_of(value.members(), member_is);
  }

  /// Whether a member's value tells things apart, and no more.
  [[nodiscard]] static bool is_plain(detail::JsonValue value) { return has_only(value, is_identifier); }

  /// Whether an option says how to answer, in the words that APIs have for it.
  [[nodiscard]] static bool is_setting(std::string_view name, detail::JsonValue value) {
    const auto is_word = [](detail::JsonValue text) {
      return is_among({"", "adaptive", "any", "auto", "default", "disabled", "enabled", "high", "low", "max", "medium", "minimal",
                       "none", "required", "xhigh"},
                      text.plain().value_or("?"));
    };
    return is_among({"chat_template_kwargs", "function_call", "output_config", "reasoning", "reasoning_effort",
                     "reasoning_format", "thinking", "tool_choice", "verbosity"},
                    name) &&
           has_only(value, is_word);
  }

  [[nodiscard]] static bool is_id(std::string_view name, detail::JsonValue value) {
    return is_among({"cache_control", "call_id", "container", "id", "tool_call_id", "tool_use_id", "type"}, name) &&
           is_plain(value);
  }

  /// Whether a member is put before a model, or into the grammar of its answer, as the JSON that it is; or tells how to take
  /// media apart.
  [[nodiscard]] static bool is_shown_as_json(std::string_view name) noexcept {
    return name.starts_with("guided_") ||
           is_among({"chat_template_kwargs", "context_management", "documents", "functions", "json_schema", "mcp_servers",
                     "media_io_kwargs", "mm_processor_kwargs", "output_config", "output_format", "prediction", "response_format",
                     "structured_outputs", "tool_choice", "tools"},
                    name);
  }

  std::string text_;
};

}  // namespace ecso::gateway
