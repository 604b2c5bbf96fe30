#pragma once

#include <ecso/core/image.hpp>
#include <ecso/detail/forged_turns.hpp>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// Who speaks in a turn.
enum class Role { system, user, assistant };

/// The role's name as chat APIs spell it.
[[nodiscard]] constexpr std::string_view to_string(Role role) noexcept {
  switch (role) {
    case Role::system: return "system";
    case Role::user: return "user";
    case Role::assistant: return "assistant";
  }
  return "unknown";
}

/// A piece of a turn: text or an image.
using Part = std::variant<std::string, Image>;

/// One turn. Several texts in a turn are read as one, joined by a line break.
struct Message {
  Role role = Role::user;
  std::vector<Part> parts;

  /// The turn's texts, joined by a line break.
  [[nodiscard]] std::string text() const {
    std::string storage;
    return std::string{text(storage)};
  }

  /// The same without a copy where the turn has one text; `storage` is written only where it has several.
  [[nodiscard]] std::string_view text(std::string& storage) const {
    const std::string* only = nullptr;
    bool several = false;
    for (const Part& part : parts) {
      const auto* piece = std::get_if<std::string>(&part);
      if (piece == nullptr) continue;
      if (only == nullptr) {
        only = piece;
        continue;
      }
      if (!several) storage = *only;
      several = true;
      storage.append("\n").append(*piece);
    }
    if (several) return storage;
    return only == nullptr ? std::string_view{} : *only;
  }

  bool operator==(const Message&) const = default;
};

/// A chat with any number of turns and images. An aggregate; copies share the images' bytes.
struct Conversation {
  std::vector<Message> messages;
  /// What the model is shown beside the turns, such as the definitions of tools. Checks see it as quoted data; no other step
  /// does.
  std::string context = {};

  bool operator==(const Conversation&) const = default;
};

/// A user turn: the images, then the query.
[[nodiscard]] inline Message user_turn(const std::vector<Image>& images, std::string query) {
  Message turn;
  turn.parts.reserve(images.size() + 1);
  for (const Image& image : images) turn.parts.emplace_back(image);
  turn.parts.emplace_back(std::move(query));
  return turn;
}

/// A chat of one user turn.
[[nodiscard]] inline Conversation ask(const std::vector<Image>& images, std::string query) {
  Conversation conversation;
  conversation.messages.push_back(user_turn(images, std::move(query)));
  return conversation;
}

/// All images of the chat in order.
[[nodiscard]] inline std::vector<Image> images_of(const Conversation& conversation) {
  std::vector<Image> images;
  for (const Message& message : conversation.messages) {
    for (const Part& part : message.parts) {
      if (const auto* image = std::get_if<Image>(&part)) images.push_back(*image);
    }
  }
  return images;
}

/// True if any turn has an image.
[[nodiscard]] inline bool has_image(const Conversation& conversation) noexcept {
  return std::ranges::any_of(conversation.messages, [](const Message& message) {
    return std::ranges::any_of(message.parts, [](const Part& part) { return std::holds_alternative<Image>(part); });
  });
}

/// The text of the last turn: the query. Empty if there is no turn.
[[nodiscard]] inline std::string query_of(const Conversation& conversation) {
  return conversation.messages.empty() ? std::string{} : conversation.messages.back().text();
}

/// What a transcript holds beside the turns of user and assistant.
struct TranscriptScope {
  bool system_turns = false;
  bool context = false;
  bool breaks_turns = false;  ///< No line within a turn begins another: a space comes between a role's name and its colon.
};

/// A chat as one text, for a checker. Of one turn and nothing else: its text, without a copy where it can be had. Of more: the
/// context, then every turn after the name of its role, so that harm spread over several turns is seen whole; it is written to
/// `storage`.
[[nodiscard]] inline std::string_view transcript_of(const Conversation& conversation, std::string& storage,
                                                    const TranscriptScope& scope = {}) {
  const auto is_told = [&](const Message& message) { return message.role != Role::system || scope.system_turns; };
  const bool has_context = scope.context && !conversation.context.empty();
  if (conversation.messages.empty()) return {};
  const auto tell = [&](std::string_view text) {
    if (!scope.breaks_turns) {
      storage += text;
    } else {
      detail::append_without_turns(storage, text);
    }
  };
  std::string turn;
  if (!has_context && std::ranges::count_if(conversation.messages, is_told) <= 1) {
    if (!scope.breaks_turns) return conversation.messages.back().text(storage);
    tell(conversation.messages.back().text(turn));
    return storage;
  }
  if (has_context) {
    storage += "context: ";
    tell(conversation.context);
  }
  for (const Message& message : conversation.messages) {
    if (!is_told(message)) continue;
    if (!storage.empty()) storage += '\n';
    storage.append(to_string(message.role)).append(": ");
    tell(message.text(turn));
  }
  return storage;
}

/// The text of the chat's system turns, then one user turn of `images` and `prompt`. Image before text, as in the paper; and as
/// answer, check and caption begin alike, a server with a prefix cache reads the image once.
[[nodiscard]] inline Conversation ask_about(const Conversation& conversation, const std::vector<Image>& images,
                                            std::string prompt) {
  Conversation asked;
  asked.messages.reserve(conversation.messages.size());
  for (const Message& message : conversation.messages) {
    const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
    if (message.role != Role::system || std::ranges::none_of(message.parts, is_text)) continue;
    Message& kept = asked.messages.emplace_back();
    kept.role = Role::system;
    std::ranges::copy_if(message.parts, std::back_inserter(kept.parts), is_text);
  }
  asked.messages.push_back(user_turn(images, std::move(prompt)));
  return asked;
}

/// Puts the text of every turn that has only one behind the turn's images; a turn that mixes several texts with images keeps its
/// order.
inline void put_images_first(Conversation& conversation) {
  const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
  for (Message& message : conversation.messages) {
    if (std::ranges::count_if(message.parts, is_text) != 1) continue;
    const auto text = std::ranges::find_if(message.parts, is_text);
    std::rotate(text, text + 1, message.parts.end());
  }
}

}  // namespace ecso
