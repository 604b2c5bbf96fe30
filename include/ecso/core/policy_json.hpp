#pragma once

#include <ecso/core/check_input.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

/// Policies as JSON. A policy file names the policy it starts from in "base" ("production" or "paper", default "production") and
/// what differs:
///
///     {"base": "production", "name": "strict", "probability": {"threshold": 0.2}, "max_rounds": 3, "refusal": "No."}
namespace ecso {

namespace detail {

inline constexpr std::array all_readers{VerdictReader::automatic, VerdictReader::paper, VerdictReader::tolerant,
                                        VerdictReader::probabilities, VerdictReader::guard};
inline constexpr std::array all_languages{Language::english, Language::chinese};
inline constexpr std::array all_check_forms{CheckForm::automatic, CheckForm::quoted, CheckForm::next_turn, CheckForm::guard};
inline constexpr std::array all_caption_forms{CaptionForm::automatic, CaptionForm::quoted, CaptionForm::same_turn};
inline constexpr std::array undecided_counts_as{Verdict::harmful, Verdict::safe};
inline constexpr std::array all_on_failures{OnFailure::raise, OnFailure::refuse};
inline constexpr std::array all_empty_replies{EmptyReply::accept, EmptyReply::fail};
inline constexpr std::array all_rechecks{Recheck::off, Recheck::on};
inline constexpr std::array all_text_onlys{TextOnly::pass, TextOnly::check};
inline constexpr std::array all_speculations{Speculation::none, Speculation::caption};
inline constexpr std::array all_system_turns{SystemTurns::keep, SystemTurns::drop, SystemTurns::quote};
inline constexpr std::array all_unmeasured{Unmeasured::believe, Unmeasured::mark, Unmeasured::refuse};
inline constexpr std::array all_fences{Fence::none, Fence::quote};

/// Calls `visit(name, prompt)` for each prompt.
template <typename P, typename Visit>
void for_each_prompt(P& prompts, Visit visit) {
  visit("check", prompts.check);
  visit("next_turn_check", prompts.next_turn_check);
  visit("clarify", prompts.clarify);
  visit("caption", prompts.caption);
  visit("same_turn_caption", prompts.same_turn_caption);
  visit("neutral_caption", prompts.neutral_caption);
  visit("regenerate", prompts.regenerate);
  visit("strict_regenerate", prompts.strict_regenerate);
  visit("text_regenerate", prompts.text_regenerate);
  visit("strict_text_regenerate", prompts.strict_text_regenerate);
}

/// Calls `visit(name, sampling)` for the sampling of each step; the same for the model names.
template <typename S, typename Visit>
void for_each_step(S& steps, Visit visit) {
  visit("answer", steps.answer);
  visit("check", steps.check);
  visit("caption", steps.caption);
  visit("regenerate", steps.regenerate);
}

}  // namespace detail

/// Every setting, so that the JSON does not depend on defaults.
[[nodiscard]] inline nlohmann::ordered_json to_json(const Policy& policy) {
  nlohmann::ordered_json json{{"name", policy.name}, {"language", to_string(policy.language)}};
  json["prompts"]["fence"] = to_string(policy.prompts.fence);
  detail::for_each_prompt(policy.prompts, [&](const char* name, const auto& prompt) { json["prompts"][name] = prompt.text(); });
  json["reader"] = to_string(policy.reader);
  json["check_form"] = to_string(policy.check_form);
  json["check"]["upstream"] = policy.check_upstream;
  json["caption_form"] = to_string(policy.caption_form);
  const auto rule_json = [](const ProbabilityRule& rule) {
    return nlohmann::ordered_json{{"threshold", rule.threshold}, {"margin", rule.margin}, {"min_mass", rule.min_mass}};
  };
  json["probability"] = rule_json(policy.probability);
  json["next_turn_probability"] = rule_json(policy.next_turn_probability);
  json["clarifications"] = policy.clarifications;
  json["undecided"] = to_string(policy.undecided);
  json["check_choices"] = policy.check_choices;
  json["on_failure"] = to_string(policy.on_failure);
  json["empty_reply"] = to_string(policy.empty_reply);
  json["recheck"] = to_string(policy.recheck);
  json["text_only"] = to_string(policy.text_only);
  json["speculation"] = to_string(policy.speculation);
  json["incremental_check"] = policy.incremental_check;
  json["system_turns"] = to_string(policy.system_turns);
  json["unmeasured"] = to_string(policy.unmeasured);
  json["max_rounds"] = policy.max_rounds;
  json["max_response_code_points"] = policy.max_response_code_points;
  json["max_text_bytes"] = policy.max_text_bytes;
  json["max_images"] = policy.max_images;
  json["deadline_ms"] = policy.deadline.count();
  detail::for_each_step(policy.sampling,
                        [&](const char* name, const Sampling& sampling) { json["sampling"][name] = to_json(sampling); });
  detail::for_each_step(policy.models, [&](const char* name, const std::string& model) { json["models"][name] = model; });
  json["refusal"] = policy.refusal;
  return json;
}

/// The policy of that name: "production" or "paper".
/// @throws Error (bad_input) for another name.
[[nodiscard]] inline Policy policy_named(std::string_view name) {
  if (name == "production") return policy::production();
  if (name == "paper") return policy::paper();
  throw Error{Errc::bad_input, "policy: no policy is called \"" + std::string{name} + "\"; there are production and paper"};
}

/// Reads a policy file: "base" and what differs from it.
/// @throws Error (bad_input) naming the path of an unknown key or a bad value.
[[nodiscard]] inline Policy policy_from_json(const nlohmann::ordered_json& json, const std::string& path = "policy") {
  const detail::JsonReader in{json, path};
  in.allow_only({"base",
                 "name",
                 "prompts",
                 "reader",
                 "probability",
                 "check_form",
                 "check",
                 "caption_form",
                 "next_turn_probability",
                 "clarifications",
                 "undecided",
                 "check_choices",
                 "on_failure",
                 "empty_reply",
                 "recheck",
                 "text_only",
                 "speculation",
                 "system_turns",
                 "unmeasured",
                 "max_rounds",
                 "max_response_code_points",
                 "max_text_bytes",
                 "max_images",
                 "deadline_ms",
                 "sampling",
                 "models",
                 "refusal",
                 "incremental_check",
                 "language"});
  std::string base = "production";
  in.read_if("base", base);
  Policy policy = policy_named(base);
  Language language = policy.language;
  in.read_if("language", language, detail::all_languages);
  if (language != policy.language) {
    if (base != "production") throw Error{Errc::bad_input, in.at("language") + ": only production speaks other languages"};
    policy = policy::production(language);
  }
  in.read_if("name", policy.name);
  if (in.has("prompts")) {
    const detail::JsonReader prompts = in.object("prompts");
    prompts.allow_only({"fence", "check", "next_turn_check", "clarify", "caption", "same_turn_caption", "neutral_caption",
                        "regenerate", "strict_regenerate", "text_regenerate", "strict_text_regenerate"});
    prompts.read_if("fence", policy.prompts.fence, detail::all_fences);
    detail::for_each_prompt(policy.prompts, [&]<Slot... Slots>(const char* name, PromptTemplate<Slots...>& prompt) {
      if (!prompts.has(name)) return;
      std::string text;
      prompts.read(name, text);
      try {
        prompt = PromptTemplate<Slots...>{std::move(text)};
      } catch (const Error& error) {
        throw Error{error.code(), prompts.at(name) + ": " + error.message()};
      }
    });
  }
  in.read_if("reader", policy.reader, detail::all_readers);
  in.read_if("check_form", policy.check_form, detail::all_check_forms);
  if (in.has("check")) {
    const detail::JsonReader check = in.object("check");
    check.allow_only({"upstream"});
    check.read_if("upstream", policy.check_upstream);
  }
  in.read_if("caption_form", policy.caption_form, detail::all_caption_forms);
  const auto read_rule = [&](const char* name, ProbabilityRule& rule) {
    if (!in.has(name)) return;
    const detail::JsonReader rule_in = in.object(name);
    rule_in.allow_only({"threshold", "margin", "min_mass"});
    rule_in.read_if("threshold", rule.threshold);
    rule_in.read_if("margin", rule.margin);
    rule_in.read_if("min_mass", rule.min_mass);
  };
  read_rule("probability", policy.probability);
  read_rule("next_turn_probability", policy.next_turn_probability);
  in.read_if("clarifications", policy.clarifications);
  in.read_if("undecided", policy.undecided, detail::undecided_counts_as);
  in.read_if("check_choices", policy.check_choices);
  in.read_if("on_failure", policy.on_failure, detail::all_on_failures);
  in.read_if("empty_reply", policy.empty_reply, detail::all_empty_replies);
  in.read_if("recheck", policy.recheck, detail::all_rechecks);
  in.read_if("text_only", policy.text_only, detail::all_text_onlys);
  in.read_if("speculation", policy.speculation, detail::all_speculations);
  in.read_if("incremental_check", policy.incremental_check);
  in.read_if("system_turns", policy.system_turns, detail::all_system_turns);
  in.read_if("unmeasured", policy.unmeasured, detail::all_unmeasured);
  in.read_if("max_rounds", policy.max_rounds);
  in.read_if("max_response_code_points", policy.max_response_code_points);
  in.read_if("max_text_bytes", policy.max_text_bytes);
  in.read_if("max_images", policy.max_images);
  if (in.has("deadline_ms")) {
    std::int32_t milliseconds = 0;
    in.read("deadline_ms", milliseconds);
    policy.deadline = std::chrono::milliseconds{milliseconds};
  }
  if (in.has("sampling")) {
    const detail::JsonReader sampling = in.object("sampling");
    sampling.allow_only({"answer", "check", "caption", "regenerate"});
    detail::for_each_step(policy.sampling, [&](const char* name, Sampling& step) {
      if (sampling.has(name)) step = sampling_from_json(sampling.value(name), sampling.at(name), step);
    });
  }
  if (in.has("models")) {
    const detail::JsonReader models = in.object("models");
    models.allow_only({"answer", "check", "caption", "regenerate"});
    detail::for_each_step(policy.models, [&](const char* name, std::string& model) { models.read_if(name, model); });
  }
  in.read_if("refusal", policy.refusal);
  check_policy(policy);
  return policy;
}

}  // namespace ecso
