#pragma once

#include <ecso/models/profile.hpp>

#include <array>
#include <string_view>

// Models that talk as Vicuna does.

namespace ecso::models {

namespace detail {

inline constexpr auto llama_stop = std::to_array<std::string_view>({"</s>"});
inline constexpr auto vicuna_reserved =
    std::to_array<std::string_view>({"<image", "<im_", "<s>", "</s>", "<unk>", "USER:", "ASSISTANT:"});

/// `conv_vicuna_v1` of LLaVA and ShareGPT4V.
inline constexpr ConversationTemplate vicuna_v1{
    .bos = "<s>",
    .bos_place = BosPlace::server_adds,
    .default_system =
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
        "polite answers to the user's questions.",
    .system_suffix = " ",
    .user_prefix = "USER: ",
    .user_suffix = " ",
    .assistant_prefix = "ASSISTANT: ",
    .assistant_suffix = "</s>",
    .assistant_opening = "ASSISTANT:",
    .image_token = "<image>",
    .image_place = ImagePlace::before_text,
    .image_separator = "\n",
    .text_separator = "\n",
    .stop = llama_stop,
    .reserved = vicuna_reserved,
};

inline constexpr auto llava_servers = std::to_array<ServerRecipe>(
    {{.server = "LLaVA worker",
      .command = "python -m llava.serve.controller --host 127.0.0.1 --port 10000\n"
                 "python -m llava.serve.model_worker --host 127.0.0.1 --controller http://127.0.0.1:10000 --port 40000 --worker "
                 "http://127.0.0.1:40000 --model-path liuhaotian/llava-v1.5-7b",
      .flag = "--backend llava-worker:http://127.0.0.1:10000 --model llava-v1.5-7b"},
     {.server = "vLLM",
      .command = "vllm serve llava-hf/llava-1.5-7b-hf --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8000 --dialect vllm --model llava-hf/llava-1.5-7b-hf"},
     {.server = "SGLang",
      .command = "python -m sglang.launch_server --model-path liuhaotian/llava-v1.5-7b --tokenizer-path llava-hf/llava-1.5-7b-hf "
                 "--host 127.0.0.1 --port 30000",
      .flag = "--backend openai:http://127.0.0.1:30000 --model liuhaotian/llava-v1.5-7b"},
     {.server = "LMDeploy",
      .command = "lmdeploy serve api_server llava-hf/llava-1.5-7b-hf --server-name 127.0.0.1 --server-port 23333",
      .flag = "--backend openai:http://127.0.0.1:23333 --model llava-hf/llava-1.5-7b-hf"},
     {.server = "llama-server",
      .command = "llama-server -m llava-v1.5-7b.gguf --mmproj mmproj.gguf --host 127.0.0.1",
      .flag = "--backend openai:http://127.0.0.1:8080 --dialect llama-server"},
     {.server = "Ollama",
      .command = "ollama pull llava:7b-v1.5-q4_K_M",
      .flag = "--backend openai:http://127.0.0.1:11434 --model llava:7b-v1.5-q4_K_M"}});
inline constexpr auto llava_quirks = std::to_array<std::string_view>(
    {"The benchmark scripts of LLaVA and of ECSO use vicuna_v1 as it stands here. LLaVA's own demo and command line use "
     "llava_v1, "
     "whose system text says \"human\" and \"human's\" for \"user\" and \"user's\".",
     "The worker refuses a prompt whose <image> tokens and images differ in number, takes one stop text, and caps an answer at "
     "1024 tokens.",
     "The templates of llava-hf, which vLLM and LMDeploy use, write no system text; give one to have the same.",
     "vLLM, SGLang, LMDeploy, llama.cpp and Ollama serve conversions; their answers differ a little from the worker's.",
     "The name of Ollama's tag and the file names for llama-server: not verified."});
inline constexpr auto llava_sources = std::to_array<std::string_view>(
    {"https://github.com/haotian-liu/LLaVA: llava/conversation.py (conv_vicuna_v1, conv_llava_v1), llava/constants.py",
     "https://github.com/haotian-liu/LLaVA: llava/serve/model_worker.py, llava/serve/cli.py, README (serving, SGLang worker)",
     "https://github.com/gyhdog99/ECSO: scripts/v1_5/eval_safe, llava/eval/model_mmsafe_tell_ask.py",
     "https://github.com/vllm-project/vllm: docs/models/supported_models.md, examples/offline_inference/vision_language.py",
     "https://github.com/InternLM/lmdeploy: docs/en/multi_modal/llava.md", "https://arxiv.org/abs/2310.03744"});

inline constexpr auto sharegpt4v_servers = std::to_array<ServerRecipe>(
    {{.server = "its own code", .command = "python tools/app.py --model-path Lin-Chen/ShareGPT4V-7B", .flag = ""}});
inline constexpr auto sharegpt4v_quirks = std::to_array<std::string_view>(
    {"The repository has a demo and scripts but no worker that ecso could speak to, and none of vLLM, SGLang, LMDeploy, "
     "llama.cpp "
     "and Ollama lists it. LLaVA's worker does not know its architecture (Share4VLlamaForCausalLM); whether it serves the "
     "weights "
     "under a configuration that says LlavaLlamaForCausalLM and a name with \"llava\" in it: not verified.",
     "Its file of templates is LLaVA's; the benchmarks use vicuna_v1.",
     "Its vision tower is fine-tuned: CLIP's own weights in its place give another model.",
     "It was trained with 2048 tokens, and its loader assumes as many."});
inline constexpr auto sharegpt4v_sources = std::to_array<std::string_view>(
    {"https://github.com/InternLM/InternLM-XComposer: projects/ShareGPT4V (share4v/conversation.py, share4v/constants.py, "
     "share4v/eval/model_vqa.py, scripts/sharegpt4v, tools/app.py, docs/ModelZoo.md)",
     "Hugging Face, Lin-Chen/ShareGPT4V-7B: config.json", "https://arxiv.org/abs/2311.12793"});

inline constexpr auto mplug_owl2_reserved =
    std::to_array<std::string_view>({"<|", "<s>", "</s>", "<unk>", "USER:", "ASSISTANT:"});

/// `conv_mplug_owl2`: Vicuna's turns without a system text, and the image directly before the text.
inline constexpr ConversationTemplate mplug_owl2{
    .bos = "<s>",
    .bos_place = BosPlace::server_adds,
    .system_place = SystemPlace::first_user_turn,
    .system_suffix = "\n",
    .user_prefix = "USER: ",
    .user_suffix = " ",
    .assistant_prefix = "ASSISTANT: ",
    .assistant_suffix = "</s>",
    .assistant_opening = "ASSISTANT:",
    .image_token = "<|image|>",
    .image_place = ImagePlace::before_text,
    .stop = llama_stop,
    .reserved = mplug_owl2_reserved,
};

inline constexpr auto mplug_owl2_servers = std::to_array<ServerRecipe>(
    {{.server = "mPLUG-Owl2 worker",
      .command = "python -m mplug_owl2.serve.controller --host 127.0.0.1 --port 10000\n"
                 "python -m mplug_owl2.serve.model_worker --host 127.0.0.1 --controller http://127.0.0.1:10000 --port 40000 "
                 "--worker http://127.0.0.1:40000 --model-path MAGAer13/mplug-owl2-llama2-7b",
      .flag = "--backend llava-worker:http://127.0.0.1:10000 --model mplug-owl2-llama2-7b"}});
inline constexpr auto mplug_owl2_quirks = std::to_array<std::string_view>(
    {"Only its own worker serves it. It speaks LLaVA's worker protocol, but counts <|image|> in the prompt, not <image>.",
     "The published template drops the system text. A chat that has one gets it at the start of its first user turn, which is "
     "ecso's choice and not verified against its training.",
     "Images should be square: the examples resize them to their longer side before sending.",
     "Context: that of the configurations of models tuned from it; its own was not verified. A worker that reads none assumes "
     "4096."});
inline constexpr auto mplug_owl2_sources = std::to_array<std::string_view>(
    {"https://github.com/X-PLUG/mPLUG-Owl: mPLUG-Owl2/mplug_owl2 (conversation.py, constants.py, serve/model_worker.py, "
     "model/configuration_mplug_owl2.py), mPLUG-Owl2/README.md",
     "https://arxiv.org/abs/2311.04257"});

}  // namespace detail

/// LLaVA-1.5-7B, with whom the paper reports most of its numbers.
inline constexpr ModelProfile llava_1_5_7b{
    .name = "LLaVA-1.5-7B",
    .family = "llava-1.5",
    .repository = "liuhaotian/llava-v1.5-7b",
    .conversation = detail::vicuna_v1,
    .context_tokens = 4096,
    .image_tokens = 576,
    .image_token_rule = "576: 24 by 24 patches of a square of 336 pixels",
    .servers = detail::llava_servers,
    .quirks = detail::llava_quirks,
    .sources = detail::llava_sources,
};

/// ShareGPT4V-7B.
inline constexpr ModelProfile sharegpt4v_7b{
    .name = "ShareGPT4V-7B",
    .family = "sharegpt4v",
    .repository = "Lin-Chen/ShareGPT4V-7B",
    .conversation = detail::vicuna_v1,
    .context_tokens = 4096,
    .image_tokens = 576,
    .image_token_rule = "576: 24 by 24 patches of a square of 336 pixels",
    .servers = detail::sharegpt4v_servers,
    .quirks = detail::sharegpt4v_quirks,
    .sources = detail::sharegpt4v_sources,
};

/// mPLUG-Owl2-7B.
inline constexpr ModelProfile mplug_owl2_7b{
    .name = "mPLUG-Owl2-7B",
    .family = "mplug-owl2",
    .repository = "MAGAer13/mplug-owl2-llama2-7b",
    .conversation = detail::mplug_owl2,
    .context_tokens = 2048,
    .image_tokens = 65,
    .image_token_rule = "65: 64 learnt queries and one mark",
    .servers = detail::mplug_owl2_servers,
    .quirks = detail::mplug_owl2_quirks,
    .sources = detail::mplug_owl2_sources,
};

}  // namespace ecso::models
