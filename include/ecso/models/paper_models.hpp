#pragma once

#include <ecso/models/profile.hpp>
#include <ecso/models/qwen_models.hpp>
#include <ecso/models/vicuna_models.hpp>

#include <array>
#include <string_view>

// The five models of the ECSO paper (arXiv 2403.09572).

namespace ecso::models {

namespace detail {

inline constexpr auto xcomposer_stop = std::to_array<std::string_view>({"<TOKENS_UNUSED_1>", "<TOKENS_UNUSED_0>"});
inline constexpr auto xcomposer_reserved = std::to_array<std::string_view>(
    {"<|", "<TOKENS_UNUSED", "<ImageHere", "<Img>", "</Img>", "<s>", "</s>", "<unk>", "<SOI_TOKEN>"});

/// `wrap_prompt` of the model's code: `<TOKENS_UNUSED_0>` ends the human's words, `<TOKENS_UNUSED_1>` the assistant's.
inline constexpr ConversationTemplate xcomposer{
    .bos = "<s>",
    .bos_place = BosPlace::server_adds,
    .default_system =
        "meta instruction\nYou are an AI assistant whose name is 浦语.\n- 浦语 is a conversational language model that is "
        "developed by Shanghai AI Laboratory (上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n- 浦语 "
        "can "
        "understand and communicate fluently in the language chosen by the user such as English and 中文.\nconversation\n",
    .user_prefix = " <|User|>:",
    .user_suffix = "\n<TOKENS_UNUSED_0>",
    .assistant_prefix = " <|Bot|>:",
    .assistant_suffix = "<TOKENS_UNUSED_1>",
    .assistant_opening = " <|Bot|>:",
    .image_token = "<ImageHere>",
    .image_place = ImagePlace::before_text,
    .stop = xcomposer_stop,
    .reserved = xcomposer_reserved,
};

inline constexpr auto xcomposer_servers =
    std::to_array<ServerRecipe>({{.server = "its own code", .command = "python examples/web_demo.py", .flag = ""}});
inline constexpr auto xcomposer_quirks = std::to_array<std::string_view>(
    {"Only its own code serves it (transformers with trust_remote_code): its chat() takes text and image apart. None of vLLM, "
     "SGLang, LMDeploy, llama.cpp and Ollama lists the first version; that of version 2 is another template.",
     "The prompt of a first turn is chat()'s. From the second turn on chat() leaves out the meta instruction and both end marks "
     "of earlier turns; the prompt here keeps them, as the demo and the training code do.",
     "The evaluation scripts write <ImageHere> for the image, without a meta instruction; some put a space after it.",
     "A system text takes the whole place of the meta instruction: end it with a line break.",
     "internlm-xcomposer-vl-7b is the sister for benchmarks; which of the two the paper used: not verified."});
inline constexpr auto xcomposer_sources = std::to_array<std::string_view>(
    {"https://github.com/InternLM/InternLM-XComposer: InternLM-XComposer-1.0 (demo_asset/conversation.py, examples, "
     "evaluation/mme/eval.py, evaluation/mmbench/utils.py)",
     "Hugging Face, internlm/internlm-xcomposer-7b: modeling_InternLM_XComposer.py (wrap_prompt, chat, align_text), "
     "configuration_InternLM_XComposer.py; internlm-xcomposer-7b-4bit: config.json",
     "https://arxiv.org/abs/2309.15112"});

}  // namespace detail

/// InternLM-XComposer-7B, the first version.
inline constexpr ModelProfile internlm_xcomposer_7b{
    .name = "InternLM-XComposer-7B",
    .family = "internlm-xcomposer",
    .repository = "internlm/internlm-xcomposer-7b",
    .conversation = detail::xcomposer,
    .context_tokens = 2048,
    .image_tokens = 66,
    .image_token_rule = "66: 64 queries and two marks",
    .servers = detail::xcomposer_servers,
    .quirks = detail::xcomposer_quirks,
    .sources = detail::xcomposer_sources,
};

/// All five, in the paper's order.
inline constexpr std::array<ModelProfile, 5> paper{llava_1_5_7b, sharegpt4v_7b, mplug_owl2_7b, qwen_vl_chat,
                                                   internlm_xcomposer_7b};

}  // namespace ecso::models
