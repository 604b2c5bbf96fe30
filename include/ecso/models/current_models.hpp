#pragma once

#include <ecso/models/chatml_models.hpp>
#include <ecso/models/profile.hpp>
#include <ecso/models/qwen_models.hpp>

#include <array>
#include <string_view>

// What people use now, beside the models of the paper.

namespace ecso::models {

namespace detail {

inline constexpr auto gemma_stop = std::to_array<std::string_view>({"<end_of_turn>"});
inline constexpr auto gemma_reserved = std::to_array<std::string_view>(
    {"<start_of_", "<end_of_", "<image_soft_token", "<bos>", "<eos>", "<pad>", "<unk>", "<unused", "<mask>"});

inline constexpr ConversationTemplate gemma_3{
    .bos = "<bos>",
    .bos_place = BosPlace::server_adds,
    .system_place = SystemPlace::first_user_turn,
    .system_suffix = "\n\n",
    .user_prefix = "<start_of_turn>user\n",
    .user_suffix = "<end_of_turn>\n",
    .assistant_prefix = "<start_of_turn>model\n",
    .assistant_suffix = "<end_of_turn>\n",
    .assistant_opening = "<start_of_turn>model\n",
    .image_token = "<start_of_image>",
    .trims_text = true,
    .stop = gemma_stop,
    .reserved = gemma_reserved,
};

inline constexpr auto gemma_3_servers = std::to_array<ServerRecipe>(
    {{.server = "llama-server",
      .command = "llama-server -hf ggml-org/gemma-3-4b-it-GGUF --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"},
     {.server = "vLLM",
      .command = "vllm serve google/gemma-3-4b-it --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model google/gemma-3-4b-it"},
     {.server = "SGLang",
      .command = "python -m sglang.launch_server --model-path google/gemma-3-4b-it --host 127.0.0.1 --port 30000",
      .flag = "--backend openai:http://127.0.0.1:30000 --model google/gemma-3-4b-it"},
     {.server = "LMDeploy",
      .command = "lmdeploy serve api_server google/gemma-3-4b-it --server-name 127.0.0.1 --server-port 23333",
      .flag = "--backend openai:http://127.0.0.1:23333 --model google/gemma-3-4b-it"},
     {.server = "Ollama",
      .command = "ollama pull gemma3:4b",
      .flag = "--backend openai:http://127.0.0.1:11434 --model gemma3:4b"}});
inline constexpr auto gemma_3_quirks = std::to_array<std::string_view>(
    {"It has no system turn: the system text opens the first user turn.",
     "The published template refuses turns that do not alternate. It writes <bos>; the tokenizer of a completion endpoint adds "
     "it.",
     "Images are squeezed to 896 by 896 pixels unless the server crops them (pan and scan).",
     "The 1B model sees no images. Ollama's tag: seen in use, not in Ollama's own documentation: not verified."});
inline constexpr auto gemma_3_sources = std::to_array<std::string_view>(
    {"Hugging Face, google/gemma-3-4b-it: chat_template.json; the same in https://github.com/huggingface/transformers: "
     "tests/models/gemma3/test_processing_gemma3.py",
     "https://github.com/sgl-project/sglang: docs/supported_models (image tokens, context)",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/ggml-org/llama.cpp: docs/multimodal.md", "https://arxiv.org/abs/2503.19786"});

inline constexpr auto smolvlm_stop = std::to_array<std::string_view>({"<end_of_utterance>"});
inline constexpr auto smolvlm_reserved =
    std::to_array<std::string_view>({"<|", "<image", "<video", "<end_of_utterance", "<fake_token_around_image", "<global-img",
                                     "<row_", "User:", "Assistant:", "System:"});

/// One `<|im_start|>` at the start, none later.
inline constexpr ConversationTemplate smolvlm2{
    .bos = "<|im_start|>",
    .bos_place = BosPlace::in_prompt,
    .system_prefix = "System: ",
    .system_suffix = "<end_of_utterance>\n",
    .user_prefix = "User:",
    .user_suffix = "<end_of_utterance>\n",
    .assistant_prefix = "Assistant:",
    .assistant_suffix = "<end_of_utterance>\n",
    .assistant_opening = "Assistant:",
    .image_token = "<image>",
    .leading_text_prefix = " ",
    .stop = smolvlm_stop,
    .reserved = smolvlm_reserved,
};

inline constexpr auto smolvlm2_servers = std::to_array<ServerRecipe>(
    {{.server = "llama-server",
      .command = "llama-server -hf ggml-org/SmolVLM2-2.2B-Instruct-GGUF --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"},
     {.server = "vLLM",
      .command = "vllm serve HuggingFaceTB/SmolVLM2-2.2B-Instruct --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model HuggingFaceTB/SmolVLM2-2.2B-Instruct"}});
inline constexpr auto smolvlm2_quirks = std::to_array<std::string_view>(
    {"Small enough for a laptop, and weak as its own judge: give the check to another model.",
     "A space follows \"User:\" where the turn begins with a text, none where it begins with an image.",
     "An image is cut into tiles, with marks of rows and columns between them. The smaller models take 64 tokens a tile.",
     "Context: vLLM's example serves it with 8192; its report says 16,000: its configuration was not verified."});
inline constexpr auto smolvlm2_sources = std::to_array<std::string_view>(
    {"https://github.com/huggingface/transformers: src/transformers/models/smolvlm/processing_smolvlm.py (template)",
     "Hugging Face, HuggingFaceTB/SmolVLM2-2.2B-Instruct: processor_config.json",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/ggml-org/llama.cpp: docs/multimodal.md", "https://arxiv.org/abs/2504.05299"});

inline constexpr auto mistral_stop = std::to_array<std::string_view>({"</s>"});
inline constexpr auto pixtral_reserved = std::to_array<std::string_view>(
    {"<s>", "</s>", "<unk>", "<pad>", "[INST]", "[/INST]", "[IMG", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_", "[/TOOL_",
     "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]"});

inline constexpr ConversationTemplate pixtral{
    .bos = "<s>",
    .bos_place = BosPlace::server_adds,
    .system_place = SystemPlace::last_user_turn,
    .system_suffix = "\n\n",
    .user_prefix = "[INST]",
    .user_suffix = "[/INST]",
    .assistant_suffix = "</s>",
    .image_token = "[IMG]",
    .stop = mistral_stop,
    .reserved = pixtral_reserved,
};

inline constexpr auto pixtral_servers = std::to_array<ServerRecipe>(
    {{.server = "vLLM",
      .command = "vllm serve mistralai/Pixtral-12B-2409 --host 127.0.0.1 --tokenizer-mode mistral --config-format mistral "
                 "--load-format mistral --max-model-len 32768",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model mistralai/Pixtral-12B-2409"},
     {.server = "llama-server",
      .command = "llama-server -hf ggml-org/pixtral-12b-GGUF --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"}});
inline constexpr auto pixtral_quirks = std::to_array<std::string_view>(
    {"The system text stands in the last user turn, so a prefix cache does not keep it from turn to turn.",
     "The template is that of the conversions for transformers; Mistral's own tokenizer makes tokens, not text.",
     "vLLM's example puts [IMG] behind the text; ecso sends the image first, which the template allows.",
     "The published template refuses turns that do not alternate. It was read in transformers' converter and in vLLM's example; "
     "chat_template.json of the model itself was not verified."});
inline constexpr auto pixtral_sources = std::to_array<std::string_view>(
    {"https://github.com/huggingface/transformers: the converter of Mistral 3 weights (template)",
     "Hugging Face, mistral-community/pixtral-12b: processor_config.json",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "Mistral documentation, self-deployment with vLLM; Scaleway documentation, Pixtral-12B-2409 (context, size of images)",
     "https://github.com/ggml-org/llama.cpp: docs/multimodal.md", "https://arxiv.org/abs/2410.07073"});

inline constexpr auto llama_4_stop = std::to_array<std::string_view>({"<|eot|>"});
inline constexpr auto llama_4_reserved = std::to_array<std::string_view>({"<|"});

inline constexpr ConversationTemplate llama_4{
    .bos = "<|begin_of_text|>",
    .bos_place = BosPlace::server_adds,
    .system_prefix = "<|header_start|>system<|header_end|>\n\n",
    .system_suffix = "<|eot|>",
    .user_prefix = "<|header_start|>user<|header_end|>\n\n",
    .user_suffix = "<|eot|>",
    .assistant_prefix = "<|header_start|>assistant<|header_end|>\n\n",
    .assistant_suffix = "<|eot|>",
    .assistant_opening = "<|header_start|>assistant<|header_end|>\n\n",
    .image_token = "<|image|>",
    .stop = llama_4_stop,
    .reserved = llama_4_reserved,
};

inline constexpr auto llama_4_servers = std::to_array<ServerRecipe>(
    {{.server = "vLLM",
      .command = "vllm serve meta-llama/Llama-4-Scout-17B-16E-Instruct --host 127.0.0.1 --tensor-parallel-size 8 --max-model-len "
                 "131072",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model meta-llama/Llama-4-Scout-17B-16E-Instruct"},
     {.server = "llama-server",
      .command = "llama-server -hf ggml-org/Llama-4-Scout-17B-16E-Instruct-GGUF --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"},
     {.server = "LMDeploy",
      .command =
          "lmdeploy serve api_server meta-llama/Llama-4-Scout-17B-16E-Instruct --server-name 127.0.0.1 --server-port 23333",
      .flag = "--backend openai:http://127.0.0.1:23333 --model meta-llama/Llama-4-Scout-17B-16E-Instruct"},
     {.server = "Ollama",
      .command = "ollama pull llama4:scout",
      .flag = "--backend openai:http://127.0.0.1:11434 --model llama4:scout"}});
inline constexpr auto llama_4_quirks = std::to_array<std::string_view>(
    {"17 billion parameters at work, 109 billion in memory: several large GPUs. Set --max-model-len to what they hold.",
     "Evaluations of vLLM and VLMEvalKit send at most 10 images. Maverick has the same template and a context of a tenth.",
     "A system text that the published template trims is not trimmed here.",
     "Ollama's tag: seen in use, not in Ollama's own documentation: not verified."});
inline constexpr auto llama_4_sources = std::to_array<std::string_view>(
    {"https://github.com/huggingface/transformers: src/transformers/models/llama4/convert_llama4_weights_to_hf.py (template), "
     "processing_llama4.py",
     "Hugging Face, hf-internal-testing/tiny-random-llama4: config.json (max_position_embeddings)",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/ggml-org/llama.cpp: docs/multimodal.md",
     "https://github.com/InternLM/lmdeploy: docs/en/supported_models/supported_models.md"});

}  // namespace detail

/// Gemma 3 4B; 12B and 27B have the same template.
inline constexpr ModelProfile gemma_3_4b{
    .name = "Gemma-3-4B",
    .family = "gemma-3",
    .repository = "google/gemma-3-4b-it",
    .conversation = detail::gemma_3,
    .context_tokens = 131'072,
    .image_tokens = 256,
    .image_token_rule = "256, and its marks; as many for each crop if the server crops",
    .servers = detail::gemma_3_servers,
    .quirks = detail::gemma_3_quirks,
    .sources = detail::gemma_3_sources,
};

/// SmolVLM2-2.2B-Instruct.
inline constexpr ModelProfile smolvlm2_2_2b{
    .name = "SmolVLM2-2.2B",
    .family = "smolvlm2",
    .repository = "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
    .conversation = detail::smolvlm2,
    .context_tokens = 8192,
    .image_token_rule = "81 for every tile of 384 by 384 pixels and for the overview, and marks between them",
    .servers = detail::smolvlm2_servers,
    .quirks = detail::smolvlm2_quirks,
    .sources = detail::smolvlm2_sources,
};

/// Pixtral 12B.
inline constexpr ModelProfile pixtral_12b{
    .name = "Pixtral-12B",
    .family = "pixtral",
    .repository = "mistralai/Pixtral-12B-2409",
    .conversation = detail::pixtral,
    .context_tokens = 128'000,
    .image_token_rule = "one for every 16 by 16 pixels and one for every row of them; at most 1024 pixels a side",
    .servers = detail::pixtral_servers,
    .quirks = detail::pixtral_quirks,
    .sources = detail::pixtral_sources,
};

/// Llama 4 Scout.
inline constexpr ModelProfile llama_4_scout{
    .name = "Llama-4-Scout",
    .family = "llama-4",
    .repository = "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    .conversation = detail::llama_4,
    .context_tokens = 10'485'760,
    .image_token_rule = "144 for every tile of 336 by 336 pixels and for the overview, and marks between them",
    .servers = detail::llama_4_servers,
    .quirks = detail::llama_4_quirks,
    .sources = detail::llama_4_sources,
};

/// All of them.
inline constexpr std::array<ModelProfile, 9> current{qwen2_5_vl_7b, qwen3_vl_8b,   internvl3_8b, gemma_3_4b,   llava_onevision_7b,
                                                     smolvlm2_2_2b, minicpm_v_2_6, pixtral_12b,  llama_4_scout};

}  // namespace ecso::models
