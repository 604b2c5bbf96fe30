#pragma once

// What a fuzzer asks of a text that is put before a check: every string of a JSON value stands in it, as it is or as JSON writes
// it, so that whoever reads the text has read the value. Written with nlohmann and without ecso's own walks.

#include <ecso/gateway/readable.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "support/reply_fuzz.hpp"

namespace ecso::test {

using nlohmann::json;

inline bool is_one_of(std::initializer_list<std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// As base64 has them.
inline bool is_opaque(std::string_view text) {
  return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-") == text.npos;
}

inline bool is_identifier(std::string_view text) {
  return text.size() <= 64 &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-") == text.npos;
}

inline bool shows(std::string_view shown, const std::string& text) {
  if (text.find_first_not_of(" \t\n\r\v\f") == text.npos || shown.find(text) != shown.npos) return true;
  if (shown.find(gateway::with_escapes_read(text)) != shown.npos) return true;
  const std::string escaped = gateway::with_escapes_read(json(text).dump());
  return shown.find(std::string_view{escaped}.substr(1, escaped.size() - 2)) != shown.npos;
}

/// Calls `take(text)` for every string in a value, the names of members included.
template <typename Take>
void for_each_string(const json& value, const Take& take) {
  if (value.is_string()) take(value.get_ref<const std::string&>());
  if (value.is_array()) {
    for (const json& item : value) for_each_string(item, take);
  }
  if (!value.is_object()) return;
  for (const auto& [name, member] : value.items()) {
    take(name);
    for_each_string(member, take);
  }
}

/// Requires that all of a value is shown.
inline void require_shown(std::string_view shown, const json& value) {
  for_each_string(value, [&](const std::string& text) { require(shows(shown, text)); });
}

inline bool has_string(const json& value) {
  bool has_any = false;
  for_each_string(value, [&](const std::string& text) { has_any = has_any || !text.empty(); });
  return has_any;
}

/// Whether there is an array with a number in it.
inline bool has_number_list(const json& value) {
  const auto item_has = [](const json& item) { return item.is_number() || has_number_list(item); };
  if (value.is_array()) return std::ranges::any_of(value, item_has);
  return value.is_object() && std::ranges::any_of(value, [](const json& member) { return has_number_list(member); });
}

/// Requires that a request's member is shown, or is one of those that say nothing to a model.
inline void require_request_shown(std::string_view shown, std::string_view name, const json& value) {
  const auto all_strings = [&](const auto& is_it) {
    bool are = !value.is_array();
    for_each_string(value, [&](const std::string& text) { are = are && is_it(text); });
    return are;
  };
  const bool is_named = is_one_of({"cache_control", "call_id", "container", "id", "tool_call_id", "tool_use_id", "type"}, name);
  if (is_named && all_strings(is_identifier)) return;
  const bool is_json = is_one_of({"chat_template_kwargs", "context_management", "documents", "functions", "json_schema",
                                  "mcp_servers", "media_io_kwargs", "mm_processor_kwargs", "output_config", "output_format",
                                  "prediction", "response_format", "structured_outputs", "tool_choice", "tools"},
                                 name);
  require(is_json || name.starts_with("guided_") || !has_number_list(value));
  require_shown(shown, value);
}

/// Whether an option has nothing but words that say how to answer.
inline bool is_setting(std::string_view name, const json& value) {
  const auto has_words_only = [](const auto& self, const json& each) -> bool {
    if (each.is_string()) {
      return is_one_of({"", "adaptive", "any", "auto", "default", "disabled", "enabled", "high", "low", "max", "medium",
                        "minimal", "none", "required", "xhigh"},
                       each.get_ref<const std::string&>());
    }
    if (!each.is_object()) return !each.is_array();
    for (const auto& [key, member] : each.items()) {
      if (!is_identifier(key) || !self(self, member)) return false;
    }
    return true;
  };
  return is_one_of({"chat_template_kwargs", "function_call", "output_config", "reasoning", "reasoning_effort", "reasoning_format",
                    "thinking", "tool_choice", "verbosity"},
                   name) &&
         has_words_only(has_words_only, value);
}

/// The same of all members of a request but for those of the names `read`.
inline void require_options_shown(std::string_view shown, const json& request, std::initializer_list<std::string_view> read) {
  for (const auto& [name, value] : request.items()) {
    const bool is_never_shown = is_one_of({"allowed_token_ids",
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
                                           "prompt_cache_retention",
                                           "provider",
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
                                           "user"},
                                          name);
    if (!is_never_shown && !is_one_of(read, name) && !is_setting(name, value)) require_request_shown(shown, name, value);
  }
}

/// Requires that an answer's member is shown, but for signatures of thoughts, and has no tokens.
inline void require_answer_shown(std::string_view shown, std::string_view name, const json& value) {
  require(!has_number_list(value));
  const auto walk = [&](const auto& self, std::string_view member_name, const json& each) -> void {
    if (each.is_string()) {
      const auto& text = each.get_ref<const std::string&>();
      const bool is_signature = is_one_of({"signature", "thought_signature"}, member_name) && is_opaque(text);
      require(is_signature || shows(shown, text));
    }
    if (each.is_array()) {
      for (const json& item : each) self(self, "", item);
    }
    if (!each.is_object()) return;
    for (const auto& [key, member] : each.items()) {
      require(shows(shown, key));
      self(self, key, member);
    }
  };
  walk(walk, name, value);
}

}  // namespace ecso::test
