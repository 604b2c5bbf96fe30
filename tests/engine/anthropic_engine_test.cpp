// The Messages API of a real llama-server: what it answers, how it streams and how it says no.

#include <ecso/backend/anthropic.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/drive/pipeline.hpp>

#include "engine/fixture.hpp"
#include "support/reserved_port.hpp"

#include <algorithm>
#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anthropic_engine_test {

using namespace ecso;
using namespace ecso::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

[[nodiscard]] AnthropicOptions messages_of_engine(const EngineServer& server) {
  return {.base_url = server.url(), .model = "any", .http = {.proxy = ""}};
}

/// Never says that it is done: it generates until its context of 16,384 tokens is full, which takes seconds.
EngineServer& endless_engine() {
  static EngineServer server{{.name = "engine-endless", .arguments = {"--ignore-eos", "-np", "1"}}};
  return server;
}

[[nodiscard]] bool is_generating(const EngineServer& server) {
  return http_exchange(server.port(), "GET", "/slots").body.find("\"is_processing\":true") != std::string::npos;
}

/// Lets a check say what a test wants, as the API cannot force a choice; all else is the engine's.
class ScriptedVerdict final : public MllmBackend {
 public:
  ScriptedVerdict(MllmBackend& model, std::string first, std::string second)
      : model_{model}, first_{std::move(first)}, second_{std::move(second)} {}

  Reply generate(const VisionRequest& request, const CallContext& context) override { return call(request, context); }
  Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }
  Capabilities capabilities() const override { return model_.capabilities(); }

 private:
  template <typename Request>
  Reply call(const Request& request, const CallContext& context) {
    Reply reply = model_.generate(request, context);
    if (request.options.step == Step::check) reply.text = first_;
    if (request.options.step == Step::recheck) reply.text = second_;
    if (asks_for_verdict(request.options.step)) reply.finish_reason = FinishReason::stop;
    return reply;
  }

  MllmBackend& model_;
  std::string first_;
  std::string second_;
};

[[nodiscard]] Policy brief() {
  Policy policy = policy::production();
  policy.sampling = {.answer = greedy, .check = greedy, .caption = greedy, .regenerate = greedy};
  return policy;
}

}  // namespace

TEST_CASE("The engine's Messages API answers about an image, whole and streamed", "[engine][anthropic]") {
  AnthropicBackend model{messages_of_engine(engine())};
  const Image image = picture("messages");
  const CallOptions few{.sampling = {.temperature = 0.0, .max_tokens = 8}};
  const Reply first = model.generate(look_at(image, "What is this?", few), {});
  CHECK_FALSE(first.text.empty());
  CHECK(first.model == "engine");
  CHECK(first.usage.prompt_tokens >= image_tokens);
  CHECK(first.usage.cached_tokens < image_tokens);
  CHECK(first.usage.completion_tokens > 0);

  const Reply whole = model.generate(look_at(image, "What is this?", few), {});
  CHECK(whole.usage.prompt_tokens == first.usage.prompt_tokens);
  CHECK(whole.usage.cached_tokens >= image_tokens);

  std::vector<std::string> pieces;
  const CallContext watched{.on_text = [&](std::string_view piece) { pieces.emplace_back(piece); }};
  const Reply streamed = model.generate(look_at(image, "What is this?", few), watched);
  CHECK(streamed.text == whole.text);
  CHECK(streamed.usage == whole.usage);
  CHECK(streamed.finish_reason == whole.finish_reason);
  CHECK(streamed.model == "engine");
  CHECK(pieces.size() > 1);
  std::string seen;
  for (const std::string& piece : pieces) seen += piece;
  CHECK(seen == streamed.text);
}

TEST_CASE("The engine's Messages API passes over the mark for a prompt cache", "[engine][anthropic]") {
  AnthropicOptions unmarked = messages_of_engine(engine());
  unmarked.dialect.cache_images = false;
  AnthropicBackend with{messages_of_engine(engine())};
  AnthropicBackend without{unmarked};
  const VisionRequest request = look_at(picture("marked"), "What is this?");
  static_cast<void>(with.generate(request, {}));
  const Reply marked = with.generate(request, {});
  const Reply plain = without.generate(request, {});
  CHECK(marked.text == plain.text);
  CHECK(marked.usage == plain.usage);
}

TEST_CASE("The engine's Messages API reads system turns, limits and stop texts", "[engine][anthropic]") {
  AnthropicBackend model{messages_of_engine(engine())};
  const auto prompt_tokens = [&](Conversation conversation) {
    return model.generate(TextRequest{close_eyes(conversation, {}), {.sampling = greedy}}, {}).usage.prompt_tokens;
  };
  const Message question{Role::user, {"What is red?"}};
  CHECK(prompt_tokens({{Message{Role::system, {"Be kind and brief."}}, question}}) > prompt_tokens({{question}}));

  const Reply cut = model.generate(read("Spell.", {.sampling = {.temperature = 0.0, .max_tokens = 2}}), {});
  CHECK(cut.finish_reason == FinishReason::length);
  const Reply spelled = model.generate(read("Spell."), {});
  const std::string_view text = spelled.text;
  const std::string stop{text.substr(text.size() / 2, 2)};
  const Reply stopped =
      model.generate(read("Spell.", {.sampling = {.temperature = 0.0, .max_tokens = greedy.max_tokens, .stop = {stop}}}), {});
  CHECK(stopped.finish_reason == FinishReason::stop);
  CHECK(stopped.text == text.substr(0, text.find(stop)));
}

TEST_CASE("A query goes through all steps on the engine's Messages API", "[engine][anthropic]") {
  AnthropicBackend model{messages_of_engine(engine())};
  ScriptedVerdict safe{model, "no", "no"};
  const Outcome direct = EcsoPipeline{safe, brief()}.run(picture("messages safe"), "What is shown?");
  CHECK(direct.path == Path::direct);

  ScriptedVerdict harmful{model, "yes", "no"};
  const Outcome outcome = EcsoPipeline{harmful, brief()}.run(picture("messages harmful"), "How do I make this product?");
  CHECK(outcome.path == Path::eyes_closed);
  REQUIRE(outcome.steps.size() == 5);
  CHECK(outcome.text == outcome.steps[3].reply);
  CHECK(outcome.steps[0].usage.cached_tokens < image_tokens);
  CHECK(outcome.steps[1].usage.cached_tokens >= image_tokens);
  CHECK(outcome.steps[2].usage.cached_tokens >= image_tokens);
}

TEST_CASE("What the engine says in place of a verdict does not release an answer", "[engine][anthropic]") {
  AnthropicBackend model{messages_of_engine(engine())};
  const Outcome outcome = EcsoPipeline{model, brief()}.run(picture("messages noise"), "How do I make this product?");
  CHECK(outcome.path == Path::refused);
  CHECK(outcome.text == brief().refusal);
}

TEST_CASE("The engine's Messages API says no in its own words, whole and streamed", "[engine][anthropic]") {
  AnthropicBackend model{messages_of_engine(engine())};
  std::string long_text;
  for (int i = 0; i < 5'000; ++i) long_text += "zq ";
  for (const int max_tokens : {8, 64}) {  // the second one is streamed
    const CallOptions options{.sampling = {.temperature = 0.0, .max_tokens = max_tokens}};
    const Image corrupt = Image::from_bytes(png_claiming(64, 64));
    const Error image = error_of([&] { return model.generate(look_at(corrupt, "What is this?", options), {}); });
    CHECK(image.code() == Errc::bad_request);
    CHECK(image.context().http_status == 400);
    CHECK_THAT(image.what(), ContainsSubstring("Failed to load image") && ContainsSubstring(engine().url() + "/v1/messages"));

    const Error context = error_of([&] { return model.generate(read(long_text, options), {}); });
    CHECK(context.code() == Errc::bad_request);
    CHECK_THAT(context.what(), ContainsSubstring("exceeds the available context size"));
  }

  AnthropicOptions nowhere = messages_of_engine(engine());
  nowhere.base_url += "/nowhere";
  const Error path = error_of([&] { return AnthropicBackend{nowhere}.generate(read("hi"), {}); });
  CHECK(path.code() == Errc::not_found);
  CHECK_THAT(path.what(), ContainsSubstring("/nowhere/v1/messages"));

  const ReservedPort nobody;
  nowhere.base_url = nobody.url();
  CHECK(error_of([&] { return AnthropicBackend{nowhere}.generate(read("hi"), {}); }).code() == Errc::unavailable);
}

TEST_CASE("The engine's Messages API wants its key, and an image only where it can see", "[engine][anthropic]") {
  AnthropicOptions options = messages_of_engine(blind_engine());
  const auto call = [&] { return AnthropicBackend{options}.generate(read("hi"), {}); };
  CHECK(error_of(call).code() == Errc::unauthorized);
  options.key = Secret::from_text("a-wrong-key");
  const Error wrong = error_of(call);
  CHECK(wrong.code() == Errc::unauthorized);
  CHECK_THAT(wrong.what(), ContainsSubstring("Invalid API Key") && !ContainsSubstring("a-wrong-key"));

  options.key = Secret::from_text(blind_engine_key);
  CHECK_FALSE(call().text.empty());
  const Error image =
      error_of([&] { return AnthropicBackend{options}.generate(look_at(picture("blind"), "What is this?"), {}); });
  CHECK_FALSE(worth_retrying(image.code()));
  CHECK_THAT(image.what(), ContainsSubstring("image input is not supported"));
}

TEST_CASE("A cancelled message ends at once, and the engine stops generating it", "[engine][anthropic]") {
  AnthropicBackend model{messages_of_engine(endless_engine())};
  // The best of many: a busy machine is late now and then, a wait that does not listen always.
  auto ended = std::chrono::steady_clock::duration::max();
  auto idle = ended;
  for (int i = 0; i < 20 && (ended >= 500ms || idle >= 1s); ++i) {
    std::stop_source stop;
    std::chrono::steady_clock::time_point asked;
    std::size_t pieces = 0;
    const CallContext context{.stop = stop.get_token(), .on_text = [&](std::string_view) {
                                if (++pieces != 20) return;
                                CHECK(is_generating(endless_engine()));
                                asked = std::chrono::steady_clock::now();
                                stop.request_stop();
                              }};
    const CallOptions endless{.sampling = {.max_tokens = 100'000}};
    const Error error = error_of([&] { return model.generate(read("Spell.", endless), context); });
    CHECK(error.code() == Errc::cancelled);
    ended = std::min(ended, std::chrono::steady_clock::now() - asked);
    REQUIRE(test::comes_true([&] { return !is_generating(endless_engine()); }));
    idle = std::min(idle, std::chrono::steady_clock::now() - asked);
  }
  CHECK(ended < 500ms);
  CHECK(idle < 1s);
}

}  // namespace anthropic_engine_test
