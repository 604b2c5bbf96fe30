#include <ecso/core/trace_json.hpp>

#include <ecso/detail/json.hpp>

#include <chrono>
#include <string>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace trace_json_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

Outcome example() {
  Outcome outcome;
  outcome.path = Path::eyes_closed;
  outcome.text = "Good, \"quoted\" and {braced}.";
  outcome.policy = "production";
  outcome.images.emplace_back(Image::from_bytes(test::png_bytes(3, 4)));
  StepRecord check;
  check.step = Step::check;
  check.prompt = "Is it?";
  check.reply = "Yes";
  check.verdict = Verdict::harmful;
  check.p_harmful = 0.875;
  check.finish_reason = FinishReason::stop;
  check.usage = {100, 90, 1};
  check.counts = {.prompt = 100, .text = 1};
  check.model = "m";
  check.duration = std::chrono::nanoseconds{123456789};
  StepRecord caption;
  caption.step = Step::caption;
  caption.round = 1;
  caption.image = 2;
  caption.error =
      Error{Errc::rate_limited,
            "slow",
            {.step = Step::caption, .endpoint = "http://h", .http_status = 429, .retry_after = std::chrono::seconds{2}}};
  StepRecord recheck;
  recheck.step = Step::recheck;
  recheck.verdict = Verdict::undecided;
  recheck.doubt = Doubt::cut;
  recheck.reason = "cut at 16 tokens";
  recheck.clarification = 1;
  outcome.steps = {check, caption, recheck};
  return outcome;
}

}  // namespace

TEST_CASE("an outcome comes back from JSON equal to itself", "[trace][json]") {
  const Outcome outcome = example();
  const std::string text = detail::dump_json(to_json(outcome));
  CHECK(outcome_from_json(detail::parse_json(text, "outcome")) == outcome);
}

TEST_CASE("the JSON of an outcome has the documented shape", "[trace][json]") {
  const auto json = to_json(example());
  CHECK(json["schema"] == 1);
  CHECK(json["path"] == "eyes_closed");
  CHECK(json["usage"]["cached_tokens"] == 90);
  CHECK(json["images"][0]["media_type"] == "image/png");
  CHECK(json["images"][0]["width"] == 3);
  CHECK(json["images"][0]["sha256"].get<std::string>().size() == 64);
  CHECK(json["steps"][0]["verdict"] == "harmful");
  CHECK(json["steps"][0]["p_harmful"] == 0.875);
  CHECK_FALSE(json["steps"][0].contains("image"));
  CHECK_FALSE(json["steps"][0].contains("reason"));
  CHECK(json["steps"][2]["reason"] == "cut at 16 tokens");
  CHECK(json["steps"][1]["image"] == 2);
  CHECK(json["steps"][1]["error"]["code"] == "rate_limited");
  CHECK_FALSE(json.contains("error"));
}

TEST_CASE("an image stands in the JSON of an outcome as hash and size, never whole", "[trace][json]") {
  const Image image = Image::from_bytes(test::png_bytes(300, 40));
  Outcome outcome;
  outcome.images.emplace_back(image);
  const std::string text = detail::dump_json(to_json(outcome));
  CHECK(text.size() < 1000);
  CHECK(text.find(image.base64().substr(0, 32)) == std::string::npos);
  CHECK_THAT(text, ContainsSubstring(std::string{image.sha256()}));
}

TEST_CASE("text that is not UTF-8 does not break the JSON of an outcome", "[trace][json]") {
  Outcome outcome;
  outcome.text = "a\xFFz";
  CHECK_THAT(detail::dump_json(to_json(outcome)), ContainsSubstring("a\xEF\xBF\xBDz"));
}

TEST_CASE("an outcome that is not one gets an error that names the path", "[trace][json]") {
  const auto broken = [](auto change) {
    auto json = to_json(example());
    change(json);
    return outcome_from_json(json);
  };
  CHECK_THROWS_WITH(outcome_from_json(nlohmann::ordered_json::array()), ContainsSubstring("outcome: must be an object"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["schema"] = 2; }), ContainsSubstring("outcome.schema: is 2; this version reads 1"));
  CHECK_THROWS_WITH(broken([](auto& j) { j.erase("text"); }), ContainsSubstring("outcome.text: missing"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["path"] = "sideways"; }),
                    ContainsSubstring("outcome.path: \"sideways\" is none of direct"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["steps"][0]["round"] = -1.5; }),
                    ContainsSubstring("outcome.steps.round: must be a whole number"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["steps"][0]["duration_ms"] = 1e300; }), ContainsSubstring("out of range"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["images"][0]["width"] = -1; }), ContainsSubstring("outcome.images.width"));
}

TEST_CASE("JSON from outside is bounded in depth and its errors say where", "[json]") {
  CHECK_THROWS_WITH(detail::parse_json(std::string(100'000, '['), "line 3"), ContainsSubstring("line 3: JSON is nested deeper"));
  CHECK_THROWS_WITH(detail::parse_json("{\"a\":}", "line 3"), ContainsSubstring("line 3: not JSON at byte 6"));
  CHECK_THROWS_WITH(detail::parse_json("", "line 3"), ContainsSubstring("line 3: not JSON"));
}

}  // namespace trace_json_test
