#pragma once

#include <ecso/models/conversation_template.hpp>

#include <cstdint>
#include <span>
#include <string_view>

namespace ecso {

/// A server that can serve a model, and how to start it. Whoever starts it decides which address it listens on: the commands
/// name none but loopback.
struct ServerRecipe {
  std::string_view server;   ///< "vLLM", "llama-server", "LLaVA worker", …
  std::string_view command;  ///< What starts it; several commands stand on a line each.
  std::string_view flag;     ///< What `ecso protect` then takes; empty if ecso does not speak to it.
};

/// What ecso knows of a model. Everything is from `sources`; what could not be read there says "not verified" in `quirks`.
struct ModelProfile {
  std::string_view name;        ///< As people write it: "LLaVA-1.5-7B".
  std::string_view family;      ///< Same for models that share a template: "llava-1.5".
  std::string_view repository;  ///< On Hugging Face: "liuhaotian/llava-v1.5-7b".
  ConversationTemplate conversation;
  std::int64_t context_tokens = 0;         ///< Prompt and answer together, images included.
  std::int64_t image_tokens = 0;           ///< An image takes that many of them; 0 if that depends on the image.
  std::string_view image_token_rule = {};  ///< How many an image takes, in words.
  std::span<const ServerRecipe> servers = {};
  std::span<const std::string_view> quirks = {};   ///< What differs from what one expects. May be empty.
  std::span<const std::string_view> sources = {};  ///< Where all this is written, files on Hugging Face there or in copies. Never
                                                   ///< empty.
};

}  // namespace ecso
