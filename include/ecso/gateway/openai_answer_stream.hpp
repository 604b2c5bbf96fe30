#pragma once

#include <ecso/backend/framing.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/answer_text.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/openai_choice.hpp>
#include <ecso/gateway/openai_chunks.hpp>
#include <ecso/gateway/openai_said.hpp>
#include <ecso/gateway/openai_streamed_choice.hpp>
#include <ecso/gateway/readable.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::gateway {

/// What becomes of a chunk that has the usage and no choice.
enum class UsageChunk {
  passes,  ///< It leaves if the server sends one.
  due,     ///< The client has asked for it: it leaves, even of a stream that is ended early.
  stays,   ///< It is for the gateway alone.
};

/// A streamed chat completion (OpenAI API reference, "The chat completion chunk object"). Comments and names of events do not
/// leave, and what follows the end mark does not count. Not thread safe.
class OpenAiStreamAnswer final : public UpstreamAnswer {
 public:
  /// @param max_choices that were asked for; an answer with more is refused.
  explicit OpenAiStreamAnswer(std::size_t max_choices = 1, UsageChunk usage_chunk = UsageChunk::passes)
      : max_choices_{max_choices}, usage_chunk_{usage_chunk} {}

  void feed(std::string_view bytes) override {
    framing_.feed(bytes, [&](std::string_view, std::string_view data) { take(data); });
  }

  void finish() override {
    if (choices_.empty()) throw Error{Errc::bad_reply, "no choices in the stream"};
    for (OpenAiStreamedChoice& choice : choices_) {
      if (!choice.has_begun()) throw Error{Errc::bad_reply, "a choice of the stream, of those numbered 0, 1, …, has no delta"};
      if (!is_done_ && !choice.has_ended()) {
        throw Error{Errc::bad_reply, "the stream ended before the answer did, after " +
                                         std::to_string(choice.everything().size()) + " bytes of its text"};
      }
      choice.finish();
    }
  }

  [[nodiscard]] std::size_t choices() const override { return choices_.size(); }

  [[nodiscard]] Reply reply(std::size_t choice, AnswerText which) const override {
    Reply reply = choices_.at(choice).reply(which);
    if (which == AnswerText::everything) append_line(reply.text, beside_);
    if (choice == 0) reply.usage = usage_;
    reply.model = head_.model();
    reply.counts = counts_.counts(which, choices_.at(choice).thought_bytes());
    if (choices_.size() > 1) reply.counts.text = 0;
    return reply;
  }

  [[nodiscard]] std::string_view text_so_far() const override {
    return choices_.empty() ? std::string_view{} : choices_.front().everything();
  }

  [[nodiscard]] std::string release(std::span<const Release> releases, const ReleaseNote& note) override {
    const bool all_direct = is_all_direct(releases, choices_.size());
    const bool was_partly_released = next_ != 0;
    if (!all_direct && was_partly_released)
      throw Error{Errc::internal, "a choice cannot be replaced of which something has left"};
    OpenAiChunkWriter out{head_};
    std::vector<bool> is_replaced(choices_.size(), false);
    for (; next_ < chunks_.size(); ++next_) {
      const bool has_last_usage = note.replace_usage && next_ == last_usage_;
      const std::string_view json = json_of(chunks_[next_]);
      const std::optional<Usage> usage = has_last_usage ? std::optional{note.usage} : std::nullopt;
      if (all_direct) {
        const std::string leaving =
            was_partly_released && chunks_[next_].has_other_text ? without_other_text(json) : std::string{json};
        out.chunk(usage ? with_chunk_usage(leaving, *usage) : leaving);
      } else {
        write_replaced(json, releases, is_replaced, usage, out);
      }
    }
    return std::move(out).end(note.ecso);
  }

  [[nodiscard]] std::string release_some(std::size_t verified_bytes) override {
    std::string events;
    if (choices_.size() != 1 || choices_.front().has_other_tokens()) return events;
    for (; next_ < chunks_.size(); ++next_) {
      const Chunk& chunk = chunks_[next_];
      if (chunk.stays || chunk.text_end > verified_bytes) break;
      released_bytes_ = chunk.text_end;
      // What stands beside the choice has been seen by no check.
      events += "data: ";
      events += chunk.has_other_text ? without_other_text(json_of(chunk)) : std::string{json_of(chunk)};
      events += "\n\n";
    }
    return events;
  }

  [[nodiscard]] std::size_t released_bytes() const override { return released_bytes_; }

  [[nodiscard]] std::string release_end(std::string_view last_words, const ReleaseNote& note) override {
    OpenAiChunkWriter out{head_};
    if (!last_words.empty()) out.delta(0, "{\"content\":" + openai_string(last_words) + "}");
    out.finish(0, "\"content_filter\"");
    if (usage_chunk_ == UsageChunk::due && note.replace_usage) out.usage(note.usage);
    next_ = chunks_.size();
    return std::move(out).end(note.ecso);
  }

 private:
  /// An event as it came: a range of `json_`.
  struct Chunk {
    std::size_t begin = 0;
    std::size_t size = 0;
    std::size_t text_end = 0;     ///< How much of choice 0 must be verified for it to leave.
    bool stays = false;           ///< It, or one before it, ends the answer or calls a tool.
    bool has_other_text = false;  ///< Beside its choices.
  };

  [[nodiscard]] std::string_view json_of(const Chunk& chunk) const {
    return std::string_view{json_}.substr(chunk.begin, chunk.size);
  }

  void take(std::string_view data) {
    if (is_done_ || data.empty()) return;
    if (data == "[DONE]") {
      is_done_ = true;
      return;
    }
    const detail::JsonText text = reply_json(data);
    const detail::JsonValue root = text.root();
    if (const auto bare = without_note(root)) return take(*bare);
    if (!head_.is_known()) head_ = OpenAiChunkHead{root};
    Chunk chunk{.begin = json_.size(), .size = data.size()};
    if (root["choices"] && !root["choices"].is_array()) throw Error{Errc::bad_reply, "the choices of a chunk are no array"};
    std::size_t place = 0;
    for (const detail::JsonValue choice : root["choices"].items()) {
      const std::size_t number = openai_choice_number(choice, place++, max_choices_);
      if (number >= max_choices_) throw Error{Errc::bad_reply, "more choices than were asked for"};
      if (number >= choices_.size()) choices_.resize(number + 1);
      choices_[number].take(choice);
      if (choices_[number].has_ended() || choices_[number].has_call()) stays_ = true;
    }
    if (root["usage"].is_object()) {
      usage_ = openai_usage(root);
      counts_.take_usage(root["usage"]);
      const bool is_usage_chunk = place == 0;
      if (is_usage_chunk && usage_chunk_ == UsageChunk::stays) {
        static_cast<void>(append_beside_choices(root, beside_));
        return;
      }
      last_usage_ = chunks_.size();
      if (is_usage_chunk) stays_ = true;
    }
    chunk.stays = stays_;
    chunk.text_end = choices_.empty() ? 0 : choices_.front().told_bytes();
    chunk.has_other_text = append_beside_choices(root, beside_);
    // An event of several lines: in JSON that stands on its own, a line break is no more than a space.
    json_ += data;
    std::ranges::replace(std::ranges::next(json_.begin(), static_cast<std::ptrdiff_t>(chunk.begin)), json_.end(), '\n', ' ');
    chunks_.push_back(chunk);
  }

  /// Writes a chunk without the choices that do not leave as they came, and in place of each of those, at its first chunk, what
  /// leaves instead.
  static void write_replaced(std::string_view json, std::span<const Release> releases, std::vector<bool>& is_replaced,
                             const std::optional<Usage>& usage, OpenAiChunkWriter& out) {
    const detail::JsonText text = reply_json(json);
    const detail::JsonValue root = text.root();
    std::string kept;
    std::size_t place = 0;
    for (const detail::JsonValue choice : root["choices"].items()) {
      const std::size_t number = openai_choice_number(choice, place++, releases.size());
      const Release& release = releases[number];
      if (release.path == Path::direct) {
        kept.append(kept.empty() ? "" : ",").append(numbered_choice(choice, number));
      } else if (!is_replaced[number]) {
        is_replaced[number] = true;
        out.instead_of(number, release);
      }
    }
    const bool has_left_all = place != 0 && kept.empty();
    if (has_left_all && !usage) return;
    std::string chunk;
    for (const detail::JsonMember& member : root.members()) {
      const std::string name = member.key.text();
      if (name != "choices" && !is_beside_choices(name, member.value)) continue;
      chunk.append(chunk.empty() ? "{" : ",").append(member.key.raw()).append(":");
      if (name == "choices") {
        chunk.append("[").append(kept).append("]");
      } else {
        chunk += name == "usage" && usage ? with_usage(member.value, *usage) : std::string{member.value.raw()};
      }
    }
    out.chunk(chunk.append(chunk.empty() ? "{}" : "}"));
  }

  [[nodiscard]] static std::string with_chunk_usage(std::string_view json, const Usage& usage) {
    const detail::JsonText text = reply_json(json);
    JsonEdits edits{json};
    edits.replace(text.root()["usage"].raw(), with_usage(text.root()["usage"], usage));
    return edits.text();
  }

  std::size_t max_choices_;
  UsageChunk usage_chunk_;
  SseFraming framing_;
  std::string json_;  ///< The data of all events.
  std::vector<Chunk> chunks_;
  std::vector<OpenAiStreamedChoice> choices_;
  OpenAiChunkHead head_;
  std::string beside_;  ///< Texts of the chunks that no choice has.
  Usage usage_;
  OpenAiCounts counts_;
  std::size_t last_usage_ = static_cast<std::size_t>(-1);  ///< The chunk that has it.
  std::size_t next_ = 0;                                   ///< The first chunk that has not left.
  std::size_t released_bytes_ = 0;                         ///< Of choice 0.
  bool stays_ = false;                                     ///< What comes now is not given out before the answer is over.
  bool is_done_ = false;
};

}  // namespace ecso::gateway
