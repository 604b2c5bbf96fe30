#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/gateway/anthropic_parts.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::gateway {

/// Calls `take(piece)` for each of the pieces of a few words that make up `text`; each is UTF-8 if the text is.
template <typename Take>
void for_each_piece(std::string_view text, const Take& take) {
  constexpr std::size_t words = 4;
  constexpr std::size_t max_bytes = 64;
  while (!text.empty()) {
    const std::string_view window = text.substr(0, max_bytes);
    std::size_t end = 0;
    for (std::size_t word = 0; word < words && end < window.size(); ++word) {
      end = std::min(window.find_first_of(" \n", end), window.size() - 1) + 1;
    }
    while (end > 1 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    take(text.substr(0, end));
    text.remove_prefix(end);
  }
}

/// Appends JSON without its line breaks: between its tokens they are nothing, and within them there are none.
inline void append_on_one_line(std::string_view json, std::string& out) {
  std::ranges::copy_if(json, std::back_inserter(out), [](char c) { return c != '\n' && c != '\r'; });
}

/// Writes events of a streamed message (Anthropic API reference, "Streaming messages").
class AnthropicEvents {
 public:
  /// @param data one JSON object.
  AnthropicEvents& event(std::string_view type, std::string_view data) {
    text_.append("event: ").append(type).append("\ndata: ");
    append_on_one_line(data, text_);
    text_ += "\n\n";
    return *this;
  }

  AnthropicEvents& delta(std::int64_t index, std::string_view type, std::string_view member, std::string_view json) {
    std::string data = R"({"type":"content_block_delta","index":)" + std::to_string(index) + R"(,"delta":{"type":")";
    data.append(type).append(R"(",")").append(member).append("\":").append(json).append("}}");
    return event("content_block_delta", data);
  }

  AnthropicEvents& start_block(std::int64_t index, std::string_view block) {
    std::string data = R"({"type":"content_block_start","index":)" + std::to_string(index) + R"(,"content_block":)";
    return event("content_block_start", data.append(block).append("}"));
  }

  AnthropicEvents& stop_block(std::int64_t index) {
    return event("content_block_stop", R"({"type":"content_block_stop","index":)" + std::to_string(index) + "}");
  }

  /// A text as a block of its own, in pieces.
  AnthropicEvents& text_block(std::int64_t index, std::string_view text) {
    start_block(index, R"({"type":"text","text":""})");
    text_deltas(index, text);
    return stop_block(index);
  }

  /// More of a block of text.
  AnthropicEvents& text_deltas(std::int64_t index, std::string_view text) {
    for_each_piece(text, [&](std::string_view piece) { delta(index, "text_delta", "text", json_string(piece)); });
    return *this;
  }

  /// A block of a whole answer as a streamed one comes.
  AnthropicEvents& block(std::int64_t index, detail::JsonValue block) {
    const std::string type = block["type"].text();
    if (type == "text" && block["text"].is_string()) {
      start_block(index, R"({"type":"text","text":""})");
      text_deltas(index, block["text"].text());
      for (const detail::JsonValue citation : block["citations"].items()) {
        delta(index, "citations_delta", "citation", citation.raw());
      }
    } else if (type == "thinking" && block["thinking"].is_string()) {
      start_block(index, R"({"type":"thinking","thinking":"","signature":""})");
      for_each_piece(block["thinking"].text(),
                     [&](std::string_view piece) { delta(index, "thinking_delta", "thinking", json_string(piece)); });
      if (block["signature"].is_string()) delta(index, "signature_delta", "signature", block["signature"].raw());
    } else if (type == "tool_use" && block["input"]) {
      JsonEdits start{block.raw()};
      start.replace(block["input"].raw(), "{}");
      start_block(index, start.text());
      delta(index, "input_json_delta", "partial_json", json_string(block["input"].raw()));
    } else {
      start_block(index, block.raw());
    }
    return stop_block(index);
  }

  AnthropicEvents& stop() { return event("message_stop", R"({"type":"message_stop"})"); }

  [[nodiscard]] std::string text() && noexcept { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace ecso::gateway
