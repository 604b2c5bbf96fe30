#pragma once

#include <ecso/detail/text.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

/// What stands around a model's own words: its reasoning, the tokens of its chat template, tags of an answer. Texts are in lower
/// case as far as they are ASCII.
namespace ecso::detail {

/// Length of the one of `pieces` that `text` begins or ends with, 0 if there is none.
template <std::size_t Size>
[[nodiscard]] std::size_t front_length(std::string_view text, const std::array<std::string_view, Size>& pieces) noexcept {
  const auto piece = std::ranges::find_if(pieces, [&](std::string_view p) { return text.starts_with(p); });
  return piece == pieces.end() ? 0 : piece->size();
}
template <std::size_t Size>
[[nodiscard]] std::size_t back_length(std::string_view text, const std::array<std::string_view, Size>& pieces) noexcept {
  const auto piece = std::ranges::find_if(pieces, [&](std::string_view p) { return text.ends_with(p); });
  return piece == pieces.end() ? 0 : piece->size();
}

struct ReasoningMarks {
  std::string_view open;
  std::string_view close;
  bool may_lack_open = true;  ///< The template has put it into the prompt: the reply begins inside.
};

/// As published with the models' chat templates.
inline constexpr auto reasoning_marks = std::to_array<ReasoningMarks>({
    {"<think>", "</think>"},                                  // DeepSeek-R1, QwQ, Qwen3, GLM, MiniCPM, Phi-4
    {"<thinking>", "</thinking>"},                            // prompted models, Claude's older style
    {"<thought>", "</thought>"},                              //
    {"<reasoning>", "</reasoning>"},                          // LLaVA-CoT, R1-style vision models
    {"<reflection>", "</reflection>"},                        //
    {"<summary>", "</summary>", false},                       // LLaVA-CoT
    {"<caption>", "</caption>", false},                       // LLaVA-CoT
    {"[think]", "[/think]"},                                  // Magistral
    {"◁think▷", "◁/think▷"},                                  // Kimi-VL
    {"<seed:think>", "</seed:think>"},                        // Seed-OSS
    {"<|channel|>analysis<|message|>", "<|end|>", false},     // gpt-oss (harmony)
    {"<|channel>thought", "<channel|>", false},               // Gemma 4
    {"<|start_thinking|>", "<|end_thinking|>"},               // Command A
    {"<|begin_of_thought|>", "<|end_of_thought|>"},           // OpenThinker, Sky-T1
    {"<|inner_prefix|>", "<|inner_suffix|>"},                 // Apertus
    {"here is my thought process:", "here is my response:"},  // Granite 3.2
});

/// What a template puts before the words of an answer.
inline constexpr auto answer_heads = std::to_array<std::string_view>(
    {"<|start|>assistant", "<|channel|>final<|message|>", "<|im_start|>assistant", "<|assistant|>", "<|begin_of_solution|>",
     "<|start_response|>", "<|start_of_turn_token|>", "<|chatbot_token|>", "<s>", "<bos>", "<|begin_of_text|>"});

/// What ends an answer and is left in its text where a server does not know the token.
inline constexpr auto end_tokens = std::to_array<std::string_view>({"<|im_end|>",
                                                                    "<|eot_id|>",
                                                                    "</s>",
                                                                    "<|endoftext|>",
                                                                    "<|end|>",
                                                                    "<|return|>",
                                                                    "<end_of_turn>",
                                                                    "<eos>",
                                                                    "<|end_of_text|>",
                                                                    "<|eot|>",
                                                                    "<｜end▁of▁sentence｜>",
                                                                    "<|end_of_turn_token|>",
                                                                    "<|user|>",
                                                                    "<|end_of_solution|>",
                                                                    "<|end_response|>",
                                                                    "[eos]",
                                                                    "<|eom_id|>",
                                                                    "<turn|>",
                                                                    "[|endofturn|]",
                                                                    "<pad>"});

/// The text after reasoning: blocks at the beginning, or all up to a closing mark that has a line's end on one of its sides where
/// the opening one is missing. Reasoning that is not closed leaves nothing.
[[nodiscard]] inline std::string_view after_reasoning(std::string_view text) noexcept {
  constexpr std::string_view white = " \t\n\r\v\f";
  const auto trim = [&] { text.remove_prefix(std::min(text.find_first_not_of(white), text.size())); };
  bool has_block = false;
  for (std::size_t before = text.size() + 1; text.size() < before;) {
    before = text.size();
    trim();
    text.remove_prefix(front_length(text, answer_heads));
    trim();
    for (const ReasoningMarks& marks : reasoning_marks) {
      if (!text.starts_with(marks.open)) continue;
      const std::size_t end = text.find(marks.close, marks.open.size());
      text = end == text.npos ? std::string_view{} : text.substr(end + marks.close.size());
      has_block = true;
    }
  }
  if (has_block) return text;
  for (const ReasoningMarks& marks : reasoning_marks) {
    const std::size_t at = marks.may_lack_open ? text.find(marks.close) : text.npos;
    if (at == text.npos) continue;
    const std::string_view rest = text.substr(at + marks.close.size());
    // Elsewhere it may be a quotation: "it says </think> no".
    if (at == 0 || text[at - 1] == '\n' || rest.starts_with('\n')) return rest;
  }
  return text;
}

/// The text without end tokens and white space behind it.
[[nodiscard]] inline std::string_view without_end_tokens(std::string_view text) noexcept {
  for (std::size_t before = text.size() + 1; text.size() < before;) {
    before = text.size();
    text = text.substr(0, text.find_last_not_of(" \t\n\r\v\f") + 1);
    text.remove_suffix(back_length(text, end_tokens));
  }
  // One that was cut.
  const std::size_t tag = text.rfind("</");
  const bool is_cut_tag = tag != text.npos && text.find_first_of("> \n", tag) == text.npos;
  return is_cut_tag ? text.substr(0, tag) : text;
}

/// The text with "answer: " for the tags and boxes that announce one.
[[nodiscard]] inline std::string without_answer_tags(std::string_view text) {
  static constexpr auto opening = std::to_array<std::string_view>(
      {"<answer>", "<final_answer>", "<conclusion>", "<verdict>", "<|begin_of_box|>", "\\boxed{\\text{", "\\boxed{"});
  static constexpr auto closing =
      std::to_array<std::string_view>({"</answer>", "</final_answer>", "</conclusion>", "</verdict>", "<|end_of_box|>"});
  std::string plain;
  plain.reserve(text.size() + 16);
  while (!text.empty()) {
    const bool may_be_tag = text.front() == '<' || text.front() == '\\';
    if (const std::size_t tag = may_be_tag ? front_length(text, opening) : 0) {
      plain += "\nanswer: ";
      text.remove_prefix(tag);
    } else if (const std::size_t end = may_be_tag ? front_length(text, closing) : 0) {
      plain += '\n';
      text.remove_prefix(end);
    } else {
      plain += text.front();
      text.remove_prefix(1);
    }
  }
  return plain;
}

}  // namespace ecso::detail
