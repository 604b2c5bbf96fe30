#include <ecso/core/request_json.hpp>

#include <ecso/detail/json.hpp>

#include <chrono>
#include <limits>
#include <string>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace request_json_test {

using namespace ecso;

TEST_CASE("a reply comes back from JSON equal to itself", "[request][json]") {
  const Reply reply{.text = "yes",
                    .finish_reason = FinishReason::length,
                    .usage = {617, 600, 1},
                    .logprobs = {{"yes", -0.1, {{"yes", -0.1}, {"no", -2.5}}}},
                    .model = "m",
                    .counts = {.prompt = 617, .text = 1},
                    .duration = std::chrono::milliseconds{12}};
  CHECK(reply_from_json(detail::parse_json(detail::dump_json(to_json(reply)), "reply")) == reply);
}

TEST_CASE("a token that a grammar forbids has a log-probability that JSON can hold", "[request][json]") {
  const Reply reply{.text = "yes", .logprobs = {{"yes", 0.0, {{"no", -std::numeric_limits<double>::infinity()}}}}};
  const Reply back = reply_from_json(detail::parse_json(detail::dump_json(to_json(reply)), "reply"));
  CHECK(back.logprobs[0].top[0].logprob < -1e300);
}

TEST_CASE("sampling comes back from JSON equal to itself", "[request][json]") {
  const Sampling sampling{.temperature = 0.5, .top_p = 0.9, .max_tokens = 7, .seed = 18446744073709551615U, .stop = {"a", "b"}};
  CHECK(sampling_from_json(to_json(sampling)) == sampling);
  CHECK(sampling_from_json(to_json(Sampling{})) == Sampling{});
}

TEST_CASE("the JSON of a request holds its texts and its images' hashes", "[request][json]") {
  const Image image = Image::from_bytes(test::png_bytes(2, 2));
  const ModelRequest vision =
      VisionRequest{ask({image}, "What?"), {.step = Step::check, .choices = {"yes", "no"}, .top_logprobs = 5}};
  const auto json = to_json(vision);
  CHECK(json["messages"][0]["parts"][0]["sha256"] == std::string{image.sha256()});
  CHECK(json["messages"][0]["parts"][1] == "What?");
  CHECK(json["options"]["step"] == "check");
  CHECK(json["options"]["choices"][1] == "no");
  const ModelRequest text = TextRequest{close_eyes(ask({}, "What?"), {}), {}};
  CHECK(to_json(text)["messages"][0]["parts"][0] == "What?");
}

}  // namespace request_json_test
