// A policy's checks by an upstream of their own.

#include <ecso/core/policy.hpp>
#include <ecso/core/step.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/chat_upstream.hpp"
#include "gateway/under_test.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/patience.hpp"
#include "support/reserved_port.hpp"

namespace judge_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::CheckForm;
using ecso::Policy;
using ecso::Step;
using ecso::gateway::UpstreamOptions;
using ecso::test::Api;
using ecso::test::chat_body;
using ecso::test::chat_request;
using ecso::test::ChatUpstream;
using ecso::test::ChatUpstreamOptions;
using ecso::test::GatewayUnderTest;
using ecso::test::has;
using ecso::test::http_request;
using ecso::test::HttpReply;
using ecso::test::RecordedRequest;

/// A guard model's server: what it says to a chat of the user's turn and the answer's.
ChatUpstreamOptions guard(std::string says) {
  ChatUpstreamOptions options;
  options.instead = [says = std::move(says)](ecso::test::RawServer::Connection& connection, Step) {
    const nlohmann::json reply{
        {"choices", {{{"message", {{"role", "assistant"}, {"content", says}}}, {"finish_reason", "stop"}}}}};
    return !connection.send(ecso::test::http_response(200, reply.dump())) || true;
  };
  return options;
}

Policy judged(CheckForm form = CheckForm::automatic) {
  Policy policy;
  policy.name = "judged";
  policy.check_upstream = "judge";
  policy.check_form = form;
  return policy;
}

ecso::gateway::Options options_for(const std::string& main, const std::string& judge, Policy policy = judged()) {
  ecso::gateway::Options options = ecso::test::options_for(main);
  options.upstreams.push_back(UpstreamOptions{.name = "judge", .url = judge + "/v1"});
  options.policy = std::make_shared<const Policy>(std::move(policy));
  return options;
}

std::size_t checks(const ChatUpstream& upstream) {
  return upstream.calls(Step::check).size() + upstream.calls(Step::recheck).size();
}

/// The requests that came with a body.
std::vector<RecordedRequest> posts(const ChatUpstream& upstream) {
  std::vector<RecordedRequest> all;
  for (RecordedRequest& request : upstream.requests()) {
    if (request.head.starts_with("POST ")) all.push_back(std::move(request));
  }
  return all;
}

std::string why_not(ecso::gateway::Options options) {
  try {
    const GatewayUnderTest gateway{std::move(options)};
    return {};
  } catch (const ecso::Error& error) {
    return error.message();
  }
}

}  // namespace

TEST_CASE("Checks and rechecks go to the judge, all else to the upstream", "[gateway][judge]") {
  for (const Api api : {Api::chat, Api::messages}) {
    for (const bool stream : {false, true}) {
      CAPTURE(static_cast<int>(api), stream);
      ChatUpstream main{{.is_harmful = [](const std::string&) { return false; }}};
      ChatUpstream judge{{.is_harmful = [](const std::string& body) { return has(body, "A plain answer."); }}};
      auto options = options_for(main.url(), judge.url());
      options.upstreams[1].check_model = "guard";
      std::mutex mutex;
      std::string told;
      const GatewayUnderTest gateway{std::move(options), [&](const ecso::gateway::RequestRecord& record) {
                                       const std::lock_guard lock{mutex};
                                       told = std::string{record.upstream} + " " + std::string{record.checker};
                                     }};
      const HttpReply reply = gateway.ask(chat_request(api, stream));
      CAPTURE(reply.body);
      const auto said = read_said(reply, api);
      CHECK(said.wrong.empty());
      CHECK(said.text == "A kind answer.");
      CHECK(ecso::test::comes_true([&] {
        const std::lock_guard lock{mutex};
        return told == "default judge";
      }));
      CHECK(checks(main) == 0);
      CHECK(judge.calls(Step::check).size() == 1);
      CHECK(judge.calls(Step::recheck).size() == 1);
      CHECK(posts(judge).size() == 2);
      CHECK(main.calls(Step::caption).size() == 1);
      CHECK(main.calls(Step::regenerate).size() == 1);
      for (const RecordedRequest& request : posts(judge)) {
        CHECK(request.head.starts_with("POST /v1/chat/completions HTTP/1.1"));
        CHECK(nlohmann::json::parse(request.body).at("model") == "guard");
      }
      const auto check = nlohmann::json::parse(judge.calls(Step::check).front());
      const std::string part = check.at("messages").back().at("content").dump();
      CHECK(has(part, "data:image/png;base64,"));
      CHECK(has(part, "> A plain answer."));
    }
  }
}

TEST_CASE("Early checks and checks of errors go to the judge too", "[gateway][judge]") {
  ChatUpstreamOptions slow;
  slow.answer = std::string(400, 'w');
  slow.stream_pieces = 40;
  ChatUpstream judge;
  slow.may_go_on = [&judge](std::size_t bytes) { return bytes < 200 || checks(judge) > 0; };
  ChatUpstream main{slow};
  Policy policy = judged();
  policy.incremental_check = {4, 8};
  auto options = options_for(main.url(), judge.url(), policy);
  options.stream = ecso::gateway::StreamMode::window;
  const GatewayUnderTest gateway{std::move(options)};
  CHECK(read_said(gateway.ask(chat_request(Api::chat, true)), Api::chat).text == slow.answer);
  CHECK(checks(main) == 0);
  CHECK(checks(judge) >= 2);

  ChatUpstreamOptions refusing;
  refusing.instead = [](ecso::test::RawServer::Connection& connection, Step step) {
    if (step != Step::answer) return false;
    connection.send(ecso::test::http_response(500, R"({"error":{"message":"half an answer"}})"));
    return true;
  };
  ChatUpstream broken{refusing};
  ChatUpstream second_judge;
  const GatewayUnderTest other{options_for(broken.url(), second_judge.url())};
  const HttpReply reply = other.ask(chat_request());
  CHECK(reply.status == 500);
  CHECK(has(reply.body, "half an answer"));
  CHECK(checks(broken) == 0);
  CHECK(checks(second_judge) == 1);
}

TEST_CASE("Nothing of the client's goes to the judge but what is to be checked", "[gateway][judge][key]") {
  constexpr std::string_view secrets =
      "Authorization: Bearer CLIENTS-KEY\r\nx-api-key: CLIENTS-OTHER-KEY\r\nopenai-organization: CLIENTS-ORG\r\n"
      "openai-project: CLIENTS-PROJECT\r\nopenai-beta: CLIENTS-BETA\r\nanthropic-beta: CLIENTS-BETA\r\n"
      "traceparent: CLIENTS-TRACE\r\nuser-agent: CLIENTS-AGENT\r\ncookie: CLIENTS-COOKIE\r\n";
  for (const Api api : {Api::chat, Api::messages}) {
    for (const bool has_key : {false, true}) {
      CAPTURE(static_cast<int>(api), has_key);
      ChatUpstream main;
      ChatUpstream judge;
      auto options = options_for(main.url(), judge.url());
      if (has_key) options.upstreams[1].key = ecso::Secret::from_text("JUDGES-KEY");
      const GatewayUnderTest gateway{std::move(options)};
      const HttpReply reply =
          gateway.ask(http_request("POST", target_of(api) + "?key=CLIENTS-QUERY", chat_body(api, false), secrets));
      CHECK(reply.status == 200);
      REQUIRE(posts(judge).size() == 1);
      const RecordedRequest request = posts(judge).front();
      CHECK_FALSE(has(request.head, "CLIENTS"));
      CHECK_FALSE(has(request.body, "CLIENTS"));
      CHECK(has(request.head, "JUDGES-KEY") == has_key);
      // The client's model is none of the judge's.
      CHECK_FALSE(nlohmann::json::parse(request.body).contains("model"));
      REQUIRE_FALSE(posts(main).empty());
      for (const RecordedRequest& own : posts(main)) {
        CHECK(has(own.head, "CLIENTS-KEY"));
        CHECK_FALSE(has(own.head, "JUDGES-KEY"));
      }
      // Nor is it asked for its models.
      CHECK(gateway.ask(http_request("GET", "/v1/models", "", secrets)).status == 200);
      CHECK(judge.requests().size() == 1);
    }
  }
}

TEST_CASE("A judge that cannot be asked is no reason to ask another", "[gateway][judge]") {
  for (const int status : {0, 401, 404, 429, 500, 503, 302}) {
    for (const bool refuses : {false, true}) {
      CAPTURE(status, refuses);
      ChatUpstream main;
      ChatUpstreamOptions failing;
      failing.instead = [status](ecso::test::RawServer::Connection& connection, Step) {
        if (status != 0) connection.send(ecso::test::http_response(status, R"({"error":{"message":"no"}})"));
        return true;
      };
      ChatUpstream judge{failing};
      Policy policy = judged();
      policy.on_failure = refuses ? ecso::OnFailure::refuse : ecso::OnFailure::raise;
      auto options = options_for(main.url(), judge.url(), policy);
      const GatewayUnderTest gateway{std::move(options)};
      const HttpReply reply = gateway.ask(chat_request());
      CAPTURE(reply.body);
      CHECK_FALSE(has(reply.body, "plain answer"));
      CHECK(checks(main) == 0);
      const auto said = read_said(reply, Api::chat);
      if (refuses) {
        CHECK(reply.status == 200);
        CHECK(said.text == policy.refusal);
      } else {
        CHECK(reply.status >= 429);
        CHECK(has(said.error, "ecso_unverified"));
        CHECK(has(said.error, "check: the upstream judge"));
      }
      CHECK(metric(gateway, "ecso_upstream_calls_total") >= 2);
      CHECK(has(gateway.ask(http_request("GET", "/metrics")).body, R"(step="check",upstream="judge")") !=
            has(gateway.ask(http_request("GET", "/metrics")).body, R"(step="check",upstream="default")"));
    }
  }
}

TEST_CASE("A judge's dialect is its own, and so is what it refuses", "[gateway][judge]") {
  ChatUpstream main;
  ChatUpstreamOptions picky;
  picky.instead = [](ecso::test::RawServer::Connection& connection, Step) {
    if (!has(connection.last_body(), "top_logprobs")) return false;
    connection.send(ecso::test::http_response(400, R"({"error":{"message":"logprobs are not supported"}})"));
    return true;
  };
  ChatUpstream judge{picky};
  auto options = options_for(main.url(), judge.url());
  options.upstreams[0].dialect = ecso::vllm_dialect();
  options.upstreams[1].dialect = ecso::openai_dialect();
  const GatewayUnderTest gateway{std::move(options)};
  for (int i = 0; i < 3; ++i) CHECK(gateway.ask(chat_request()).status == 200);
  CHECK(posts(judge).size() == 4);
  CHECK_FALSE(has(judge.calls(Step::check).back(), "structured_outputs"));
  CHECK(has(judge.calls(Step::check).back(), "max_completion_tokens"));
}

TEST_CASE("A chat that the upstream has cached is quoted to a judge", "[gateway][judge]") {
  for (const CheckForm form : {CheckForm::automatic, CheckForm::next_turn}) {
    ChatUpstream main;
    ChatUpstream judge;
    auto options = options_for(main.url(), judge.url(), judged(form));
    for (auto& upstream : options.upstreams) upstream.dialect.prefix_cache = true;
    const GatewayUnderTest gateway{std::move(options)};
    CHECK(gateway.ask(chat_request()).status == 200);
    REQUIRE(judge.calls(Step::check).size() == 1);
    CHECK(has(judge.calls(Step::check).front(), "You review an assistant's answer"));
  }
}

TEST_CASE("A guard model gets two turns, and its category is told", "[gateway][judge][guard]") {
  ChatUpstream main;
  ChatUpstream judge{guard("unsafe\nS1,S10")};
  auto options = options_for(main.url(), judge.url(), judged(CheckForm::guard));
  options.upstreams[1].dialect = ecso::vllm_dialect();
  const GatewayUnderTest gateway{std::move(options)};
  const HttpReply reply = gateway.ask(chat_request());
  const auto said = read_said(reply, Api::chat);
  CHECK(said.text == Policy{}.refusal);
  CHECK(said.ecso.at("choices").at(0).at("verdicts").at(0).at("category") == "S1, S10");
  REQUIRE_FALSE(posts(judge).empty());
  const auto asked = nlohmann::json::parse(posts(judge).front().body);
  REQUIRE(asked.at("messages").size() == 2);
  CHECK(asked["messages"][0].at("role") == "user");
  CHECK(asked["messages"][1] == nlohmann::json{{"role", "assistant"}, {"content", "A plain answer."}});
  CHECK_FALSE(asked.contains("structured_outputs"));
  CHECK(asked.at("max_tokens") >= 64);

  ChatUpstream kind{guard("safe")};
  auto kindly = options_for(main.url(), kind.url(), judged(CheckForm::guard));
  kindly.upstreams[1].check_vision = false;
  const GatewayUnderTest other{std::move(kindly)};
  CHECK(read_said(other.ask(chat_request()), Api::chat).text == "A plain answer.");
  REQUIRE(posts(kind).size() == 1);
  CHECK_FALSE(has(posts(kind).front().body, "image"));
}

TEST_CASE("A guard model behind the Messages API wants an upstream that checks", "[gateway][judge][guard]") {
  ChatUpstream main;
  auto options = ecso::test::options_for(main.url());
  Policy policy;
  policy.check_form = CheckForm::guard;
  options.policy = std::make_shared<const Policy>(policy);
  const GatewayUnderTest gateway{std::move(options)};
  const HttpReply reply = gateway.ask(chat_request(Api::messages));
  CHECK(reply.status == 400);
  CHECK(has(reply.body, "check.upstream"));
  CHECK(posts(main).empty());
}

TEST_CASE("The gateway is ready once its judges can be reached, too", "[gateway][judge]") {
  ChatUpstream main;
  const ecso::test::ReservedPort reserved;
  const std::string nobody = reserved.url();
  const GatewayUnderTest gateway{options_for(main.url(), nobody)};
  const HttpReply reply = gateway.ask(http_request("GET", "/readyz"));
  CHECK(reply.status == 503);
  CHECK(reply.body == "the upstream judge, which checks, cannot be reached\n");
  ChatUpstream judge;
  const GatewayUnderTest whole{options_for(main.url(), judge.url())};
  CHECK(whole.ask(http_request("GET", "/readyz")).status == 200);
  // A judge does not answer for the upstream.
  const GatewayUnderTest headless{options_for(nobody, judge.url())};
  CHECK(headless.ask(http_request("GET", "/readyz")).body == "no upstream can be reached\n");
  CHECK(headless.ask(chat_request()).status == 503);
  CHECK(posts(judge).empty());
  // One that no request may be served with need not be there.
  auto spare = options_for(main.url(), nobody, {});
  spare.policies.push_back(std::make_shared<const Policy>(judged()));
  CHECK(GatewayUnderTest{spare}.ask(http_request("GET", "/readyz")).status == 200);
  spare.overrides.policy = true;
  CHECK(GatewayUnderTest{spare}.ask(http_request("GET", "/readyz")).status == 503);
}

TEST_CASE("A judge answers clients only for routes that name it", "[gateway][judge]") {
  ChatUpstream main;
  ChatUpstream judge;
  auto options = options_for(main.url(), judge.url());
  options.routes = {{.model = "guard*", .upstreams = {"judge"}}, {.model = "*"}};
  const GatewayUnderTest gateway{std::move(options)};
  CHECK(gateway.ask(chat_request()).status == 200);
  CHECK(judge.calls(Step::answer).empty());
  std::string body = chat_body(Api::chat, false);
  body.replace(body.find("tiny"), 4, "guard");
  CHECK(gateway.ask(http_request("POST", "/v1/chat/completions", body)).status == 200);
  CHECK(judge.calls(Step::answer).size() == 1);
}

TEST_CASE("What is wrong with a judge's name is said with those that are known", "[gateway][judge]") {
  Policy policy = judged();
  policy.check_upstream = "jugde";
  CHECK_THAT(why_not(options_for("http://127.0.0.1:1", "http://127.0.0.1:1", policy)),
             ContainsSubstring("policy judged: check.upstream: there is no upstream \"jugde\"; there are default, judge"));
  ecso::gateway::Options alone = options_for("http://127.0.0.1:1", "http://127.0.0.1:1");
  alone.upstreams.erase(alone.upstreams.begin());
  CHECK_THAT(why_not(alone), ContainsSubstring("so none answers"));
  ecso::gateway::Options unnamed = options_for("http://127.0.0.1:1", "http://127.0.0.1:1", {});
  unnamed.upstreams[1].check_model = "guard";
  CHECK_THAT(why_not(unnamed), ContainsSubstring("upstream judge: model and vision are for one that a policy's check.upstream"));
}

TEST_CASE("A reload changes the judge", "[gateway][judge][reload]") {
  ChatUpstream main;
  ChatUpstream first;
  ChatUpstream second;
  GatewayUnderTest gateway{options_for(main.url(), first.url())};
  CHECK(gateway.ask(chat_request()).status == 200);
  gateway.gateway.reload(options_for(main.url(), second.url()));
  CHECK(ecso::test::comes_true([&] { return gateway.ask(chat_request()).status == 200 && checks(second) > 0; }));
  CHECK(checks(main) == 0);
}

}  // namespace judge_test
