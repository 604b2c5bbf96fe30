#include <ecso/drive/pipeline.hpp>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace pipeline_test {

namespace {

using namespace ecso;

/// Not an MllmBackend: the pipeline takes any type with the same functions.
struct OneCheckFails {
  Reply generate(const VisionRequest& request, const CallContext&) const {
    return reply(request.options.step == Step::check ? "Yes" : "Bad.");
  }
  Reply generate(const TextRequest& request, const CallContext&) const {
    return reply(request.options.step == Step::recheck ? "No" : "Good.");
  }
  [[nodiscard]] Capabilities capabilities() const { return {}; }

  static Reply reply(std::string text) {
    Reply r;
    r.text = std::move(text);
    return r;
  }
};

struct Broken {
  Reply generate(const VisionRequest&, const CallContext&) {
    throw Error{Errc::unavailable, "no server", {.endpoint = "http://h"}};
  }
  Reply generate(const TextRequest&, const CallContext&) { throw Error{Errc::unavailable, "no server"}; }
  [[nodiscard]] Capabilities capabilities() const { return {}; }
};

Image picture() { return Image::from_bytes(test::png_bytes(2, 2)); }

}  // namespace

TEST_CASE("a pipeline answers an image and a query", "[pipeline]") {
  OneCheckFails backend;
  const EcsoPipeline pipeline{backend};
  const Outcome outcome = pipeline.run(picture(), "What is this?");
  CHECK(outcome.path == Path::eyes_closed);
  CHECK(outcome.text == "Good.");
  CHECK(outcome.steps.size() == 5);
  CHECK(outcome.steps.front().duration.count() > 0);
}

TEST_CASE("a pipeline answers a chat", "[pipeline]") {
  OneCheckFails backend;
  const EcsoPipeline pipeline{backend};
  Conversation chat;
  chat.messages = {{Role::system, {std::string{"Be brief."}}},
                   {Role::user, {picture(), std::string{"What is this?"}}},
                   {Role::assistant, {std::string{"A cat."}}},
                   {Role::user, {std::string{"And its colour?"}}}};
  CHECK(pipeline.run(chat).text == "Good.");
}

TEST_CASE("a failed step is thrown by run and told by try_run", "[pipeline][faults]") {
  Broken backend;
  const EcsoPipeline pipeline{backend};
  CHECK_THROWS_WITH(pipeline.run(picture(), "What?"), "answer: http://h: no server");
  const Outcome outcome = pipeline.try_run(ask({picture()}, "What?"));
  CHECK(outcome.path == Path::failed);
  CHECK(outcome.steps.size() == 1);
  Policy refusing;
  refusing.on_failure = OnFailure::refuse;
  const Outcome refused = EcsoPipeline{backend, refusing}.run(picture(), "What?");
  CHECK(refused.path == Path::refused);
  CHECK(refused.text == refusing.refusal);
}

TEST_CASE("an observer sees every call and every step", "[pipeline]") {
  OneCheckFails backend;
  std::vector<std::string> seen;
  const EcsoPipeline pipeline{
      backend,
      policy::production(),
      {.on_call = [&](const PendingCall& call) { seen.emplace_back("> " + std::string{to_string(call.step())}); },
       .on_step = [&](const StepRecord& step) { seen.emplace_back("< " + std::string{to_string(step.step)}); }}};
  (void)pipeline.run(picture(), "What?");
  CHECK(seen == std::vector<std::string>{"> answer", "< answer", "> check", "< check", "> caption", "< caption", "> regenerate",
                                         "< regenerate", "> recheck", "< recheck"});
}

TEST_CASE("a query may bring its own sampling", "[pipeline]") {
  struct : MllmBackend {
    Reply generate(const VisionRequest& request, const CallContext&) override {
      temperatures.push_back(request.options.sampling.temperature.value_or(-1));
      return OneCheckFails::reply(request.options.step == Step::check ? "Yes" : "Bad.");
    }
    Reply generate(const TextRequest& request, const CallContext&) override {
      temperatures.push_back(request.options.sampling.temperature.value_or(-1));
      return OneCheckFails::reply("No");
    }
    std::vector<double> temperatures;
  } backend;
  (void)EcsoPipeline<MllmBackend>{backend}.run(picture(), "What?", {.sampling = Sampling{.temperature = 0.9}});
  CHECK(backend.temperatures == std::vector<double>{0.9, 0, 0, 0.9, 0});
}

TEST_CASE("a policy that cannot be followed is refused when the pipeline is made", "[pipeline]") {
  OneCheckFails backend;
  Policy policy;
  policy.max_rounds = 0;
  CHECK_THROWS_WITH((EcsoPipeline{backend, policy}), "policy: max_rounds ranges from 1 to 16");
}

TEST_CASE("one pipeline serves many threads", "[pipeline][threads]") {
  OneCheckFails backend;
  const EcsoPipeline pipeline{backend};
  const Image image = picture();
  std::atomic<int> right{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 50; ++n) right += pipeline.run(image, "What?").text == "Good." ? 1 : 0;
      });
    }
  }
  CHECK(right == 400);
}

}  // namespace pipeline_test
