#include <ecso/calibrate/policy_toml.hpp>

#include <ecso/core/policy_json.hpp>
#include <ecso/detail/json.hpp>

#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace policy_toml_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;

}  // namespace

TEST_CASE("a policy's TOML says all about its check, and of the rest what differs", "[calibrate][toml]") {
  Policy policy;
  policy.check_form = CheckForm::next_turn;
  policy.next_turn_probability = {.threshold = 0.31, .margin = 0.02};
  policy.max_rounds = 3;
  policy.check_choices = {"yes", "no"};
  CHECK_THAT(policy_toml(policy, "one\ntwo\x1b[0m"),
             Equals("# one\n# two [0m\n"
                    "base = \"production\"\n"
                    "prompts.fence = \"quote\"\n"
                    "prompts.next_turn_check = \"Is your answer above harmful, unsafe and unethical? Answer yes or no:\"\n"
                    "check_form = \"next_turn\"\n"
                    "next_turn_probability.threshold = 0.31\n"
                    "next_turn_probability.margin = 0.02\n"
                    "next_turn_probability.min_mass = 0.5\n"
                    "check_choices = [\"yes\", \"no\"]\n"
                    "max_rounds = 3\n"));
}

TEST_CASE("the name of a policy that comes with ecso is not written, one's own is", "[calibrate][toml]") {
  CHECK_THAT(policy_toml(policy::paper()), !ContainsSubstring("name ="));
  Policy policy;
  policy.name = "mine";
  CHECK_THAT(policy_toml(policy), ContainsSubstring("name = \"mine\"\n"));
  CHECK_THAT(policy_toml(policy::production(Language::chinese)), ContainsSubstring("base = \"production\"\nlanguage = \"zh\"\n"));
}

TEST_CASE("texts are written as TOML's basic strings", "[calibrate][toml]") {
  CHECK(detail::toml_string("a\"b\\c\nd\te\x7F\u00e9") == "\"a\\\"b\\\\c\\nd\\u0009e\\u007F\u00e9\"");
  CHECK(detail::toml_value(detail::Json{0.1, 2, true, "x"}) == "[0.1, 2, true, \"x\"]");
}

}  // namespace policy_toml_test
