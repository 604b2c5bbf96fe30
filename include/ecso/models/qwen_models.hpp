#pragma once

#include <ecso/models/profile.hpp>

#include <array>
#include <string_view>

// The Qwen models: ChatML.

namespace ecso::models {

namespace detail {

inline constexpr auto chatml_stop = std::to_array<std::string_view>({"<|im_end|>", "<|im_start|>"});
inline constexpr auto qwen_vl_reserved =
    std::to_array<std::string_view>({"<|", "<img", "</img>", "<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"});

/// ChatML, images numbered.
inline constexpr ConversationTemplate qwen_vl{
    .default_system = "You are a helpful assistant.",
    .system_prefix = "<|im_start|>system\n",
    .system_suffix = "<|im_end|>\n",
    .user_prefix = "<|im_start|>user\n",
    .user_suffix = "<|im_end|>\n",
    .assistant_prefix = "<|im_start|>assistant\n",
    .assistant_suffix = "<|im_end|>\n",
    .assistant_opening = "<|im_start|>assistant\n",
    .image_token = "<img></img>",
    .image_prefix = "Picture {n}: ",
    .image_suffix = "\n",
    .stop = chatml_stop,
    .reserved = qwen_vl_reserved,
};

inline constexpr auto qwen_vl_servers = std::to_array<ServerRecipe>(
    {{.server = "vLLM",
      .command = "vllm serve Qwen/Qwen-VL-Chat --host 127.0.0.1 --trust-remote-code --hf-overrides '{\"architectures\": "
                 "[\"QwenVLForConditionalGeneration\"]}'",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model Qwen/Qwen-VL-Chat"},
     {.server = "its own code", .command = "python openai_api.py -c Qwen/Qwen-VL-Chat --server-port 8080", .flag = ""}});
inline constexpr auto qwen_vl_quirks = std::to_array<std::string_view>(
    {"The newest list of models of vLLM has it no more: an older version is needed. The command was not verified.",
     "Its own code opens whatever stands between <img> and </img>, a path or a URL, also in a user's text: never give it text "
     "that was not defused. Its openai_api.py takes an image in no other way, so ecso does not speak to it.",
     "The prompt here has the empty <img></img> of vLLM; for its own code the path of the file stands in between.",
     "The README writes \"Picture 1: <img>\", from_list_format of an early tokenizer leaves out the space after the colon.",
     "The model was trained with 2048 tokens; up to 8192 it scales its attention (dynamic NTK). A path is padded to 256 tokens.",
     "<ref>, <box> and <quad> in a user's text do not work through ecso: they are tokens."});
inline constexpr auto qwen_vl_sources = std::to_array<std::string_view>(
    {"https://github.com/QwenLM/Qwen-VL: README.md, finetune.py, openai_api.py",
     "Hugging Face, Qwen/Qwen-VL-Chat: qwen_generation_utils.py (make_context), tokenization_qwen.py (from_list_format), "
     "config.json",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://arxiv.org/abs/2308.12966"});

inline constexpr auto im_end_stop = std::to_array<std::string_view>({"<|im_end|>"});
inline constexpr auto qwen_reserved =
    std::to_array<std::string_view>({"<|", "<tool_", "</tool_", "<tools>", "</tools>", "<think>", "</think>"});

inline constexpr ConversationTemplate qwen2_5_vl{
    .default_system = "You are a helpful assistant.",
    .system_prefix = "<|im_start|>system\n",
    .system_suffix = "<|im_end|>\n",
    .user_prefix = "<|im_start|>user\n",
    .user_suffix = "<|im_end|>\n",
    .assistant_prefix = "<|im_start|>assistant\n",
    .assistant_suffix = "<|im_end|>\n",
    .assistant_opening = "<|im_start|>assistant\n",
    .image_token = "<|image_pad|>",
    .image_prefix = "<|vision_start|>",
    .image_suffix = "<|vision_end|>",
    .stop = im_end_stop,
    .reserved = qwen_reserved,
};

inline constexpr auto qwen2_5_vl_servers = std::to_array<ServerRecipe>(
    {{.server = "vLLM",
      .command = "vllm serve Qwen/Qwen2.5-VL-7B-Instruct --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model Qwen/Qwen2.5-VL-7B-Instruct"},
     {.server = "llama-server",
      .command = "llama-server -hf ggml-org/Qwen2.5-VL-7B-Instruct-GGUF --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"},
     {.server = "SGLang",
      .command = "python -m sglang.launch_server --model-path Qwen/Qwen2.5-VL-7B-Instruct --host 127.0.0.1 --port 30000",
      .flag = "--backend openai:http://127.0.0.1:30000 --model Qwen/Qwen2.5-VL-7B-Instruct"},
     {.server = "LMDeploy",
      .command = "lmdeploy serve api_server Qwen/Qwen2.5-VL-7B-Instruct --server-name 127.0.0.1 --server-port 23333",
      .flag = "--backend openai:http://127.0.0.1:23333 --model Qwen/Qwen2.5-VL-7B-Instruct"},
     {.server = "Ollama",
      .command = "ollama pull qwen2.5vl:7b",
      .flag = "--backend openai:http://127.0.0.1:11434 --model qwen2.5vl:7b"}});
inline constexpr auto qwen2_5_vl_quirks = std::to_array<std::string_view>(
    {"An image takes as many tokens as it has pixels over 784: a large one fills the context. Servers take bounds "
     "(vLLM: --mm-processor-kwargs '{\"max_pixels\": 1003520}').",
     "vLLM and the model's own code scale images a little differently, and so answer a little differently.",
     "Ollama's tag: seen in use, not in Ollama's own documentation: not verified."});
inline constexpr auto qwen2_5_vl_sources = std::to_array<std::string_view>(
    {"Hugging Face, Qwen/Qwen2.5-VL-7B-Instruct: chat_template.json, config.json",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/ggml-org/llama.cpp: docs/multimodal.md",
     "https://github.com/InternLM/lmdeploy: docs/en/multi_modal/qwen2_5_vl.md",
     "https://github.com/sgl-project/sglang: docs/supported_models", "https://arxiv.org/abs/2502.13923"});

/// As Qwen2.5-VL, without a system text of its own.
inline constexpr ConversationTemplate qwen3_vl = [] {
  ConversationTemplate format = qwen2_5_vl;
  format.default_system = {};
  return format;
}();

inline constexpr auto qwen3_vl_servers = std::to_array<ServerRecipe>(
    {{.server = "vLLM",
      .command = "vllm serve Qwen/Qwen3-VL-8B-Instruct --host 127.0.0.1 --max-model-len 32768",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model Qwen/Qwen3-VL-8B-Instruct"},
     {.server = "llama-server",
      .command = "llama-server -hf ggml-org/Qwen3-VL-8B-Instruct-GGUF --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"},
     {.server = "SGLang",
      .command = "python -m sglang.launch_server --model-path Qwen/Qwen3-VL-8B-Instruct --host 127.0.0.1 --port 30000",
      .flag = "--backend openai:http://127.0.0.1:30000 --model Qwen/Qwen3-VL-8B-Instruct"},
     {.server = "LMDeploy",
      .command = "lmdeploy serve api_server Qwen/Qwen3-VL-8B-Instruct --server-name 127.0.0.1 --server-port 23333",
      .flag = "--backend openai:http://127.0.0.1:23333 --model Qwen/Qwen3-VL-8B-Instruct"},
     {.server = "Ollama",
      .command = "ollama pull qwen3-vl:8b-instruct",
      .flag = "--backend openai:http://127.0.0.1:11434 --model qwen3-vl:8b-instruct"}});
inline constexpr auto qwen3_vl_quirks = std::to_array<std::string_view>(
    {"The Thinking models open their answer with their thoughts: this is the Instruct model's template.",
     "vLLM from 0.11 on; the full context needs a lot of memory, hence --max-model-len.",
     "The repository for llama-server and Ollama's tag: seen in use, not in the servers' documentation: not verified."});
inline constexpr auto qwen3_vl_sources = std::to_array<std::string_view>(
    {"Hugging Face, Qwen/Qwen3-VL-8B-Instruct: chat_template.json, config.json (text_config, vision_config)",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md; the vLLM recipe for Qwen3-VL",
     "https://github.com/InternLM/lmdeploy: docs/en/supported_models/supported_models.md",
     "https://github.com/sgl-project/sglang: docs/supported_models"});

}  // namespace detail

/// Qwen-VL-Chat.
inline constexpr ModelProfile qwen_vl_chat{
    .name = "Qwen-VL-Chat",
    .family = "qwen-vl",
    .repository = "Qwen/Qwen-VL-Chat",
    .conversation = detail::qwen_vl,
    .context_tokens = 8192,
    .image_tokens = 258,
    .image_token_rule = "258: 256 and the two tags",
    .servers = detail::qwen_vl_servers,
    .quirks = detail::qwen_vl_quirks,
    .sources = detail::qwen_vl_sources,
};

/// Qwen2.5-VL-7B-Instruct; 3B, 32B and 72B have the same template.
inline constexpr ModelProfile qwen2_5_vl_7b{
    .name = "Qwen2.5-VL-7B",
    .family = "qwen2.5-vl",
    .repository = "Qwen/Qwen2.5-VL-7B-Instruct",
    .conversation = detail::qwen2_5_vl,
    .context_tokens = 128'000,
    .image_token_rule = "one for every 28 by 28 pixels, and the two tags",
    .servers = detail::qwen2_5_vl_servers,
    .quirks = detail::qwen2_5_vl_quirks,
    .sources = detail::qwen2_5_vl_sources,
};

/// Qwen3-VL-8B-Instruct; the other sizes have the same template.
inline constexpr ModelProfile qwen3_vl_8b{
    .name = "Qwen3-VL-8B",
    .family = "qwen3-vl",
    .repository = "Qwen/Qwen3-VL-8B-Instruct",
    .conversation = detail::qwen3_vl,
    .context_tokens = 262'144,
    .image_token_rule = "one for every 32 by 32 pixels, and the two tags",
    .servers = detail::qwen3_vl_servers,
    .quirks = detail::qwen3_vl_quirks,
    .sources = detail::qwen3_vl_sources,
};

}  // namespace ecso::models
