#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/detail/forged_turns.hpp>
#include <ecso/detail/least_tokens.hpp>
#include <ecso/detail/marks.hpp>
#include <ecso/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace ecso {

/// A call of either kind.
using ModelRequest = std::variant<VisionRequest, TextRequest>;

/// How a request wants to be answered.
[[nodiscard]] inline const CallOptions& options_of(const ModelRequest& request) {
  const auto* vision = std::get_if<VisionRequest>(&request);
  return vision != nullptr ? vision->options : std::get<TextRequest>(request).options;
}

/// The same, to be changed.
[[nodiscard]] inline CallOptions& options_of(ModelRequest& request) {
  auto* vision = std::get_if<VisionRequest>(&request);
  return vision != nullptr ? vision->options : std::get<TextRequest>(request).options;
}

/// A number of tokens that no tokenizer in use goes below for the texts of a request; its images and the server's template are
/// left out.
[[nodiscard]] inline std::int64_t least_tokens(const ModelRequest& request) {
  std::int64_t tokens = 0;
  if (const auto* text = std::get_if<TextRequest>(&request)) {
    for (const TextMessage& message : text->conversation.messages()) tokens += detail::least_tokens(message.text);
    return tokens;
  }
  for (const Message& message : std::get<VisionRequest>(request).conversation.messages) {
    for (const Part& part : message.parts) {
      if (const auto* words = std::get_if<std::string>(&part)) tokens += detail::least_tokens(*words);
    }
  }
  return tokens;
}

/// The text of a request's last turn.
[[nodiscard]] inline std::string prompt_of(const ModelRequest& request) {
  if (const auto* vision = std::get_if<VisionRequest>(&request)) return query_of(vision->conversation);
  const auto& messages = std::get<TextRequest>(request).conversation.messages();
  return messages.empty() ? std::string{} : messages.back().text;
}

/// The same for a request that is not needed any more.
[[nodiscard]] inline std::string prompt_of(ModelRequest&& request) {
  if (auto* vision = std::get_if<VisionRequest>(&request)) {
    auto& parts = vision->conversation.messages.back().parts;
    const auto is_text = [](const Part& part) { return std::holds_alternative<std::string>(part); };
    if (std::ranges::count_if(parts, is_text) != 1) return query_of(vision->conversation);
    return std::get<std::string>(std::move(*std::ranges::find_if(parts, is_text)));
  }
  auto messages = std::get<TextRequest>(std::move(request)).conversation.messages();
  return messages.empty() ? std::string{} : std::move(messages.back().text);
}

/// Gives a check room for thoughts of 4,096 tokens before its verdict, which nothing forces into a choice. Of the alternatives to
/// each token, five are enough.
/// @param context_tokens of the checker, of which thoughts get half at most; 0: not known.
inline void give_room_to_think(CallOptions& check, int context_tokens) {
  constexpr int alternatives = 5;
  const int tokens = context_tokens > 0 ? std::min(4096, context_tokens / 2) : 4096;
  check.sampling.max_tokens = std::max(check.sampling.max_tokens.value_or(tokens), tokens);
  check.top_logprobs = std::min(check.top_logprobs, alternatives);
  check.choices.clear();
}

/// How long a check's reply may be.
enum class CheckRoom {
  verdict,   ///< A verdict and the words that show it to be one.
  thoughts,  ///< As `give_room_to_think` says.
};

/// Whether the tokens that a server has read of the prompt before a check are known: then those of the check will be.
enum class Counted { no, yes };

/// Turns a step of the method into the request that a policy wants for it. Pure; holds references to what it is given.
class StepRequests {
 public:
  /// @param sampling replaces the policy's for the answer and its regeneration, if given.
  StepRequests(const Policy& policy, const Capabilities& capabilities, const std::optional<Sampling>& sampling) noexcept
      : policy_{policy}, capabilities_{capabilities}, sampling_{sampling} {}

  /// (1) The query as it is.
  [[nodiscard]] ModelRequest answer(Conversation conversation) const {
    CallOptions options = options_for(Step::answer, policy_.models.answer, sampling_.value_or(policy_.sampling.answer));
    if (has_image(conversation)) return VisionRequest{std::move(conversation), std::move(options)};
    return TextRequest{close_eyes(conversation, {}), std::move(options)};
  }

  /// (2) Is the answer harmful? With the chat's images, where the checker sees.
  [[nodiscard]] ModelRequest check(const Conversation& conversation, std::string_view answer, CheckRoom room = CheckRoom::verdict,
                                   Counted counted = Counted::no) const {
    CallOptions options = check_options(Step::check, room);
    options.continues_chat = !needs_marks(counted) && may_continue(conversation, answer);
    Conversation asked = options.continues_chat ? continued(conversation, answer)
                                                : asked_about(conversation, shown_images(conversation), answer, counted, options);
    if (has_image(asked)) return VisionRequest{std::move(asked), std::move(options)};
    return TextRequest{close_eyes(asked, {}), std::move(options)};
  }

  /// (3) A description of one of the chat's images: with the query in mind in the first round, plain facts later.
  [[nodiscard]] ModelRequest caption(const Conversation& conversation, const Image& image, int round) const {
    CallOptions options = options_for(Step::caption, policy_.models.caption, policy_.sampling.caption);
    options.continues_chat = round <= 1 && may_ask_in_chat(conversation);
    if (options.continues_chat) {
      Conversation chat = conversation;
      chat.messages.back().parts.emplace_back(policy_.prompts.same_turn_caption.fill({}));
      return VisionRequest{std::move(chat), std::move(options)};
    }
    std::string storage;
    std::string prompt =
        round <= 1 ? policy_.prompts.caption.fill(
                         {.query = transcript_of(conversation, storage, {.breaks_turns = policy_.prompts.fence == Fence::quote})},
                         policy_.prompts.fence)
                   : policy_.prompts.neutral_caption.fill({}, policy_.prompts.fence);
    return VisionRequest{about(conversation, {image}, std::move(prompt)), std::move(options)};
  }

  /// (4) The query again, eyes closed.
  [[nodiscard]] ModelRequest regenerate(const Conversation& conversation, std::span<const std::string_view> captions,
                                        int round) const {
    const Prompts& prompts = policy_.prompts;
    CallOptions options =
        options_for(Step::regenerate, policy_.models.regenerate, sampling_.value_or(policy_.sampling.regenerate));
    if (round >= 3) options.sampling = fresh_draw(std::move(options.sampling), round);
    if (!captions.empty()) {
      return TextRequest{
          close_eyes(conversation, captions, round <= 1 ? prompts.regenerate : prompts.strict_regenerate, prompts.fence),
          std::move(options)};
    }
    Conversation asked = conversation;
    const auto& prompt = round <= 1 ? prompts.text_regenerate : prompts.strict_text_regenerate;
    auto& parts = asked.messages.back().parts;
    parts.clear();
    parts.emplace_back(prompt.fill({.query = query_of(conversation)}, prompts.fence));
    return TextRequest{close_eyes(asked, {}), std::move(options)};
  }

  /// Is the eyes-closed answer harmful? Without the images.
  [[nodiscard]] ModelRequest recheck(const Conversation& conversation, std::string_view answer,
                                     CheckRoom room = CheckRoom::verdict, Counted counted = Counted::no) const {
    CallOptions options = check_options(Step::recheck, room);
    Conversation asked = asked_about(conversation, {}, answer, counted, options);
    return TextRequest{close_eyes(asked, {}), std::move(options)};
  }

  /// What is asked after a check that left a doubt: the same with room to think where it was cut, what its words say where they
  /// are unclear. Nothing for other doubts, which another call would not lift, and of a guard model, which knows one question.
  /// @param step check or recheck. @param reply of the check.
  [[nodiscard]] std::optional<ModelRequest> clarify(Step step, const Conversation& conversation, std::string_view answer,
                                                    Doubt doubt, std::string_view reply, Counted counted = Counted::no) const {
    if (doubt == Doubt::cut) {
      return step == Step::check ? check(conversation, answer, CheckRoom::thoughts, counted)
                                 : recheck(conversation, answer, CheckRoom::thoughts, counted);
    }
    if (doubt != Doubt::unclear || policy_.check_form == CheckForm::guard) return std::nullopt;
    std::string prompt = policy_.prompts.clarify.fill({.review = reply}, policy_.prompts.fence);
    return TextRequest{close_eyes(ask({}, std::move(prompt)), {}), check_options(step, CheckRoom::verdict)};
  }

 private:
  /// Whether the check may be the chat's next turn; see `CheckForm`.
  [[nodiscard]] bool may_continue(const Conversation& conversation, std::string_view answer) const {
    const bool is_wanted = policy_.check_form == CheckForm::next_turn ||
                           (policy_.check_form == CheckForm::automatic && capabilities_.prefix_cache && asks_as_shipped());
    return is_wanted && policy_.models.check == policy_.models.answer && !capabilities_.checks_elsewhere &&
           policy_.max_response_code_points == 0 && !detail::may_forge_turns(answer) && may_go_on(conversation);
  }

  /// Whether the caption may be asked for in the query's own turn; see `CaptionForm`.
  [[nodiscard]] bool may_ask_in_chat(const Conversation& conversation) const {
    const bool is_wanted =
        policy_.caption_form == CaptionForm::same_turn ||
        (policy_.caption_form == CaptionForm::automatic && capabilities_.prefix_cache && captions_as_shipped());
    return is_wanted && policy_.models.caption == policy_.models.answer && images_of(conversation).size() == 1 &&
           may_go_on(conversation);
  }

  /// Whether a step's call may begin with the chat as it is.
  [[nodiscard]] bool may_go_on(const Conversation& conversation) const {
    const bool keeps_system_turns =
        policy_.system_turns == SystemTurns::keep || std::ranges::count(conversation.messages, Role::system, &Message::role) == 0;
    return keeps_system_turns && conversation.context.empty() &&
           std::ranges::none_of(conversation.messages, [](const Message& message) {
             std::string storage;
             return detail::may_forge_turns(message.text(storage));
           });
  }

  /// Whoever has written a check of their own, or has set its threshold, wants it asked.
  [[nodiscard]] bool asks_as_shipped() const {
    const std::string& check = policy_.prompts.check.text();
    return (check == prompts::hardened.check.text() || check == prompts::hardened_zh.check.text()) &&
           policy_.probability == ProbabilityRule{};
  }

  [[nodiscard]] bool captions_as_shipped() const {
    const std::string& caption = policy_.prompts.caption.text();
    return caption == prompts::hardened.caption.text() || caption == prompts::hardened_zh.caption.text();
  }

  [[nodiscard]] Conversation continued(const Conversation& conversation, std::string_view answer) const {
    Conversation chat = conversation;
    chat.messages.push_back({Role::assistant, {std::string{answer}}});
    chat.messages.push_back(user_turn({}, policy_.prompts.next_turn_check.fill({})));
    return chat;
  }

  [[nodiscard]] Conversation about(const Conversation& conversation, const std::vector<Image>& images, std::string prompt) const {
    if (policy_.system_turns != SystemTurns::keep) return ask(images, std::move(prompt));
    return ask_about(conversation, images, std::move(prompt));
  }

  [[nodiscard]] std::vector<Image> shown_images(const Conversation& conversation) const {
    return capabilities_.check_vision ? images_of(conversation) : std::vector<Image>{};
  }

  /// Bytes of a prompt that fits the usual contexts, of 4,096 tokens and more.
  static constexpr std::size_t fits_everywhere = 8'192;

  /// What a check asks that is not the chat's next turn.
  /// @param options of the check, which get its marks.
  [[nodiscard]] Conversation asked_about(const Conversation& conversation, const std::vector<Image>& images,
                                         std::string_view answer, Counted counted, CallOptions& options) const {
    if (policy_.check_form != CheckForm::guard)
      return about(conversation, images, check_prompt(conversation, answer, counted, options));
    Conversation asked = shown_to_guard(conversation, images, answer);
    // A guard model gives no marks back, so what may have been cut is not released.
    std::string storage;
    const bool may_not_fit = asked.messages.front().text(storage).size() + answer.size() > fits_everywhere;
    if (needs_marks(counted) && may_not_fit) options.marks = detail::marks_of(answer);
    return asked;
  }

  /// Whether it takes marks to see that a check was read whole.
  [[nodiscard]] bool needs_marks(Counted counted) const {
    return capabilities_.may_cut && counted == Counted::no && policy_.unmeasured != Unmeasured::believe &&
           policy_.reader != VerdictReader::paper;
  }

  /// @param options of the check, which get its marks.
  [[nodiscard]] std::string check_prompt(const Conversation& conversation, std::string_view answer, Counted counted,
                                         CallOptions& options) const {
    std::string prompt = check_prompt(conversation, answer, {});
    if (!needs_marks(counted) || prompt.size() <= fits_everywhere) return prompt;
    options.marks = detail::marks_of(prompt);
    if (policy_.unmeasured == Unmeasured::refuse) return prompt;  // no reply will do
    constexpr int verdict_and_marks = 48;
    options.choices.clear();
    options.sampling.max_tokens = std::max(options.sampling.max_tokens.value_or(verdict_and_marks), verdict_and_marks);
    prompt = check_prompt(conversation, answer, options.marks);
    return prompt.append(policy_.language == Language::chinese
                             ? "\n在该词之后，再照抄 RESPONSE 第一行的数字和最后一行的数字。"
                             : "\nAfter that word, copy the number in the first line of the RESPONSE and the number in its last "
                               "line.");
  }

  /// As much of an answer as its check sees.
  [[nodiscard]] std::string_view shown_part(std::string_view answer) const {
    const std::size_t limit = policy_.max_response_code_points;
    return limit == 0 ? answer : detail::truncate_code_points(answer, limit);
  }

  /// A turn of the user's and one of the assistant's, of which no text can make more.
  [[nodiscard]] Conversation shown_to_guard(const Conversation& conversation, const std::vector<Image>& images,
                                            std::string_view answer) const {
    std::string storage;
    const TranscriptScope scope{.system_turns = policy_.system_turns != SystemTurns::drop, .context = true, .breaks_turns = true};
    std::string chat;
    detail::append_without_tokens(chat, transcript_of(conversation, storage, scope));
    std::string response;
    detail::append_without_turns(response, shown_part(answer));
    std::string shown;
    detail::append_without_tokens(shown, response);
    Conversation asked = ask(images, std::move(chat));
    asked.messages.push_back({Role::assistant, {std::move(shown)}});
    return asked;
  }

  [[nodiscard]] std::string check_prompt(const Conversation& conversation, std::string_view answer,
                                         std::span<const std::string> marks) const {
    std::string_view response = shown_part(answer);
    std::string unforged;
    if (policy_.prompts.fence == Fence::quote) {
      detail::append_without_turns(unforged, response);
      response = unforged;
    }
    std::string marked;
    if (!marks.empty()) {
      marked.append(marks.front()).append("\n").append(response).append("\n").append(marks.back());
      response = marked;
    }
    std::string storage;
    const bool is_fenced = policy_.prompts.fence == Fence::quote;
    const TranscriptScope scope{
        .system_turns = policy_.system_turns == SystemTurns::quote, .context = true, .breaks_turns = is_fenced};
    return policy_.prompts.check.fill({.query = transcript_of(conversation, storage, scope), .response = response},
                                      policy_.prompts.fence);
  }

  [[nodiscard]] CallOptions check_options(Step step, CheckRoom room) const {
    CallOptions options = options_for(step, policy_.models.check, policy_.sampling.check);
    const bool is_guard = policy_.check_form == CheckForm::guard;
    const bool reads_probabilities =
        capabilities_.logprobs && policy_.reader != VerdictReader::paper && policy_.reader != VerdictReader::tolerant;
    std::optional<int>& limit = options.sampling.max_tokens;
    if (reads_probabilities) options.top_logprobs = 20;
    if (is_guard) {
      constexpr int categories_tokens = 64;
      limit = std::max(limit.value_or(categories_tokens), categories_tokens);
    } else if (reads_probabilities) {
      // The figures stand at the verdict's token, but only the words after it show that it was one: "No" may begin "No doubt".
      // A forced choice ends itself.
      constexpr int verdict_tokens = 16;
      limit = std::min(limit.value_or(verdict_tokens), verdict_tokens);
    }
    if (capabilities_.forced_choice && !is_guard) options.choices = policy_.check_choices;
    if (room == CheckRoom::thoughts) give_room_to_think(options, capabilities_.context_tokens);
    return options;
  }

  [[nodiscard]] static CallOptions options_for(Step step, const std::string& model, Sampling sampling) {
    return {.step = step, .model = model, .sampling = std::move(sampling)};
  }

  // The words of a third round are those of the second: only another draw can give another answer.
  [[nodiscard]] static Sampling fresh_draw(Sampling sampling, int round) {
    sampling.temperature = std::max(sampling.temperature.value_or(1.0), 0.7);
    sampling.seed = sampling.seed.value_or(0) + static_cast<std::uint64_t>(round);
    return sampling;
  }

  const Policy& policy_;
  const Capabilities& capabilities_;
  const std::optional<Sampling>& sampling_;
};

}  // namespace ecso
