#include <ecso/core/policy_json.hpp>

#include <ecso/detail/json.hpp>

#include <string>

#include "support/catch.hpp"

namespace policy_json_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

Policy read(const std::string& text) { return policy_from_json(detail::parse_json(text, "policy")); }

}  // namespace

TEST_CASE("a policy comes back from its JSON equal to itself", "[policy][json]") {
  for (const Policy& policy : {policy::production(), policy::production(Language::chinese), policy::paper()})
    CHECK(policy_from_json(to_json(policy)) == policy);
}

TEST_CASE("a policy file says only what differs from its base", "[policy][json]") {
  const Policy policy =
      read(R"({"base": "paper", "name": "mine", "recheck": "on", "probability": {"threshold": 0.2}, "deadline_ms": 1500,
                                 "sampling": {"check": {"max_tokens": 3}}, "models": {"check": "guard"}, "prompts": {"caption": "See {query}"}})");
  Policy expected = policy::paper();
  expected.name = "mine";
  expected.recheck = Recheck::on;
  expected.probability.threshold = 0.2;
  expected.deadline = std::chrono::milliseconds{1500};
  expected.sampling.check.max_tokens = 3;
  expected.models.check = "guard";
  expected.prompts.caption = CaptionPrompt{"See {query}"};
  CHECK(policy == expected);
  CHECK(read("{}") == policy::production());
}

TEST_CASE("a policy file chooses the language of prompts and refusal, and may still set its own", "[policy][json]") {
  CHECK(read(R"({"language": "zh"})") == policy::production(Language::chinese));
  CHECK(read(R"({"language": "en"})") == policy::production());
  Policy expected = policy::production(Language::chinese);
  expected.refusal = "不。";
  CHECK(read(R"({"language": "zh", "refusal": "不。"})") == expected);
  CHECK_THROWS_WITH(read(R"({"language": "xx"})"), ContainsSubstring("policy.language: \"xx\" is none of en, zh"));
  CHECK_THROWS_WITH(read(R"({"base": "paper", "language": "zh"})"),
                    ContainsSubstring("policy.language: only production speaks other languages"));
}

TEST_CASE("a policy file sets how checks ask", "[policy][json]") {
  const Policy policy = read(R"({"check_form": "next_turn", "clarifications": 2, "next_turn_probability": {"threshold": 0.3}})");
  CHECK(policy.check_form == CheckForm::next_turn);
  CHECK(policy.clarifications == 2);
  CHECK(policy.next_turn_probability.threshold == 0.3);
  CHECK(policy.probability.threshold == 0.5);
  CHECK_THROWS_WITH(read(R"({"clarifications": 5})"), ContainsSubstring("clarifications ranges from 0 to 4"));
  CHECK_THROWS_WITH(read(R"({"next_turn_probability": {"margin": 0.6}})"), ContainsSubstring("the margin ranges from 0 to 0.5"));
  CHECK_THROWS_WITH(read(R"({"check_form": "both"})"), ContainsSubstring("is none of automatic, quoted, next_turn, guard"));
  CHECK(read(R"({"caption_form": "same_turn"})").caption_form == CaptionForm::same_turn);
  CHECK_THROWS_WITH(read(R"({"caption_form": "next_turn"})"), ContainsSubstring("is none of automatic, quoted, same_turn"));
}

TEST_CASE("a mistake in a policy file is named with its path", "[policy][json]") {
  CHECK_THROWS_WITH(read(R"({"max_round": 3})"), ContainsSubstring("policy.max_round: unknown key; known are base, name"));
  CHECK_THROWS_WITH(read(R"({"base": "papre"})"),
                    ContainsSubstring("no policy is called \"papre\"; there are production and paper"));
  CHECK_THROWS_WITH(read(R"({"undecided": "undecided"})"),
                    ContainsSubstring("policy.undecided: \"undecided\" is none of harmful, safe"));
  CHECK_THROWS_WITH(read(R"({"max_rounds": 0})"), ContainsSubstring("max_rounds ranges from 1 to 16"));
  CHECK_THROWS_WITH(read(R"({"max_rounds": 2.5})"), ContainsSubstring("policy.max_rounds: must be a whole number"));
  CHECK_THROWS_WITH(read(R"({"max_images": -1})"), ContainsSubstring("policy.max_images: must be a whole number in range"));
  CHECK_THROWS_WITH(read(R"({"probability": {"threshold": 1.5}})"), ContainsSubstring("range from 0 to 1"));
  CHECK_THROWS_WITH(read(R"({"refusal": " "})"), ContainsSubstring("the refusal text is empty"));
  CHECK_THROWS_WITH(read(R"({"prompts": {"check": "Is it {query}?"}})"),
                    ContainsSubstring("policy.prompts.check: prompt template: missing slot {response}"));
  CHECK_THROWS_WITH(read(R"({"prompts": {"caption": "{query} {answer}"}})"), ContainsSubstring("unknown slot {answer}"));
  CHECK_THROWS_WITH(read(R"({"sampling": {"chek": {}}})"), ContainsSubstring("policy.sampling.chek: unknown key"));
  CHECK_THROWS_WITH(read(R"({"sampling": {"check": {"stop": "x"}}})"),
                    ContainsSubstring("policy.sampling.check.stop: must be an array"));
  CHECK_THROWS_WITH(read(R"([])"), ContainsSubstring("policy: must be an object"));
}

TEST_CASE("a policy file names the server that checks, and the form that guard models want", "[policy][json][guard]") {
  const Policy policy = read(R"({"check_form": "guard", "check": {"upstream": "judge"}, "models": {"check": "llama-guard3"}})");
  CHECK(policy.check_form == CheckForm::guard);
  CHECK(policy.reader == VerdictReader::automatic);
  CHECK(policy.check_upstream == "judge");
  CHECK(policy_from_json(to_json(policy)) == policy);
  CHECK(read(R"({"reader": "guard"})").reader == VerdictReader::guard);
  CHECK_THROWS_WITH(read(R"({"check": {"server": "judge"}})"), ContainsSubstring("policy.check"));
  CHECK_THROWS_WITH(read(R"({"check": "judge"})"), ContainsSubstring("policy.check"));
  for (const char* reader : {"paper", "tolerant", "probabilities"}) {
    CHECK_THROWS_WITH(read(R"({"check_form": "guard", "reader": ")" + std::string{reader} + R"("})"),
                      ContainsSubstring("check_form guard takes the reader automatic or guard"));
  }
}

}  // namespace policy_json_test
