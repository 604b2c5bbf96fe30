#include "command.hpp"

#include <ecso/calibrate/policy_toml.hpp>
#include <ecso/core/policy_json.hpp>
#include <ecso/detail/json.hpp>

#include "ecso/files.hpp"
#include "support/raw_server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace calibrate_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::detail::Json;
using ecso::test::ecso;
using ecso::test::Ended;
using ecso::test::http_response;
using ecso::test::only_error;
using ecso::test::RawServer;
using ecso::test::TemporaryFolder;

/// A judge's reply to a request whose answer says what P(harmful) shall be: "p=0.37". Yes from a half on.
std::string judged(std::string_view body, bool has_logprobs = true) {
  const std::size_t at = body.find("p=0.");
  const double yes = at == std::string_view::npos ? 0.5 : std::stod(std::string{body.substr(at + 2, 4)});
  const std::string word = yes >= 0.5 ? "yes" : "no";
  Json reply{{"model", "judge"}, {"usage", {{"prompt_tokens", 1000}, {"completion_tokens", 1}}}};
  reply["usage"]["prompt_tokens_details"]["cached_tokens"] = 900;
  Json choice{{"message", {{"content", word}}}, {"finish_reason", "stop"}};
  const Json top =
      Json::array({{{"token", "yes"}, {"logprob", std::log(yes)}}, {{"token", "no"}, {"logprob", std::log(1 - yes)}}});
  if (has_logprobs)
    choice["logprobs"]["content"] =
        Json::array({{{"token", word}, {"logprob", std::log(std::max(yes, 1 - yes))}, {"top_logprobs", top}}});
  reply["choices"] = Json::array({choice});
  return http_response(200, reply.dump());
}

RawServer::Script judge(bool has_logprobs = true) {
  return [has_logprobs](RawServer::Connection& connection) {
    while (connection.read_request()) connection.send(judged(connection.last_body(), has_logprobs));
  };
}

std::string line(const std::string& id, double p, bool harmful) {
  const Json item{{"id", id}, {"query", "Why?"}, {"answer", fmt::format("Because p={:.2f} is so.", p)}, {"harmful", harmful}};
  return item.dump() + "\n";
}

/// Ten of each kind, parted by all of .3 to .45, but for one harmful below and one benign above.
std::string items() {
  std::string text;
  for (int i = 0; i < 10; ++i) text += line("h" + std::to_string(i), i == 0 ? 0.25 : 0.41 + i * 0.05, true);
  for (int i = 0; i < 10; ++i) text += line("b" + std::to_string(i), i == 0 ? 0.48 : 0.02 + i * 0.03, false);
  return text;
}

std::vector<std::string> calibrate(const RawServer& server, const std::string& data, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{
      "calibrate", "--backend", "openai:" + server.url(), "--dialect", "llama-server", "--data", data, "--attempts", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST_CASE("a calibration shows its figures and writes a policy that can be used", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge()};
  const std::string data = folder.write("items.jsonl", items());
  for (const auto& [form, rule] :
       {std::pair<std::string, std::string>{"quoted", "probability"}, {"next_turn", "next_turn_probability"}}) {
    const Ended ended = ecso(calibrate(server, data,
                                       {"--form", form, "--target-fpr", "0.1", "--in-sample", "--output", folder.path("p.toml"),
                                        "--html", folder.path("roc.html")}));
    INFO(ended.out << ended.err);
    REQUIRE(ended.exit_code == 0);
    CHECK_THAT(ended.out, ContainsSubstring("Form      " + form + ", model judge"));
    CHECK_THAT(ended.out, ContainsSubstring("Items     10 harmful, 10 benign"));
    CHECK_THAT(ended.out, ContainsSubstring("1.00 calls, 100 new and 900 cached prompt tokens"));
    CHECK_THAT(ended.out, ContainsSubstring("AUC       0.9"));
    CHECK_THAT(ended.out, ContainsSubstring("TPR 0.90 [0.60, 0.98], FPR 0.10 [0.02, 0.40]"));
    CHECK_THAT(ended.out, ContainsSubstring("Too few items to show an FPR of 0.1"));
    CHECK_THAT(ended.err, ContainsSubstring(form + ": 20 of 20 checked, 0 undecided, 0 failed"));
    CHECK_THAT(folder.read("roc.html"), ContainsSubstring("<svg") && ContainsSubstring("Benign, but flagged (1)"));

    CHECK_THAT(folder.read("p.toml"), ContainsSubstring("check_form = \"" + form + "\"\n"));
    const Ended shown = ecso({"policy", folder.path("p.toml")});
    REQUIRE(shown.exit_code == 0);
    const Json policy = Json::parse(shown.out);
    CHECK(policy["check_form"] == form);
    // Between the benign .29 and the harmful .46; the benign .48 is one of ten.
    const double threshold = policy[rule]["threshold"];
    CHECK((threshold > 0.33 && threshold < 0.42));
    CHECK(policy[rule]["margin"] == 0.02);
#if defined(ECSO_WITH_GATEWAY)
    const std::string config =
        folder.write("ecso.toml", "upstream = \"" + server.url() +
                                      "/v1\"\ndialect = \"plain\"\npolicy = \"mine\"\n[policies.mine]\n" + folder.read("p.toml"));
    const Ended checked = ecso({"serve", "--check", "--config", config});
    INFO(checked.out << checked.err);
    CHECK(checked.exit_code == 0);
    CHECK_THAT(checked.out + checked.err, ContainsSubstring("mine"));
#endif
  }
}

TEST_CASE("a policy comes back from its TOML equal to itself, but for the name of one that comes with ecso",
          "[command][calibrate]") {
  ::ecso::Policy own = ::ecso::policy::production(::ecso::Language::chinese);
  own.name = "mine \"quoted\"";
  own.prompts.check = ::ecso::CheckPrompt{"Tab\t, quote \", backslash \\, line\n{query}\x7F{response}中文"};
  own.check_form = ::ecso::CheckForm::next_turn;
  own.next_turn_probability = {.threshold = 0.1 + 0.2, .margin = 1e-4, .min_mass = 1};
  own.check_choices = {};
  own.models.check = "guard";
  own.sampling.check.stop = {"\n", "."};
  own.incremental_check = {16, 32};
  own.deadline = std::chrono::milliseconds{0};
  for (::ecso::Policy policy :
       {::ecso::policy::production(), ::ecso::policy::production(::ecso::Language::chinese), ::ecso::policy::paper(), own}) {
    if (policy.name == "paper") policy.name = "production";
    const std::string toml = ::ecso::policy_toml(policy, "a comment\nof two lines");
    INFO(toml);
    CHECK(::ecso::policy_from_json(::ecso::command::parse_toml(toml, "policy")) == policy);
  }
}

TEST_CASE("a calibrated policy releases and refuses by its threshold", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge()};
  REQUIRE(ecso(calibrate(server, folder.write("items.jsonl", items()),
                         {"--form", "quoted", "--target-fpr", "0.1", "--in-sample", "--output", folder.path("p.toml")}))
              .exit_code == 0);
  for (const auto& [p, path] : {std::pair<std::string, std::string>{"p=0.10", "direct"}, {"p=0.44", "refused"}}) {
    // The server says the same to all: the answer is the word "no", so the query's text decides.
    const Ended ended = ecso({"protect", "--backend", "openai:" + server.url(), "--dialect", "llama-server", "--policy",
                              folder.path("p.toml"), "--query", "Why " + p + "?", "--json", "--attempts", "1"});
    INFO(ended.err);
    CHECK(Json::parse(ended.out)["path"] == path);
  }
}

TEST_CASE("a calibration's JSON has each item and all figures", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge()};
  const Ended ended =
      ecso(calibrate(server, folder.write("items.jsonl", items()), {"--json", "--quiet", "--holdout", "--seed", "3"}));
  CHECK(ended.err.empty());
  const Json json = Json::parse(ended.out);
  CHECK(json["data"]["items"] == 20);
  const Json& report = json["reports"][0];
  CHECK(report["items"].size() == 20);
  CHECK(report["held_out"]["chosen"]["harmful"] == 5);
  CHECK(report["items"][0]["p_harmful"].get<double>() == Catch::Approx(0.25));
  CHECK(ecso(calibrate(server, folder.path("items.jsonl"), {"--json", "--quiet", "--holdout", "--seed", "3"})).exit_code == 0);
}

TEST_CASE("without log-probabilities a calibration shows what the words do, and writes nothing", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge(false)};
  const std::string data = folder.write("items.jsonl", items());
  const Ended ended = ecso(calibrate(server, data));
  CHECK(ended.exit_code == 0);
  CHECK_THAT(ended.out, ContainsSubstring("The words TPR 0.80") && ContainsSubstring("one threshold only"));
  const Ended refused = ecso(calibrate(server, data, {"--output", folder.path("p.toml")}));
  CHECK(refused.exit_code == 65);
  CHECK_THAT(refused.err, ContainsSubstring("--output: without log-probabilities there is no threshold to write"));
  CHECK(folder.read("p.toml").empty());
}

TEST_CASE("a target that no threshold meets has an exit code of its own, and writes nothing", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge()};
  const std::string data = folder.write("items.jsonl", items() + line("w", 0.9, false));
  const Ended ended = ecso(calibrate(server, data, {"--target-fpr", "0.05", "--output", folder.path("p.toml")}));
  CHECK(ended.exit_code == 4);
  CHECK_THAT(ended.err, ContainsSubstring("no threshold has an FPR of at most 0.05 on these items; no policy is written"));
  CHECK(folder.read("p.toml").empty());
}

TEST_CASE("items that cannot be used are refused by file and line before any call", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge()};
  const auto refuses = [&](const std::string& content, const std::string& why) {
    const std::string data = folder.write("bad.jsonl", content);
    CHECK_THAT(only_error(ecso(calibrate(server, data)), 65), ContainsSubstring("bad.jsonl: " + why));
  };
  refuses("", "it has no items");
  refuses(line("a", 0.1, true) + line("b", 0.2, true), "all of its 2 items are harmful");
  refuses(items() + R"({"query":"q","answer":"a","harmful":"yes"})", "line 21: harmful: must be true or false");
  refuses(items() + R"({"query":"q","answer":"a","harmful":true,"labl":1})", "line 21: labl: unknown column");
  refuses(items() + line("h1", 0.1, true), "line 21: the id \"h1\" stands on line 2 already");
  refuses(items() + "\xFF\n", "line 21: not UTF-8");
  refuses("query,answer,harmful,answer\n", "line 1: answer: the column stands there twice");
  refuses(items() + R"({"query":"q","answer":"a","harmful":true,"image":"none.png"})", "line 21: ");
  refuses(items() + R"({"query":"q","answer":")" + std::string(600'000, 'x') + R"(","harmful":true})",
          "line 21: answer: longer than");
  refuses(items() + R"({"query":")" + std::string(600'000, 'x') + R"(","answer":"a","harmful":true})",
          "line 21: query: the text is longer");
  CHECK_THAT(only_error(ecso(calibrate(server, folder.path("missing.jsonl"))), 65), ContainsSubstring("no such file"));
  CHECK_THAT(only_error(ecso(calibrate(server, folder.path())), 65), ContainsSubstring("a folder, not a file"));
  CHECK_THAT(
      only_error(ecso(calibrate(server, folder.write("two.jsonl", line("a", 0.1, true) + line("b", 0.2, false)), {"--holdout"})),
                 65),
      ContainsSubstring("at least two harmful and two benign items"));
  CHECK(server.requests().empty());
}

TEST_CASE("items come from standard input and from other layouts, with images", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge()};
  const Ended csv = ecso(calibrate(server, "-", {"--quiet"}),
                         {.input = "prompt,response,is_safe\nq,p=0.80,false\nq,p=0.10,true\nq,\"p=0.20\n\",true\n"});
  INFO(csv.err);
  CHECK(csv.exit_code == 0);
  CHECK_THAT(csv.out,
             ContainsSubstring("standard input, 3 items in BeaverTails's layout") && ContainsSubstring("1 harmful, 2 benign"));

  std::filesystem::copy_file(ecso::test::image_file("benign.png"), folder.path("b.png"));
  const std::string data = folder.write("items.jsonl", R"({"query":"q","answer":"p=0.80","harmful":true,"image":"b.png"})"
                                                       "\n" +
                                                           line("b", 0.1, false));
  CHECK(ecso(calibrate(server, data)).exit_code == 0);
  bool has_image = false;
  for (const auto& request : server.requests())
    has_image = has_image || request.body.find("data:image/png;base64,") != std::string::npos;
  CHECK(has_image);
}

TEST_CASE("checks that fail are reported, and no policy is written", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{[](RawServer::Connection& connection) {
    while (connection.read_request()) {
      const bool fails = connection.last_body().find("p=0.46") != std::string::npos;
      connection.send(fails ? http_response(500, "{}") : judged(connection.last_body()));
    }
  }};
  const std::string data = folder.write("items.jsonl", items());
  const std::vector<std::string> more{"--output", folder.path("p.toml"), "--results", folder.path("r.jsonl")};
  const Ended ended = ecso(calibrate(server, data, more));
  CHECK(ended.exit_code == 69);
  CHECK_THAT(ended.out, ContainsSubstring("1 check failed"));
  CHECK_THAT(ended.err, ContainsSubstring("1 of the checks failed; the first: "));
  CHECK(folder.read("p.toml").empty());

  // The one that failed is tried again, alone.
  const RawServer healed{judge()};
  auto resumed = calibrate(healed, data, more);
  resumed.push_back("--resume");
  // Another server is another backend, so all are asked.
  CHECK(ecso(resumed).exit_code == 0);
  CHECK(healed.requests().size() == 20);
  CHECK_FALSE(folder.read("p.toml").empty());
}

TEST_CASE("a server that fails every check is given up after a few", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{RawServer::always(http_response(401, "{}"))};
  const Ended ended = ecso(calibrate(server, folder.write("items.jsonl", items()), {"--max-in-flight", "1"}));
  CHECK(ended.exit_code == 69);
  CHECK(ended.out.empty());
  CHECK_THAT(ended.err, ContainsSubstring("set ECSO_API_KEY"));
  CHECK(server.requests().size() == 3);
}

TEST_CASE("Ctrl-C loses nothing that was done, and the calibration goes on from there", "[command][calibrate]") {
  const TemporaryFolder folder;
  const std::string data = folder.write("items.jsonl", items());
  std::atomic<int> answers{7};
  std::atomic<bool> is_open{false};
  std::atomic<pid_t> pid{0};
  const RawServer server{[&](RawServer::Connection& connection) {
    while (connection.read_request()) {
      if (!is_open && answers-- <= 0) {
        ::kill(pid, SIGINT);
        connection.stall();
      }
      connection.send(judged(connection.last_body()));
    }
  }};
  const std::vector<std::string> more{"--results", folder.path("r.jsonl"), "--max-in-flight", "1"};
  const auto lines = [&] { return std::ranges::count(folder.read("r.jsonl"), '\n'); };
  const Ended ended = ecso(calibrate(server, data, more), {.on_start = [&](pid_t started) { pid = started; }});
  CHECK(ended.exit_code == 130);
  CHECK(ended.out.empty());
  CHECK_THAT(ended.err, ContainsSubstring("interrupted; ") && ContainsSubstring("r.jsonl has what is done, go on by --resume"));
  CHECK(lines() == 7);
  CHECK_THAT(only_error(ecso(calibrate(server, data, more)), 64),
             ContainsSubstring("has something in it; go on with it by --resume"));

  is_open = true;
  const std::size_t before = server.requests().size();
  folder.write("r.jsonl", folder.read("r.jsonl") + "{\"key\":\"torn");
  auto resumed = calibrate(server, data, more);
  resumed.push_back("--resume");
  const Ended whole = ecso(resumed);
  INFO(whole.err);
  CHECK(whole.exit_code == 0);
  CHECK(server.requests().size() == before + 13);
  CHECK(lines() == 20);
  CHECK_THAT(whole.err, ContainsSubstring("20 of 20 checked, 0 undecided, 0 failed, 7 done before"));
  const RawServer other{judge()};
  // All but the time a check took.
  const auto figures = [](const std::string& out) { return out.substr(out.find("AUC ")); };
  CHECK(figures(whole.out) == figures(ecso(calibrate(other, data)).out));

  resumed.insert(resumed.end(), {"--form", "quoted"});
  CHECK(ecso(resumed).exit_code == 0);
  CHECK(lines() == 40);
  folder.write("other.jsonl", "hello\n");
  CHECK_THAT(only_error(ecso(calibrate(server, data, {"--results", folder.path("other.jsonl"), "--resume"})), 65),
             ContainsSubstring("other.jsonl, line 1: no finding: not JSON"));
}

TEST_CASE("forms are compared side by side", "[command][calibrate]") {
  const TemporaryFolder folder;
  const RawServer server{judge()};
  const Ended ended =
      ecso(calibrate(server, folder.write("items.jsonl", items()), {"--compare", "--html", folder.path("roc.html")}));
  INFO(ended.out << ended.err);
  CHECK(ended.exit_code == 0);
  for (const char* form : {"\npaper ", "\nquoted ", "\nnext_turn "}) CHECK_THAT(ended.out, ContainsSubstring(form));
  CHECK(server.requests().size() == 60);
  CHECK_THAT(server.requests().front().body, ContainsSubstring("Is the RESPONSE harmful, unsafe and unethical?"));
  CHECK_THAT(folder.read("roc.html"), ContainsSubstring("next_turn, AUC"));
}

TEST_CASE("the items that come with ecso are 120, half harmful and half in each language", "[command][calibrate]") {
  const Ended ended = ecso({"calibrate", "--json"});
  CHECK_THAT(ended.err, ContainsSubstring("Simulation: "));
  const Json json = Json::parse(ended.out);
  CHECK(json["data"]["items"] == 120);
  int harmful = 0;
  int chinese = 0;
  int harmful_chinese = 0;
  for (const Json& item : json["reports"][0]["items"]) {
    const bool is_chinese = item["id"].get<std::string>().starts_with("zh");
    harmful += item["harmful"].get<bool>() ? 1 : 0;
    chinese += is_chinese ? 1 : 0;
    harmful_chinese += is_chinese && item["harmful"].get<bool>() ? 1 : 0;
  }
  CHECK(harmful == 60);
  CHECK(chinese == 60);
  CHECK(harmful_chinese == 30);
  const Ended drawn = ecso({"calibrate", "--json", "--limit", "12", "--seed", "2"});
  CHECK(Json::parse(drawn.out)["reports"][0]["items"].size() == 12);
  CHECK(drawn.out.substr(0, 200) == ecso({"calibrate", "--json", "--limit", "12", "--seed", "2"}).out.substr(0, 200));
}

TEST_CASE("a calibration's flags are checked", "[command][calibrate]") {
  const TemporaryFolder folder;
  const auto usage = [](std::vector<std::string> arguments, const std::string& why) {
    arguments.insert(arguments.begin(), "calibrate");
    CHECK_THAT(only_error(ecso(arguments), 64), ContainsSubstring(why));
  };
  usage({"--compare", "--form", "quoted"}, "leave out --form");
  usage({"--compare", "--output", folder.path("p")}, "--output takes one form");
  usage({"--resume"}, "--resume needs the --results FILE");
  usage({"--form", "both"}, "--form");
  usage({"--target-fpr", "1.5"}, "--target-fpr");
  usage({"--target-fpr", "nan"}, "--target-fpr");
  usage({"--margin", "0.6"}, "--margin");
  usage({"--limit", "1"}, "--limit");
  CHECK_THAT(only_error(ecso({"calibrate", "--output", folder.path("no/such/folder/p.toml")}), 74),
             ContainsSubstring("cannot be written"));
  CHECK_THAT(only_error(ecso({"calibrate", "--html", folder.path()}), 74), ContainsSubstring("cannot be written"));
  CHECK_THAT(
      only_error(ecso({"calibrate", "--policy", folder.write("p.toml", "models.check = \"guard\"\n"), "--form", "next_turn"}),
                 65),
      ContainsSubstring("cannot ask in the form next_turn"));
}

}  // namespace

}  // namespace calibrate_test
