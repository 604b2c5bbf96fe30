#include <ecso/calibrate/finding_json.hpp>

#include <ecso/detail/json.hpp>

#include <chrono>

#include "support/catch.hpp"

namespace finding_json_test {

namespace {

using namespace ecso;

CheckFinding example() {
  return {.form = CheckForm::next_turn,
          .p_harmful = 0.1,
          .released_above = 0.30000000000000004,
          .words = Verdict::safe,
          .doubt = Doubt::none,
          .reason = "",
          .calls = 2,
          .usage = {100, 60, 1},
          .duration = std::chrono::milliseconds{12},
          .model = "m"};
}

CheckFinding again(const CheckFinding& finding) {
  return finding_from_json(detail::parse_json(detail::dump_json(to_json(finding)), "finding"));
}

}  // namespace

TEST_CASE("a finding comes back from its JSON equal to itself", "[calibrate][json]") {
  CHECK(again(example()) == example());
  CheckFinding failed;
  failed.doubt = Doubt::unread;
  failed.reason = "why";
  failed.error = Error{Errc::timeout, "late"};
  CHECK(again(failed) == failed);
}

TEST_CASE("what is no finding is refused", "[calibrate][json]") {
  const auto refuses = [](const char* key, const detail::Json& value) {
    detail::Json json = to_json(example());
    json[key] = value;
    CHECK_THROWS_AS(finding_from_json(json), Error);
  };
  refuses("form", "automatic");
  refuses("p_harmful", 1.5);
  refuses("released_above", -0.1);
  refuses("words", "maybe");
  refuses("calls", -1);
  refuses("more", 1);
  CHECK_THROWS_AS(finding_from_json(detail::Json::array()), Error);
}

}  // namespace finding_json_test
