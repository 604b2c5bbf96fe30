// Checks by a backend of their own.

#include "command.hpp"

#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

#include <nlohmann/json.hpp>

#include <atomic>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace check_backend_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::test::ecso;
using ecso::test::Ended;
using ecso::test::http_response;
using ecso::test::only_error;
using ecso::test::RawServer;
using ecso::test::RecordedRequest;
using ecso::test::ReservedPort;
using ecso::test::TemporaryFolder;
using Arguments = std::vector<std::string>;

/// A server that always says the same.
RawServer::Script saying(const std::string& text) {
  const nlohmann::json reply{{"choices", {{{"message", {{"content", text}}}, {"finish_reason", "stop"}}}}};
  return RawServer::always(http_response(200, reply.dump()));
}

Arguments query(const RawServer& chat, const RawServer& judge, const Arguments& more = {}) {
  Arguments arguments{"protect",
                      "--query",
                      "q",
                      "--attempts",
                      "1",
                      "--backend",
                      "openai:" + chat.url(),
                      "--dialect",
                      "plain",
                      "--check-backend",
                      "openai:" + judge.url(),
                      "--check-dialect",
                      "plain"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string everything_at(const RawServer& server) {
  std::string all;
  for (const RecordedRequest& request : server.requests()) all += request.head + "\n" + request.body + "\n";
  return all;
}

TEST_CASE("checks go to the check backend, all else to the backend", "[command][judge]") {
  const RawServer chat{saying("A plain answer.")};
  const RawServer judge{saying("no")};
  const Ended ended = ecso(query(chat, judge, {"--model", "large", "--check-model", "small"}));
  INFO(ended.err);
  CHECK(ended.exit_code == 0);
  CHECK(ended.out == "A plain answer.\n");
  REQUIRE(chat.requests().size() == 1);
  REQUIRE(judge.requests().size() == 1);
  CHECK(nlohmann::json::parse(chat.requests()[0].body).at("model") == "large");
  CHECK(nlohmann::json::parse(judge.requests()[0].body).at("model") == "small");
  CHECK_THAT(judge.requests()[0].body, ContainsSubstring("> A plain answer."));
}

TEST_CASE("a guard model behind the check backend gets its own form", "[command][judge][guard]") {
  const TemporaryFolder folder;
  const std::string policy = folder.write("guard.toml", "check_form = \"guard\"\nmax_rounds = 1\n");
  const RawServer chat{saying("A plain answer.")};
  const RawServer judge{saying("unsafe\nS1,S10")};
  const Ended ended = ecso(query(chat, judge, {"--policy", policy}));
  CHECK(ended.exit_code == 3);
  CHECK_THAT(ended.err, ContainsSubstring("(S1, S10)"));
  const auto messages = nlohmann::json::parse(judge.requests()[0].body).at("messages");
  CHECK(messages ==
        nlohmann::json{{{"role", "user"}, {"content", "q"}}, {{"role", "assistant"}, {"content", "A plain answer."}}});
  const RawServer kind{saying("safe")};
  CHECK(ecso(query(chat, kind, {"--policy", policy})).out == "A plain answer.\n");
  // A server that goes on with the answer has not judged it.
  const RawServer echo{saying("A plain answer. And so on.")};
  CHECK_THAT(ecso(query(chat, echo, {"--policy", policy})).err, ContainsSubstring("--no-prefill-assistant"));
}

TEST_CASE("neither server gets the other's key", "[command][judge][key]") {
  const TemporaryFolder folder;
  const std::string file = folder.write("key", "sk-judge\n");
  const RawServer chat{saying("Hello.")};
  for (const bool from_file : {true, false}) {
    const RawServer judge{saying("no")};
    const Ended ended = ecso(query(chat, judge, from_file ? Arguments{"--check-api-key-file", file} : Arguments{}),
                             {.environment = {{"ECSO_API_KEY", "sk-chat"}, {"ECSO_CHECK_API_KEY", from_file ? "" : "sk-judge"}}});
    CHECK(ended.exit_code == 0);
    CHECK_THAT(everything_at(judge), ContainsSubstring("sk-judge") && !ContainsSubstring("sk-chat"));
    CHECK_THAT(everything_at(chat), ContainsSubstring("sk-chat") && !ContainsSubstring("sk-judge"));
    CHECK_THAT(ended.out + ended.err, !ContainsSubstring("sk-"));
  }
  const RawServer judge{saying("no")};
  CHECK(ecso(query(chat, judge), {.environment = {{"ECSO_API_KEY", "sk-chat"}}}).exit_code == 0);
  CHECK_THAT(everything_at(judge), !ContainsSubstring("sk-chat"));
  CHECK_THAT(only_error(ecso({"protect", "--query", "q", "--check-api-key", "sk-judge"}), 64),
             ContainsSubstring("--check-api-key: a key on the command line") && !ContainsSubstring("sk-judge"));
}

TEST_CASE("a check backend that fails lets nothing out", "[command][judge]") {
  const RawServer chat{saying("A plain answer.")};
  for (const std::string& response :
       {http_response(500, "{}"), http_response(200, "garbage"), http_response(200, ""), http_response(401, "{}"),
        std::string{"HTTP/1.1 302 Found\r\nLocation: "} + chat.url() + "/v1/chat/completions\r\nContent-Length: 0\r\n\r\n",
        std::string{"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"choices\":[{\"message\":{\"content\":\"no\"}}]}"}}) {
    CAPTURE(response);
    const RawServer judge{RawServer::always(response)};
    const Ended ended = ecso(query(chat, judge));
    CHECK(ended.exit_code != 0);
    CHECK(ended.out.empty());
    CHECK_THAT(ended.err, ContainsSubstring("check: "));
  }
  // Nor does one that fails at the recheck, or never answers.
  for (const bool is_slow : {false, true}) {
    std::atomic<int> asked{0};
    const RawServer judge{[&](RawServer::Connection& connection) {
      while (connection.read_request()) {
        if (is_slow) {
          connection.stall();
          return;
        }
        const nlohmann::json yes{{"choices", {{{"message", {{"content", "yes"}}}, {"finish_reason", "stop"}}}}};
        if (!connection.send(asked++ == 0 ? http_response(200, yes.dump()) : http_response(500, "{}"))) return;
      }
    }};
    const Ended ended = ecso(query(chat, judge, is_slow ? Arguments{"--deadline", "500ms"} : Arguments{}));
    CHECK(ended.exit_code == (is_slow ? 75 : 69));
    CHECK(ended.out.empty());
    CHECK_THAT(ended.err, ContainsSubstring(is_slow ? "check: " : "recheck: "));
  }
  const ReservedPort nobody;
  const Ended ended = ecso({"protect", "--query", "q", "--attempts", "1", "--backend", "openai:" + chat.url(), "--dialect",
                            "plain", "--check-backend", "openai:" + nobody.url(), "--check-dialect", "plain"});
  CHECK(ended.exit_code == 69);
  CHECK(ended.out.empty());
  for (const RecordedRequest& request : chat.requests()) CHECK_THAT(request.body, !ContainsSubstring("You review"));
}

TEST_CASE("the check backend's settings come from flags, variables and the file", "[command][judge]") {
  const TemporaryFolder folder;
  const RawServer chat{saying("Hello.")};
  const RawServer judge{saying("no")};
  const std::string config = folder.write("ecso.toml", "backend = \"openai:" + chat.url() +
                                                           "\"\ndialect = \"plain\"\ncheck_backend = \"openai:" + judge.url() +
                                                           "\"\ncheck_dialect = \"plain\"\ncheck_model = \"from-file\"\n");
  CHECK(ecso({"protect", "--query", "q", "--config", config}).exit_code == 0);
  CHECK_THAT(judge.requests().back().body, ContainsSubstring("from-file"));
  CHECK(
      ecso({"protect", "--query", "q", "--config", config}, {.environment = {{"ECSO_CHECK_MODEL", "from-variable"}}}).exit_code ==
      0);
  CHECK_THAT(judge.requests().back().body, ContainsSubstring("from-variable"));
  CHECK_THAT(only_error(ecso({"protect", "--query", "q", "--check-backend", "oracle"}), 64),
             ContainsSubstring("--check-backend: there is no such backend; there are simulated, "));
  CHECK_THAT(only_error(ecso({"protect", "--query", "q", "--check-dialect", "plain"}), 64),
             ContainsSubstring("--check-dialect: it is for the server that --check-backend names"));
  CHECK_THAT(
      only_error(ecso({"protect", "--query", "q", "--config", folder.write("key.toml", "check_api_key = \"sk-judge\"\n")}), 65),
      ContainsSubstring("check_api_key: a key does not belong here") && !ContainsSubstring("sk-judge"));
}

TEST_CASE("a check model without a check backend is one of the same server", "[command][judge]") {
  const RawServer chat{saying("No.")};
  const Ended ended = ecso({"protect", "--query", "q", "--backend", "openai:" + chat.url(), "--dialect", "plain", "--model",
                            "large", "--check-model", "small"});
  CHECK(ended.exit_code == 0);
  REQUIRE(chat.requests().size() == 2);
  CHECK(nlohmann::json::parse(chat.requests()[0].body).at("model") == "large");
  CHECK(nlohmann::json::parse(chat.requests()[1].body).at("model") == "small");
}

TEST_CASE("a policy whose checks go to an upstream wants a check backend", "[command][judge]") {
  const TemporaryFolder folder;
  const std::string policy = folder.write("judged.toml", "check.upstream = \"judge\"\n");
  const RawServer chat{saying("Hello.")};
  const RawServer judge{saying("no")};
  const Ended without =
      ecso({"protect", "--query", "q", "--backend", "openai:" + chat.url(), "--dialect", "plain", "--policy", policy});
  CHECK(without.exit_code == 65);
  CHECK_THAT(without.err, ContainsSubstring("its checks go to the upstream \"judge\"") && ContainsSubstring("--check-backend"));
  CHECK(chat.requests().empty());
  CHECK(ecso(query(chat, judge, {"--policy", policy})).exit_code == 0);
}

TEST_CASE("batch and demo check by the check backend, too", "[command][judge]") {
  const TemporaryFolder folder;
  const RawServer chat{saying("Hello.")};
  const RawServer judge{saying("no")};
  const std::string lines = folder.write("in.jsonl", "{\"query\": \"a\"}\n{\"query\": \"b\"}\n");
  const Ended batch = ecso({"protect", "--batch", lines, "--backend", "openai:" + chat.url(), "--dialect", "plain",
                            "--check-backend", "openai:" + judge.url(), "--check-dialect", "plain"});
  INFO(batch.err);
  CHECK(batch.exit_code == 0);
  CHECK(chat.requests().size() == 2);
  CHECK(judge.requests().size() == 2);
  const Ended demo = ecso({"demo", "--check-backend", "openai:" + judge.url(), "--check-dialect", "plain"});
  INFO(demo.err);
  CHECK(demo.exit_code == 0);
  CHECK(judge.requests().size() > 2);
  CHECK_THAT(ecso({"protect", "--help"}).out, ContainsSubstring("--check-backend") && ContainsSubstring("ECSO_CHECK_API_KEY"));
}

}  // namespace

}  // namespace check_backend_test
