#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/prompts.hpp>
#include <ecso/error.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso {

/// A turn of text alone.
struct TextMessage {
  Role role = Role::user;
  std::string text;

  bool operator==(const TextMessage&) const = default;
};

/// A chat that has no place for an image. Only `close_eyes` makes one.
class TextConversation {
 public:
  [[nodiscard]] const std::vector<TextMessage>& messages() const& noexcept { return messages_; }
  [[nodiscard]] std::vector<TextMessage> messages() && noexcept { return std::move(messages_); }

  bool operator==(const TextConversation&) const = default;

 private:
  friend TextConversation close_eyes(const Conversation&, std::span<const std::string_view>, const RegeneratePrompt&, Fence);

  TextConversation() = default;

  std::vector<TextMessage> messages_;
};

/// Captions as one text: a single one as it is, without a copy; several as "Image 1: …" lines, written to `storage`.
[[nodiscard]] inline std::string_view join_captions(std::span<const std::string_view> captions, std::string& storage) {
  if (captions.size() == 1) return captions.front();
  for (std::size_t i = 0; i < captions.size(); ++i) {
    if (i != 0) storage += '\n';
    storage.append("Image ").append(std::to_string(i + 1)).append(": ").append(captions[i]);
  }
  return storage;
}

/// The chat without its images (the paper's P_gen(c, x)). With images, the last turn becomes `prompt` filled with the captions
/// and that turn's text, and an image of an earlier turn becomes the words "[image k]". Without images, the chat as text.
/// @param captions one for each image of the chat, in order.
/// @throws Error (bad_input) if captions and images differ in number.
[[nodiscard]] inline TextConversation close_eyes(const Conversation& conversation, std::span<const std::string_view> captions,
                                                 const RegeneratePrompt& prompt = RegeneratePrompt{prompts::hardened.regenerate},
                                                 Fence fence = prompts::hardened.fence) {
  TextConversation closed;
  closed.messages_.reserve(conversation.messages.size());
  std::size_t images = 0;
  for (const Message& message : conversation.messages) {
    const bool is_last = &message == &conversation.messages.back();
    TextMessage text{message.role, {}};
    bool is_first = true;
    for (const Part& part : message.parts) {
      const auto* piece = std::get_if<std::string>(&part);
      if (piece == nullptr) ++images;
      if (piece == nullptr && is_last) continue;
      if (!is_first) text.text += '\n';
      is_first = false;
      text.text += piece == nullptr ? "[image " + std::to_string(images) + "]" : *piece;
    }
    closed.messages_.push_back(std::move(text));
  }
  if (images != captions.size()) {
    throw Error{Errc::bad_input,
                "close_eyes: " + std::to_string(captions.size()) + " captions for " + std::to_string(images) + " images"};
  }
  if (images != 0) {
    std::string& last = closed.messages_.back().text;
    std::string storage;
    last = prompt.fill({.query = last, .caption = join_captions(captions, storage)}, fence);
  }
  return closed;
}

/// The same for captions that are owned.
[[nodiscard]] inline TextConversation close_eyes(const Conversation& conversation,
                                                 const std::same_as<std::vector<std::string>> auto& captions,
                                                 const RegeneratePrompt& prompt = RegeneratePrompt{prompts::hardened.regenerate},
                                                 Fence fence = prompts::hardened.fence) {
  return close_eyes(conversation, std::vector<std::string_view>{captions.begin(), captions.end()}, prompt, fence);
}

}  // namespace ecso
