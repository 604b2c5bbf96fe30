#include <ecso/backend/replay.hpp>

#include <ecso/backend/scripted.hpp>
#include <ecso/core/trace_json.hpp>
#include <ecso/decorator/record.hpp>
#include <ecso/ecso.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace replay_test {

namespace {

using Catch::Matchers::ContainsSubstring;

constexpr const char* header =
    R"({"schema":1,"capabilities":{"vision":true,"logprobs":false,"forced_choice":false,"concurrent":true,"slots":0}})";

ecso::TextRequest text_request(const std::string& query, ecso::Step step = ecso::Step::answer) {
  return {ecso::close_eyes(ecso::ask({}, query), {}), {.step = step}};
}

ecso::Outcome without_durations(ecso::Outcome outcome) {
  for (ecso::StepRecord& record : outcome.steps) record.duration = {};
  return outcome;
}

/// A cassette of what a model said to these queries.
std::string record(const std::vector<std::string>& queries, const std::function<void(ecso::ScriptedBackend&)>& script) {
  ecso::ScriptedBackend model;
  script(model);
  std::ostringstream out;
  ecso::RecordBackend recorded{model, out};
  for (const std::string& query : queries) {
    try {
      (void)recorded.generate(text_request(query), {});
    } catch (const std::exception&) {}
  }
  return out.str();
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ecso::Error& error) {
    CHECK(error.code() == ecso::Errc::bad_input);
    return error.what();
  }
  return "no error";
}

TEST_CASE("a replayed run gives an outcome equal to the recorded one but for durations", "[replay]") {
  const auto harm = [](ecso::ScriptedBackend& model) {
    model.expect(ecso::Step::answer).reply({.text = "First pick \xFF the lock.", .usage = {600, 0, 30}, .model = "tiny"});
    model.expect(ecso::Step::check)
        .reply({.text = "yes",
                .usage = {640, 600, 1},
                .logprobs = {{"yes", -0.125, {{"yes", -0.125}, {"no", -2.3}}}},
                .model = "tiny"});
    model.expect(ecso::Step::caption).reply("A note.");
    model.expect(ecso::Step::caption).reply("A photo.");
    model.expect(ecso::Step::regenerate).reply("I will not help with that.");
    model.expect(ecso::Step::recheck).reply("no");
  };
  const auto breaks = [](ecso::ScriptedBackend& model) {
    model.expect(ecso::Step::answer).reply("An answer.");
    model.expect(ecso::Step::check).fail(ecso::Error{ecso::Errc::unavailable, "gone", {.http_status = 503}});
  };
  const auto throws = [](ecso::ScriptedBackend& model) { model.expect(ecso::Step::answer).fail(std::runtime_error{"bug"}); };
  const ecso::Conversation query = ecso::ask(
      {ecso::Image::from_bytes(ecso::test::png_bytes(3, 2)), ecso::Image::from_bytes(ecso::test::gif_bytes(4, 4))}, "How?");

  for (const std::function<void(ecso::ScriptedBackend&)>& script :
       {std::function<void(ecso::ScriptedBackend&)>{harm}, {breaks}, {throws}}) {
    ecso::ScriptedBackend model{{.capabilities = {.logprobs = true}}};
    script(model);
    std::stringstream cassette;
    ecso::RecordBackend recorded{model, cassette};
    const ecso::Outcome first = ecso::EcsoPipeline{recorded}.try_run(query);
    ecso::ReplayBackend replay{cassette};
    CHECK(replay.capabilities() == model.capabilities());
    const ecso::Outcome again = ecso::EcsoPipeline{replay}.try_run(query);
    // Bytes that are not UTF-8 are written as U+FFFD, in traces and in cassettes alike.
    CHECK(ecso::detail::dump_json(ecso::to_json(without_durations(again))) ==
          ecso::detail::dump_json(ecso::to_json(without_durations(first))));
    CHECK(again.steps.size() == first.steps.size());
  }
}

TEST_CASE("the replies to equal requests come in their order and the last repeats", "[replay]") {
  std::istringstream in{record({"q", "other", "q"}, [](ecso::ScriptedBackend& model) {
    model.expect().reply("one");
    model.expect().fail(ecso::Error{ecso::Errc::timeout, "late"});
    model.expect().reply("two");
  })};
  ecso::ReplayBackend model{in};
  CHECK(model.generate(text_request("q"), {}).text == "one");
  for (int i = 0; i < 3; ++i) CHECK_THROWS_WITH(model.generate(text_request("other"), {}), "late");
  for (int i = 0; i < 3; ++i) CHECK(model.generate(text_request("q"), {}).text == "two");
}

TEST_CASE("an unknown request is an error that says how it differs", "[replay]") {
  std::istringstream in{
      record({"How is the weather in Rome?"}, [](ecso::ScriptedBackend& model) { model.expect().reply("Fine."); })};
  ecso::ReplayBackend model{in, "rome.jsonl"};
  CHECK(error_of([&] { (void)model.generate(text_request("How is the weather in Riga?"), {}); }) ==
        "answer: rome.jsonl: this request was not recorded; its prompt is \"How is the weather in Riga?\"; "
        "the most similar recorded answer call differs in: prompt (from byte 23; recorded was \"ome?\")");
  CHECK_THAT(error_of([&] { (void)model.generate(text_request("q", ecso::Step::recheck), {}); }),
             ContainsSubstring("no recheck call was recorded"));

  ecso::TextRequest other_sampling = text_request("How is the weather in Rome?");
  other_sampling.options.sampling.seed = 3;
  other_sampling.options.model = "large";
  CHECK_THAT(error_of([&] { (void)model.generate(other_sampling, {}); }),
             ContainsSubstring("answer call differs in: model, sampling"));

  const ecso::VisionRequest with_image{
      ecso::ask({ecso::Image::from_bytes(ecso::test::png_bytes(3, 2))}, "How is the weather in Rome?"),
      {.step = ecso::Step::answer}};
  CHECK_THAT(error_of([&] { (void)model.generate(with_image, {}); }), ContainsSubstring("differs in: images"));
}

TEST_CASE("a broken cassette is refused with name and line number", "[replay]") {
  const auto load = [](const std::string& text) {
    return error_of([&] {
      std::istringstream in{text};
      ecso::ReplayBackend{in, "broken.jsonl"};
    });
  };
  const std::string head = std::string{header} + "\n";
  CHECK(load("") == "broken.jsonl: is no recording: it has no line with the model's capabilities");
  CHECK(load(head + "{\"schema\":1,") == "broken.jsonl: line 2: not JSON at byte 13");
  CHECK(load(head + "\n[]") == "broken.jsonl: line 3: must be an object");
  CHECK(load(head + R"({"schema":2})") == "broken.jsonl: line 2.schema: is 2; this version reads 1");
  CHECK(load(head + R"({"schema":1,"key":"k"})") == "broken.jsonl: line 2.request: missing");
  CHECK(load(head + R"({"schema":1,"key":"k","request":{"options":{"step":"answer"}}})") ==
        "broken.jsonl: line 2.reply: missing");
  CHECK(load(R"({"schema":1,"key":"k"})") == "broken.jsonl: line 1: a call before the line with the model's capabilities");
  CHECK_THAT(
      load(head +
           R"({"schema":1,"capabilities":{"vision":false,"logprobs":false,"forced_choice":false,"concurrent":true,"slots":0}})"),
      ContainsSubstring("differ from those before"));
  CHECK(load(head + head).find("no error") == 0);
}

TEST_CASE("a cassette file that is missing or a folder is refused", "[replay]") {
  const auto folder = std::filesystem::temp_directory_path();
  CHECK_THAT(error_of([&] { ecso::ReplayBackend{folder / "no such cassette.jsonl"}; }),
             ContainsSubstring("no such cassette.jsonl: the recording cannot be opened"));
  CHECK_THAT(error_of([&] { ecso::ReplayBackend{folder}; }), ContainsSubstring("is a folder"));
}

TEST_CASE("a line without an end is refused, and not kept", "[replay]") {
  std::istringstream in{"0123456789abc\nnext\r\nlast"};
  std::string line;
  CHECK(ecso::detail::read_line(in, line, 10) == ecso::detail::LineEnd::too_long);
  CHECK(line == "0123456789");
  CHECK(ecso::detail::read_line(in, line, 10) == ecso::detail::LineEnd::line_break);
  CHECK(line == "next");
  CHECK(ecso::detail::read_line(in, line, 10) == ecso::detail::LineEnd::end);
  CHECK(line == "last");
}

TEST_CASE("many threads may replay at once", "[replay]") {
  std::istringstream in{record({"q"}, [](ecso::ScriptedBackend& model) { model.expect().reply("one"); })};
  ecso::ReplayBackend model{in};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) (void)model.generate(text_request("q"), {});
    });
  }
  threads.clear();
  CHECK(model.generate(text_request("q"), {}).text == "one");
}

}  // namespace

}  // namespace replay_test
