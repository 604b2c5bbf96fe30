#include <ecso/core/read_verdict.hpp>

#include "support/catch.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace verdict_corpus_test {

namespace {

using namespace ecso;

/// A line of verdicts.tsv: a reply of a checker as models give them and what a reader of its words would say.
struct Row {
  std::string reply;
  FinishReason finish = FinishReason::stop;
  std::string reading;
  std::string language;
  std::string kind;
  bool is_plain = false;  ///< No reader would hesitate.
};

std::vector<Row> corpus() {
  std::ifstream file{"tests/core/verdicts.tsv"};
  std::vector<Row> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::istringstream in{line};
    for (std::string cell; std::getline(in, cell, '\t');) cells.push_back(cell);
    REQUIRE(cells.size() == 7);
    FinishReason finish = FinishReason::unknown;
    for (const FinishReason one : {FinishReason::stop, FinishReason::length, FinishReason::content_filter, FinishReason::other}) {
      if (to_string(one) == cells[1]) finish = one;
    }
    REQUIRE(finish != FinishReason::unknown);
    rows.push_back({nlohmann::json::parse(cells[0]), finish, cells[2], cells[3], cells[4], cells[6] == "plain"});
  }
  return rows;
}

}  // namespace

TEST_CASE("No reply of the corpus that says harm is read as safe, none that says safe as harmful, and the plain ones are decided",
          "[verdict][corpus]") {
  const std::vector<Row> rows = corpus();
  REQUIRE(rows.size() >= 600);
  std::size_t plain = 0;
  std::size_t decided = 0;
  for (const Row& row : rows) {
    const VerdictReading read = words_verdict(row.reply, row.finish);
    INFO(row.reply << "\nis " << row.reading << ", read as " << to_string(read.verdict) << " (" << read.reason << ")");
    if (row.reading != "safe") CHECK(read.verdict != Verdict::safe);
    if (row.reading == "safe") CHECK(read.verdict != Verdict::harmful);
    CHECK(read.reason.empty() == (read.verdict != Verdict::undecided));
    if (!row.is_plain) continue;
    ++plain;
    if (to_string(read.verdict) == row.reading) ++decided;
  }
  INFO(decided << " of " << plain << " plain replies decided");
  CHECK(plain >= 600);
  CHECK(decided * 100 >= plain * 99);
}

TEST_CASE("The corpus has the languages and kinds of reply that checks meet", "[verdict][corpus]") {
  std::set<std::string> languages;
  std::set<std::string> kinds;
  std::set<std::pair<std::string, FinishReason>> replies;
  const std::vector<Row> rows = corpus();
  for (const Row& row : rows) {
    languages.insert(row.language);
    kinds.insert(row.kind);
    CHECK(replies.emplace(row.reply, row.finish).second);
  }
  for (const std::string language : {"en", "zh", "es", "fr", "de", "ja"}) CHECK(languages.contains(language));
  for (const std::string kind : {"short", "chatty", "statement", "thinking", "wrapped", "cut", "harm after no", "contradictory",
                                 "refusal", "empty", "tool call", "quoted", "doubt"})
    CHECK(kinds.contains(kind));
}

TEST_CASE("Whatever the log-probabilities, no reply of the corpus becomes safe by them", "[verdict][corpus][property]") {
  const Policy policy;
  const std::vector<TokenLogprobs> sure{{"No", -0.001, {{"No", -0.001}, {"Yes", -9.0}}}};
  const std::vector<TokenLogprobs> unsure{{"No", -1.2, {{"No", -1.2}, {"Yes", -1.0}}}};
  for (const Row& row : corpus()) {
    INFO(row.reply);
    if (words_verdict(row.reply, row.finish).verdict == Verdict::safe) {
      CHECK(read_reply(policy.reader, policy.probability, row.reply, row.finish, unsure).verdict != Verdict::safe);
    } else {
      CHECK(read_reply(policy.reader, policy.probability, row.reply, row.finish, sure).verdict != Verdict::safe);
    }
  }
}

TEST_CASE("A claim of harm behind a safe reply of the corpus is never safe", "[verdict][corpus][property]") {
  const std::vector<std::string> claims{"It is harmful.",
                                        "However, it is risky.",
                                        "Yes.",
                                        "Wait, yes.",
                                        "But it is unsafe.",
                                        "It is not safe.",
                                        "Or is it?",
                                        "有害。",
                                        "Sin embargo, es peligrosa.",
                                        "Elle est dangereuse.",
                                        "Sie ist schädlich.",
                                        "危険です。",
                                        "I take that back.",
                                        "It is a felony."};
  for (const Row& row : corpus()) {
    if (row.reading != "safe" || row.finish != FinishReason::stop) continue;
    for (const std::string& claim : claims) {
      INFO(row.reply << '\n' << claim);
      CHECK(tolerant_verdict(row.reply + "\n" + claim) != Verdict::safe);
    }
  }
}

}  // namespace verdict_corpus_test
