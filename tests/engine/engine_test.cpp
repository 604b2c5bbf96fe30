// The four steps against a real llama-server: HTTP, image decoding, grammar, log-probabilities and prefix cache are real, what
// the model says is noise.

#include <ecso/backend/openai.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/drive/pipeline.hpp>
#include <ecso/drive/run_batch.hpp>

#include "engine/fixture.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace engine_test {

using namespace ecso;
using namespace ecso::test;
using namespace std::chrono_literals;

namespace {

/// The default policy, but each check can only say `choice`.
Policy forced(const std::string& choice) {
  Policy policy = policy::production();
  policy.reader = VerdictReader::tolerant;
  policy.check_choices = {choice};
  policy.sampling.answer = policy.sampling.caption = policy.sampling.regenerate = greedy;
  return policy;
}

std::vector<Step> steps_of(const Outcome& outcome) {
  std::vector<Step> steps;
  for (const StepRecord& record : outcome.steps) steps.push_back(record.step);
  return steps;
}

/// Lets a checker say yes to the first answer and no to the eyes-closed one.
class HarmfulThenSafe final : public MllmBackend {
 public:
  explicit HarmfulThenSafe(MllmBackend& model) : model_{model} {}

  Reply generate(const VisionRequest& request, const CallContext& context) override { return force(request, context); }
  Reply generate(const TextRequest& request, const CallContext& context) override { return force(request, context); }
  Capabilities capabilities() const override { return model_.capabilities(); }

 private:
  template <typename Request>
  Reply force(Request request, const CallContext& context) {
    if (request.options.step == Step::check) request.options.choices = {"yes"};
    if (request.options.step == Step::recheck) request.options.choices = {"no"};
    return model_.generate(request, context);
  }

  MllmBackend& model_;
};

}  // namespace

TEST_CASE("An answer that the engine's check calls safe is released", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const Outcome outcome = EcsoPipeline{model, forced("no")}.run(picture("safe"), "What is shown in the picture?");

  CHECK(outcome.path == Path::direct);
  REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check});
  CHECK(outcome.text == outcome.steps[0].reply);
  CHECK(outcome.steps[1].reply == "no");
  CHECK(outcome.steps[1].verdict == Verdict::safe);
}

TEST_CASE("An answer that the engine's check calls harmful goes through all four steps and the recheck", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  HarmfulThenSafe checker{model};
  Policy policy = forced("yes");
  const Outcome outcome = EcsoPipeline{checker, policy}.run(picture("harmful"), "How do I make this product?");

  CHECK(outcome.path == Path::eyes_closed);
  REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck});
  CHECK(outcome.text == outcome.steps[3].reply);
  CHECK(outcome.steps[1].verdict == Verdict::harmful);
  CHECK(outcome.steps[4].verdict == Verdict::safe);
  for (const StepRecord& record : outcome.steps) {
    INFO(to_string(record.step));
    CHECK(record.model == "engine");
    CHECK_FALSE(record.reply.empty());
    CHECK(record.finish_reason != FinishReason::unknown);
    CHECK(record.usage.prompt_tokens > 0);
    CHECK(record.usage.completion_tokens > 0);
    CHECK(record.duration > 0ns);
  }
}

TEST_CASE("The paper's policy runs its four steps on the engine", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  Policy policy = policy::paper();
  policy.check_choices = {"yes"};
  const Outcome outcome = EcsoPipeline{model, policy}.run(picture("paper"), "How do I make this product?");

  CHECK(outcome.path == Path::eyes_closed);
  REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::caption, Step::regenerate});
  CHECK(outcome.text == outcome.steps[3].reply);
}

TEST_CASE("A checker that always says harmful leads to the refusal after the last round", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const Policy policy = forced("yes");
  const Outcome outcome = EcsoPipeline{model, policy}.run(picture("refused"), "How do I make this product?");

  CHECK(outcome.path == Path::refused);
  CHECK(outcome.text == policy.refusal);
  CHECK(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::caption, Step::regenerate, Step::recheck, Step::caption,
                                         Step::regenerate, Step::recheck});
}

TEST_CASE("A check that is the chat's next turn reads little but its question", "[engine][next_turn]") {
  OpenAiBackend model{options_for(engine())};
  Policy policy = forced("no");
  const auto new_tokens = [&](CheckForm form, const std::string& name) {
    policy.check_form = form;
    const Outcome outcome = EcsoPipeline{model, policy}.run(picture(name), "How do I make this product?");
    REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check});
    const Usage usage = outcome.steps[1].usage;
    return usage.prompt_tokens - usage.cached_tokens;
  };
  const auto next_turn = new_tokens(CheckForm::next_turn, "next turn");
  const auto quoted = new_tokens(CheckForm::quoted, "quoted");
  INFO(next_turn << " new prompt tokens by next turn, " << quoted << " quoted");
  CHECK(next_turn * 2 < quoted);
}

TEST_CASE("A caption in the query's own turn finds image and query in the engine's prefix cache", "[engine][same_turn]") {
  OpenAiBackend model{options_for(engine())};
  Policy policy = forced("yes");
  policy.recheck = Recheck::off;
  const auto caption = [&](CaptionForm form, const std::string& name) {
    policy.caption_form = form;
    const Outcome outcome = EcsoPipeline{model, policy}.run(picture(name), "How do I make this product?");
    REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::caption, Step::regenerate});
    return outcome.steps[2].usage;
  };
  const Usage same_turn = caption(CaptionForm::same_turn, "same turn");
  const Usage quoted = caption(CaptionForm::quoted, "quoted caption");
  CHECK(same_turn.cached_tokens > quoted.cached_tokens);
  CHECK(same_turn.prompt_tokens - same_turn.cached_tokens < quoted.prompt_tokens - quoted.cached_tokens);
}

TEST_CASE("As the image stands first, check and caption find it in the engine's prefix cache", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  Policy policy = forced("yes");
  policy.recheck = Recheck::off;
  const Outcome outcome = EcsoPipeline{model, policy}.run(picture("image first"), "How do I make this product?");

  REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::caption, Step::regenerate});
  CHECK(outcome.steps[0].usage.cached_tokens < image_tokens);
  CHECK(outcome.steps[1].usage.cached_tokens >= image_tokens);
  CHECK(outcome.steps[2].usage.cached_tokens >= image_tokens);
  CHECK(outcome.usage().cached_tokens >= 2 * image_tokens);

  SECTION("and an image after the text would not be found") {
    const Image image = picture("image last");
    const auto image_last = [&](const std::string& text) {
      const Conversation conversation{{{Role::user, {text, image}}}};
      return model.generate(VisionRequest{conversation, {.sampling = greedy}}, {}).usage.cached_tokens;
    };
    CHECK(image_last("What is shown in the picture?") < image_tokens);
    CHECK(image_last("Describe the image.") < image_tokens);
  }
}

TEST_CASE("An image costs its tokens once for each image, and a text request costs none", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const auto prompt_tokens = [&](std::vector<Image> images) {
    const VisionRequest request{ask(std::move(images), "Describe the image."), {.sampling = greedy}};
    return model.generate(request, {}).usage.prompt_tokens;
  };
  const auto none = model.generate(read("Describe the image."), {}).usage.prompt_tokens;
  const auto one = prompt_tokens({picture("one")});
  const auto two = prompt_tokens({picture("one"), picture("two")});
  CHECK(one - none >= image_tokens);
  CHECK(two - one >= image_tokens);
  CHECK(two - one < 2 * image_tokens);
}

TEST_CASE("The probabilities of yes and no are read whatever the grammar lets the engine say", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const CallOptions options{
      .step = Step::check, .sampling = {.temperature = 0.0, .max_tokens = 8}, .choices = {"no"}, .top_logprobs = 20};
  const Reply reply = model.generate(look_at(picture("logprobs"), "Is it harmful? Answer yes or no:", options), {});

  CHECK(reply.text == "no");
  REQUIRE_FALSE(reply.logprobs.empty());
  const TokenLogprobs& first = reply.logprobs.front();
  CHECK(first.token == "no");
  CHECK(first.top.size() == 20);
  for (const char* word : {"yes", "no"}) {
    INFO(word);
    const auto found = std::ranges::find(first.top, word, &TokenLogprob::token);
    REQUIRE(found != first.top.end());
    CHECK(found->logprob < 0);
  }
}

TEST_CASE("The default policy takes its verdicts from the engine's probabilities and keeps them in the trace", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  int harmful = 0;
  int safe = 0;
  for (int i = 1; i <= 12; ++i) {
    const std::string query = "How do I make " + std::to_string(i) + " of this product?";
    const Outcome outcome = EcsoPipeline{model}.run(picture("probabilities"), query, {.sampling = greedy});
    INFO(query);
    for (const StepRecord& record : outcome.steps) {
      if (!asks_for_verdict(record.step)) continue;
      REQUIRE(record.p_harmful.has_value());
      CHECK(*record.p_harmful > 0.0);
      CHECK(*record.p_harmful < 1.0);
      CHECK(record.verdict == (*record.p_harmful >= 0.5 ? Verdict::harmful : Verdict::safe));
      ++(record.verdict == Verdict::harmful ? harmful : safe);
    }
  }
  INFO(harmful << " harmful, " << safe << " safe");
  CHECK(harmful > 0);
  CHECK(safe > 0);
}

TEST_CASE("Each of several images is captioned, and the first one comes from the cache", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  Policy policy = forced("yes");
  policy.recheck = Recheck::off;
  const Outcome outcome = EcsoPipeline{model, policy}.run(ask({picture("left"), picture("right")}, "What is the difference?"));

  CHECK(outcome.path == Path::eyes_closed);
  CHECK(outcome.images.size() == 2);
  REQUIRE(outcome.steps.size() == 5);
  CHECK(outcome.steps[1].usage.cached_tokens >= 2 * image_tokens);
  std::vector<std::size_t> captioned;
  for (const StepRecord& record : outcome.steps) {
    if (record.step != Step::caption) continue;
    captioned.push_back(record.image);
    if (record.image == 0) CHECK(record.usage.cached_tokens >= image_tokens);
    CHECK(outcome.steps.back().prompt.find(record.reply) != std::string::npos);
  }
  std::ranges::sort(captioned);
  CHECK(captioned == std::vector<std::size_t>{0, 1});
}

TEST_CASE("A query without an image is checked and answered again by a text-only engine", "[engine]") {
  OpenAiOptions options = options_for(blind_engine());
  options.key = Secret::from_text(blind_engine_key);
  options.vision = false;
  OpenAiBackend model{options};
  Policy policy = forced("yes");
  policy.recheck = Recheck::off;

  CHECK(EcsoPipeline{model, forced("no")}.run(ask({}, "What is red?")).path == Path::direct);
  const Outcome outcome = EcsoPipeline{model, policy}.run(ask({}, "What is red?"));
  CHECK(outcome.path == Path::eyes_closed);
  CHECK(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::regenerate});
}

TEST_CASE("The engine draws the same answer for the same seed and another one for another", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const Image image = picture("seed");
  const auto draw = [&](std::uint64_t seed) {
    const CallOptions options{.sampling = {.temperature = 1.0, .max_tokens = 32, .seed = seed}};
    return model.generate(look_at(image, "What is this?", options), {}).text;
  };
  // The first call fills the cache; with and without it, sums are rounded differently.
  static_cast<void>(draw(1));
  const std::string five = draw(5);
  CHECK(draw(5) == five);
  CHECK((draw(6) != five || draw(7) != five));
}

TEST_CASE("A stop text ends the engine's answer and is not part of it", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const Reply reply = model.generate(read("Spell.", {.sampling = {.stop = {"def"}}, .choices = {"abcdefghi"}}), {});
  CHECK(reply.text == "abc");
  CHECK(reply.finish_reason == FinishReason::stop);
  CHECK(model.generate(read("Spell.", {.sampling = {.max_tokens = 2}}), {}).finish_reason == FinishReason::length);
}

TEST_CASE("Queries run side by side on the engine and each gets its own outcome", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const auto policy = std::make_shared<const Policy>(forced("no"));
  constexpr std::size_t count = 12;
  std::size_t made = 0;
  const auto next = [&]() -> std::optional<EcsoProtocol> {
    if (made == count) return std::nullopt;
    const std::string name = "batch " + std::to_string(made++);
    return EcsoProtocol{ask({picture(name)}, "This is " + name), policy, model.capabilities()};
  };
  std::vector<int> done(count);
  run_batch(next, model,
            [&](std::size_t index, const EcsoProtocol& protocol) {
              ++done[index];
              const Outcome& outcome = protocol.outcome();
              CHECK(outcome.path == Path::direct);
              CHECK(outcome.steps.front().prompt == "This is batch " + std::to_string(index));
            },
            {.max_in_flight = 4});
  CHECK(done == std::vector<int>(count, 1));
}

TEST_CASE("A stop request ends a call to a busy engine at once", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  // The best of many: a busy machine is late now and then, a wait that does not listen always.
  auto best = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 20 && best >= 1s; ++i) {
    std::stop_source stop;
    const std::jthread stopper{[&] {
      std::this_thread::sleep_for(150ms);
      stop.request_stop();
    }};
    const auto start = std::chrono::steady_clock::now();
    const Error error = error_of([&] { return model.generate(read("Spell.", long_job()), {.stop = stop.get_token()}); });
    CHECK(error.code() == Errc::cancelled);
    CHECK(std::chrono::steady_clock::now() - start >= 150ms);
    best = std::min(best, std::chrono::steady_clock::now() - start);
  }
  CHECK(best < 1s);
}

TEST_CASE("A query's deadline ends a slow check, and nothing is released", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  Policy policy = forced(long_job().choices.front());
  policy.sampling.check.max_tokens.reset();
  CHECK(test::succeeds_in_time(300ms, [&](std::chrono::milliseconds limit) {
    policy.deadline = limit;
    const Outcome outcome = EcsoPipeline{model, policy}.try_run(ask({picture("deadline")}, "What is this?"));
    if (!outcome.error) return false;
    CHECK(outcome.path == Path::failed);
    CHECK(outcome.text.empty());
    CHECK(outcome.error->code() == Errc::timeout);
    return outcome.error->context().step == Step::check;  // if there was time for the answer
  }));
}

}  // namespace engine_test
