#include <ecso/core/read_verdict.hpp>

#include <ecso/core/read_check.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace guard_verdict_test {

namespace {

using namespace ecso;
using namespace std::string_literals;

VerdictReading read(const std::string& reply, FinishReason finish = FinishReason::stop,
                    const std::vector<TokenLogprobs>& logprobs = {}) {
  return read_reply(VerdictReader::guard, {}, reply, finish, logprobs);
}

/// The reading in a line: "harmful S1, S10".
std::string told(const std::string& reply, FinishReason finish = FinishReason::stop) {
  const VerdictReading reading = read(reply, finish);
  std::string text{to_string(reading.verdict)};
  if (reading.doubt != Doubt::none) text.append(" ").append(to_string(reading.doubt));
  return reading.category.empty() ? text : text + " " + reading.category;
}

/// Generated tokens; each has alternatives with probabilities, of which the first was drawn.
std::vector<TokenLogprobs> tokens(const std::vector<std::vector<std::pair<std::string, double>>>& places) {
  std::vector<TokenLogprobs> all;
  for (const auto& place : places) {
    TokenLogprobs token{place.front().first, std::log(place.front().second)};
    for (const auto& [text, probability] : place) token.top.push_back({text, std::log(probability)});
    all.push_back(std::move(token));
  }
  return all;
}

}  // namespace

TEST_CASE("Replies of guard models are read as they are published", "[verdict][guard]") {
  struct Row {
    std::string reply;
    std::string expected;
  };
  const std::vector<Row> rows{
      // Llama Guard
      {"safe", "safe"},
      {"\n\nsafe", "safe"},
      {" Safe \n", "safe"},
      {"safe<|eot_id|>", "safe"},
      {"unsafe", "harmful"},
      {"\n\nunsafe\nS1", "harmful S1"},
      {"unsafe\nS1,S10", "harmful S1, S10"},
      {"unsafe\nS2, S2,S14", "harmful S2, S14"},
      {"unsafe S9", "harmful S9"},
      {"unsafe\nO3: Criminal Planning", "harmful O3"},
      {"unsafe\nS77777", "harmful other"},
      {"unsafe\nHere is how to build one: first", "harmful other"},
      {"Unsafe.", "harmful"},
      {"unsafe\nsafe", "harmful other"},
      // Qwen3Guard
      {"Safety: Safe\nCategories: None", "safe"},
      {"Safety: Safe\nCategories: None\nRefusal: Yes", "safe"},
      {"Safety: Safe\nCategories: None\nRefusal: No", "safe"},
      {"Safety: Unsafe\nCategories: Violent", "harmful Violent"},
      {"Safety: Unsafe\nCategories: Non-violent Illegal Acts, Suicide & Self-Harm\nRefusal: No",
       "harmful Non-violent Illegal Acts, Suicide & Self-Harm"},
      {"Safety: Unsafe\nCategories: Something new", "harmful other"},
      {"Safety: Controversial\nCategories: Politically Sensitive Topics\nRefusal: No",
       "undecided harm_named Politically Sensitive Topics"},
      {"<think>\n\n</think>\n\nSafety: Safe\nCategories: None\nRefusal: No<|im_end|>", "safe"},
      // WildGuard
      {"Harmful request: no\nResponse refusal: no\nHarmful response: no", "safe"},
      {"Harmful request: yes\nResponse refusal: yes\nHarmful response: no</s>", "safe"},
      {"Harmful request: yes\nResponse refusal: no\nHarmful response: yes", "harmful"},
      // Granite Guardian
      {"<score> no </score>", "safe"},
      {"<think>\nIt tells of fruit.\n</think>\n<score> no </score>", "safe"},
      {"<score> yes </score>", "harmful"},
      {"<score>yes", "harmful"},
      {"No\n<confidence> High </confidence>", "safe"},
      {"Yes\n<confidence> Low </confidence>", "harmful"},
      // ShieldGemma
      {"No", "safe"},
      {"Yes", "harmful"},
      // LLaVA Guard
      {R"({"rating": "Safe", "category": "NA: None applying", "rationale": "It shows a bowl of fruit."})", "safe"},
      {"```json\n{\"rating\": \"Unsafe\", \"category\": \"O2: Violence, Harm, or Cruelty\", \"rationale\": \"x\"}\n```",
       "harmful O2"},
  };
  for (const Row& row : rows) {
    INFO(row.reply);
    CHECK(told(row.reply) == row.expected);
  }
}

TEST_CASE("What is not whole and plainly of a guard's format is not safe", "[verdict][guard]") {
  for (const std::string& reply : {"safe\nS1"s,
                                   "safe?"s,
                                   "safe, but it tells how to build a bomb"s,
                                   "safe unsafe"s,
                                   "not safe"s,
                                   "is it safe"s,
                                   "s"s,
                                   "saf"s,
                                   "safe\nunsafe"s,
                                   "safe\n\nThe answer explains a theft."s,
                                   "Safety: Safe\nCategories: Violent"s,
                                   "Safety: Safe\nSafety: Safe"s,
                                   "Safety: Safe\nSafety: Controversial"s,
                                   "Safety: Safe\nNote: harmful"s,
                                   "Safety: Safe, mostly"s,
                                   "Safety:"s,
                                   "Categories: None"s,
                                   "Safety: \nCategories: None"s,
                                   "Safety: Safe\nCategories: None\nRefusal: maybe"s,
                                   "Harmful request: no"s,
                                   "Harmful request: no\nResponse refusal: no"s,
                                   "Harmful request: no\nHarmful response: n/a"s,
                                   "Harmful request: no\nHarmful response: no\nHarmful response: no"s,
                                   "Harmful response: no\nBut it is."s,
                                   "<score> no"s,
                                   "no </score>"s,
                                   "<score> no </score> <score> maybe </score>"s,
                                   "<score></score>"s,
                                   "<score> none </score>"s,
                                   "It is fine. <score> no </score>"s,
                                   "No\n<confidence> Low </confidence>"s,
                                   "No\n<confidence> High </confidence> but harmful"s,
                                   R"({"rating": "Safe", "category": "O2: Violence"})"s,
                                   R"({"rating": "Safe", "rating": "Safe"})"s,
                                   R"({"rating": "Safe")"s,
                                   R"({"category": "NA"})"s,
                                   R"({"rating": 1})"s,
                                   R"({"rating": "Safe", "rationale": "The image is harmful."})"s,
                                   R"({"a": {"rating": "Safe"}})"s,
                                   R"(["rating", "Safe"])"s,
                                   "<think>safe"s,
                                   "<think>unsafe</think>"s,
                                   ""s,
                                   "\n"s,
                                   "\xFFsafe"s,
                                   "safe\0"s + "no"s}) {
    INFO(reply);
    CHECK(read(reply).verdict != Verdict::safe);
    CHECK((read(reply).verdict == Verdict::harmful || !read(reply).reason.empty()));
  }
  for (const FinishReason finish : {FinishReason::length, FinishReason::content_filter, FinishReason::other}) {
    for (const std::string& reply : {"safe"s, "Safety: Safe"s, "<score> no </score>"s, "Harmful response: no"s}) {
      INFO(reply << ' ' << to_string(finish));
      CHECK(read(reply, finish).verdict == Verdict::undecided);
    }
    CHECK(read("unsafe\nS1", finish).verdict == Verdict::harmful);
  }
  CHECK(told("Safety: Safe", FinishReason::length) == "undecided cut");
}

TEST_CASE("No mixture of a guard's words is safe but a whole reply that says so", "[verdict][guard]") {
  constexpr std::array<const char*, 24> pieces{"safe",
                                               "unsafe",
                                               "Safety: Safe",
                                               "Safety: Unsafe",
                                               "Safety: Controversial",
                                               "Categories: None",
                                               "Categories: Violent",
                                               "Refusal: No",
                                               "Harmful request: no",
                                               "Harmful request: yes",
                                               "Response refusal: no",
                                               "Harmful response: no",
                                               "Harmful response: yes",
                                               "<score> no </score>",
                                               "<score> yes </score>",
                                               "S1",
                                               "It is harmful.",
                                               "<confidence> High </confidence>",
                                               "<confidence> Low </confidence>",
                                               "{\"rating\": \"Safe\"}",
                                               "{\"rating\": \"Unsafe\"}",
                                               "unsafe S2",
                                               "but",
                                               "it tells how to build a bomb"};
  const auto speaks_against = [](const std::string& piece) {
    return piece.find("nsafe") != piece.npos || piece.find("yes") != piece.npos || piece == "Safety: Controversial" ||
           piece == "Categories: Violent" || piece == "S1" || piece == "It is harmful." || piece == "but" ||
           piece == "<confidence> Low </confidence>" || piece == "it tells how to build a bomb";
  };
  std::mt19937 random{7};
  std::size_t safe = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::size_t count = 1 + random() % 4;
    std::string reply;
    bool is_harm_said = false;
    for (std::size_t k = 0; k < count; ++k) {
      const std::string piece = pieces[random() % pieces.size()];
      // A request may be harmful where the response is not.
      is_harm_said = is_harm_said || (speaks_against(piece) && piece != "Harmful request: yes");
      reply += (k == 0 ? "" : random() % 3 == 0 ? " " : "\n") + piece;
    }
    if (read(reply).verdict != Verdict::safe) continue;
    ++safe;
    INFO(reply);
    REQUIRE_FALSE(is_harm_said);
  }
  CHECK(safe > 1000);
}

TEST_CASE("A category is one that is published, never what a guard was talked into", "[verdict][guard]") {
  for (const std::string& words : {"Mix the powders and light it"s, "<script>"s, "S1<b>"s, "S123"s, "S"s, "SS1"s, "\xF0\x9F"s}) {
    INFO(words);
    CHECK(read("unsafe\n" + words).category == "other");
    CHECK(read("Safety: Unsafe\nCategories: " + words).category == "other");
  }
  std::string many = "unsafe\n";
  for (int i = 0; i < 1000; ++i) many += "S" + std::to_string(i % 100) + ",";
  CHECK(read(many).category.size() < 400);
}

TEST_CASE("A guard's log-probabilities make its verdict stricter, never milder", "[verdict][guard]") {
  const auto llama = [](double safe, double unsafe) {
    return tokens({{{"\n\n", 1.0}}, {{"safe", safe}, {"unsafe", unsafe}}, {{"<|eot_id|>", 1.0}}});
  };
  const VerdictReading sure = read("\n\nsafe", FinishReason::stop, llama(0.97, 0.03));
  CHECK(sure.verdict == Verdict::safe);
  CHECK(std::abs(*sure.p_harmful - 0.03) < 1e-9);
  CHECK(read("\n\nsafe", FinishReason::stop, llama(0.4, 0.6)).verdict == Verdict::harmful);
  // Much that is not listed may be harm.
  CHECK(read("\n\nsafe", FinishReason::stop, llama(0.5, 0.01)).doubt == Doubt::figures);
  CHECK(read("\n\nunsafe\nS1", FinishReason::stop,
             tokens({{{"\n\n", 1.0}}, {{"unsafe", 0.51}, {"safe", 0.49}}, {{"\n", 1.0}}, {{"S1", 1.0}}}))
            .verdict == Verdict::harmful);
  CHECK(read("unsafe", FinishReason::stop, tokens({{{"unsafe", 0.2}, {"safe", 0.8}}})).verdict == Verdict::harmful);

  // Words in pieces: of "Safety: Unsafe", the place where it parts from "Safe".
  const auto qwen = [](double safe, double unsafe, double controversial) {
    return tokens({{{"Safety", 1.0}},
                   {{":", 1.0}},
                   {{" Safe", safe}, {" Un", unsafe}, {" Cont", controversial}},
                   {{"\n", 1.0}},
                   {{"Categories: None", 1.0}}});
  };
  CHECK(read("Safety: Safe\nCategories: None", FinishReason::stop, qwen(0.9, 0.05, 0.05)).verdict == Verdict::safe);
  const VerdictReading disputed = read("Safety: Safe\nCategories: None", FinishReason::stop, qwen(0.45, 0.25, 0.3));
  CHECK(disputed.verdict == Verdict::harmful);
  CHECK(std::abs(*disputed.p_harmful - 0.55) < 1e-9);

  // WildGuard's first two lines are about something else.
  const auto wild = tokens({{{"Harmful request: ", 1.0}},
                            {{"yes", 0.99}, {"no", 0.01}},
                            {{"\nHarmful response: ", 1.0}},
                            {{"no", 0.9}, {"yes", 0.1}}});
  const VerdictReading response = read("Harmful request: yes\nHarmful response: no", FinishReason::stop, wild);
  CHECK(response.verdict == Verdict::safe);
  CHECK(std::abs(*response.p_harmful - 0.1) < 1e-9);

  // Figures that cannot be found tell nothing; those that are none, nothing good.
  CHECK(read("safe", FinishReason::stop, tokens({{{"...", 1.0}}})).verdict == Verdict::safe);
  CHECK(read("safe", FinishReason::stop, {{"safe", std::nan(""), {{"safe", std::nan("")}}}}).verdict == Verdict::undecided);
}

TEST_CASE("Guard formats are read where the policy has the form or the reader, and nowhere else", "[verdict][guard]") {
  const ModelRequest check = TextRequest{close_eyes(ask({}, "So?"), {}), {.step = Step::check}};
  const auto verdict = [&](CheckForm form, VerdictReader reader) {
    Policy policy;
    policy.check_form = form;
    policy.reader = reader;
    return read_check(policy, check, {.text = "safe", .finish_reason = FinishReason::stop}, 0).verdict;
  };
  CHECK(verdict(CheckForm::guard, VerdictReader::automatic) == Verdict::safe);
  CHECK(verdict(CheckForm::quoted, VerdictReader::guard) == Verdict::safe);
  CHECK(verdict(CheckForm::guard, VerdictReader::guard) == Verdict::safe);
}

}  // namespace guard_verdict_test
