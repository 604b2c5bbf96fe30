#include "ecso/gateway/own_judge.hpp"

#include "command/command.hpp"
#include "ecso/exit_code.hpp"
#include "ecso/gateway/serve_settings.hpp"
#include "gateway/chat_upstream.hpp"
#include "serve/chats.hpp"
#include "serve/serving.hpp"
#include "support/catch.hpp"

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace own_judge_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::CheckForm;
using ecso::Step;
using ecso::command::ListedModels;
using ecso::command::own_judge_warning;
using ecso::command::read_serve_settings;
using ecso::command::ServeSettings;
using ecso::command::UsageError;
using ecso::test::ChatUpstream;
using ecso::test::ecso;
using ecso::test::Serving;
using ecso::test::TemporaryFolder;

const std::string main_and_judge =
    "policy = \"guarded\"\n[[upstream]]\nurl = \"http://127.0.0.1:1/v1\"\n[[upstream]]\nname = \"judge\"\n"
    "url = \"http://127.0.0.1:2/v1\"\nmodel = \"llama-guard3\"\nvision = false\n"
    "[policies.guarded.check]\nupstream = \"judge\"\n[policies.guarded]\ncheck_form = \"guard\"\n";

std::string contents(const std::string& name) {
  std::ifstream file{name, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

ServeSettings read(const TemporaryFolder& folder, std::string_view toml, ecso::command::ServeFlags flags = {}) {
  flags["config"] = folder.write("ecso.toml", toml);
  return read_serve_settings(flags);
}

std::string warning(std::string_view toml, const ListedModels& listed = {}) {
  const TemporaryFolder folder;
  return own_judge_warning(read(folder, toml).gateway, listed).value_or("");
}

TEST_CASE("a policy's table names the upstream that checks", "[serve][judge]") {
  const TemporaryFolder folder;
  const ServeSettings settings = read(folder, main_and_judge);
  REQUIRE(settings.gateway.upstreams.size() == 2);
  CHECK(settings.gateway.policy->check_upstream == "judge");
  CHECK(settings.gateway.policy->check_form == CheckForm::guard);
  CHECK(settings.gateway.upstreams[1].check_model == "llama-guard3");
  CHECK(settings.gateway.upstreams[1].check_vision == false);
  CHECK_THAT(describe(settings), ContainsSubstring("guarded, checks by the upstream judge") &&
                                     ContainsSubstring("judge: http://127.0.0.1:2/v1, for checks"));
  // A URL on the command line is that of the one that answers; the judge stays.
  const ServeSettings by_flag = read(folder, main_and_judge, {{"upstream", "http://127.0.0.1:3/v1"}});
  REQUIRE(by_flag.gateway.upstreams.size() == 2);
  CHECK(by_flag.gateway.upstreams[0].url == "http://127.0.0.1:3/v1");
  CHECK(by_flag.gateway.upstreams[1].name == "judge");
}

TEST_CASE("the key that stands in no table is not the judge's", "[serve][judge][key]") {
  const TemporaryFolder folder;
  folder.write("key", "sk-main\n");
  const ServeSettings settings = read(folder, "api_key_file = \"key\"\n" + main_and_judge);
  CHECK(settings.gateway.upstreams[0].key.reveal() == "sk-main");
  CHECK(settings.gateway.upstreams[1].key.empty());
}

TEST_CASE("a judge that is not there is named, with those that are", "[serve][judge]") {
  const TemporaryFolder folder;
  const std::string policy = "[policies.guarded]\ncheck.upstream = \"jugde\"\n";
  CHECK_THROWS_WITH(read(folder, policy),
                    ContainsSubstring("ecso.toml: policies.guarded.check.upstream: there is no upstream \"jugde\"") &&
                        ContainsSubstring("write an [[upstream]] of that name"));
  CHECK_THROWS_WITH(read(folder, "[[upstream]]\nname = \"judge\"\nurl = \"http://127.0.0.1:1\"\n" + policy),
                    ContainsSubstring("there is no upstream \"jugde\"; there are judge"));
  CHECK_THROWS_WITH(read(folder, "[policies.guarded.check]\nserver = \"judge\"\n"), ContainsSubstring("policies.guarded.check"));
  const auto refused = [&](const std::string& toml) {
    return ecso::test::only_error(ecso({"serve", "--check", "--config", folder.write("ecso.toml", toml)}), 64);
  };
  CHECK_THAT(refused("policy = \"guarded\"\n[[upstream]]\nname = \"judge\"\nurl = \"http://127.0.0.1:1\"\n[policies.guarded]\n"
                     "check.upstream = \"judge\"\n"),
             ContainsSubstring("so none answers"));
  CHECK_THAT(refused("[[upstream]]\nmodel = \"m\"\nurl = \"http://127.0.0.1:1\"\n"),
             ContainsSubstring("model and vision are for"));
  CHECK_THAT(refused("[policies.guarded]\ncheck_form = \"guard\"\nreader = \"paper\"\n"),
             ContainsSubstring("check_form guard takes the reader automatic or guard"));
}

TEST_CASE("the examples of a judge in the configuration and in the README can be used", "[serve][judge]") {
  const TemporaryFolder folder;
  // The commented tables, uncommented.
  const std::string example = contents("examples/deploy/ecso.toml");
  std::string toml = "policy = \"guarded\"\n[[upstream]]\nurl = \"http://127.0.0.1:8080/v1\"\n";
  for (const std::string_view begin : {"# [[upstream]]\n# name = \"judge\"", "# [policies.guarded]\n"}) {
    const std::size_t at = example.find(begin);
    REQUIRE(at != std::string::npos);
    for (std::size_t line = at; example.compare(line, 2, "# ") == 0; line = example.find('\n', line) + 1) {
      toml += example.substr(line + 2, example.find('\n', line) - line - 1);
    }
  }
  folder.write("judge.key", "sk-judge\n");
  const ServeSettings settings = read(folder, toml);
  CHECK(settings.gateway.policy->check_upstream == "judge");
  CHECK(settings.gateway.policy->check_form == CheckForm::guard);
  CHECK(settings.gateway.upstreams.at(1).key.reveal() == "sk-judge");
  CHECK(ecso({"serve", "--check", "--config", folder.path("ecso.toml")}).exit_code == 0);

  const std::string readme = contents("README.md");
  const std::size_t begin = readme.find("```toml\npolicy = \"guarded\"") + 8;
  REQUIRE(begin > 8);
  CHECK(read(folder, readme.substr(begin, readme.find("```", begin) - begin)).gateway.policy->check_upstream == "judge");
}

TEST_CASE("it is said where clients choose who checks", "[serve][judge]") {
  const std::string one = "upstream = \"http://127.0.0.1:1/v1\"\n";
  CHECK(warning("") == "");
  CHECK(warning(one, {{"default", {"a"}}}) == "");
  CHECK_THAT(
      warning(one, {{"default", {"a", "b", "c", "d", "e"}}}),
      ContainsSubstring("they may choose among a, b, c and 2 more. Set models.check = \"NAME\" in the policy production") &&
          ContainsSubstring("check.upstream"));
  CHECK_THAT(warning(one), ContainsSubstring("it is not known here how many there are"));
  CHECK_THAT(warning(one, {{"default", {}}}), ContainsSubstring("it is not known here how many there are"));
  const std::string fixed = "policy = \"p\"\n" + one + "[policies.p]\nmodels.check = \"guard\"\n";
  CHECK(warning(fixed, {{"default", {"a", "b"}}}) == "");
  CHECK(warning(main_and_judge, {{"default", {"a", "b"}}}) == "");
  // Routes may leave one, or several.
  CHECK(warning(one + "[[route]]\nmodel = \"a\"\n") == "");
  CHECK_THAT(warning(one + "[[route]]\nmodel = \"a\"\n[[route]]\nmodel = \"b\"\n"), ContainsSubstring("a, b."));
  CHECK(warning(one + "[[route]]\nmodel = \"a*\"\n", {{"default", {"a1", "b"}}}) == "");
  CHECK_THAT(warning(one + "[[route]]\nmodel = \"a*\"\n", {{"default", {"a1", "a2", "b"}}}), ContainsSubstring("a1, a2."));
  // So may a header that chooses the policy.
  CHECK_THAT(warning(fixed + "[policies.mild]\n[overrides]\npolicy = true\n", {{"default", {"a", "b"}}}),
             ContainsSubstring("in the policy mild"));
}

TEST_CASE("serve warns at its start where the upstream lists several models, and --check says what it can", "[serve][judge]") {
  const TemporaryFolder folder;
  const ecso::test::RawServer upstream{ecso::test::RawServer::always(
      ecso::test::http_response(200, R"({"object":"list","data":[{"id":"gpt-a"},{"id":"gpt-b"}]})"))};
  Serving gateway{{"serve", "--listen", "127.0.0.1:0", "--upstream", upstream.url() + "/v1"}};
  CHECK(gateway.says("they may choose among gpt-a, gpt-b. Set models.check"));

  const ecso::test::RawServer single{
      ecso::test::RawServer::always(ecso::test::http_response(200, R"({"object":"list","data":[{"id":"gpt-a"}]})"))};
  Serving quiet{{"serve", "--listen", "127.0.0.1:0", "--upstream", single.url() + "/v1"}};
  CHECK(quiet.says("upstream default"));
  CHECK(quiet.said().find("checks its own answers") == std::string::npos);

  CHECK_THAT(ecso({"serve", "--check", "--upstream", "http://127.0.0.1:1/v1"}).out,
             ContainsSubstring("note      clients name the model") && ContainsSubstring("The configuration can be used."));
  CHECK_THAT(ecso({"serve", "--check"}).out, !ContainsSubstring("note "));
}

TEST_CASE("serve asks its judge, by the only model that it lists, and says so in log and audit", "[serve][judge][guard]") {
  const TemporaryFolder folder;
  ChatUpstream main;
  ecso::test::ChatUpstreamOptions guard;
  guard.instead = [](ecso::test::RawServer::Connection& connection, Step) {
    const nlohmann::json reply{
        {"choices", {{{"message", {{"role", "assistant"}, {"content", "unsafe\nS9"}}}, {"finish_reason", "stop"}}}}};
    return !connection.send(ecso::test::http_response(200, reply.dump())) || true;
  };
  ChatUpstream judge{guard};
  const std::string config = folder.write(
      "ecso.toml",
      "policy = \"guarded\"\nlisten = \"127.0.0.1:0\"\n[[upstream]]\nurl = \"" + main.url() +
          "/v1\"\ndialect = \"plain\"\n[[upstream]]\nname = \"judge\"\nurl = \"" + judge.url() +
          "/v1\"\n[policies.guarded]\ncheck.upstream = \"judge\"\ncheck_form = \"guard\"\n[audit]\nfile = \"audit\"\n");
  Serving gateway{{"serve", "--config", config}};
  CHECK(gateway.says("upstream judge does not say"));
  const auto reply = ecso::test::chat(gateway.url(), R"({"model":"large","messages":[{"role":"user","content":"Hello?"}]})");
  CHECK(reply.status == 200);
  CHECK_THAT(reply.body, ContainsSubstring(R"("category":"S9")"));
  gateway.signal(SIGTERM);
  CHECK(gateway.end() == 0);
  CHECK_THAT(gateway.said(), ContainsSubstring(R"("checker":"judge")") && ContainsSubstring(R"("categories":["S9")"));
  CHECK_THAT(folder.read("audit"), ContainsSubstring(R"("category":"S9")") && ContainsSubstring(R"("checker":"judge")"));
  bool is_asked = false;
  for (const auto& request : judge.requests()) {
    if (!request.head.starts_with("POST ")) continue;
    is_asked = true;
    CHECK(nlohmann::json::parse(request.body).at("model") == "tiny");
  }
  CHECK(is_asked);
}

}  // namespace

}  // namespace own_judge_test
