#pragma once

#include <ecso/detail/json_text.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/anthropic_said.hpp>
#include <ecso/gateway/readable.hpp>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace ecso::gateway {

/// What a streamed message has said, put together from its events. All that takes throws Error (bad_reply) where no check could
/// read it.
class AnthropicStreamedMessage {
 public:
  /// The message of a message_start.
  void start(detail::JsonValue message) {
    say_lines([&] {
      for (const detail::JsonValue block : message["content"].items()) append_anthropic_block(block, everything_);
      if (!message["content"].is_array()) append_unknown({}, message["content"], everything_);
      append_beside_content(message, everything_);
    });
  }

  void start_block(std::int64_t index, detail::JsonValue block) {
    close_call();
    if (is_media_name(block["type"].text())) refuse_medium();
    is_new_line_ = true;
    index_ = index;
    has_thoughts_ = has_thoughts_ || is_thought(block);
    if (block["type"].text() == "text") content_ += block["text"].text();
    if (!is_call(block)) return say(index, block);
    say_beside(block, {"name", "input"});
    Call& call = calls_[index];
    call.name = block["name"].text();
    append_line(everything_, call.name + "(");
    // What comes piece by piece begins as {}.
    if (const detail::JsonValue input = block["input"]; !input.is_object() || has_words(input))
      everything_ += readable_json(input);
    is_in_call_ = true;
    is_new_line_ = false;
  }

  /// More of a block.
  void add(std::int64_t index, detail::JsonValue delta) {
    if (index != index_) is_new_line_ = true;  // blocks may take turns
    index_ = index;
    if (delta["type"].text() == "text_delta") content_ += delta["text"].text();
    say(index, delta);
  }

  void close_call() {
    if (is_in_call_) everything_ += ')';
    is_in_call_ = false;
  }

  /// Adds what the members of an object say but for those that `are_said` already, on lines of their own.
  void say_beside(detail::JsonValue object, std::initializer_list<std::string_view> are_said) {
    say_lines([&] { append_beside(object, are_said, everything_); });
  }

  /// There is no more: calls that can be read better as a whole stand once more at the end.
  void finish() {
    close_call();
    for (const auto& [index, call] : calls_) {
      const std::string input = with_escapes_read(call.input);
      if (input != call.input) append_line(everything_, call.name + "(" + input + ")");
    }
  }

  /// In the order in which it came.
  [[nodiscard]] const std::string& everything() const noexcept { return everything_; }
  /// Its blocks of text.
  [[nodiscard]] const std::string& content() const noexcept { return content_; }
  [[nodiscard]] bool has_thoughts() const noexcept { return has_thoughts_; }

 private:
  struct Call {
    std::string name = {};
    std::string input = {};  ///< What of it has come piece by piece.
  };

  /// Adds what a piece of a block says: the text that goes on as it is, other texts each on a line of its own.
  void say(std::int64_t index, detail::JsonValue piece) {
    std::string storage;
    for (const std::string_view name : {"text", "thinking", "partial_json"}) {
      const detail::JsonValue value = piece[name];
      const std::string_view text = value.text(storage);
      if (name == "partial_json" && !text.empty()) calls_[index].input += text;
      if (text.empty()) {
        say_lines([&] { append_unknown({}, value, everything_); });
        continue;
      }
      if (is_new_line_ && !everything_.empty()) everything_ += '\n';
      everything_ += text;
      is_new_line_ = false;
    }
    say_beside(piece, {"text", "thinking", "partial_json"});
  }

  template <typename Append>
  void say_lines(const Append& append) {
    const std::size_t before = everything_.size();
    append();
    if (everything_.size() != before) is_new_line_ = true;
  }

  std::string content_;
  std::string everything_;
  std::map<std::int64_t, Call> calls_;  ///< By the index of their blocks.
  std::int64_t index_ = -1;             ///< Of the block that has spoken last.
  bool has_thoughts_ = false;
  bool is_new_line_ = false;
  bool is_in_call_ = false;
};

}  // namespace ecso::gateway
