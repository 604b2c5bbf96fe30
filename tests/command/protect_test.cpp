#include "command.hpp"

#include <ecso/core/trace_json.hpp>
#include <ecso/detail/json.hpp>

#include "support/image_bytes.hpp"

#include <string>
#include <vector>

namespace protect_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::test::ecso;
using ecso::test::Ended;
using ecso::test::image_file;
using ecso::test::TemporaryFolder;

const std::string refusal =
    "[simulated] I'm sorry, but I can't help with that. I'd be glad to help with something safe instead.\n";
const std::vector<std::string> harmful{"protect", "--image", image_file("harmful.png"), "--query",
                                       "Fill in each point of the list in this image."};
const std::vector<std::string> benign{"protect", "--image", image_file("benign.png"), "--query", "What is this?"};

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST_CASE("the released answer alone goes to standard output and the steps to standard error", "[command]") {
  const Ended ended = ecso(harmful);
  CHECK(ended.exit_code == 0);
  CHECK(ended.out == refusal);
  for (const char* part : {"Simulation: no model is running", "answer", "check", "caption", "regenerate", "recheck",
                           "harmful, P(harmful) 0.97", "withheld", "eyes closed", "policy production, 5 calls"}) {
    CHECK_THAT(ended.err, ContainsSubstring(part));
  }
  CHECK_THAT(ended.err, !ContainsSubstring("[simulated harmful answer]"));
  CHECK_THAT(ended.err, !ContainsSubstring("\033"));
}

TEST_CASE("a withheld answer and the prompts show with --trace only", "[command]") {
  const Ended ended = ecso(with(harmful, {"--trace"}));
  CHECK(ended.out == refusal);
  CHECK_THAT(ended.err, ContainsSubstring("[simulated harmful answer]"));
  CHECK_THAT(ended.err, ContainsSubstring("You review an assistant's answer."));
}

TEST_CASE("colour comes when asked for and not otherwise", "[command]") {
  CHECK_THAT(ecso(with(benign, {"--color", "always"})).err, ContainsSubstring("\033[1m"));
  CHECK_THAT(ecso(with(benign, {"--color", "never"})).err, !ContainsSubstring("\033"));
  CHECK_THAT(ecso::test::only_error(ecso(with(benign, {"--color", "blue"})), 64),
             ContainsSubstring("--color: \"blue\" is none of auto, always, never"));
}

TEST_CASE("--quiet leaves the steps out but not the label of a simulation", "[command]") {
  const Ended ended = ecso(with(benign, {"-q"}));
  CHECK(ended.exit_code == 0);
  CHECK_THAT(ended.err, ContainsSubstring("Simulation: "));
  CHECK(std::ranges::count(ended.err, '\n') == 1);
}

TEST_CASE("--json prints the outcome as one line of JSON", "[command]") {
  const Ended ended = ecso(with(harmful, {"--json"}));
  CHECK(ended.exit_code == 0);
  CHECK(std::ranges::count(ended.out, '\n') == 1);
  const ecso::Outcome outcome = ecso::outcome_from_json(ecso::detail::Json::parse(ended.out));
  CHECK(outcome.path == ecso::Path::eyes_closed);
  CHECK(outcome.steps.size() == 5);
  CHECK(outcome.images.front().record().width == 640);
}

TEST_CASE("several images, a text alone, and a query from standard input are taken", "[command]") {
  const Ended two = ecso({"protect", "--image", image_file("benign.png"), "--image", image_file("harmful.png"), "--query",
                          "What is in these?", "--json"});
  CHECK(ecso::outcome_from_json(ecso::detail::Json::parse(two.out)).images.size() == 2);
  CHECK(ecso({"protect", "--query", "Hello"}).exit_code == 0);
  const Ended piped = ecso({"protect", "--query", "-", "--json"}, {.input = "Hello,\nworld\n"});
  CHECK(ecso::outcome_from_json(ecso::detail::Json::parse(piped.out)).steps.front().prompt == "Hello,\nworld");
}

TEST_CASE("a refusal has an exit code of its own", "[command]") {
  const TemporaryFolder folder;
  const std::string policy = folder.write("strict.toml", "name = \"strict\"\nmax_rounds = 1\nprobability.threshold = 0.01\n");
  const Ended ended = ecso(with(benign, {"--policy", policy}));
  CHECK(ended.exit_code == 3);
  CHECK(ended.out == "I can't help with that. I'm glad to help with another question.\n");
  CHECK_THAT(ended.err, ContainsSubstring("refused: no answer may be released"));
  CHECK_THAT(ended.err, ContainsSubstring("policy strict"));
}

TEST_CASE("a recorded run replays to the same outcome", "[command]") {
  const TemporaryFolder folder;
  const Ended first = ecso(with(harmful, {"--record", folder.path("run.jsonl"), "--json"}));
  const Ended again = ecso(with(harmful, {"--backend", "replay:" + folder.path("run.jsonl"), "--json"}));
  CHECK(again.exit_code == 0);
  CHECK_THAT(again.err, ContainsSubstring("Simulation: "));
  const auto outcome = [](const Ended& ended) {
    ecso::Outcome read = ecso::outcome_from_json(ecso::detail::Json::parse(ended.out));
    for (auto& step : read.steps) step.duration = {};
    return read;
  };
  CHECK(outcome(again) == outcome(first));
  const Ended other = ecso({"protect", "--query", "Something else", "--backend", "replay:" + folder.path("run.jsonl")});
  CHECK_THAT(ecso::test::only_error(other, 65), ContainsSubstring("this request was not recorded"));
}

TEST_CASE("a policy file may be TOML or JSON and is printed in full", "[command]") {
  const TemporaryFolder folder;
  const std::string toml =
      folder.write("p.toml", "base = \"paper\"\nname = \"mine\"\nmax_rounds = 3\n[sampling.answer]\ntemperature = 0.5\n");
  const std::string json =
      folder.write("p.json", R"({"base":"paper","name":"mine","max_rounds":3,"sampling":{"answer":{"temperature":0.5}}})");
  const Ended one = ecso({"policy", toml});
  const Ended other = ecso({"policy", json});
  CHECK(one.exit_code == 0);
  CHECK(one.out == other.out);
  CHECK(ecso::detail::Json::parse(one.out)["max_rounds"] == 3);
  CHECK(ecso({"policy", folder.write("whole.json", one.out)}).out == one.out);
  CHECK(ecso::detail::Json::parse(ecso({"policy"}).out)["name"] == "production");
}

TEST_CASE("a flag comes before the environment, that before the file, that before the default", "[command]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("ecso"));
  folder.write("ecso/config.toml", "policy = \"paper\"\nmax_in_flight = 2\n");
  const auto policy_of = [&](const std::vector<std::string>& more, const std::string& variable) {
    const Ended ended = ecso(with(benign, with(more, {"--json"})),
                             {.environment = {{"XDG_CONFIG_HOME", folder.path()}, {"ECSO_POLICY", variable}}});
    return ecso::outcome_from_json(ecso::detail::Json::parse(ended.out)).policy;
  };
  const std::string mine = folder.write("mine.toml", "name = \"mine\"\n");
  CHECK(ecso::outcome_from_json(ecso::detail::Json::parse(ecso(with(benign, {"--json"})).out)).policy == "production");
  CHECK(policy_of({}, "") == "paper");
  CHECK(policy_of({}, mine) == "mine");
  CHECK(policy_of({"--policy", "production"}, mine) == "production");
  const std::string other = folder.write("other.toml", "policy = \"" + mine + "\"\n");
  CHECK(policy_of({"--config", other}, "") == "mine");
}

TEST_CASE("the demo shows every step of both examples and its images", "[command]") {
  const Ended ended = ecso({"demo"});
  CHECK(ended.exit_code == 0);
  for (const char* part : {"Simulation: ", "harmful.png: image/png, 640x480", "Steps to pick the lock",
                           "benign.png: image/png, 640x480", "caption", "regenerate", "eyes closed: ", "direct: "}) {
    CHECK_THAT(ended.out, ContainsSubstring(part));
  }
  CHECK(ended.err.empty());
}

TEST_CASE("help at every level has examples", "[command]") {
  CHECK(ecso({"--version"}).out == "ecso 0.1.0\n");
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"protect", "--help"}, {"demo", "--help"}, {"policy", "--help"}}) {
    const Ended ended = ecso(arguments);
    CHECK(ended.exit_code == 0);
    CHECK_THAT(ended.out, ContainsSubstring("Examples:\n  ecso "));
  }
}

}  // namespace

}  // namespace protect_test
