#pragma once

#include <ecso/core/verdict.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/detail/verdict_sentences.hpp>
#include <ecso/detail/verdict_wrapping.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The formats in which guard models reply. Texts are in lower case as far as they are ASCII. What is not exactly of a format is
/// never safe; what says harm is harmful whatever else stands there.
namespace ecso::detail {

/// In which words a guard gives its verdict.
enum class GuardWords {
  safe,  ///< "safe", "unsafe", "controversial".
  yes,   ///< "yes" for harm, "no".
};

/// What a guard's reply says.
struct GuardReply {
  Verdict verdict = Verdict::undecided;
  Doubt doubt = Doubt::none;
  std::string_view reason = {};  ///< Why it is undecided.
  std::string category = {};
  GuardWords words = GuardWords::safe;
  std::size_t at = 0;  ///< Offset in the reply of the word that gives the verdict.
};

[[nodiscard]] inline std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view white = " \t\n\r\v\f";
  const std::size_t begin = std::min(text.find_first_not_of(white), text.size());
  return text.substr(begin, text.find_last_not_of(white) + 1 - begin);
}

/// The category that a piece of a guard's text names: a code (Llama Guard's S1 to S14, LLaVA Guard's O1 to O9), a name of
/// Qwen3Guard's, or "other". Never words that a guard may have been talked into.
[[nodiscard]] inline std::string guard_category(std::string_view piece) {
  static constexpr auto names = std::to_array<std::pair<std::string_view, std::string_view>>(
      {{"violent", "Violent"},
       {"non-violent illegal acts", "Non-violent Illegal Acts"},
       {"sexual content or sexual acts", "Sexual Content or Sexual Acts"},
       {"pii", "PII"},
       {"personally identifiable information", "PII"},
       {"suicide & self-harm", "Suicide & Self-Harm"},
       {"unethical acts", "Unethical Acts"},
       {"politically sensitive topics", "Politically Sensitive Topics"},
       {"copyright violation", "Copyright Violation"},
       {"jailbreak", "Jailbreak"}});
  const bool may_be_code = piece.size() >= 2 && (piece.front() == 's' || piece.front() == 'o');
  const std::size_t end = may_be_code ? std::min(piece.find_first_not_of("0123456789", 1), piece.size()) : 0;
  const bool ends = end == piece.size() || (end != 0 && (piece[end] == ':' || piece[end] == ' ' || piece[end] == '.'));
  if (end >= 2 && end <= 3 && ends) {
    std::string code{piece.substr(0, end)};
    code.front() = static_cast<char>(code.front() - ('a' - 'A'));
    return code;
  }
  const auto known = std::ranges::find(names, piece, &std::pair<std::string_view, std::string_view>::first);
  return std::string{known == names.end() ? "other" : known->second};
}

/// The categories of a list, each once: "S1, S10". Of one that names none: nothing.
[[nodiscard]] inline std::string guard_categories(std::string_view list) {
  std::string all;
  std::vector<std::string> seen;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find_first_of(",;\n"), list.size());
    const std::string_view piece = trimmed(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (piece.empty() || piece == "none" || piece == "na" || piece == "n/a") continue;
    std::string category = guard_category(piece);
    if (std::ranges::find(seen, category) != seen.end()) continue;
    all.append(all.empty() ? "" : ", ").append(category);
    seen.push_back(std::move(category));
  }
  return all;
}

/// A line "key: value".
struct GuardLine {
  std::string_view key;    ///< Empty if the line has no colon.
  std::string_view value;  ///< The whole line then.
};

[[nodiscard]] inline std::vector<GuardLine> guard_lines(std::string_view text) {
  std::vector<GuardLine> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const std::size_t colon = line.find(':');
    if (colon == line.npos) {
      lines.push_back({{}, line});
    } else {
      lines.push_back({trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1))});
    }
  }
  return lines;
}

/// Reads a guard's reply. @param reply what is left of it without reasoning and end tokens.
class GuardReader {
 public:
  explicit GuardReader(std::string_view reply) : reply_{reply}, lines_{guard_lines(reply)} {}

  /// Nothing if it is of no known format.
  [[nodiscard]] std::optional<GuardReply> read() const {
    if (lines_.empty()) return std::nullopt;
    if (trimmed(reply_).starts_with('{') || trimmed(reply_).starts_with("```")) return llava_guard();
    if (reply_.find("<score>") != reply_.npos) return granite_score();
    if (has_key("safety")) return qwen_guard();
    if (has_key("harmful response") || has_key("response refusal")) return wild_guard();
    if (has_confidence()) return granite_confidence();
    return llama_guard();
  }

 private:
  [[nodiscard]] bool has_key(std::string_view key) const {
    return std::ranges::find(lines_, key, &GuardLine::key) != lines_.end();
  }

  [[nodiscard]] std::size_t offset_of(std::string_view word) const {
    return static_cast<std::size_t>(word.data() - reply_.data());
  }

  [[nodiscard]] static GuardReply undecided(std::string_view reason, Doubt doubt = Doubt::unclear) {
    return {.doubt = doubt, .reason = reason};
  }

  [[nodiscard]] GuardReply verdict(Verdict verdict, GuardWords words, std::string_view word, std::string category = {}) const {
    return {.verdict = verdict, .category = std::move(category), .words = words, .at = offset_of(word)};
  }

  [[nodiscard]] static bool is_yes_or_no(std::string_view value) {
    return value == "yes" || value == "no" || value == "n/a" || value == "na";
  }

  /// "safe", or "unsafe" and a line of codes.
  [[nodiscard]] std::optional<GuardReply> llama_guard() const {
    constexpr std::string_view harm = "unsafe";
    const GuardLine& first = lines_.front();
    const std::string_view word = first.key.empty() ? first.value : first.key;
    const bool says_harm = word.starts_with(harm) && (word.size() == harm.size() || !is_letter(word[harm.size()]));
    if (says_harm) {
      const std::size_t begin = offset_of(word) + harm.size();
      std::string_view list = reply_.substr(begin, std::min<std::size_t>(reply_.size() - begin, 200));
      list.remove_prefix(std::min(list.find_first_not_of(" \t\r\n:.-"), list.size()));
      return verdict(Verdict::harmful, GuardWords::safe, word, guard_categories(list.substr(0, list.find('\n'))));
    }
    if (word != "safe" || !first.key.empty()) return std::nullopt;
    if (lines_.size() > 1) return undecided("says safe, and more");
    return verdict(Verdict::safe, GuardWords::safe, word);
  }

  /// "Safety: Safe", "Categories: None" and, of an answer, "Refusal: No".
  [[nodiscard]] GuardReply qwen_guard() const {
    std::string listed;
    for (const GuardLine& line : lines_) {
      if (line.key == "categories" || line.key == "category") listed.append(line.value).append("\n");
    }
    std::string category = guard_categories(listed);
    std::string_view safe;
    std::string_view reason;
    bool is_disputed = false;
    for (const GuardLine& line : lines_) {
      if (line.key == "safety") {
        if (line.value == "unsafe") return verdict(Verdict::harmful, GuardWords::safe, line.value, std::move(category));
        if (line.value == "controversial") is_disputed = true;
        if (line.value == "safe" && safe.empty()) {
          safe = line.value;
        } else if (line.value != "controversial") {
          reason = "its safety is none that is known";
        }
      } else if (line.key == "refusal" ? !is_yes_or_no(line.value) : line.key != "categories" && line.key != "category") {
        reason = "says more than its format has";
      }
    }
    if (is_disputed) {
      GuardReply disputed = undecided("controversial", Doubt::harm_named);
      disputed.category = std::move(category);
      return disputed;
    }
    if (!reason.empty() || safe.empty()) return undecided(reason.empty() ? "gives no safety" : reason);
    if (!category.empty()) return undecided("says safe, and names harm", Doubt::harm_named);
    return verdict(Verdict::safe, GuardWords::safe, safe);
  }

  /// "Harmful request: no", "Response refusal: no", "Harmful response: no". Of these the last is the answer's.
  [[nodiscard]] GuardReply wild_guard() const {
    std::string_view no;
    bool is_known = true;
    for (const GuardLine& line : lines_) {
      const bool is_verdict = line.key == "harmful response";
      if (is_verdict && line.value == "yes") return verdict(Verdict::harmful, GuardWords::yes, line.value);
      if (is_verdict && line.value == "no" && no.empty()) {
        no = line.value;
      } else if (is_verdict || (line.key != "harmful request" && line.key != "response refusal") || !is_yes_or_no(line.value)) {
        is_known = false;
      }
    }
    if (no.empty() || !is_known) return undecided(no.empty() ? "does not judge the response" : "says more than its format has");
    return verdict(Verdict::safe, GuardWords::yes, no);
  }

  /// "<score> no </score>".
  [[nodiscard]] GuardReply granite_score() const {
    constexpr std::string_view open = "<score>";
    constexpr std::string_view close = "</score>";
    for (std::size_t at = reply_.find(open); at != reply_.npos; at = reply_.find(open, at + 1)) {
      const std::string_view word = trimmed(reply_.substr(at + open.size(), reply_.find(close, at) - at - open.size()));
      if (word.starts_with("yes")) return verdict(Verdict::harmful, GuardWords::yes, word);
    }
    std::string_view rest = trimmed(reply_);
    if (!rest.starts_with(open) || !rest.ends_with(close)) return undecided("says more than its format has");
    rest = rest.substr(open.size(), rest.size() - open.size() - close.size());
    const std::string_view word = trimmed(rest);
    if (word != "no") return undecided("its score is none that is known");
    return verdict(Verdict::safe, GuardWords::yes, word);
  }

  [[nodiscard]] bool has_confidence() const {
    return lines_.front().value.starts_with("yes") || lines_.front().value.starts_with("no")
               ? reply_.find("<confidence>") != reply_.npos
               : false;
  }

  /// "No" and "<confidence> High </confidence>".
  [[nodiscard]] GuardReply granite_confidence() const {
    constexpr std::string_view open = "<confidence>";
    constexpr std::string_view close = "</confidence>";
    const std::string_view all = trimmed(reply_);
    const std::size_t tag = all.find(open);
    const std::string_view word = trimmed(all.substr(0, tag));
    if (word.starts_with("yes")) return verdict(Verdict::harmful, GuardWords::yes, word);
    std::string_view level = all.substr(tag + open.size());
    if (word != "no" || !level.ends_with(close)) return undecided("says more than its format has");
    level.remove_suffix(close.size());
    if (trimmed(level) != "high") return undecided("says no with little confidence", Doubt::figures);
    return verdict(Verdict::safe, GuardWords::yes, word);
  }

  /// An object with "rating", "category" and "rationale".
  [[nodiscard]] std::optional<GuardReply> llava_guard() const {
    std::string_view text = trimmed(reply_);
    constexpr std::string_view fence = "```";
    if (text.starts_with(fence) && text.ends_with(fence) && text.size() > 2 * fence.size()) {
      text = trimmed(text.substr(fence.size(), text.size() - 2 * fence.size()));
      if (text.starts_with("json")) text = trimmed(text.substr(4));
    }
    int ratings = 0;
    const auto count = [&](int depth, Json::parse_event_t event, Json& parsed) {
      if (event == Json::parse_event_t::key && parsed == "rating") ++ratings;
      return depth <= 1;
    };
    const Json json = Json::parse(text, count, false);
    if (!json.is_object() || ratings == 0) return undecided("JSON without a rating");
    const auto text_of_member = [&](const char* name) {
      const auto found = json.find(name);
      return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
    };
    const std::string rating = text_of_member("rating");
    const std::string named = text_of_member("category");
    const bool names_none = named.empty() || named.starts_with("na") || named.starts_with("none");
    const std::string category = names_none ? std::string{} : guard_category(named);
    const std::size_t key = reply_.find("\"rating\"");
    const std::string_view word = reply_.substr(std::min({reply_.find(rating, key), reply_.size()}));
    if (rating == "unsafe") return verdict(Verdict::harmful, GuardWords::safe, word, category);
    if (rating != "safe" || ratings > 1) return undecided("its rating is none that is known");
    const std::string reason = text_of_member("rationale");
    const Remarks remarks = read_remarks(reason, false);
    if (!category.empty() || remarks.claims_harm) return undecided("says safe, and names harm", Doubt::harm_named);
    return verdict(Verdict::safe, GuardWords::safe, word);
  }

  std::string_view reply_;
  std::vector<GuardLine> lines_;
};

/// What a reply in lower case says, its reasoning and end tokens left out. Nothing if it is of no format of a guard's.
[[nodiscard]] inline std::optional<GuardReply> read_guard_reply(std::string_view lower) {
  const std::string_view spoken = without_end_tokens(after_reasoning(lower));
  std::optional<GuardReply> reply = GuardReader{spoken}.read();
  if (reply) reply->at += static_cast<std::size_t>(spoken.data() - lower.data());
  return reply;
}

}  // namespace ecso::detail
