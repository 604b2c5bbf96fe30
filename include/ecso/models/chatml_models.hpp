#pragma once

#include <ecso/models/profile.hpp>
#include <ecso/models/qwen_models.hpp>

#include <array>
#include <string_view>

// Models of others whose language model is a Qwen.

namespace ecso::models {

namespace detail {

inline constexpr auto internvl_stop = std::to_array<std::string_view>({"<|im_end|>", "<|action_end|>"});
inline constexpr auto internvl_reserved = std::to_array<std::string_view>(
    {"<|", "<image", "<video", "<img>", "</img>", "<IMG_CONTEXT", "<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"});

/// `internvl2_5` of the model's conversation.py.
inline constexpr ConversationTemplate internvl3 = [] {
  ConversationTemplate format = qwen2_5_vl;
  format.default_system =
      "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。";
  format.image_token = "<image>";
  format.image_prefix = {};
  format.image_suffix = "\n";
  format.stop = internvl_stop;
  format.reserved = internvl_reserved;
  return format;
}();

inline constexpr auto internvl3_servers = std::to_array<ServerRecipe>(
    {{.server = "LMDeploy",
      .command = "lmdeploy serve api_server OpenGVLab/InternVL3-8B --server-name 127.0.0.1 --server-port 23333",
      .flag = "--backend openai:http://127.0.0.1:23333 --model OpenGVLab/InternVL3-8B"},
     {.server = "vLLM",
      .command = "vllm serve OpenGVLab/InternVL3-8B --host 127.0.0.1 --trust-remote-code",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model OpenGVLab/InternVL3-8B"},
     {.server = "llama-server",
      .command = "llama-server -hf ggml-org/InternVL3-8B-Instruct-GGUF --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"}});
inline constexpr auto internvl3_quirks = std::to_array<std::string_view>(
    {"The system text in Chinese is the model's own, of conversation.py and of the newer tokenizer_config.json; the first one "
     "had "
     "none.",
     "An image is cut into up to 12 tiles and a thumbnail, fewer in some servers.",
     "The model card numbers several images (\"Image-1: <image>\"); the prompt here does not.",
     "The prompt has <image> as vLLM and the model's chat() take it; the server puts in <img>, <IMG_CONTEXT>… and </img>. The "
     "-hf conversions have other names for these."});
inline constexpr auto internvl3_sources = std::to_array<std::string_view>(
    {"Hugging Face, OpenGVLab/InternVL3-8B: conversation.py (internvl2_5), tokenizer_config.json, README.md",
     "https://github.com/sgl-project/sglang: python/sglang/srt/parser/conversation.py (internvl-2-5)",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/InternLM/lmdeploy: docs/en/multi_modal/internvl.md",
     "https://github.com/ggml-org/llama.cpp: docs/multimodal.md", "https://arxiv.org/abs/2504.10479"});

inline constexpr auto minicpm_stop = std::to_array<std::string_view>({"<|im_end|>", "<|endoftext|>"});
inline constexpr auto minicpm_reserved = std::to_array<std::string_view>(
    {"<|", "<image", "</image", "<slice>", "</slice>", "<video", "</video", "<unk>", "<ref>", "</ref>", "<box>", "</box>"});

inline constexpr ConversationTemplate minicpm_v = [] {
  ConversationTemplate format = qwen2_5_vl;
  format.image_token = "(<image>./</image>)";
  format.image_prefix = {};
  format.image_suffix = {};
  format.image_separator = "\n";
  format.text_separator = "\n";
  format.stop = minicpm_stop;
  format.reserved = minicpm_reserved;
  return format;
}();

inline constexpr auto minicpm_v_servers = std::to_array<ServerRecipe>(
    {{.server = "vLLM",
      .command = "vllm serve openbmb/MiniCPM-V-2_6 --host 127.0.0.1 --trust-remote-code",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model openbmb/MiniCPM-V-2_6"},
     {.server = "llama-server",
      .command = "llama-server -m ggml-model-Q4_K_M.gguf --mmproj mmproj-model-f16.gguf --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"},
     {.server = "SGLang",
      .command = "python -m sglang.launch_server --model-path openbmb/MiniCPM-V-2_6 --trust-remote-code --host 127.0.0.1 --port "
                 "30000",
      .flag = "--backend openai:http://127.0.0.1:30000 --model openbmb/MiniCPM-V-2_6"},
     {.server = "LMDeploy",
      .command = "lmdeploy serve api_server openbmb/MiniCPM-V-2_6 --server-name 127.0.0.1 --server-port 23333",
      .flag = "--backend openai:http://127.0.0.1:23333 --model openbmb/MiniCPM-V-2_6"},
     {.server = "Ollama",
      .command = "ollama pull minicpm-v",
      .flag = "--backend openai:http://127.0.0.1:11434 --model minicpm-v"}});
inline constexpr auto minicpm_v_quirks = std::to_array<std::string_view>(
    {"Later versions (4, 4.5, 4.6) have other language models and templates; this one is 2.6.",
     "The default system text is that of SGLang's template; the model's own tokenizer_config.json was not verified.",
     "The files for llama-server are in the repository openbmb/MiniCPM-V-2_6-gguf.",
     "An image is cut into up to 9 slices, with an overview.",
     "Ollama's tag: seen in use, not in Ollama's own documentation: not verified."});
inline constexpr auto minicpm_v_sources = std::to_array<std::string_view>(
    {"Hugging Face, openbmb/MiniCPM-V-2_6: config.json",
     "https://github.com/sgl-project/sglang: python/sglang/srt/parser/conversation.py (minicpmv)",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/ggml-org/llama.cpp: docs/multimodal/minicpmv2.6.md",
     "https://github.com/InternLM/lmdeploy: docs/en/multi_modal/minicpmv.md", "https://arxiv.org/abs/2408.01800"});

inline constexpr auto onevision_reserved = std::to_array<std::string_view>({"<|", "<image", "<video"});

/// A space after the role, a line break before the text.
inline constexpr ConversationTemplate llava_onevision{
    .system_prefix = "<|im_start|>system \n",
    .system_suffix = "<|im_end|>",
    .user_prefix = "<|im_start|>user ",
    .user_suffix = "<|im_end|>",
    .assistant_prefix = "<|im_start|>assistant ",
    .assistant_suffix = "<|im_end|>",
    .assistant_opening = "<|im_start|>assistant\n",
    .image_token = "<image>",
    .image_place = ImagePlace::before_text,
    .text_separator = "\n",
    .leading_text_prefix = "\n",
    .stop = im_end_stop,
    .reserved = onevision_reserved,
};

inline constexpr auto llava_onevision_servers = std::to_array<ServerRecipe>(
    {{.server = "vLLM",
      .command = "vllm serve llava-hf/llava-onevision-qwen2-7b-ov-hf --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model llava-hf/llava-onevision-qwen2-7b-ov-hf"},
     {.server = "SGLang",
      .command = "python -m sglang.launch_server --model-path lmms-lab/llava-onevision-qwen2-7b-ov --chat-template chatml-llava "
                 "--host 127.0.0.1 --port 30000",
      .flag = "--backend openai:http://127.0.0.1:30000 --model lmms-lab/llava-onevision-qwen2-7b-ov"}});
inline constexpr auto llava_onevision_quirks = std::to_array<std::string_view>(
    {"The template is that of the llava-hf conversion. The original (lmms-lab) is ChatML with the system text \"You are a "
     "helpful "
     "assistant.\" and a line break, no space, after the role; SGLang serves it so.",
     "An image takes 729 tokens and as many for each tile of 384 pixels, scaled down to 9 tiles' worth; one of several images "
     "takes 729. Not verified against a processor.",
     "Context: that of Qwen2-7B-Instruct, its language model; its own configuration was not verified."});
inline constexpr auto llava_onevision_sources = std::to_array<std::string_view>(
    {"https://github.com/huggingface/transformers: tests/models/llava_onevision/test_processing_llava_onevision.py (template)",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/sgl-project/sglang: docs/supported_models, python/sglang/srt/parser/conversation.py (chatml-llava)",
     "https://arxiv.org/abs/2408.03326"});

}  // namespace detail

/// InternVL3-8B.
inline constexpr ModelProfile internvl3_8b{
    .name = "InternVL3-8B",
    .family = "internvl3",
    .repository = "OpenGVLab/InternVL3-8B",
    .conversation = detail::internvl3,
    .context_tokens = 32'768,
    .image_token_rule = "256 for every tile of 448 by 448 pixels, and the two tags",
    .servers = detail::internvl3_servers,
    .quirks = detail::internvl3_quirks,
    .sources = detail::internvl3_sources,
};

/// MiniCPM-V 2.6.
inline constexpr ModelProfile minicpm_v_2_6{
    .name = "MiniCPM-V-2.6",
    .family = "minicpm-v",
    .repository = "openbmb/MiniCPM-V-2_6",
    .conversation = detail::minicpm_v,
    .context_tokens = 32'768,
    .image_token_rule = "64 for every slice, and two tags for each",
    .servers = detail::minicpm_v_servers,
    .quirks = detail::minicpm_v_quirks,
    .sources = detail::minicpm_v_sources,
};

/// LLaVA-OneVision-7B, the conversion for transformers.
inline constexpr ModelProfile llava_onevision_7b{
    .name = "LLaVA-OneVision-7B",
    .family = "llava-onevision",
    .repository = "llava-hf/llava-onevision-qwen2-7b-ov-hf",
    .conversation = detail::llava_onevision,
    .context_tokens = 32'768,
    .image_token_rule = "729 and as many for each tile of 384 by 384 pixels",
    .servers = detail::llava_onevision_servers,
    .quirks = detail::llava_onevision_quirks,
    .sources = detail::llava_onevision_sources,
};

}  // namespace ecso::models
