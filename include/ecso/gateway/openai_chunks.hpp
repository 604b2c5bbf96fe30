#pragma once

#include <ecso/core/request.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_answer.hpp>
#include <ecso/gateway/openai_choice.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::gateway {

/// What all chunks of a stream begin with.
class OpenAiChunkHead {
 public:
  OpenAiChunkHead() = default;

  /// That of a chunk.
  explicit OpenAiChunkHead(detail::JsonValue chunk) : model_{chunk["model"].text()} {
    for (const std::string_view name : {"id", "object", "created", "model", "service_tier", "system_fingerprint"}) {
      const detail::JsonValue value = chunk[name];
      if (value && !value.is_array() && !value.is_object())
        json_.append("\"").append(name).append("\":").append(value.raw()).append(",");
    }
    is_known_ = true;
  }

  [[nodiscard]] bool is_known() const noexcept { return is_known_; }
  [[nodiscard]] const std::string& model() const noexcept { return model_; }

  /// Members, each with the comma behind it.
  [[nodiscard]] const std::string& json() const noexcept { return json_; }

 private:
  std::string json_;
  std::string model_;
  bool is_known_ = false;
};

/// A chunk without what is no part of its choices but may repeat them.
[[nodiscard]] inline std::string without_other_text(std::string_view chunk) {
  const detail::JsonText json = reply_json(chunk);
  std::string kept;
  for (const detail::JsonMember& member : json.root().members()) {
    const std::string name = member.key.text();
    if (name != "choices" && !is_beside_choices(name, member.value)) continue;
    kept.append(kept.empty() ? "{" : ",").append(member.key.raw()).append(":").append(member.value.raw());
  }
  return kept.append(kept.empty() ? "{}" : "}");
}

/// Writes the chunks of a stream as server-sent events.
class OpenAiChunkWriter {
 public:
  /// @param head must outlive it.
  explicit OpenAiChunkWriter(const OpenAiChunkHead& head) : head_{head} {}

  /// Finished JSON of one line.
  void chunk(std::string_view json) {
    events_ += "data: ";
    last_ = events_.size();
    events_.append(json).append("\n\n");
  }

  void delta(std::size_t choice, std::string_view delta) { choice_chunk(choice, delta, "null", "null"); }

  /// The end of a choice. Both are JSON.
  void finish(std::size_t choice, std::string_view reason, std::string_view logprobs = "null") {
    choice_chunk(choice, "{}", logprobs, reason);
  }

  void usage(const Usage& usage) {
    const auto number = [](std::int64_t value) { return std::to_string(value); };
    std::string json = "{" + head_.json() + "\"choices\":[],\"usage\":{\"prompt_tokens\":" + number(usage.prompt_tokens);
    json.append(",\"completion_tokens\":").append(number(usage.completion_tokens));
    json.append(",\"total_tokens\":").append(number(usage.prompt_tokens + usage.completion_tokens));
    json.append(",\"prompt_tokens_details\":{\"cached_tokens\":").append(number(usage.cached_tokens)).append("}}}");
    chunk(json);
  }

  /// All chunks of a choice that does not leave as it came. @throws Error (internal) as `OpenAiAnswer::first_choice_of`.
  void instead_of(std::size_t choice, const Release& release) {
    delta(choice, R"({"role":"assistant","content":""})");
    if (release.path == Path::refused) {
      pieces(choice, "content", release.refusal);
      return finish(choice, "\"stop\"");
    }
    const detail::JsonValue whole = OpenAiAnswer::first_choice_of(*release.regenerated);
    std::string storage;
    for (const detail::JsonMember& member : whole["message"].members()) {
      const std::string_view name = member.key.text(storage);
      const detail::JsonValue value = member.value;
      const bool is_empty = value.is_null() || (value.is_array() && value.size() == 0);
      if (name == "role" || is_empty) continue;
      const bool is_long = name == "content" || name == "refusal" || name == "reasoning" || name == "reasoning_content";
      if (is_long && value.is_string()) {
        pieces(choice, name, value.text());
      } else if (name == "tool_calls" && value.is_array()) {
        tool_calls(choice, value);
      } else {
        delta(choice, "{" + std::string{member.key.raw()} + ":" + std::string{value.raw()} + "}");
      }
    }
    const auto or_null = [](detail::JsonValue value) { return value ? value.raw() : std::string_view{"null"}; };
    finish(choice, whole["finish_reason"].is_string() ? whole["finish_reason"].raw() : "\"stop\"", or_null(whole["logprobs"]));
  }

  /// All events, the end mark included. @param ecso stands in the last chunk, unless it is empty.
  [[nodiscard]] std::string end(std::string_view ecso) && {
    if (!ecso.empty()) {
      if (events_.empty()) chunk("{" + head_.json() + "\"choices\":[]}");
      const std::string json = events_.substr(last_, events_.size() - last_ - 2);
      const detail::JsonText text = reply_json(json);
      JsonEdits edits{json};
      edits.set(text.root(), "ecso", std::string{ecso});
      events_.resize(last_);
      events_.append(edits.text()).append("\n\n");
    }
    return std::move(events_.append("data: [DONE]\n\n"));
  }

 private:
  void choice_chunk(std::size_t choice, std::string_view delta, std::string_view logprobs, std::string_view reason) {
    std::string json = "{" + head_.json() + "\"choices\":[{\"index\":" + std::to_string(choice) + ",\"delta\":";
    json.append(delta).append(",\"logprobs\":").append(logprobs).append(",\"finish_reason\":").append(reason).append("}]}");
    chunk(json);
  }

  /// A text, a few words a chunk.
  void pieces(std::size_t choice, std::string_view member, std::string_view text) {
    constexpr std::size_t least = 16;
    constexpr std::size_t most = 64;
    const std::string begin = "{" + openai_string(member) + ":";
    while (!text.empty()) {
      const std::size_t space = text.find(' ', std::min(least, text.size()));
      const std::string_view words = text.substr(0, space == text.npos ? text.npos : space + 1);
      const std::string_view piece = detail::truncate_code_points(words, most);
      delta(choice, begin + openai_string(piece) + "}");
      text.remove_prefix(piece.size());
    }
  }

  void tool_calls(std::size_t choice, detail::JsonValue calls) {
    std::size_t number = 0;
    for (const detail::JsonValue call : calls.items()) {
      if (!call.is_object()) continue;
      JsonEdits edits{call.raw()};
      edits.set(call, "index", std::to_string(number++));
      delta(choice, "{\"tool_calls\":[" + edits.text() + "]}");
    }
  }

  const OpenAiChunkHead& head_;
  std::string events_;
  std::size_t last_ = 0;  ///< Where the JSON of the last chunk begins.
};

}  // namespace ecso::gateway
