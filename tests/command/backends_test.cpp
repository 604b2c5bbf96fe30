#include "command.hpp"

#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <utility>
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

const std::vector<std::pair<std::string, std::string>> kinds{{"openai:", "POST /v1/chat/completions"},
                                                             {"anthropic:", "POST /v1/messages"},
                                                             {"gemini:", "POST /v1beta/models/m:streamGenerateContent?alt=sse"},
                                                             {"ollama:", "POST /api/chat"},
                                                             {"llava:", "POST /get_worker_address"},
                                                             {"llava-worker:", "POST /worker_generate_stream"}};

std::vector<std::string> query(const std::string& backend) {
  return {"protect", "--query", "q", "--dialect", "plain", "--attempts", "1", "--model", "m", "--backend", backend};
}

TEST_CASE("the backends are listed for people and as JSON", "[command][backends]") {
  const Ended list = ecso({"backends"});
  CHECK(list.exit_code == 0);
  for (const auto& [kind, path] : kinds) CHECK_THAT(list.out, ContainsSubstring(kind.substr(0, kind.size() - 1)));
  const auto json = nlohmann::json::parse(ecso({"backends", "--json"}).out);
  CHECK(json.size() == 8);
}

TEST_CASE("a server says what it is", "[command][backends]") {
  const RawServer server{[](RawServer::Connection& connection) {
    while (connection.read_request()) {
      const bool is_props = connection.last_head().starts_with("GET /props ");
      if (!connection.send(http_response(200, is_props ? R"({"total_slots":4,"modalities":{"vision":true}})"
                                                       : R"({"data":[{"id":"tiny","owned_by":"llamacpp"}]})")))
        return;
    }
  }};
  const Ended ended = ecso({"backends", "--probe", server.url()});
  CHECK(ended.exit_code == 0);
  CHECK_THAT(ended.out, ContainsSubstring("llama-server") && ContainsSubstring("tiny") && ContainsSubstring("grammar"));
  const auto json = nlohmann::json::parse(ecso({"backends", "--probe", server.url(), "--json"}).out);
  CHECK(json["server"] == "llama-server");
  CHECK(json["slots"] == 4);
  CHECK(json["vision"] == true);
  CHECK(json["leases_slots"] == true);
}

TEST_CASE("a server that is not there cannot say what it is", "[command][backends]") {
  const ReservedPort nobody;
  CHECK_THAT(only_error(ecso({"backends", "--probe", nobody.url()}), 69), ContainsSubstring("is the server running"));
  CHECK(ecso({"backends", "--probe", "nonsense"}).exit_code == 65);
}

TEST_CASE("each kind of backend asks its own path", "[command][backends]") {
  for (const auto& [kind, path] : kinds) {
    const RawServer server{RawServer::always(http_response(404, "{}"))};
    CHECK(ecso(query(kind + server.url())).exit_code == 69);
    REQUIRE_FALSE(server.requests().empty());
    CHECK_THAT(server.requests().front().head, ContainsSubstring(path + " HTTP"));
  }
}

TEST_CASE("no key stands in any output of any backend, however the server echoes it", "[command][backends]") {
  const TemporaryFolder folder;
  const std::string key = "sk-very-secret";
  const std::vector<std::string> echoes{http_response(401, R"({"error":{"message":"wrong key sk-very-secret"}})"),
                                        http_response(500, "sk-very-secret"),
                                        http_response(200, "sk-very-secret"),
                                        http_response(200, R"({"error":{"message":"sk-very-secret"}})"),
                                        http_response(302, "", "text/plain", "Location: /?key=sk-very-secret\r\n"),
                                        "sk-very-secret\r\n\r\n"};
  for (const auto& [kind, path] : kinds) {
    for (const std::string& echo : echoes) {
      const RawServer server{RawServer::always(echo)};
      for (const std::vector<std::string>& more :
           {std::vector<std::string>{}, {"--trace", "--json", "--record", folder.path("tape")}}) {
        auto arguments = query(kind + server.url());
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Ended ended = ecso(arguments, {.environment = {{"ECSO_API_KEY", key}}});
        CAPTURE(kind, echo);
        CHECK(ended.exit_code != 0);
        // A worker of LLaVA takes no key: it knows none that it could give away.
        if (!kind.starts_with("llava")) CHECK_THAT(ended.out + ended.err, !ContainsSubstring(key));
      }
      if (!kind.starts_with("llava")) CHECK_THAT(folder.read("tape"), !ContainsSubstring(key));
    }
  }
}

TEST_CASE("a failure that passes is tried again", "[command][backends]") {
  const std::string ok = R"({"choices":[{"message":{"content":"no"},"finish_reason":"stop"}]})";
  const auto failing_twice = [&] {
    return RawServer::Script{[ok, failures = std::make_shared<int>(2)](RawServer::Connection& connection) {
      while (connection.read_request()) {
        if (!connection.send(--*failures >= 0 ? http_response(503, "{}") : http_response(200, ok))) return;
      }
    }};
  };
  const auto run = [](const RawServer& server, const std::string& attempts) {
    return ecso({"protect", "--query", "q", "--dialect", "plain", "--attempts", attempts, "--backend", "openai:" + server.url()});
  };
  CHECK(run(RawServer{failing_twice()}, "3").exit_code == 0);
  CHECK(run(RawServer{failing_twice()}, "2").exit_code == 75);
  CHECK_THAT(only_error(run(RawServer{failing_twice()}, "0"), 64), ContainsSubstring("no number from 1 to 100"));
}

TEST_CASE("models are listed, told of and found by a part of their name", "[command][models]") {
  CHECK_THAT(ecso({"models"}).out, ContainsSubstring("LLaVA-1.5-7B"));
  CHECK_THAT(ecso({"models", "llava-1.5-7b"}).out, ContainsSubstring("ASSISTANT:"));
  CHECK(nlohmann::json::parse(ecso({"models", "--json"}).out).size() >= 13);
  CHECK_THAT(only_error(ecso({"models", "gpt-2"}), 65), ContainsSubstring("gpt-2"));
}

}  // namespace
