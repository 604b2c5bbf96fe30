#include "command.hpp"

#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

#include <string>
#include <vector>

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::test::ecso;
using ecso::test::Ended;
using ecso::test::http_response;
using ecso::test::only_error;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using ecso::test::TemporaryFolder;

constexpr const char* no_reply = R"({"choices":[{"message":{"content":"no"},"finish_reason":"stop"}],"model":"tiny"})";

std::vector<std::string> query(const RawServer& server) {
  return {"protect", "--query", "q", "--attempts", "1", "--backend", "openai:" + server.url()};
}

TEST_CASE("each failure of a server has its exit code and one clear line", "[command]") {
  struct Row {
    std::string response;
    int exit_code;
    std::string message;
  };
  const auto error = [](int status, const std::string& headers = "") {
    return http_response(status, R"({"error":{"message":"no such luck"}})", "application/json", headers);
  };
  for (const Row& row : {Row{error(400), 65, "HTTP 400: no such luck"}, Row{error(401), 69, "set ECSO_API_KEY"},
                         Row{error(404), 69, "check the URL of --backend"}, Row{error(413), 65, "send a smaller image"},
                         Row{error(429, "Retry-After: 7\r\n"), 75, "it asks to wait 7 s"},
                         Row{error(500), 69, "the server's log may say more"}, Row{error(503), 75, "try again later"},
                         Row{http_response(200, "<html>Welcome</html>", "text/html"), 69,
                             "is the URL of --backend that of an OpenAI-compatible server?"},
                         Row{http_response(200, R"({"choices":[]})"), 69, "answer: "}}) {
    const RawServer server{RawServer::always(row.response)};
    CHECK_THAT(only_error(ecso(query(server)), row.exit_code), ContainsSubstring(row.message));
  }
}

TEST_CASE("a server that refuses the connection, or lacks TLS, is unavailable", "[command]") {
  const ReservedPort nobody;
  CHECK_THAT(only_error(ecso({"protect", "--query", "q", "--backend", "openai:" + nobody.url()}), 69),
             ContainsSubstring("is the server running"));
  const RawServer plain{[](RawServer::Connection& connection) { connection.send(http_response(400, "no TLS here")); }};
  CHECK_THAT(only_error(ecso({"protect", "--query", "q", "--backend", "openai:" + plain.url("https")}), 69),
             ContainsSubstring("check the server's certificate"));
}

TEST_CASE("a server that does not answer in time is for another try", "[command]") {
  const RawServer server{[](RawServer::Connection& connection) { connection.stall(); }};
  CHECK_THAT(only_error(ecso({"protect", "--query", "q", "--backend", "openai:" + server.url(), "--deadline", "300ms"}), 75),
             ContainsSubstring("--deadline gives a query more time"));
}

TEST_CASE("the key is sent, and stands in no output", "[command]") {
  const TemporaryFolder folder;
  const std::string key = "sk-very-secret";
  const std::string file = folder.write("key", key + "\n");
  const RawServer server{RawServer::always(http_response(200, no_reply))};
  const RawServer echo{RawServer::always(http_response(401, R"({"error":{"message":"wrong key sk-very-secret"}})"))};
  for (const bool from_file : {true, false}) {
    const auto ask = [&](std::vector<std::string> arguments, const std::vector<std::string>& more) {
      arguments.insert(arguments.end(), more.begin(), more.end());
      if (from_file) arguments.insert(arguments.end(), {"--api-key-file", file});
      return ecso(arguments, {.environment = {{"ECSO_API_KEY", from_file ? "" : key}}});
    };
    for (const std::vector<std::string>& more :
         {std::vector<std::string>{}, {"--trace"}, {"--json"}, {"--json", "--trace", "--record", folder.path("tape")}}) {
      const Ended ended = ask(query(server), more);
      CHECK(ended.exit_code == 0);
      CHECK_THAT(ended.out + ended.err, !ContainsSubstring(key));
      const Ended refused = ask(query(echo), more);
      CHECK(refused.exit_code == 69);
      CHECK_THAT(refused.out + refused.err, !ContainsSubstring(key));
    }
    CHECK_THAT(folder.read("tape"), !ContainsSubstring(key));
  }
  CHECK_THAT(server.requests().front().head, ContainsSubstring("Authorization: Bearer " + key));
  CHECK_THAT(
      only_error(ecso({"protect", "--query", "q", "--backend", "openai:" + server.url(), "--api-key-file", folder.path("none")}),
                 65),
      ContainsSubstring("none"));
}

TEST_CASE("the dialect decides how a check is forced to say yes or no", "[command]") {
  for (const auto& [dialect, field] :
       {std::pair<std::string, std::string>{"llama-server", "\"grammar\""}, {"vllm", "\"structured_outputs\""}}) {
    const RawServer server{RawServer::always(http_response(200, no_reply))};
    auto arguments = query(server);
    arguments.insert(arguments.end(), {"--dialect", dialect, "--model", "tiny"});
    CHECK(ecso(arguments).exit_code == 0);
    REQUIRE(server.requests().size() == 2);
    CHECK_THAT(server.requests().back().body, ContainsSubstring(field));
    CHECK_THAT(server.requests().back().body, ContainsSubstring("\"model\":\"tiny\""));
  }
}

TEST_CASE("a reply cannot send commands to the terminal", "[command]") {
  const RawServer server{RawServer::always(
      http_response(200, R"({"choices":[{"message":{"content":"no\u001b]0;owned\u0007\u009b31m"},"finish_reason":"stop"}]})"))};
  auto arguments = query(server);
  arguments.push_back("--trace");
  const Ended ended = ecso(arguments);
  CHECK_THAT(ended.err, !ContainsSubstring("\033"));
  CHECK_THAT(ended.err, !ContainsSubstring("\xC2\x9B"));
}

}  // namespace
