#include <ecso/decorator/record.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/drive/run_batch.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace record_test {

namespace {

using ecso::detail::Json;

ecso::VisionRequest vision_request(const std::string& query) {
  return {ecso::ask({ecso::Image::from_bytes(ecso::test::png_bytes(3, 2))}, query), {.step = ecso::Step::answer}};
}

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

class Echo final : public ecso::MllmBackend {
 public:
  ecso::Reply generate(const ecso::VisionRequest& request, const ecso::CallContext&) override {
    return say(ecso::query_of(request.conversation));
  }
  ecso::Reply generate(const ecso::TextRequest& request, const ecso::CallContext&) override {
    return say(request.conversation.messages().back().text);
  }
  ecso::Capabilities capabilities() const override { return {.concurrent = true}; }

 private:
  static ecso::Reply say(std::string text) { return {.text = std::move(text)}; }
};

TEST_CASE("a recording starts with the capabilities and has one line a call", "[record]") {
  ecso::ScriptedBackend model{
      {.capabilities = {.vision = true, .logprobs = true, .forced_choice = false, .concurrent = true, .slots = 4}}};
  model.expect().reply("A cat.");
  std::ostringstream out;
  ecso::RecordBackend recorded{model, out};
  CHECK(recorded.capabilities() == model.capabilities());
  CHECK(recorded.generate(vision_request("What is this?"), {}).text == "A cat.");

  const auto lines = lines_of(out.str());
  REQUIRE(lines.size() == 2);
  CHECK(
      lines[0].dump() ==
      R"({"schema":1,"capabilities":{"vision":true,"logprobs":true,"forced_choice":false,"concurrent":true,"streaming":false,"prefix_cache":false,"slots":4,"context_tokens":0}})");
  CHECK(lines[1]["schema"] == 1);
  CHECK(lines[1]["request"] == ecso::to_json(ecso::ModelRequest{vision_request("What is this?")}));
  CHECK(lines[1]["key"] == ecso::detail::sha256_hex(lines[1]["request"].dump()));
  CHECK(lines[1]["reply"]["text"] == "A cat.");
  CHECK(lines[1]["reply"]["duration_ms"] > 0.0);
}

TEST_CASE("a recording holds an image's hash, never its bytes", "[record]") {
  ecso::ScriptedBackend model;
  model.expect().reply("ok");
  std::ostringstream out;
  ecso::RecordBackend recorded{model, out};
  const auto request = vision_request("q");
  (void)recorded.generate(request, {});
  const ecso::Image image = ecso::images_of(request.conversation).front();
  CHECK(out.str().find(image.sha256()) != std::string::npos);
  CHECK(out.str().find(image.base64().substr(0, 24)) == std::string::npos);
}

TEST_CASE("errors are recorded and thrown on", "[record]") {
  ecso::ScriptedBackend model;
  const ecso::Error refused{ecso::Errc::rate_limited,
                            "slow down",
                            {.endpoint = "http://localhost", .http_status = 429, .retry_after = std::chrono::milliseconds{50}}};
  model.expect().fail(refused);
  model.expect().fail(std::runtime_error{"broken"});
  model.expect().fail(7);
  model.expect().fail(ecso::Error{ecso::Errc::cancelled, "stopped"});
  std::ostringstream out;
  ecso::RecordBackend recorded{model, out};
  CHECK_THROWS_AS(recorded.generate(vision_request("q"), {}), ecso::Error);
  CHECK_THROWS_AS(recorded.generate(vision_request("q"), {}), std::runtime_error);
  CHECK_THROWS_AS(recorded.generate(vision_request("q"), {}), int);
  CHECK_THROWS_AS(recorded.generate(vision_request("q"), {}), ecso::Error);
  const auto lines = lines_of(out.str());
  REQUIRE(lines.size() == 4);  // A cancelled call is not written.
  CHECK(ecso::error_from_json(lines[1]["error"]) == refused);
  CHECK(lines[2]["error"]["message"] == "the backend threw: broken");
  CHECK(lines[3]["error"]["code"] == "internal");
}

TEST_CASE("a forbidden token's log-probability of minus infinity is written as a number", "[record]") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  ecso::ScriptedBackend model;
  model.expect().reply(
      ecso::Reply{.text = "no", .logprobs = {{"no", 0.0, {{"no", 0.0}, {"yes", -infinity}, {"?", std::nan("")}}}}});
  std::ostringstream out;
  ecso::RecordBackend recorded{model, out};
  (void)recorded.generate(vision_request("q"), {});
  const ecso::Reply read = ecso::reply_from_json(lines_of(out.str()).back()["reply"]);
  CHECK(read.logprobs[0].top[1].logprob == std::numeric_limits<double>::lowest());
  CHECK(read.logprobs[0].top[2].logprob == std::numeric_limits<double>::lowest());
}

TEST_CASE("lines stay whole when many threads record", "[record]") {
  Echo model;
  std::ostringstream out;
  ecso::RecordBackend recorded{model, out};
  const auto policy = std::make_shared<const ecso::Policy>(ecso::policy::paper());
  int taken = 0;
  const auto next = [&]() -> std::optional<ecso::EcsoProtocol> {
    if (taken == 200) return std::nullopt;
    return ecso::EcsoProtocol{ecso::ask({}, "query " + std::to_string(++taken)), policy, recorded.capabilities()};
  };
  ecso::run_batch(next, recorded, [](std::size_t, const ecso::EcsoProtocol&) {}, {.max_in_flight = 8});
  CHECK(lines_of(out.str()).size() == 201);
}

TEST_CASE("a recording that cannot be written is an error that names it", "[record]") {
  Echo model;
  CHECK_THROWS_WITH(ecso::RecordBackend(model, std::filesystem::temp_directory_path()),
                    Catch::Matchers::ContainsSubstring("the recording cannot be written"));
  std::ostringstream out;
  ecso::RecordBackend recorded{model, out, "full.jsonl"};
  out.setstate(std::ios::badbit);
  CHECK_THROWS_WITH(recorded.generate(vision_request("q"), {}), "full.jsonl: the recording cannot be written");
}

}  // namespace

}  // namespace record_test
