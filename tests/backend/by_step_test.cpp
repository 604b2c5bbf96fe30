#include <ecso/backend/by_step.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/drive/pipeline.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace by_step_test {

namespace {

using ecso::Capabilities;
using ecso::ScriptedBackend;
using ecso::Step;

TEST_CASE("each step goes to its backend, the recheck to the checker", "[by_step]") {
  ScriptedBackend answerer;
  ScriptedBackend checker;
  ScriptedBackend captioner;
  ScriptedBackend writer;
  answerer.expect(Step::answer).reply("a bad answer");
  checker.expect(Step::check).reply("yes");
  captioner.expect(Step::caption).reply("a caption");
  writer.expect(Step::regenerate).with_prompt("a caption").reply("a good answer");
  checker.expect(Step::recheck).with_prompt("a good answer").reply("no");

  ecso::ByStep model{{.answer = answerer, .check = checker, .caption = captioner, .regenerate = writer}};
  const ecso::EcsoPipeline pipeline{model};
  const ecso::Outcome outcome = pipeline.run(ecso::Image::from_bytes(ecso::test::png_bytes(2, 2)), "What is this?");

  CHECK(outcome.path == ecso::Path::eyes_closed);
  CHECK(outcome.text == "a good answer");
  for (const ScriptedBackend* backend : {&answerer, &checker, &captioner, &writer}) backend->verify();
}

TEST_CASE("a query without an image goes by step, too", "[by_step]") {
  ScriptedBackend answerer;
  ScriptedBackend checker;
  answerer.expect(Step::answer).reply("Hello.");
  checker.expect(Step::check).reply("no");
  ecso::ByStep model{{.answer = answerer, .check = checker, .caption = answerer, .regenerate = answerer}};
  const ecso::EcsoPipeline pipeline{model};
  CHECK(pipeline.run(ecso::ask({}, "Hello?")).text == "Hello.");
  answerer.verify();
  checker.verify();
}

TEST_CASE("the capabilities are those of the backends that need them", "[by_step]") {
  const Capabilities all{.vision = true, .logprobs = true, .forced_choice = true, .concurrent = true, .slots = 4};
  const Capabilities blind{.vision = false, .logprobs = false, .forced_choice = false, .concurrent = true};
  ScriptedBackend able{{.capabilities = all}};
  ScriptedBackend text_only{{.capabilities = blind}};
  ScriptedBackend one_at_a_time{{.capabilities = {}}};

  const auto of = [](ecso::StepBackends backends) { return ecso::ByStep{backends}.capabilities(); };
  CHECK(of({able, able, able, able}) ==
        Capabilities{.vision = true, .logprobs = true, .forced_choice = true, .concurrent = true, .slots = 0});
  CHECK(of({able, able, able, one_at_a_time}).checks_elsewhere == false);
  CHECK(of({able, one_at_a_time, able, able}).checks_elsewhere);
  CHECK(of({able, able, able, text_only}).vision);
  CHECK_FALSE(of({text_only, able, able, able}).vision);
  CHECK(of({able, text_only, able, able}).vision);
  CHECK_FALSE(of({able, text_only, able, able}).check_vision);
  CHECK(of({able, able, able, text_only}).check_vision);
  CHECK_FALSE(of({able, able, text_only, able}).vision);
  CHECK(of({text_only, able, text_only, text_only}).logprobs);
  CHECK_FALSE(of({able, text_only, able, able}).logprobs);
  CHECK_FALSE(of({able, text_only, able, able}).forced_choice);
  CHECK_FALSE(of({able, able, able, one_at_a_time}).concurrent);
  CHECK_FALSE(of({one_at_a_time, able, able, able}).concurrent);
  CHECK_FALSE(of({able, one_at_a_time, able, able}).concurrent);
  CHECK_FALSE(of({able, able, one_at_a_time, able}).concurrent);
}

TEST_CASE("a checker that takes no images is asked about the texts alone", "[by_step]") {
  ScriptedBackend answerer;
  ScriptedBackend checker{{.capabilities = {.vision = false, .prefix_cache = true}}};
  answerer.expect(Step::answer).reply("Hello.");
  checker.expect(Step::check).with_prompt("> Hello.").reply("no");
  ecso::ByStep model{{.answer = answerer, .check = checker, .caption = answerer, .regenerate = answerer}};
  ecso::Policy policy;
  policy.check_form = ecso::CheckForm::next_turn;
  policy.check_upstream = "judge";
  const ecso::EcsoPipeline pipeline{model, policy};
  CHECK(pipeline.run(ecso::Image::from_bytes(ecso::test::png_bytes(2, 2)), "What is this?").text == "Hello.");
  answerer.verify();
  checker.verify();
}

}  // namespace

}  // namespace by_step_test
