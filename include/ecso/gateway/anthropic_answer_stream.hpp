#pragma once

#include <ecso/backend/framing.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/anthropic_answer.hpp>
#include <ecso/gateway/anthropic_events.hpp>
#include <ecso/gateway/anthropic_parts.hpp>
#include <ecso/gateway/anthropic_said.hpp>
#include <ecso/gateway/anthropic_streamed_message.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// A message of the Messages API that comes as events. Source: Anthropic API reference, "Streaming messages".
class AnthropicAnswerStream final : public UpstreamAnswer {
 public:
  void feed(std::string_view bytes) override {
    framing_.feed(bytes, [&](std::string_view event, std::string_view data) { take(event, data); });
  }

  void finish() override {
    if (!is_stopped_) {
      throw Error{Errc::bad_reply, "the stream ended before the answer did, after " + std::to_string(said_.everything().size()) +
                                       " bytes of its text"};
    }
    said_.finish();
    is_finished_ = true;
  }

  [[nodiscard]] std::size_t choices() const override { return 1; }

  [[nodiscard]] Reply reply(std::size_t choice, AnswerText which) const override {
    if (choice != 0) throw Error{Errc::internal, "the answer has one choice"};
    require_finished();
    return {.text = which == AnswerText::content ? said_.content() : said_.everything(),
            .finish_reason = anthropic_finish_reason(stop_reason_),
            .usage = tokens_.usage(),
            .model = model_,
            .counts = tokens_.counts(said_.has_thoughts())};
  }

  [[nodiscard]] std::string_view text_so_far() const override { return said_.everything(); }

  [[nodiscard]] std::string release(std::span<const Release> releases, const ReleaseNote& note) override {
    const Release& release = AnthropicAnswer::only_release(releases);
    if (release.path == Path::direct) {
      require_finished();
      return rest_as_it_came(note);
    }
    AnthropicEvents out;
    std::int64_t index = begin_other(out);
    if (release.path == Path::refused) {
      out.text_block(index, release.refusal);
      end(out, R"("end_turn")", "null", note);
    } else {
      const detail::JsonValue repaired = AnthropicAnswer::regenerated_of(release).message();
      for (const detail::JsonValue block : repaired["content"].items()) out.block(index++, block);
      end(out, raw_or(repaired["stop_reason"], R"("end_turn")"), raw_or(repaired["stop_sequence"], "null"), note);
    }
    return std::move(out).text();
  }

  [[nodiscard]] std::string release_some(std::size_t verified_bytes) override {
    std::size_t end = given_.events;
    const std::size_t most = first_staying_event_.value_or(events_.size());
    while (end < most && events_[end].text_end <= verified_bytes) give(events_[end++]);
    const std::size_t from = given_.bytes;
    given_.events = end;
    given_.bytes = end == 0 ? 0 : events_[end - 1].end;
    return wire_.substr(from, given_.bytes - from);
  }

  [[nodiscard]] std::size_t released_bytes() const override {
    return given_.events == 0 ? 0 : events_[given_.events - 1].text_end;
  }

  [[nodiscard]] std::string release_end(std::string_view last_words, const ReleaseNote& note) override {
    AnthropicEvents out;
    const bool goes_on = !last_words.empty() && !given_.open.empty() && given_.open.back().is_text;
    if (goes_on) out.text_deltas(given_.open.back().index, last_words);
    const std::int64_t index = begin_other(out);
    if (!goes_on && !last_words.empty()) out.text_block(index, last_words);
    end(out, R"("refusal")", "null", note);
    return std::move(out).text();
  }

 private:
  /// A block that has begun and not ended.
  struct Open {
    std::int64_t index;
    bool is_text;
  };

  struct Event {
    enum class Kind : std::uint8_t { other, starts_message, starts_text, starts_block, stops_block } kind = Kind::other;
    std::int64_t index = 0;
    bool stays = false;        ///< It ends the answer or calls a tool: nothing leaves from it on before the answer is over.
    std::size_t end = 0;       ///< Of its bytes in `wire_`.
    std::size_t text_end = 0;  ///< Bytes of text that have come with it and all before it.
  };

  /// What has left.
  struct Given {
    std::size_t events = 0;
    std::size_t bytes = 0;
    std::vector<Open> open = {};
    std::int64_t next_index = 0;
    bool has_start = false;
  };

  void require_finished() const {
    if (!is_finished_) throw Error{Errc::internal, "the answer is not finished"};
  }

  [[noreturn]] static void fail(std::string_view what) { throw Error{Errc::bad_reply, std::string{what}}; }

  /// The event's type, which stands on a line of what leaves.
  [[nodiscard]] static std::string type_of(detail::JsonValue root, std::string_view event) {
    std::string type = root["type"].text();
    const auto is_plain = [](char c) { return c == '_' || detail::is_letter(c); };
    if (type.empty() || type.size() > 64 || !std::ranges::all_of(type, is_plain)) fail("an event of the stream has no type");
    if (!event.empty() && event != type) fail("an event of the stream is called \"" + one_line(event) + "\" and is a " + type);
    return type;
  }

  void take(std::string_view event, std::string_view data) {
    if (is_stopped_ || data == "[DONE]") return;  // some servers say so at the end
    const detail::JsonText json = reply_json(data);
    const detail::JsonValue root = json.root();
    if (data.find('\n') != data.npos) return take_on_one_line(event, data);
    if (const auto bare = without_note(root)) return take(event, *bare);
    const std::string type = type_of(root, event);
    if (type == "error") throw Error{Errc::server_error, "an error without a message"};
    if (!has_started_ && type != "message_start" && type != "ping") fail("the stream does not begin with a message_start");
    Event noted{};
    if (type == "message_start") {
      noted = on_start(root);
    } else if (type == "content_block_start") {
      noted = on_block(root);
    } else if (type == "content_block_delta") {
      noted = on_delta(root);
    } else if (type == "message_delta") {
      noted = on_message_delta(root);
      last_delta_ = data;
    } else {
      if (type != "ping") said_.close_call();
      if (type == "content_block_stop") noted = {.kind = Event::Kind::stops_block, .index = index_of(root)};
      noted.stays = is_stopped_ = type == "message_stop";
      said_.say_beside(root, {});
    }
    note(type, data, noted);
  }

  /// As it leaves, so that what is checked is that.
  void take_on_one_line(std::string_view event, std::string_view data) {
    std::string line;
    append_on_one_line(data, line);
    take(event, line);
  }

  void note(std::string_view type, std::string_view data, Event noted) {
    const std::size_t begin = wire_.size();
    AnthropicEvents event;
    event.event(type, data);
    wire_ += std::move(event).text();
    if (noted.stays && !first_staying_event_) first_staying_event_ = events_.size();
    const bool is_delta = type == "message_delta";
    if (is_delta || (is_stopped_ && last_delta_.empty())) {
      last_delta_begin_ = begin;
      last_delta_end_ = is_delta ? wire_.size() : begin;
    }
    noted.end = wire_.size();
    noted.text_end = said_.everything().size();
    events_.push_back(noted);
  }

  [[nodiscard]] Event on_start(detail::JsonValue root) {
    const detail::JsonValue message = root["message"];
    if (has_started_) fail("the stream has two beginnings");
    if (!message.is_object()) fail("the message_start has no message");
    has_started_ = true;
    if (message["id"].is_string()) id_ = message["id"].raw();
    model_ = message["model"].text();
    tokens_.take(message["usage"]);
    start_tokens_ = tokens_;
    said_.start(message);
    said_.say_beside(root, {"message"});
    return {.kind = Event::Kind::starts_message, .stays = has_words(message["content"])};
  }

  [[nodiscard]] Event on_block(detail::JsonValue root) {
    const detail::JsonValue block = root["content_block"];
    if (!block.is_object()) fail("a content_block_start has no block");
    const std::int64_t index = index_of(root);
    said_.start_block(index, block);
    said_.say_beside(root, {"content_block"});
    const bool is_text = block["type"].text() == "text";
    return {.kind = is_text ? Event::Kind::starts_text : Event::Kind::starts_block,
            .index = index,
            .stays = is_call(block) || (!is_text && !is_thought(block))};
  }

  [[nodiscard]] Event on_delta(detail::JsonValue root) {
    const detail::JsonValue delta = root["delta"];
    const std::int64_t index = index_of(root);
    if (!delta.is_object()) fail("a content_block_delta has no delta");
    said_.add(index, delta);
    said_.say_beside(root, {"delta"});
    return {.stays = has_words(delta["partial_json"])};
  }

  [[nodiscard]] Event on_message_delta(detail::JsonValue root) {
    const detail::JsonValue delta = root["delta"];
    said_.close_call();
    stop_reason_ = delta["stop_reason"].text();
    tokens_.take(root["usage"]);
    require_no_numbers(root["usage"]);
    said_.say_beside(delta, {});
    said_.say_beside(root, {"usage", delta.is_object() ? "delta" : "usage"});
    return {.stays = true};
  }

  [[nodiscard]] static std::int64_t index_of(detail::JsonValue root) {
    const std::optional<std::int64_t> index = root["index"].integer();
    constexpr std::int64_t most = 1'000'000;
    if (!index || *index < 0 || *index > most) fail("an event of a content block has no index");
    return *index;
  }

  /// Notes that an event leaves.
  void give(const Event& event) {
    const auto is_it = [&](const Open& open) { return open.index == event.index; };
    if (event.kind == Event::Kind::starts_message) given_.has_start = true;
    if (event.kind == Event::Kind::stops_block) std::erase_if(given_.open, is_it);
    if (event.kind != Event::Kind::starts_text && event.kind != Event::Kind::starts_block) return;
    given_.open.push_back({event.index, event.kind == Event::Kind::starts_text});
    given_.next_index = std::max(given_.next_index, event.index + 1);
  }

  /// Ends what has left of the answer, or begins a message of which nothing has; gives the index of the next block.
  std::int64_t begin_other(AnthropicEvents& out) {
    if (!given_.has_start) out.event("message_start", bare_start());
    for (const Open& open : given_.open) out.stop_block(open.index);
    given_.open.clear();
    return given_.next_index;
  }

  /// The message_start with nothing of what the answer says.
  [[nodiscard]] std::string bare_start() const {
    std::string data = R"({"type":"message_start","message":{)";
    if (!id_.empty()) data.append(R"("id":)").append(id_).append(",");
    data.append(R"("type":"message","role":"assistant","model":)").append(json_string(model_));
    data += R"(,"content":[],"stop_reason":null,"stop_sequence":null,"usage":)";
    return data + start_tokens_.sum_json(start_tokens_.usage(), {}) + "}}";
  }

  void end(AnthropicEvents& out, std::string_view stop_reason, std::string_view stop_sequence, const ReleaseNote& note) const {
    std::string data = R"({"type":"message_delta","delta":{"stop_reason":)" + std::string{stop_reason};
    data.append(R"(,"stop_sequence":)").append(stop_sequence).append("}");
    data.append(R"(,"usage":)").append(tokens_.sum_json(note.replace_usage ? note.usage : tokens_.usage(), {}));
    if (!note.ecso.empty()) data.append(R"(,"ecso":)").append(note.ecso);
    out.event("message_delta", data.append("}")).stop();
  }

  [[nodiscard]] std::string rest_as_it_came(const ReleaseNote& note) {
    AnthropicEvents delta;
    if (last_delta_.empty()) {
      std::string data = R"({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null})";
      data.append(R"(,"usage":)").append(tokens_.sum_json(note.replace_usage ? note.usage : tokens_.usage(), {}));
      if (!note.ecso.empty()) data.append(R"(,"ecso":)").append(note.ecso);
      delta.event("message_delta", data.append("}"));
    } else {
      const detail::JsonText json{last_delta_};
      const detail::JsonValue root = json.root();
      JsonEdits edits{last_delta_};
      if (note.replace_usage) edits.set(root, "usage", tokens_.sum_json(note.usage, root["usage"]));
      if (!note.ecso.empty()) edits.set(root, "ecso", std::string{note.ecso});
      delta.event("message_delta", edits.text());
    }
    const std::string_view wire{wire_};
    std::string rest{wire.substr(given_.bytes, last_delta_begin_ - given_.bytes)};
    rest.append(std::move(delta).text()).append(wire.substr(last_delta_end_));
    given_.events = events_.size();
    given_.bytes = wire_.size();
    return rest;
  }

  SseFraming framing_;
  std::string wire_;  ///< The events that have come, as they leave.
  std::vector<Event> events_;
  AnthropicStreamedMessage said_;
  std::string id_;  ///< With its quotes.
  std::string model_;
  std::string stop_reason_;
  std::string last_delta_;            ///< The data of the last message_delta.
  std::size_t last_delta_begin_ = 0;  ///< Where it stands in `wire_`, or would.
  std::size_t last_delta_end_ = 0;
  std::optional<std::size_t> first_staying_event_;
  AnthropicTokens tokens_;
  AnthropicTokens start_tokens_;
  Given given_;
  bool has_started_ = false;
  bool is_stopped_ = false;
  bool is_finished_ = false;
};

}  // namespace ecso::gateway
