#include <ecso/decorator/observe.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace observe_test {

namespace {

using namespace std::chrono_literals;
using ecso::Errc;
using ecso::Error;
using ecso::Step;

ecso::VisionRequest vision_request() {
  return {ecso::ask({ecso::Image::from_bytes(ecso::test::png_bytes(3, 2))}, "the secret prompt"),
          {.step = Step::check, .model = "asked for"}};
}

ecso::TextRequest text_request() {
  return {ecso::close_eyes(ecso::ask({}, "the secret prompt"), {}), {.step = Step::regenerate, .model = "asked for"}};
}

/// An observed script, and what was seen of it.
struct Watched {
  explicit Watched(ecso::ObserveOptions options = {})
      : observed{model, [this](const ecso::CallRecord& record) { seen.push_back(record); }, options} {}

  ecso::ScriptedBackend model{{.capabilities = {.logprobs = true, .streaming = true, .slots = 2}}};
  std::vector<ecso::CallRecord> seen;
  ecso::ObserveBackend observed;
};

TEST_CASE("an observer sees what a call was and what came of it", "[observe]") {
  Watched watched;
  const ecso::Reply reply{.text = "the secret reply",
                          .finish_reason = ecso::FinishReason::length,
                          .usage = {.prompt_tokens = 10, .cached_tokens = 8, .completion_tokens = 3},
                          .model = "served"};
  watched.model.expect().run([&](const ecso::ModelRequest&, const ecso::CallContext&) {
    std::this_thread::sleep_for(5ms);
    return reply;
  });
  watched.model.expect().reply("short");
  CHECK(watched.observed.generate(vision_request(), {}) == reply);
  CHECK(watched.observed.generate(text_request(), {}).text == "short");
  CHECK(watched.observed.capabilities() == watched.model.capabilities());

  REQUIRE(watched.seen.size() == 2);
  ecso::CallRecord& first = watched.seen[0];
  CHECK(first.duration >= 5ms);
  CHECK(first.duration < 60s);
  first.duration = 0ms;
  CHECK(first == ecso::CallRecord{.step = Step::check,
                                  .kind = ecso::CallKind::vision,
                                  .model = "served",
                                  .usage = reply.usage,
                                  .finish_reason = ecso::FinishReason::length});
  const ecso::CallRecord& second = watched.seen[1];
  CHECK(second.step == Step::regenerate);
  CHECK(second.kind == ecso::CallKind::text);
  CHECK(second.model == "asked for");
  CHECK_FALSE(second.error);
}

TEST_CASE("an observer sees texts only if asked to", "[observe]") {
  for (const bool with_texts : {false, true}) {
    Watched watched{{.with_texts = with_texts}};
    watched.model.expect().times(2).reply("the secret reply");
    (void)watched.observed.generate(vision_request(), {});
    (void)watched.observed.generate(text_request(), {});
    for (const ecso::CallRecord& record : watched.seen) {
      CHECK(record.prompt == (with_texts ? "the secret prompt" : ""));
      CHECK(record.reply == (with_texts ? "the secret reply" : ""));
    }
  }
}

TEST_CASE("an observer sees failed calls, which fail all the same", "[observe]") {
  Watched watched{{.with_texts = true}};
  const Error busy{Errc::rate_limited, "slow down", {.endpoint = "http://a", .http_status = 429}};
  watched.model.expect().fail(busy);
  watched.model.expect().fail(std::runtime_error{"broken"});
  watched.model.expect().fail(7);
  watched.model.expect().fail(Error{Errc::cancelled, "stopped"});
  CHECK_THROWS_AS(watched.observed.generate(vision_request(), {}), Error);
  CHECK_THROWS_AS(watched.observed.generate(text_request(), {}), std::runtime_error);
  CHECK_THROWS_AS(watched.observed.generate(text_request(), {}), int);
  CHECK_THROWS_AS(watched.observed.generate(text_request(), {}), Error);
  REQUIRE(watched.seen.size() == 4);
  CHECK(watched.seen[0].error == busy);
  CHECK(watched.seen[0].duration > 0ns);
  CHECK(watched.seen[0].model == "asked for");
  CHECK(watched.seen[0].prompt == "the secret prompt");
  CHECK(watched.seen[1].error == Error{Errc::internal, "the backend threw: broken"});
  CHECK(watched.seen[2].error == Error{Errc::internal, "the backend threw something that is no std::exception"});
  CHECK(watched.seen[3].error == Error{Errc::cancelled, "stopped"});
}

TEST_CASE("an observer sees when the first text of a stream came", "[observe]") {
  Watched watched;
  const auto stream = [](const ecso::ModelRequest&, const ecso::CallContext& context) -> ecso::Reply {
    if (!context.on_text) return {.text = "whole"};
    context.on_text("");
    std::this_thread::sleep_for(3ms);
    context.on_text("A ");
    std::this_thread::sleep_for(3ms);
    context.on_text("cat.");
    return {.text = "A cat."};
  };
  watched.model.expect().times(2).run(stream);
  watched.model.expect().reply("unstreamed");
  std::string text;
  const ecso::CallContext streaming{.on_text = [&](std::string_view piece) { text += piece; }};
  (void)watched.observed.generate(vision_request(), streaming);
  CHECK(text == "A cat.");
  CHECK(watched.observed.generate(text_request(), {}).text == "whole");
  (void)watched.observed.generate(text_request(), streaming);
  REQUIRE(watched.seen.size() == 3);
  REQUIRE(watched.seen[0].time_to_first_text);
  CHECK(*watched.seen[0].time_to_first_text >= 3ms);
  CHECK(*watched.seen[0].time_to_first_text + 3ms <= watched.seen[0].duration);
  CHECK_FALSE(watched.seen[1].time_to_first_text);
  CHECK_FALSE(watched.seen[2].time_to_first_text);
}

TEST_CASE("an observer that throws fails the call", "[observe]") {
  ecso::ScriptedBackend model;
  model.expect().times(2).reply("an answer");
  model.expect().fail(Error{Errc::unavailable, "loading"});
  ecso::ObserveBackend observed{model, [](const ecso::CallRecord&) { throw std::runtime_error{"disk full"}; }};
  CHECK_THROWS_WITH(observed.generate(vision_request(), {}), "disk full");
  const ecso::Outcome outcome = ecso::EcsoPipeline{observed}.try_run(ecso::ask({}, "q"));
  CHECK(outcome.path == ecso::Path::failed);
  CHECK(outcome.text.empty());
  CHECK_THROWS_WITH(observed.generate(vision_request(), {}), "disk full");
  CHECK_THROWS_WITH(ecso::ObserveBackend(model, nullptr), "observe: no observer given");
}

}  // namespace

}  // namespace observe_test
