#pragma once

// A libFuzzer mutator that knows JSON: members, types and values of the chat formats come and go, where bytes alone would break
// the JSON. Half of the time the bytes are mutated as ever. Include it in one source only.

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace ecso::test {

/// Changes a JSON value in one place.
class JsonMutator {
 public:
  using Json = nlohmann::ordered_json;

  explicit JsonMutator(unsigned seed) : random_{seed} {}

  void mutate(Json& root) {
    std::vector<Json*> values;
    collect(root, values);
    Json& value = *values[below(values.size())];
    switch (below(6)) {
      case 0: value = leaf(); return;
      case 1: value = Json::array({std::move(value)}); return;
      case 2: value = Json{{name(), std::move(value)}}; return;
      case 3: return remove(value);
      default: return add(value);
    }
  }

  /// The JSON of a line "data: …" of a stream, or all of a text. Nothing is changed that is no JSON.
  [[nodiscard]] std::string mutate_text(std::string_view text) {
    std::vector<std::pair<std::size_t, std::size_t>> places;
    constexpr std::string_view mark = "data:";
    for (std::size_t at = text.find(mark); at != text.npos; at = text.find(mark, at)) {
      at += mark.size();
      places.emplace_back(at, std::min(text.find('\n', at), text.size()) - at);
    }
    if (places.empty()) places.emplace_back(0, text.size());
    const auto [begin, size] = places[below(places.size())];
    Json json = Json::parse(text.substr(begin, size), nullptr, false);
    if (json.is_discarded()) return std::string{text};
    for (std::size_t times = 1 + below(3); times > 0; --times) mutate(json);
    std::string changed{text.substr(0, begin)};
    changed += json.dump(-1, ' ', below(2) == 0, Json::error_handler_t::replace);
    changed += text.substr(begin + size);
    return changed;
  }

  [[nodiscard]] std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }

 private:
  static void collect(Json& value, std::vector<Json*>& values) {
    values.push_back(&value);
    if (!value.is_structured()) return;
    for (Json& each : value) collect(each, values);
  }

  [[nodiscard]] std::string name() {
    constexpr const char* names[] = {"",
                                     "x",
                                     "ecso",
                                     "ECSO",
                                     "id",
                                     "type",
                                     "role",
                                     "name",
                                     "text",
                                     "content",
                                     "thinking",
                                     "signature",
                                     "data",
                                     "source",
                                     "url",
                                     "image_url",
                                     "Image_URL",
                                     "video_url",
                                     "uuid",
                                     "detail",
                                     "cache_control",
                                     "annotations",
                                     "citations",
                                     "refusal",
                                     "reasoning",
                                     "reasoning_content",
                                     "reasoning_details",
                                     "summary",
                                     "tool_calls",
                                     "function_call",
                                     "function",
                                     "custom",
                                     "arguments",
                                     "input",
                                     "Arguments",
                                     "index",
                                     "tools",
                                     "tool_choice",
                                     "response_format",
                                     "documents",
                                     "chat_template",
                                     "chat_template_kwargs",
                                     "stop",
                                     "metadata",
                                     "prompt",
                                     "input_ids",
                                     "prompt_embeds",
                                     "return_token_ids",
                                     "token_ids",
                                     "logprobs",
                                     "token",
                                     "bytes",
                                     "top_logprobs",
                                     "content_filter_results",
                                     "finish_reason",
                                     "stop_reason",
                                     "matched_stop",
                                     "message",
                                     "delta",
                                     "choices",
                                     "usage",
                                     "timings",
                                     "obfuscation",
                                     "object",
                                     "images",
                                     "audio",
                                     "file",
                                     "partial_json",
                                     "content_block",
                                     "stop_sequence",
                                     "tool_use_id",
                                     "tool_call_id",
                                     "thought_signature",
                                     "system",
                                     "container"};
    return names[below(std::size(names))];
  }

  [[nodiscard]] Json leaf() {
    switch (below(14)) {
      case 0: return nullptr;
      case 1: return true;
      case 2: return 7;
      case 3: return 0.5;
      case 4: return Json::array({1, 2});
      case 5: return Json::array();
      case 6: return Json::object();
      case 7: return Json{{name(), "nested words"}};
      case 8: return Json{{"words as a name", 1}};
      case 9: return "data:image/png;base64,AAAA";
      case 10: return R"({"a":"\u0062omb \"quoted\""})";
      default: break;
    }
    constexpr const char* texts[] = {"",
                                     "some words",
                                     "call_1:x-y.z",
                                     "a\nb\t\"c\"\\d/e",
                                     "caf\xC3\xA9 \xF0\x9F\x98\x80",
                                     "c2ln/+==",
                                     "text",
                                     "auto",
                                     "ephemeral",
                                     "image_url",
                                     "tool_use",
                                     "thinking",
                                     "assistant",
                                     "function",
                                     "user",
                                     "token_id:15",
                                     "input_json_delta",
                                     "text_delta",
                                     "image",
                                     "refusal",
                                     "system"};
    return texts[below(std::size(texts))];
  }

  void add(Json& value) {
    if (value.is_object()) {
      value[name()] = leaf();
    } else if (value.is_array()) {
      value.push_back(value.empty() || below(2) == 0 ? leaf() : Json(value[below(value.size())]));
    } else {
      value = leaf();
    }
  }

  void remove(Json& value) {
    if (!value.is_structured() || value.empty()) return;
    const auto at = std::next(value.begin(), static_cast<std::ptrdiff_t>(below(value.size())));
    if (value.is_object() && below(2) == 0) {
      Json kept = at.value();
      value.erase(at);
      value[name()] = std::move(kept);
    } else {
      value.erase(at);
    }
  }

  std::minstd_rand random_;
};

/// @param head bytes before the text that are none of it.
inline std::size_t mutate_json(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed, std::size_t head) {
  JsonMutator mutator{seed};
  if (size <= head || mutator.below(2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string_view text{reinterpret_cast<const char*>(data) + head, size - head};
  const std::string changed = mutator.mutate_text(text);
  if (changed == text || head + changed.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data + head, changed.data(), changed.size());
  return head + changed.size();
}

}  // namespace ecso::test
