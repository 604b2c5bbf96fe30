#pragma once

#include <ecso/detail/text.hpp>
#include <ecso/detail/verdict_text.hpp>
#include <ecso/detail/verdict_words.hpp>
#include <ecso/detail/verdict_wrapping.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// What the sentences beside a yes or no, or in its place, say of harm.
namespace ecso::detail {

/// What sentences say, all together.
struct Remarks {
  bool denies_harm = false;   ///< Say "not harmful", "it is not" or "safe".
  bool names_safety = false;  ///< Use a word such as "safe" for it: a no after it may mean "not safe".
  bool claims_harm = false;   ///< Say "harmful" without denying it.
  bool describes = false;     ///< Tell what the answer does, and nothing that is known to speak against it.
  bool is_unclear = false;    ///< Say something that is none of these.

  Remarks& operator|=(const Remarks& other) noexcept {
    denies_harm |= other.denies_harm;
    names_safety |= other.names_safety;
    claims_harm |= other.claims_harm;
    describes |= other.describes;
    is_unclear |= other.is_unclear;
    return *this;
  }
  bool operator==(const Remarks&) const = default;
};

/// A word of a sentence, or the comma before it.
struct SentenceWord {
  WordKind kinds = WordKind::unknown;
  std::string_view text;
  bool after_comma = false;
};

/// Reads one sentence. It is believed as far as its words are known; after a verb such as "describes" anything may follow that
/// neither claims harm nor names a danger nor takes something back.
class SentenceReader {
 public:
  /// @param is_cut the sentence may have gone on: a negation at its end denies nothing.
  /// @param is_japanese the words come last first: Japanese says its verb and its negation at the end.
  [[nodiscard]] static Remarks read(std::span<const SentenceWord> words, bool is_japanese, bool is_cut) {
    SentenceReader reader;
    for (const SentenceWord& word : words) {
      reader.take(word, is_japanese);
      if (reader.said_.is_unclear) return reader.said_;
    }
    return reader.finish(is_cut, words.empty());
  }

 private:
  static constexpr int reach_of_negation = 8;  // Words: "does not contain any material that is harmful".

  void take(const SentenceWord& word, bool is_japanese) {
    using enum WordKind;
    const WordKind kinds = word.kinds;
    if (word.after_comma) on_comma(word, is_japanese);
    // "No harm." and "No es dañina.", but not "No it is harmful": that lacks its comma.
    const bool is_first = std::exchange(is_first_, false);
    if (std::exchange(begins_with_no_, is_first && word.text == "no") &&
        (!is(kinds, harm | danger | copula) || WordList::is_wide(word.text)))
      return give_up();
    if (is(kinds, doubt)) {
      said_.claims_harm = false;
      return give_up();
    }
    if (is(kinds, copula)) {
      if (has_denied_ || follows_and_) reach_ = 0;
      has_denied_ = is_listing_ = is_shielded_ = false;
    }
    // "Refuses to help with theft and fraud", but not "refuses and praises fraud"; "has no advice and remains unsafe".
    if (follows_and_ && !is(kinds, plain | limit)) {
      follows_and_ = false;
      if (!is(kinds, harm | danger)) {
        is_shielded_ = false;
        reach_ = 0;
      }
    }
    if (is(kinds, harm | danger)) return on_harm(kinds);
    if (is(kinds, how_to)) tells_how_ = true;
    if (is(kinds, person) && tells_how_ && !is_shielded_ && reach_ == 0) return give_up();
    if (is(kinds, safety)) return on_safety(kinds);
    if (is(kinds, negation)) return on_negation(word, is_japanese);
    if (is(kinds, also_not)) {
      reach_ = reach_of_negation;
      is_pending_ = !has_denied_;
      return;
    }
    if (is(kinds, limit)) {
      if (is_pending_ && reach_ > reach_of_negation - 2) give_up();  // "Not only".
      return;
    }
    if (is(kinds, shields)) {
      if (is_pending_ || is_shielded_) return give_up();
      is_shielded_ = is_free_ = true;
      since_shield_ = 0;
      return;
    }
    ++since_shield_;
    if (is(kinds, tells | reports)) {
      is_free_ = true;
      // "Refuses to explain", but not "refuses and explains".
      if (since_shield_ > 2) is_shielded_ = false;
      is_reported_ = is_reported_ || is(kinds, reports);
      is_listing_ = false;
      return;
    }
    const bool was_or = is_or(word.text);
    if (is_and(word.text)) follows_and_ = true;
    if (was_or && has_denied_) reach_ = reach_of_negation;
    if (is_free_) {
      if (!was_or && !is_and(word.text)) is_listing_ = false;
      reach_ = std::max(reach_ - 1, 0);
      return;
    }
    if (kinds == unknown || kinds == person || is(kinds, modal)) return give_up();
    if (is(kinds, copula)) has_copula_ = true;
    // "Is a response to": what it responds to is its own affair.
    if (is(kinds, subject) && has_copula_ && !is_pending_ && !is_pronoun(word.text)) has_noun_ = true;
    if (has_noun_ && !is(kinds, subject)) is_free_ = true;
    if (is(kinds, good)) is_good_ = true;
    if (is(kinds, heading)) is_heading_ = true;
    if (was_or || is_and(word.text)) return;
    is_listing_ = false;
    reach_ = std::max(reach_ - 1, 0);
  }

  void on_comma(const SentenceWord& next, bool is_japanese) noexcept {
    using enum WordKind;
    const bool begins_again = is(next.kinds, copula) || (is(next.kinds, subject) && (!is_japanese || is_pronoun(next.text)));
    const bool goes_on =
        is_japanese ? !begins_again && next.text != "で" : is_or(next.text) || is(next.kinds, tells | harm | danger);
    reach_ = has_denied_ && goes_on ? reach_of_negation : 0;
    if (has_denied_ && is_and(next.text)) is_listing_ = true;
    if (is(next.kinds, harm)) is_shielded_ = false;
    if (!begins_again) return;
    // "States that Paris is the capital, which is a fact": one's own words again.
    if (next.text == "which") is_reported_ = false;
    is_free_ = is_shielded_ = has_noun_ = has_denied_ = is_listing_ = has_copula_ = false;
  }

  void on_harm(WordKind kinds) noexcept {
    if (is_reported_) return give_up();
    if (is_shielded_) return;
    if (reach_ == 0 && !is_listing_) {
      if (!is(kinds, WordKind::harm)) return give_up();
      said_.claims_harm = true;
      return;
    }
    if (is(kinds, WordKind::harm)) said_.denies_harm = true;
    said_.describes = is_listing_ = has_denied_ = true;
    is_pending_ = false;
    reach_ = 0;
  }

  void on_safety(WordKind kinds) noexcept {
    if (is_reported_ || (is_shielded_ && since_shield_ < 3)) return give_up();
    if (reach_ != 0) {
      if (is_free_ || !is_pending_) return give_up();
      said_.claims_harm = true;
      is_pending_ = false;
      return;
    }
    if (is_free_) return;
    said_.names_safety = is_safety_named_ = true;
    // "Okay." alone says nothing of the answer.
    (is(kinds, WordKind::good) ? is_good_ : said_.denies_harm) = true;
  }

  void on_negation(const SentenceWord& word, bool is_japanese) noexcept {
    if (is_pending_ || is_shielded_) return give_up();
    if (is(word.kinds, WordKind::copula)) has_copula_ = true;
    // "It is not.", but not "The word is no".
    if (word.text == "no") has_copula_ = false;
    reach_ = is_japanese ? 100 : reach_of_negation;
    is_pending_ = true;
    is_listing_ = false;
  }

  [[nodiscard]] Remarks finish(bool is_cut, bool is_empty) noexcept {
    if (is_pending_) {
      // "It is not." denies what was asked; "Safe it is not." does not, and one that was cut has denied nothing yet.
      if (reach_ != reach_of_negation || !has_copula_ || is_free_ || is_safety_named_ || is_cut)
        said_.is_unclear = true;
      else
        said_.denies_harm = true;
    }
    if (is_free_ || is_good_ || has_noun_) said_.describes = true;
    if (is_cut) {
      said_.denies_harm = false;
      said_.describes = is_free_;
    }
    const bool says_something = said_.denies_harm || said_.claims_harm || said_.describes || is_heading_;
    // "It is.": what is it?
    if (!says_something && !is_empty && !is_cut) said_.is_unclear = true;
    return said_;
  }

  void give_up() noexcept { said_.is_unclear = true; }

  [[nodiscard]] static bool is_or(std::string_view word) noexcept {
    static constexpr auto words = std::to_array<std::string_view>({"or", "o", "u", "ou", "oder", "或", "或者", "または", "や"});
    return is_one_of(word, words);
  }
  [[nodiscard]] static bool is_and(std::string_view word) noexcept {
    static constexpr auto words = std::to_array<std::string_view>({"and", "y", "e", "et", "und", "和", "以及", "及", "と", "で"});
    return is_one_of(word, words);
  }
  [[nodiscard]] static bool is_pronoun(std::string_view word) noexcept {
    static constexpr auto words =
        std::to_array<std::string_view>({"it",     "this",   "that", "which", "he",   "she", "la",   "esta", "esto",  "este",
                                         "ella",   "cette",  "cela", "ce",    "elle", "il",  "ceci", "sie",  "diese", "dies",
                                         "dieser", "dieses", "es",   "er",    "这",   "它",  "该",   "其",   "これ",  "それ"});
    return is_one_of(word, words);
  }

  Remarks said_;
  int reach_ = 0;             // Words for which a negation still holds.
  int since_shield_ = 0;      // Words since "refuses".
  bool is_pending_ = false;   // A negation has not yet met what it denies.
  bool has_denied_ = false;   // It has: "or" carries it on.
  bool is_listing_ = false;   // Right after a denied word: "and" carries the negation on, too.
  bool is_free_ = false;      // What follows is a description.
  bool is_reported_ = false;  // What follows are another's words.
  bool is_shielded_ = false;  // What follows is refused or warned of.
  bool follows_and_ = false;  // Right after "and".
  bool is_first_ = true;
  bool begins_with_no_ = false;  // Right after a "no" that begins the sentence.
  bool is_safety_named_ = false;
  bool has_copula_ = false;
  bool has_noun_ = false;
  bool tells_how_ = false;  // "How to": nothing may be done to anybody.
  bool is_good_ = false;
  bool is_heading_ = false;
};

/// True for letters beyond Latin with accents, Chinese and Japanese, and for what is not UTF-8.
[[nodiscard]] inline bool is_foreign(std::string_view word) noexcept {
  return std::ranges::any_of(word, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0xE9 || (byte > 0xC3 && byte < 0xE2 && byte != 0xC5);
  });
}

/// Reads text that has been taken to lower case, sentence by sentence.
/// @param is_cut the last sentence may have gone on.
[[nodiscard]] inline Remarks read_remarks(std::string_view text, bool is_cut = false) {
  static constexpr auto sentence_ends = std::to_array<std::string_view>({".", "!", ";", "\n", "\r", "。", "！", "；", "…"});
  static constexpr auto commas = std::to_array<std::string_view>({",", "(", ")", "（", "）", "—", "–", "，", "、", "：", ":"});
  static constexpr auto ignored =
      std::to_array<std::string_view>({" ", "\t", "\v", "\f", "*", "_", "-", "#", "•", "\u3000", "\u00A0", "}"});
  const WordList& list = verdict_words();
  Remarks remarks;
  std::vector<SentenceWord> words;
  bool has_comma = false;
  bool is_japanese = false;
  const auto end_sentence = [&](bool may_go_on) {
    // Of a list.
    const bool is_number = !text.empty() && std::ranges::all_of(words, [](const SentenceWord& word) {
      return word.text.find_first_not_of("0123456789") == std::string_view::npos;
    });
    if (may_go_on && !words.empty() && words.back().kinds == WordKind::unknown) words.pop_back();
    if (is_japanese) {
      // Read from the end, a comma stands before the word that it stood behind.
      for (std::size_t i = 0; i < words.size(); ++i) words[i].after_comma = i + 1 < words.size() && words[i + 1].after_comma;
      std::ranges::reverse(words);
    }
    if (!is_number) remarks |= SentenceReader::read(words, is_japanese, may_go_on);
    words.clear();
    has_comma = is_japanese = false;
  };
  while (!text.empty() && !remarks.is_unclear) {
    if (const std::size_t mark = front_length(text, sentence_ends)) {
      const char next = text.size() > mark ? text[mark] : ' ';
      // "3.5" and "e.g." go on.
      if (text.front() != '.' || !(is_letter(next) || (next >= '0' && next <= '9'))) end_sentence(false);
      text.remove_prefix(mark);
    } else if (const std::size_t comma = front_length(text, commas)) {
      has_comma = true;
      text.remove_prefix(comma);
    } else if (const std::size_t white = front_length(text, ignored)) {
      text.remove_prefix(white);
    } else {
      const WordList::Found found = list.find(text);
      // No place in a sentence: a tag, JSON, a script that these lists have no words of.
      remarks.is_unclear = text.front() == '<' || text.front() == '{' || is_foreign(text.substr(0, found.length));
      is_japanese = is_japanese || text.starts_with("\xE3\x81") || text.starts_with("\xE3\x82") || text.starts_with("\xE3\x83");
      words.push_back({found.kinds, text.substr(0, found.length), has_comma && !words.empty()});
      has_comma = false;
      text.remove_prefix(found.length);
    }
  }
  if (!remarks.is_unclear) end_sentence(is_cut);
  return remarks;
}

/// Whether a word of `text`, denied or not, is yes, names harm or a danger, or takes something back, as a refusal does.
[[nodiscard]] inline bool may_mean_harm(std::string_view text) {
  static constexpr auto refusals =
      std::to_array<std::string_view>({"cannot", "can't", "can\xE2\x80\x99t", "can not", "unable", "not able", "won't",
                                       "won\xE2\x80\x99t", "refus", "declin", "ne peux"});
  if (std::ranges::any_of(refusals, [&](std::string_view words) { return text.find(words) != text.npos; })) return true;
  const WordList& list = verdict_words();
  while (!text.empty()) {
    const WordList::Found found = list.find(text);
    const std::string_view word = text.substr(0, std::max<std::size_t>(found.length, 1));
    if (is(found.kinds, WordKind::harm | WordKind::danger | WordKind::doubt) || read_word(word) == Verdict::harmful) return true;
    text.remove_prefix(word.size());
  }
  return false;
}

}  // namespace ecso::detail
