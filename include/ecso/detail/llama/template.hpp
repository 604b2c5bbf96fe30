#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::detail {

/// A stretch of a prompt: a text or an image.
struct PromptPiece {
  std::string text = {};
  bool is_trusted = false;  ///< Whether control tokens in the text are meant: in the chat template's, not in a conversation's.
  const Image* image = nullptr;
};

/// What stands in a turn.
using LlamaTurn = std::vector<PromptPiece>;

inline void add_text(LlamaTurn& turn, const std::string& text) {
  const std::size_t wrong = find_invalid_utf8(text);
  if (wrong != text.npos) throw Error{Errc::bad_input, "a text is not UTF-8: wrong at byte " + std::to_string(wrong)};
  if (!turn.empty() && turn.back().image == nullptr) {
    turn.back().text.append("\n").append(text);
  } else {
    turn.push_back({.text = text});
  }
}

[[nodiscard]] inline LlamaTurn llama_turn(const Message& message) {
  LlamaTurn turn;
  for (const Part& part : message.parts) {
    if (const auto* image = std::get_if<Image>(&part)) {
      turn.push_back({.image = image});
    } else {
      add_text(turn, std::get<std::string>(part));
    }
  }
  return turn;
}

[[nodiscard]] inline LlamaTurn llama_turn(const TextMessage& message) {
  LlamaTurn turn;
  add_text(turn, message.text);
  return turn;
}

/// The prompt that `chat_template` makes of turns of these roles, with the beginning of the answer.
/// @throws Error (unsupported) if libllama does not know the template.
[[nodiscard]] inline std::string apply_llama_template(const std::string& chat_template,
                                                      const std::vector<llama_chat_message>& turns) {
  std::string prompt(1024, '\0');
  while (true) {
    const std::int32_t size = llama_chat_apply_template(chat_template.c_str(), turns.data(), turns.size(), true, prompt.data(),
                                                        static_cast<std::int32_t>(prompt.size()));
    if (size < 0) {
      throw Error{Errc::unsupported,
                  "libllama does not know the model's chat template; name one that it knows in LlamaOptions::chat_template"};
    }
    const bool fits = static_cast<std::size_t>(size) <= prompt.size();
    prompt.resize(static_cast<std::size_t>(size));
    if (fits) return prompt;
  }
}

/// The prompt for a chat, in pieces. The template sees a mark in place of each turn's content, so that no content can pass for
/// template.
/// @throws Error (unsupported) if the template is not known, or leaves out or repeats a turn.
[[nodiscard]] inline std::vector<PromptPiece> apply_llama_template(const std::string& chat_template,
                                                                   std::vector<std::pair<Role, LlamaTurn>> turns) {
  std::vector<std::string> roles(turns.size());
  std::vector<std::string> marks(turns.size());
  std::vector<llama_chat_message> messages(turns.size());
  for (std::size_t i = 0; i < turns.size(); ++i) {
    roles[i] = to_string(turns[i].first);
    marks[i] = "\x02" + std::to_string(i) + "\x03";
    messages[i] = {roles[i].c_str(), marks[i].c_str()};
  }

  const std::string prompt = apply_llama_template(chat_template, messages);
  std::string_view rest = prompt;
  std::vector<PromptPiece> pieces;
  const auto add_template = [&](std::string_view text) {
    if (!text.empty()) pieces.push_back({.text = std::string{text}, .is_trusted = true});
  };
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const std::size_t at = rest.find(marks[i]);
    if (at == rest.npos || rest.find('\x02') != at) {
      throw Error{Errc::unsupported, "the model's chat template has no place for turn " + std::to_string(i + 1) + " (" +
                                         std::string{to_string(turns[i].first)} + ")"};
    }
    add_template(rest.substr(0, at));
    for (PromptPiece& piece : turns[i].second) pieces.push_back(std::move(piece));
    rest.remove_prefix(at + marks[i].size());
  }
  if (rest.find('\x02') != rest.npos) throw Error{Errc::unsupported, "the model's chat template repeats a turn"};
  add_template(rest);
  return pieces;
}

}  // namespace ecso::detail
