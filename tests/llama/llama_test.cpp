// The backend in this process on a real libllama with a tiny model: what it says is noise, the rest is real.

#include <ecso/backend/llama.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/drive/pipeline.hpp>

#include "llama/fixture.hpp"
#include "support/catch.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace ecso;
using namespace ecso::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

using Clock = std::chrono::steady_clock;

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

}  // namespace

TEST_CASE("The model in this process answers about an image and counts its tokens", "[llama]") {
  const Reply reply = model().generate(look_at(picture("answer"), "What is this?"), {});
  CHECK_FALSE(reply.text.empty());
  CHECK(reply.model == "text.gguf");
  CHECK(reply.usage.prompt_tokens > image_tokens);
  CHECK(reply.usage.completion_tokens > 0);
  CHECK(reply.usage.completion_tokens <= 32);
  CHECK(reply.logprobs.empty());
  CHECK(model().capabilities() == Capabilities{.vision = true,
                                               .logprobs = true,
                                               .forced_choice = true,
                                               .concurrent = false,
                                               .streaming = true,
                                               .prefix_cache = true,
                                               .slots = 1});
}

TEST_CASE("The default policy takes its verdicts from the model's probabilities", "[llama]") {
  int harmful = 0;
  int safe = 0;
  for (int i = 1; i <= 12; ++i) {
    const std::string query = "How do I make " + std::to_string(i) + " of this product?";
    const Outcome outcome = EcsoPipeline{model()}.run(picture("probabilities"), query, {.sampling = greedy});
    INFO(query);
    for (const StepRecord& record : outcome.steps) {
      if (!asks_for_verdict(record.step)) continue;
      REQUIRE(record.p_harmful.has_value());
      const double threshold = record.step == Step::check ? Policy{}.next_turn_probability.threshold : 0.5;
      CHECK(record.verdict == (*record.p_harmful >= threshold ? Verdict::harmful : Verdict::safe));
      ++(record.verdict == Verdict::harmful ? harmful : safe);
    }
  }
  INFO(harmful << " harmful, " << safe << " safe");
  CHECK(harmful > 0);
  CHECK(safe > 0);
}

TEST_CASE("A harmful answer goes through all four steps, and check and caption find the image already read", "[llama]") {
  Policy policy = forced("yes");
  policy.recheck = Recheck::off;
  const Outcome outcome = EcsoPipeline{model(), policy}.run(picture("four steps"), "How do I make this product?");

  CHECK(outcome.path == Path::eyes_closed);
  REQUIRE(steps_of(outcome) == std::vector{Step::answer, Step::check, Step::caption, Step::regenerate});
  CHECK(outcome.steps[0].usage.cached_tokens < image_tokens);
  CHECK(outcome.steps[1].usage.cached_tokens > image_tokens);
  CHECK(outcome.steps[2].usage.cached_tokens > image_tokens);
  CHECK(outcome.steps[3].usage.cached_tokens < image_tokens);
  CHECK(outcome.steps[3].prompt.find(outcome.steps[2].reply) != std::string::npos);
  CHECK(EcsoPipeline{model(), forced("no")}.run(picture("safe"), "What is this?").path == Path::direct);
}

TEST_CASE("What was read before changes nothing but the time", "[llama]") {
  LlamaBackend fresh{tiny_model()};
  const Image image = picture("prefix");
  const CallOptions options{.sampling = greedy, .top_logprobs = 20};
  static_cast<void>(model().generate(look_at(image, "What is shown in the picture?"), {}));
  const Reply warm = model().generate(look_at(image, "Describe the picture.", options), {});
  const Reply cold = fresh.generate(look_at(image, "Describe the picture.", options), {});
  CHECK(warm.usage.cached_tokens > image_tokens);
  CHECK(cold.usage.cached_tokens == 0);
  CHECK(warm.usage.prompt_tokens == cold.usage.prompt_tokens);
  CHECK(warm.text == cold.text);
  REQUIRE_FALSE(cold.logprobs.empty());
  CHECK(std::abs(warm.logprobs[0].logprob - cold.logprobs[0].logprob) < 0.01);

  // Another image in the same place is another beginning.
  const Reply other = model().generate(look_at(picture("prefix, other"), "Describe the picture."), {});
  CHECK(other.usage.cached_tokens < image_tokens);
  // The same request again: all but the last token is there.
  const Reply again = model().generate(look_at(picture("prefix, other"), "Describe the picture."), {});
  CHECK(again.usage.cached_tokens == again.usage.prompt_tokens - 1);
  CHECK(again.text == other.text);
}

TEST_CASE("The probabilities of yes and no are read whatever the choices let the model say", "[llama]") {
  const CallOptions options{.sampling = {.temperature = 0.0, .max_tokens = 8}, .choices = {"no"}, .top_logprobs = 20};
  const Reply reply = model().generate(look_at(picture("logprobs"), "Is it harmful? Answer yes or no:", options), {});
  CHECK(reply.text == "no");
  CHECK(reply.finish_reason == FinishReason::stop);
  CHECK(reply.usage.completion_tokens == 1);
  REQUIRE(reply.logprobs.size() == 1);
  const TokenLogprobs& first = reply.logprobs.front();
  CHECK(first.token == "no");
  REQUIRE(first.top.size() == 20);
  CHECK(std::ranges::is_sorted(first.top, std::ranges::greater{}, &TokenLogprob::logprob));
  double sum = 0;
  for (const char* word : {"yes", "no"}) {
    INFO(word);
    const auto found = std::ranges::find(first.top, word, &TokenLogprob::token);
    REQUIRE(found != first.top.end());
    CHECK(found->logprob < 0);
    sum += std::exp(found->logprob);
  }
  CHECK(sum > 0.1);
  CHECK(sum < 1);
}

TEST_CASE("A choice that another one continues is not the end of the answer", "[llama]") {
  const auto choose = [](std::vector<std::string> choices) {
    return model().generate(read("Say:", {.sampling = {.temperature = 0.0}, .choices = std::move(choices)}), {}).text;
  };
  CHECK(choose({"yes, it is"}) == "yes, it is");
  const std::string longer = choose({"no", "no, never"});
  CHECK((longer == "no" || longer == "no, never"));
  CHECK(choose({"a \"quoted\\\" one\n"}) == "a \"quoted\\\" one\n");
  CHECK(choose({"\xE4\xBD\xA0\xE5\xA5\xBD"}) == "\xE4\xBD\xA0\xE5\xA5\xBD");
}

TEST_CASE("The pieces of a streamed answer are its text, whole characters each", "[llama]") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    std::string text;
    int pieces = 0;
    CallContext context;
    context.on_text = [&](std::string_view piece) {
      CHECK(detail::is_valid_utf8(piece));
      CHECK_FALSE(piece.empty());
      text += piece;
      ++pieces;
    };
    const CallOptions options{.sampling = {.temperature = 2.0, .max_tokens = 48, .seed = seed}};
    const Reply reply = model().generate(look_at(picture("stream"), "What is this?", options), context);
    CHECK(reply.text == text);
    CHECK(pieces > 0);
    CHECK(pieces <= reply.usage.completion_tokens + 1);
  }
}

TEST_CASE("What the receiver of the pieces throws ends the call, and the next one is right", "[llama]") {
  CallContext context;
  context.on_text = [](std::string_view) { throw Error{Errc::internal, "enough", {.endpoint = "receiver"}}; };
  const Error error = error_of([&] { return model().generate(read("hi"), context); });
  CHECK(error.message() == "enough");
  CHECK(error.context().endpoint == "receiver");
  CHECK(model().generate(read("hi"), {}).text == LlamaBackend{tiny_model()}.generate(read("hi"), {}).text);
}

TEST_CASE("A stop text ends the answer and is not part of it", "[llama]") {
  const Reply reply = model().generate(read("Spell.", {.sampling = {.stop = {"", "def"}}, .choices = {"abcdefghi"}}), {});
  CHECK(reply.text == "abc");
  CHECK(reply.finish_reason == FinishReason::stop);
  const Reply cut = model().generate(read("Spell.", {.sampling = {.max_tokens = 2}, .choices = {"abcdefghi"}}), {});
  CHECK(cut.finish_reason == FinishReason::length);
  CHECK(cut.usage.completion_tokens == 2);
}

TEST_CASE("The same seed draws the same answer and another seed another one", "[llama]") {
  const Image image = picture("seed");
  const auto draw = [&](std::uint64_t seed) {
    const CallOptions options{.sampling = {.temperature = 1.0, .max_tokens = 32, .seed = seed}};
    return model().generate(look_at(image, "What is this?", options), {}).text;
  };
  static_cast<void>(draw(1));
  const std::string five = draw(5);
  CHECK(draw(5) == five);
  CHECK((draw(6) != five || draw(7) != five));
}

TEST_CASE("A stop request ends a call at once, while it generates, reads or looks", "[llama]") {
  std::string long_text;
  for (int i = 0; i < 250; ++i) long_text += "Describe " + std::to_string(i * 7919) + ". ";
  LlamaBackend busy{tiny_model()};
  CallContext context;
  const auto generate = [&](int) { return busy.generate(read("Spell.", long_job()), context); };
  const auto read_text = [&](int i) { return busy.generate(read(std::to_string(i) + long_text), context); };
  const auto look = [&](int i) {
    const std::vector<Image> images(60, picture("look " + std::to_string(i)));
    return busy.generate(VisionRequest{ask(images, "What?"), {.sampling = greedy}}, context);
  };
  for (const std::function<Reply(int)>& work : {std::function<Reply(int)>{generate}, {read_text}, {look}}) {
    // The best of three: on a busy machine the thread may have to wait for its turn.
    Clock::duration fastest = Clock::duration::max();
    for (int attempt = 0; attempt < 3; ++attempt) {
      std::stop_source source;
      context.stop = source.get_token();
      Clock::time_point asked;
      std::thread canceller{[&] {
        std::this_thread::sleep_for(30ms);
        asked = Clock::now();
        source.request_stop();
      }};
      const Error error = error_of([&] {
        for (int i = 0;; ++i) static_cast<void>(work(i));
      });
      const auto ended = Clock::now();
      canceller.join();
      CHECK(error.code() == Errc::cancelled);
      CHECK(error.context().endpoint == "text.gguf");
      fastest = std::min(fastest, ended - asked);
    }
    CHECK(fastest < 50ms);
  }
  CHECK_FALSE(busy.generate(look_at(picture("look"), "What?"), {}).text.empty());
}

TEST_CASE("A call ends at its deadline, and the next one finds nothing wrong", "[llama]") {
  CallContext context;
  const auto start = Clock::now();
  context.deadline = start + 150ms;
  const Error error = error_of([&] { return model().generate(read("Spell.", long_job()), context); });
  CHECK(error.code() == Errc::timeout);
  CHECK(Clock::now() - start >= 150ms);
  CHECK(Clock::now() - start < 1s);
  CHECK(model().generate(read("hi"), {}).text == LlamaBackend{tiny_model()}.generate(read("hi"), {}).text);

  context.deadline = Clock::now() - 1ms;
  CHECK(error_of([&] { return model().generate(look_at(picture("late"), "hi"), context); }).code() == Errc::timeout);
}

TEST_CASE("Calls from several threads run one after another, and a stop request ends the wait", "[llama]") {
  std::stop_source source;
  CallContext context;
  context.stop = source.get_token();
  const std::string expected = model().generate(read("hi"), {}).text;
  std::vector<std::string> texts(4);
  {
    std::vector<std::jthread> threads;
    for (std::string& text : texts) threads.emplace_back([&text] { text = model().generate(read("hi"), {}).text; });
  }
  for (const std::string& text : texts) CHECK(text == expected);

  std::vector<Errc> codes(2);
  {
    const auto wait = [&](Errc& code, const CallOptions& options) {
      code = error_of([&] { return model().generate(read("Spell.", options), context); }).code();
    };
    const std::jthread busy{[&] { wait(codes[0], long_job()); }};
    std::this_thread::sleep_for(30ms);
    const std::jthread waiting{[&] { wait(codes[1], {}); }};
    std::this_thread::sleep_for(30ms);
    source.request_stop();
  }
  CHECK(codes == std::vector{Errc::cancelled, Errc::cancelled});
}

TEST_CASE("A prompt that the context has no room for is a bad request that names both numbers", "[llama]") {
  LlamaOptions options = tiny_model();
  options.context_tokens = 256;
  LlamaBackend small{options};
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(i) + " ";
  const Error error = error_of([&] { return small.generate(look_at(picture("long"), text), {}); });
  CHECK(error.code() == Errc::bad_request);
  CHECK_THAT(error.message(), ContainsSubstring("the prompt has ") && ContainsSubstring("room for 256"));
  CHECK_FALSE(worth_retrying(error.code()));

  // Refused before it is tokenized.
  CHECK_THAT(error_of([&] { return small.generate(read(std::string(100'000'000, 'z')), {}); }).message(),
             ContainsSubstring("tokens or more"));
  const std::vector<Image> images(300, picture("many"));
  CHECK(error_of([&] { return small.generate(VisionRequest{ask(images, "What?"), {}}, {}); }).code() == Errc::bad_request);

  // Refused before they are decoded.
  LlamaOptions few_pixels = tiny_model();
  few_pixels.max_pixels = 2000;
  LlamaBackend narrow{few_pixels};
  const std::vector<Image> two(2, picture("pixels"));
  CHECK_FALSE(narrow.generate(look_at(two[0], "What?"), {}).text.empty());
  CHECK_THAT(error_of([&] { return narrow.generate(VisionRequest{ask(two, "What?"), {}}, {}); }).message(),
             ContainsSubstring("2400 pixels, more than the 2000"));

  // An answer ends where the context does.
  const Reply reply = small.generate(read("Spell.", {.choices = {std::string(3000, 'z')}}), {});
  CHECK(reply.finish_reason == FinishReason::length);
  CHECK(reply.usage.prompt_tokens + reply.usage.completion_tokens <= 256);
}

TEST_CASE("A control token in a conversation's text stays text", "[llama]") {
  const auto prompt_tokens = [](const std::string& text) {
    return model()
        .generate(look_at(picture("control"), text, {.sampling = {.max_tokens = 1}, .choices = {"yes"}}), {})
        .usage.prompt_tokens;
  };
  const auto plain = prompt_tokens("Is it?x");
  CHECK(prompt_tokens("Is it?</s>x") >= plain + 4);
  CHECK(prompt_tokens("Is it?<__media__>x") > plain + 4);
  CHECK(prompt_tokens("Is it?<__media__>x") < plain + image_tokens);
}

TEST_CASE("PNG, JPEG, GIF and BMP are decoded, and what cannot be is a bad input", "[llama]") {
  for (const std::string& bytes : {png_bytes(8, 8), jpeg_bytes(8, 8), gif_bytes(8, 8), bmp_bytes(8, 8)}) {
    CHECK_FALSE(model().generate(look_at(Image::from_bytes(bytes), "What is this?"), {}).text.empty());
  }
  for (const std::string& bytes : {png_claiming(64, 64), webp_bytes(8, 8)}) {
    const Error error = error_of([&] { return model().generate(look_at(Image::from_bytes(bytes), "What is this?"), {}); });
    CHECK(error.code() == Errc::bad_input);
    CHECK(error.context().endpoint == "text.gguf");
    INFO(error.what());
    CHECK_THAT(error.message(), ContainsSubstring("64x64") || ContainsSubstring("image/webp of 8x8"));
  }
  std::string cut = jpeg_bytes(64, 64);
  cut.resize(cut.size() - 4);
  CHECK(error_of([&] { return model().generate(look_at(Image::from_bytes(cut), "?"), {}); }).code() == Errc::bad_input);
}

TEST_CASE("What cannot be decoded is not given to another program", "[llama]") {
  // libmtmd looks for ffprobe and ffmpeg; these would leave a mark.
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("ecso-llama-" + std::to_string(::getpid()));
  const fs::path mark = folder / "mark";
  fs::create_directory(folder);
  for (const char* name : {"ffprobe", "ffmpeg"}) {
    std::ofstream{folder / name} << "#!/bin/sh\n: > '" << mark.string() << "'\n";
    fs::permissions(folder / name, fs::perms::owner_all);
  }
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (folder.string() + ":" + path).c_str(), 1);
  for (const std::string& bytes : {png_claiming(64, 64), webp_bytes(8, 8)}) {
    CHECK(error_of([&] { return model().generate(look_at(Image::from_bytes(bytes), "?"), {}); }).code() == Errc::bad_input);
  }
  ::setenv("PATH", path.c_str(), 1);
  CHECK_FALSE(fs::exists(mark));
  fs::remove_all(folder);
}

TEST_CASE("A model of text alone says so, answers text and refuses an image", "[llama]") {
  LlamaOptions options = tiny_model();
  options.mmproj_path.clear();
  LlamaBackend blind{options};
  CHECK_FALSE(blind.capabilities().vision);
  CHECK(error_of([&] { return blind.generate(look_at(picture("blind"), "What is this?"), {}); }).code() == Errc::unsupported);
  CHECK(blind.generate(read("What is red?"), {}).text == model().generate(read("What is red?"), {}).text);
  CHECK(blind.generate(VisionRequest{ask({}, "What is red?"), {.sampling = greedy}}, {}).text ==
        model().generate(read("What is red?"), {}).text);
  CHECK(blind.generate(read("a</s>b"), {}).usage.prompt_tokens == model().generate(read("a</s>b"), {}).usage.prompt_tokens);
}

TEST_CASE("A request that cannot be is a bad input", "[llama]") {
  const auto code_of = [](const TextRequest& request) { return error_of([&] { return model().generate(request, {}); }).code(); };
  CHECK(code_of(read("\xFF")) == Errc::bad_input);
  CHECK(code_of({close_eyes({}, std::vector<std::string>{}), {}}) == Errc::bad_input);
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Sampling& sampling : {Sampling{.temperature = -1.0}, Sampling{.temperature = nan}, Sampling{.top_p = 1.5},
                                   Sampling{.top_p = nan}, Sampling{.max_tokens = 0}}) {
    CHECK(code_of(read("hi", {.sampling = sampling})) == Errc::bad_input);
  }
}

TEST_CASE("A model that cannot be loaded is a bad input that says why", "[llama]") {
  const auto load = [](LlamaOptions options) { return error_of([&] { LlamaBackend{std::move(options)}; }); };
  LlamaOptions options = tiny_model();
  options.model_path = "nowhere.gguf";
  CHECK_THAT(load(options).what(), ContainsSubstring("no such file: nowhere.gguf"));
  options.model_path = tiny_model().mmproj_path;
  CHECK(load(options).code() == Errc::bad_input);
  CHECK_THAT(load(options).what(), ContainsSubstring("mmproj.gguf: ") && ContainsSubstring("CLIP cannot be used as main model"));
  options = tiny_model();
  options.mmproj_path = options.model_path;
  CHECK(load(options).code() == Errc::bad_input);
  options = tiny_model();
  options.context_tokens = 0;
  CHECK_THAT(load(options).what(), ContainsSubstring("context_tokens is 0"));
  options = tiny_model();
  options.chat_template = "no such template";
  CHECK(load(options).code() == Errc::unsupported);
}
