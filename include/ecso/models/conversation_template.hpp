#pragma once

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// Where a template writes the system text.
enum class SystemPlace {
  own_turn,         ///< Before all turns.
  first_user_turn,  ///< At the start of the first user turn.
  last_user_turn,   ///< At the start of the last user turn.
};

/// Where a template writes the images of a turn.
enum class ImagePlace {
  before_text,  ///< All images of the turn, then its text.
  in_order,     ///< As texts and images follow each other in the turn.
};

/// Who writes the token that begins a sequence.
enum class BosPlace {
  none,         ///< The model has none.
  server_adds,  ///< The server's tokenizer; a prompt that wrote it too would have two.
  in_prompt,    ///< The prompt begins with it.
};

/// How a model wants a chat written as one text. Servers that take messages (`/v1/chat/completions` and its like) apply the
/// model's template themselves and need none of this: it is for what takes a prompt, the LLaVA worker or a raw completion.
/// A literal: the views must outlive it.
struct ConversationTemplate {
  std::string_view bos = {};                         ///< The token that begins a sequence.
  BosPlace bos_place = BosPlace::none;               ///< Who writes it.
  std::string_view default_system = {};              ///< System text of a chat that has none; empty for no system text.
  SystemPlace system_place = SystemPlace::own_turn;  ///< Where the system text goes.
  std::string_view system_prefix = {};            ///< Before the system text; neither it nor the suffix is written without one.
  std::string_view system_suffix = {};            ///< After the system text.
  std::string_view user_prefix = {};              ///< Before what a user turn holds.
  std::string_view user_suffix = {};              ///< After it.
  std::string_view assistant_prefix = {};         ///< Before what an assistant turn holds.
  std::string_view assistant_suffix = {};         ///< After it.
  std::string_view assistant_opening = {};        ///< The end of every prompt: the model goes on from here.
  std::string_view image_token = {};              ///< What stands for an image: the prompt has it once for each image.
  std::string_view image_prefix = {};             ///< Before an image token; `{n}` is the image's number in the chat, from 1.
  std::string_view image_suffix = {};             ///< After an image token.
  ImagePlace image_place = ImagePlace::in_order;  ///< Where the images of a turn go.
  std::string_view image_separator = {};          ///< Between two images of a turn.
  std::string_view text_separator = {};           ///< Between an image and a text of a turn.
  std::string_view leading_text_prefix = {};      ///< Before the text of a turn that begins with a text.
  bool trims_text = false;                        ///< Texts lose white space at both ends.
  std::span<const std::string_view> stop = {};    ///< What ends an answer; the first is the one for servers that take only one.
  /// How control tokens and the markers of a turn begin: "<|" is each of `<|im_start|>`, `<|im_end|>`. No white space in them, at
  /// least two bytes each. Text of the chat cannot hold them (`apply_template`).
  std::span<const std::string_view> reserved = {};
};

/// A chat as a model reads it.
struct RenderedPrompt {
  std::string prompt;
  std::vector<Image> images = {};  ///< In the order of their tokens in the prompt.

  bool operator==(const RenderedPrompt&) const = default;
};

namespace detail {

/// Appends `text` with a space after the first byte of whatever the template reserves: no tokenizer and no splitter of prompts
/// sees a token in it. As reserved words have no white space, what is written has none of them.
inline void append_defused(std::string& out, std::string_view text, const ConversationTemplate& format) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    const auto begins_rest = [rest](std::string_view word) { return !word.empty() && rest.starts_with(word); };
    out += text[i];
    if (begins_rest(format.image_token) || std::ranges::any_of(format.reserved, begins_rest)) out += ' ';
  }
}

[[nodiscard]] constexpr std::string_view trim_blank(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t\n\r\v\f";
  const std::size_t first = text.find_first_not_of(blank);
  return first == std::string_view::npos ? std::string_view{} : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

[[nodiscard]] inline std::size_t count_of(std::string_view text, std::string_view word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + word.size())) ++count;
  return count;
}

/// Writes a chat, turn by turn.
class TemplateWriter {
 public:
  explicit TemplateWriter(const ConversationTemplate& format) : format_{format} {}

  void write_system(std::string_view system) {
    (rendered_.prompt += format_.system_prefix).append(system) += format_.system_suffix;
  }

  /// What a turn holds, without what stands around it.
  void write_parts(const Message& message) {
    last_ = Last::nothing;
    if (format_.image_place == ImagePlace::in_order) {
      for (const Part& part : message.parts) write_part(part);
      return;
    }
    for (const Part& part : message.parts) {
      if (std::holds_alternative<Image>(part)) write_part(part);
    }
    for (const Part& part : message.parts) {
      if (!std::holds_alternative<Image>(part)) write_part(part);
    }
  }

  void write(std::string_view text) { rendered_.prompt += text; }

  [[nodiscard]] RenderedPrompt take() && { return std::move(rendered_); }

 private:
  enum class Last { nothing, text, image };

  void write_part(const Part& part) {
    if (const auto* image = std::get_if<Image>(&part)) {
      write_image(*image);
    } else {
      write_text(std::get<std::string>(part));
    }
  }

  void write_image(const Image& image) {
    if (last_ == Last::image) write(format_.image_separator);
    if (last_ == Last::text) write(format_.text_separator);
    rendered_.images.push_back(image);
    constexpr std::string_view number = "{n}";
    const std::string_view prefix = format_.image_prefix;
    if (const std::size_t at = prefix.find(number); at != std::string_view::npos) {
      write(prefix.substr(0, at));
      write(std::to_string(rendered_.images.size()));
      write(prefix.substr(at + number.size()));
    } else {
      write(prefix);
    }
    write(format_.image_token);
    write(format_.image_suffix);
    last_ = Last::image;
  }

  void write_text(std::string_view text) {
    if (last_ == Last::nothing) write(format_.leading_text_prefix);
    if (last_ == Last::text) write("\n");
    if (last_ == Last::image) write(format_.text_separator);
    append_defused(rendered_.prompt, format_.trims_text ? trim_blank(text) : text, format_);
    last_ = Last::text;
  }

  const ConversationTemplate& format_;
  RenderedPrompt rendered_;
  Last last_ = Last::nothing;
};

/// The texts of the system turns, a line break between them, defused; or else the template's own.
/// @throws Error (bad_input) if there is an image among them.
[[nodiscard]] inline std::string system_of(const ConversationTemplate& format, const Conversation& conversation) {
  std::string system;
  bool is_given = false;
  for (const Message& message : conversation.messages) {
    if (message.role != Role::system) continue;
    if (is_given) system += '\n';
    append_defused(system, message.text(), format);
    is_given = true;
  }
  return is_given ? system : std::string{format.default_system};
}

}  // namespace detail

/// Writes `conversation` as the model reads it. System turns, wherever they stand, become one system text; it takes the place of
/// the template's own.
///
/// No text of the chat, be it from a user, an earlier answer or a system turn, can hold a token of the template: a space follows
/// the first byte of each reserved word, so that `<|im_start|>` becomes `< |im_start|>` and `USER:` becomes `U SER:`. It can
/// neither open nor close a turn nor take an image's place. Upper and lower case count, as they do for the models.
///
///     apply_template(models::llava_1_5_7b.conversation, ask({image}, "What is this?")).prompt
///     // "A chat between … questions. USER: <image>\nWhat is this? ASSISTANT:"
///
/// @throws Error (bad_input) if the last turn is not a user's, if an image stands in a turn of another role, or if the prompt
/// would not have one image token for each image.
[[nodiscard]] inline RenderedPrompt apply_template(const ConversationTemplate& format, const Conversation& conversation) {
  const auto is_spoken = [](const Message& message) { return message.role != Role::system; };
  const auto has_images = [](const Message& message) {
    return std::ranges::any_of(message.parts, [](const Part& part) { return std::holds_alternative<Image>(part); });
  };
  const auto& messages = conversation.messages;
  const Message* first_user = nullptr;
  const Message* last_user = nullptr;
  const Message* last = nullptr;
  for (const Message& message : messages) {
    if (message.role != Role::user && has_images(message))
      throw Error{Errc::bad_input, "an image in a turn of the role " + std::string{to_string(message.role)} + " has no place"};
    if (is_spoken(message)) last = &message;
    if (message.role != Role::user) continue;
    if (first_user == nullptr) first_user = &message;
    last_user = &message;
  }
  if (last == nullptr || last != last_user) throw Error{Errc::bad_input, "the last turn of a prompt must be a user's"};

  const std::string system = detail::system_of(format, conversation);
  const Message* system_turn = format.system_place == SystemPlace::first_user_turn  ? first_user
                               : format.system_place == SystemPlace::last_user_turn ? last_user
                                                                                    : nullptr;
  detail::TemplateWriter writer{format};
  if (format.bos_place == BosPlace::in_prompt) writer.write(format.bos);
  if (system_turn == nullptr && !system.empty()) writer.write_system(system);
  for (const Message& message : messages) {
    if (!is_spoken(message)) continue;
    const bool is_user = message.role == Role::user;
    writer.write(is_user ? format.user_prefix : format.assistant_prefix);
    if (&message == system_turn && !system.empty()) writer.write_system(system);
    writer.write_parts(message);
    writer.write(is_user ? format.user_suffix : format.assistant_suffix);
  }
  writer.write(format.assistant_opening);

  RenderedPrompt rendered = std::move(writer).take();
  // Holds for every profile; a template of somebody's own may break it.
  if (!format.image_token.empty() && detail::count_of(rendered.prompt, format.image_token) != rendered.images.size())
    throw Error{Errc::bad_input, "the template writes image tokens where there is no image"};
  if (format.image_token.empty() && !rendered.images.empty())
    throw Error{Errc::bad_input, "the template has no place for an image"};
  return rendered;
}

/// The same for a chat that cannot have an image.
[[nodiscard]] inline RenderedPrompt apply_template(const ConversationTemplate& format, const TextConversation& conversation) {
  Conversation texts;
  texts.messages.reserve(conversation.messages().size());
  for (const TextMessage& message : conversation.messages()) {
    Message& turn = texts.messages.emplace_back();
    turn.role = message.role;
    turn.parts.emplace_back(message.text);
  }
  return apply_template(format, texts);
}

}  // namespace ecso
