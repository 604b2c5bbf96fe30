#include <ecso/backend/scripted.hpp>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/drive/pipeline.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

namespace scripted_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::ScriptedBackend;
using ecso::Step;

ecso::Image image() { return ecso::Image::from_bytes(ecso::test::png_bytes(2, 2)); }

ecso::TextRequest text_call(Step step, const std::string& prompt) {
  return {ecso::close_eyes(ecso::ask({}, prompt), {}), {.step = step}};
}

ecso::VisionRequest vision_call(Step step, const std::string& prompt) { return {ecso::ask({image()}, prompt), {.step = step}}; }

template <typename Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  throw std::logic_error{"unreachable"};
}

TEST_CASE("a script that is followed gives its replies in order", "[scripted]") {
  ScriptedBackend model;
  model.expect(Step::answer).with_prompt("What").reply("A cat.");
  model.expect(Step::check).with_prompt("A cat.").reply({.text = "no", .usage = {.prompt_tokens = 7}, .model = "mine"});
  CHECK(model.unmet().size() == 2);

  const ecso::Outcome outcome = ecso::EcsoPipeline{model}.run(image(), "What is this?");

  CHECK(outcome.path == ecso::Path::direct);
  CHECK(outcome.text == "A cat.");
  CHECK(outcome.steps.at(1).usage.prompt_tokens == 7);
  CHECK(outcome.steps.at(1).model == "mine");
  CHECK(model.unmet().empty());
  CHECK_NOTHROW(model.verify());
  REQUIRE(model.requests().size() == 2);
  CHECK(std::holds_alternative<ecso::VisionRequest>(model.requests().front()));
  CHECK(ecso::prompt_of(model.requests().front()) == "What is this?");
}

TEST_CASE("an unexpected call says what was expected and what came", "[scripted]") {
  ScriptedBackend model;
  model.expect(Step::answer).reply("A cat.");
  model.expect(Step::caption).with_prompt("cat").reply("A cat on a mat.");
  CHECK(model.generate(vision_call(Step::answer, "hello"), {}).text == "A cat.");

  const Error error = error_of([&] { (void)model.generate(vision_call(Step::check, "QUERY: " + std::string(500, 'x')), {}); });
  CHECK(error.code() == Errc::internal);
  CHECK_THAT(error.what(),
             ContainsSubstring("call 2: expected caption call with a prompt with \"cat\"; came: check call with images"));
  CHECK_THAT(error.what(), ContainsSubstring("QUERY: xxx"));
  CHECK_THAT(error.what(), ContainsSubstring("x…"));
  CHECK(std::string{error.what()}.size() < 300);

  CHECK(model.generate(vision_call(Step::caption, "a cat?"), {}).text == "A cat on a mat.");
  const Error too_many = error_of([&] { (void)model.generate(text_call(Step::answer, "again"), {}); });
  CHECK_THAT(too_many.what(), ContainsSubstring("expected nothing more; came: answer call without images, its prompt \"again\""));

  CHECK(model.unmet().empty());
  const Error verdict = error_of([&] { model.verify(); });
  CHECK_THAT(verdict.what(), ContainsSubstring("Not expected: check call") && ContainsSubstring("; answer call without images"));
}

TEST_CASE("verify names the lines that did not come", "[scripted]") {
  ScriptedBackend model;
  model.expect(Step::check).times(3).reply("no");
  model.expect().with_prompt("a").where([](const ecso::ModelRequest&) { return true; }, "no images").reply("x");
  (void)model.generate(text_call(Step::check, "?"), {});
  CHECK(model.unmet() == std::vector<std::string>{"check call, 2 times", "any call with a prompt with \"a\" and no images"});
  CHECK_THAT(error_of([&] { model.verify(); }).what(), ContainsSubstring("did not come: check call, 2 times; any call"));
}

TEST_CASE("in any order, each call takes the first line that fits", "[scripted]") {
  ScriptedBackend model{{.order = ecso::ScriptOrder::any}};
  const auto is_blind = [](const ecso::ModelRequest& r) { return std::holds_alternative<ecso::TextRequest>(r); };
  model.expect(Step::caption).reply("caption");
  model.expect(Step::answer).with_prompt("one").reply("1");
  model.expect(Step::answer).where(is_blind, "no image").reply("blind");
  CHECK(model.generate(text_call(Step::answer, "two"), {}).text == "blind");
  CHECK(model.generate(vision_call(Step::answer, "one"), {}).text == "1");
  const Error error = error_of([&] { (void)model.generate(vision_call(Step::answer, "one"), {}); });
  CHECK_THAT(error.what(), ContainsSubstring("expected one of: caption call; came: answer call"));
  CHECK(model.generate(vision_call(Step::caption, "?"), {}).text == "caption");
  CHECK(model.unmet().empty());
}

TEST_CASE("a line can throw an Error or anything else, or do anything", "[scripted]") {
  ScriptedBackend model;
  model.expect().fail(Error{Errc::rate_limited, "later"});
  model.expect().fail(std::runtime_error{"odd"});
  model.expect().fail(42);
  model.expect().run([](const ecso::ModelRequest& request, const ecso::CallContext& context) {
    return ecso::Reply{.text = ecso::prompt_of(request) + (context.deadline ? " in time" : " any time")};
  });
  const auto call = text_call(Step::answer, "answered");
  CHECK(error_of([&] { (void)model.generate(call, {}); }).code() == Errc::rate_limited);
  CHECK_THROWS_AS(model.generate(call, {}), std::runtime_error);
  CHECK_THROWS_AS(model.generate(call, {}), int);
  CHECK(model.generate(call, {}).text == "answered any time");
  CHECK_NOTHROW(model.verify());
}

TEST_CASE("a line without a reply is an error, not an empty reply", "[scripted]") {
  ScriptedBackend model;
  model.expect(Step::answer);
  CHECK_THAT(error_of([&] { (void)model.generate(text_call(Step::answer, "?"), {}); }).what(),
             ContainsSubstring("does not say what comes of: answer call"));
}

TEST_CASE("a refusing policy does not hide an unexpected call from verify", "[scripted]") {
  ScriptedBackend model;
  model.expect(Step::answer).reply("A cat.");
  ecso::Policy policy;
  policy.on_failure = ecso::OnFailure::refuse;
  CHECK(ecso::EcsoPipeline{model, policy}.run(image(), "What is this?").path == ecso::Path::refused);
  CHECK_THROWS_AS(model.verify(), Error);
}

TEST_CASE("capabilities are as set, and reach the requests", "[scripted]") {
  ScriptedBackend model{{.capabilities = {.logprobs = true, .forced_choice = true, .slots = 3}}};
  CHECK(model.capabilities().slots == 3);
  model.expect(Step::answer).reply("A cat.");
  const auto forces_choice = [](const ecso::ModelRequest& r) {
    return std::get<ecso::VisionRequest>(r).options.choices.size() == 4;
  };
  model.expect(Step::check).where(forces_choice).reply("no");
  CHECK(ecso::EcsoPipeline{model}.run(image(), "What is this?").path == ecso::Path::direct);
}

TEST_CASE("calls from several threads are each taken once", "[scripted]") {
  constexpr std::size_t threads = 4;
  constexpr std::size_t calls = 50;
  ScriptedBackend model{{.capabilities = {.concurrent = true}}};
  model.expect(Step::answer).times(threads * calls).reply("yes");
  {
    std::vector<std::jthread> crowd;
    for (std::size_t i = 0; i < threads; ++i) {
      crowd.emplace_back([&] {
        for (std::size_t n = 0; n < calls; ++n) (void)model.generate(text_call(Step::answer, "?"), {});
      });
    }
  }
  CHECK(model.requests().size() == threads * calls);
  CHECK_NOTHROW(model.verify());
}

}  // namespace

}  // namespace scripted_test
