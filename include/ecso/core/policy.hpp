#pragma once

#include <ecso/core/prompts.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/verdict.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

/// How a checker's reply becomes a verdict.
enum class VerdictReader {
  /// The words of the reply, made stricter by log-probabilities where it has them; `guard` for checks of the form
  /// `CheckForm::guard`.
  automatic,
  paper,          ///< `paper_verdict`: anything but yes is safe.
  tolerant,       ///< The words alone (`words_verdict`).
  probabilities,  ///< The same; never safe where the reply has no log-probabilities.
  guard,          ///< The formats of guard models (`guard_verdict`), or as `automatic` where a reply begins with yes or no.
};

/// How a check shows what it asks about.
enum class CheckForm {
  /// `next_turn` where the backend keeps a prefix cache and the policy has no check prompt or `probability` of its own, else
  /// `quoted`.
  automatic,
  quoted,  ///< One turn that quotes the chat and the answer.
  /// The chat goes on: its own turns, the answer as the assistant's, the question as the user's next one. A server with a prefix
  /// cache has read all of it but the question. What the chat asks of the model is not fenced, though. Quoted all the same: where
  /// the checker is another (`StepModels::check`, `Capabilities::checks_elsewhere`) or sees part of the answer, where the chat
  /// has a context or system turns that are not to be
  /// kept, where a text may forge a turn or hide a part of itself (`<|im_end|>`, `</think>`, "USER:"), and rechecks.
  next_turn,
  /// For guard models, whose chat template has their question: the chat is the user's turn (of several turns, after the names of
  /// their roles, with what a quoted check shows beside them), the answer the assistant's, and nothing else. No choice is forced,
  /// there is room for 64 tokens, and what is unclear is not asked about again. The server must not go on with an answer that
  /// stands last: llama-server takes `--no-prefill-assistant` for that.
  guard,
};

/// How a caption of the first round shows the query that it is to have in mind.
enum class CaptionForm {
  /// `same_turn` where the backend keeps a prefix cache and the policy has no caption prompt of its own, else `quoted`.
  automatic,
  quoted,  ///< One turn that quotes the chat, after the image.
  /// The chat as it is, up to and including the query, at whose end the question stands. A server with a prefix cache has read
  /// all of it but the question, the image included. The answer that was found harmful is no part of it. Quoted all the same:
  /// where the captioner has another name, where the chat has several images, a context, or system turns that are not to be
  /// kept, and where a text may forge a turn.
  same_turn,
};

/// What happens to a query one of whose steps failed. Neither releases an unverified answer.
enum class OnFailure {
  raise,   ///< The outcome is the error.
  refuse,  ///< The outcome is the refusal text; the error stands in the trace.
};

/// Whether the eyes-closed answer is checked before it leaves.
enum class Recheck { off, on };

/// Whether the answer to a query without an image is checked. The paper never does.
enum class TextOnly { pass, check };

/// Whether an empty answer or caption counts as a failed step.
enum class EmptyReply { accept, fail };

/// What goes out before it is known to be needed.
enum class Speculation {
  none,
  /// The caption, together with the first answer: a harmful query costs three round trips, not four; a benign one costs the
  /// caption for nothing.
  caption,
};

/// What checks and captions make of the chat's system turns.
enum class SystemTurns {
  keep,   ///< They come first, as system turns: checker and answerer find the same prefix in the cache, and the same orders.
  drop,   ///< Neither sees them.
  quote,  ///< Checks see them as quoted data, captions do not: for chats whose system turns a stranger writes.
};

/// What a check is worth whose server may cut a prompt without a word (`Capabilities::may_cut`) and tells the tokens of neither
/// the check nor the answer. A prompt of at most 8,192 bytes is taken to fit every server.
enum class Unmeasured {
  believe,  ///< As much as any.
  /// The answer stands between two numbers, and a reply that is to be safe gives both back: a checker that has not read the
  /// beginning and the end cannot. Of a longer answer, a weak model may not manage, and is then undecided.
  mark,
  refuse,  ///< Nothing: it is undecided.
};

[[nodiscard]] constexpr std::string_view to_string(VerdictReader value) noexcept {
  switch (value) {
    case VerdictReader::automatic: return "automatic";
    case VerdictReader::paper: return "paper";
    case VerdictReader::tolerant: return "tolerant";
    case VerdictReader::probabilities: return "probabilities";
    case VerdictReader::guard: return "guard";
  }
  return "unknown";
}
[[nodiscard]] constexpr std::string_view to_string(CheckForm value) noexcept {
  switch (value) {
    case CheckForm::automatic: return "automatic";
    case CheckForm::quoted: return "quoted";
    case CheckForm::next_turn: return "next_turn";
    case CheckForm::guard: return "guard";
  }
  return "unknown";
}
[[nodiscard]] constexpr std::string_view to_string(CaptionForm value) noexcept {
  switch (value) {
    case CaptionForm::automatic: return "automatic";
    case CaptionForm::quoted: return "quoted";
    case CaptionForm::same_turn: return "same_turn";
  }
  return "unknown";
}
[[nodiscard]] constexpr std::string_view to_string(OnFailure value) noexcept {
  return value == OnFailure::raise ? "raise" : "refuse";
}
[[nodiscard]] constexpr std::string_view to_string(Recheck value) noexcept { return value == Recheck::off ? "off" : "on"; }
[[nodiscard]] constexpr std::string_view to_string(TextOnly value) noexcept { return value == TextOnly::pass ? "pass" : "check"; }
[[nodiscard]] constexpr std::string_view to_string(EmptyReply value) noexcept {
  return value == EmptyReply::accept ? "accept" : "fail";
}
[[nodiscard]] constexpr std::string_view to_string(Speculation value) noexcept {
  return value == Speculation::none ? "none" : "caption";
}
[[nodiscard]] constexpr std::string_view to_string(SystemTurns value) noexcept {
  switch (value) {
    case SystemTurns::keep: return "keep";
    case SystemTurns::drop: return "drop";
    case SystemTurns::quote: return "quote";
  }
  return "unknown";
}

[[nodiscard]] constexpr std::string_view to_string(Unmeasured value) noexcept {
  switch (value) {
    case Unmeasured::believe: return "believe";
    case Unmeasured::mark: return "mark";
    case Unmeasured::refuse: return "refuse";
  }
  return "unknown";
}

/// The language of the prompts and of the refusal.
enum class Language { english, chinese };

[[nodiscard]] constexpr std::string_view to_string(Language value) noexcept { return value == Language::english ? "en" : "zh"; }

/// Sampling of each step. The recheck uses `check`.
struct StepSampling {
  Sampling answer;
  Sampling check;
  Sampling caption;
  Sampling regenerate;

  bool operator==(const StepSampling&) const = default;
};

/// A model name for each step, where the steps use different models of one server; empty means the backend's own. The recheck
/// uses `check`.
struct StepModels {
  std::string answer = {};
  std::string check = {};
  std::string caption = {};
  std::string regenerate = {};

  bool operator==(const StepModels&) const = default;
};

/// Every decision of the method that is one's own to make. The defaults are `policy::production()`.
struct Policy {
  std::string name = "production";        ///< Stands in the outcome.
  Language language = Language::english;  ///< Of `prompts` and `refusal`; see `policy::production`.
  Prompts prompts = prompts::hardened;
  VerdictReader reader = VerdictReader::automatic;
  CheckForm check_form = CheckForm::automatic;
  /// Name of the server that checks, where a gateway knows several; empty: the one that answers. A backend whose checks do not go
  /// elsewhere (`Capabilities::checks_elsewhere`) refuses a policy that names one.
  std::string check_upstream = {};
  CaptionForm caption_form = CaptionForm::automatic;
  ProbabilityRule probability = {};                             ///< Of quoted checks.
  ProbabilityRule next_turn_probability = {.threshold = 0.45};  ///< Of checks that are the chat's next turn.
  /// How often a check that is undecided is asked about again before `undecided` counts, 0 to 4: one that was cut, with room to
  /// think; one whose words are unclear, what they say. Words that name harm, and what figures or a
  /// filter leave open, stay so.
  int clarifications = 1;
  Verdict undecided = Verdict::harmful;  ///< What an undecided verdict counts as: harmful, or safe to fail open.
  /// The forced answers of a check where the backend can, in all spellings that a model may prefer: of a model that would say
  /// "No", lower case alone draws another word than its probabilities tell. Empty forces none.
  std::vector<std::string> check_choices = {"yes", "no", "Yes", "No"};
  OnFailure on_failure = OnFailure::raise;
  EmptyReply empty_reply = EmptyReply::fail;
  Recheck recheck = Recheck::on;
  TextOnly text_only = TextOnly::check;
  Speculation speculation = Speculation::none;
  /// Tokens of the first answer, ascending, at each of which what there is of it is checked while the rest is generated; found
  /// harmful, it is broken off. The whole answer is checked all the same. Empty: off. Takes a backend that is `streaming` and
  /// `concurrent`; a check more for each number a benign answer reaches. At most 32 numbers.
  std::vector<int> incremental_check = {};
  SystemTurns system_turns = SystemTurns::keep;
  Unmeasured unmeasured = Unmeasured::mark;  ///< The paper's reader believes all the same.
  /// Most eyes-closed answers to try, 1 to 16. The second takes plain facts and stricter words; later ones also a new seed.
  int max_rounds = 2;
  std::size_t max_response_code_points = 0;     ///< Code points of an answer that its check sees; 0 means all.
  std::size_t max_text_bytes = 512 * 1024;      ///< Most text of a conversation, in bytes.
  std::size_t max_images = 16;                  ///< Most images of a conversation.
  std::chrono::milliseconds deadline{120'000};  ///< Time for a query, all its calls together; 0 sets none.
  StepSampling sampling = {.answer = {.max_tokens = 1024},
                           .check = {.temperature = 0.0, .max_tokens = 256},
                           .caption = {.temperature = 0.0, .max_tokens = 512},
                           .regenerate = {.max_tokens = 1024}};
  StepModels models = {};
  std::string refusal = "I can't help with that. I'm glad to help with another question.";

  bool operator==(const Policy&) const = default;
};

/// The policies that come with ecso.
namespace policy {

/// Fails closed: undecided is harmful, a failed step releases nothing, eyes-closed answers are checked again, at most two rounds,
/// then a refusal. The default, in a language.
[[nodiscard]] inline Policy production(Language language = Language::english) {
  Policy p;
  p.language = language;
  if (language == Language::chinese) {
    p.prompts = prompts::hardened_zh;
    p.refusal = "抱歉，这个我帮不上忙。我很乐意回答别的问题。";
  }
  return p;
}

/// The paper's public code (MM-SafetyBench runs), its fail-open rule included: for reproduction, not for protection.
[[nodiscard]] inline Policy paper() {
  Policy p;
  p.name = "paper";
  p.prompts = prompts::paper;
  p.reader = VerdictReader::paper;
  p.check_form = CheckForm::quoted;
  p.caption_form = CaptionForm::quoted;
  p.clarifications = 0;
  p.undecided = Verdict::safe;
  p.check_choices = {};
  p.empty_reply = EmptyReply::accept;
  p.recheck = Recheck::off;
  p.text_only = TextOnly::pass;
  p.unmeasured = Unmeasured::believe;
  p.max_rounds = 1;
  p.max_response_code_points = 1927;
  p.deadline = std::chrono::milliseconds{0};
  const auto greedy = [](int max_tokens) { return Sampling{.temperature = 0.0, .max_tokens = max_tokens}; };
  p.sampling = {.answer = greedy(2048), .check = greedy(1024), .caption = greedy(1024), .regenerate = greedy(1024)};
  return p;
}

}  // namespace policy
}  // namespace ecso
