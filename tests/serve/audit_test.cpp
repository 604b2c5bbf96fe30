#include "ecso/gateway/audit.hpp"

#include "command/command.hpp"
#include "ecso/exit_code.hpp"
#include "serve/records.hpp"
#include "support/catch.hpp"
#include "support/patience.hpp"

#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace audit_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::command::Audit;
using ecso::command::audit_line;
using ecso::detail::Json;
using ecso::detail::sha256_hex;
using ecso::test::TemporaryFolder;
using ecso::test::told_request;

constexpr std::chrono::system_clock::time_point moment{std::chrono::milliseconds{1'738'324'800'123}};

void tell_nobody(std::string_view) {}

TEST_CASE("the audit of a repaired answer tells it by hashes alone", "[serve]") {
  auto told = told_request({ecso::test::repaired()});
  told.record.client = "alice";
  const std::string line = audit_line(told.told(), 0, moment, false);
  const Json json = Json::parse(line);
  CHECK(json.at("schema") == 1);
  CHECK(json.at("time") == "2025-01-31T12:00:00.123Z");
  CHECK(json.at("id") == "id-1");
  CHECK(json.at("choice") == 0);
  CHECK(json.at("client") == "alice");
  CHECK(json.at("model") == "llava");
  CHECK(json.at("upstream") == "default");
  CHECK(json.at("policy") == "production");
  CHECK(json.at("path") == "eyes_closed");
  CHECK(json.at("images") == Json::array({std::string{images_of(told.conversation).front().sha256()}}));
  CHECK(json.at("query_sha256") == sha256_hex("the query"));
  CHECK(json.at("rejected_sha256") == Json::array({sha256_hex("bad"), sha256_hex("worse")}));
  CHECK(json.at("captions_sha256") == Json::array({sha256_hex("a caption")}));
  CHECK(json.at("released_sha256") == sha256_hex("good"));
  const Json verdicts = json.at("verdicts");
  REQUIRE(verdicts.size() == 3);
  CHECK(verdicts.at(0) == Json({{"step", "check"}, {"round", 0}, {"verdict", "harmful"}, {"p_harmful", 0.98}}));
  CHECK(verdicts.at(2).at("step") == "recheck");
  for (const char* content : {"\"bad\"", "worse", "good", "a caption", "the query"})
    CHECK_THAT(line, !ContainsSubstring(content));
}

TEST_CASE("with content, the audit of a repaired answer is a preference pair", "[serve]") {
  auto told = told_request({ecso::test::repaired()});
  const Json json = Json::parse(audit_line(told.told(), 0, moment, true));
  CHECK(json.at("query") == "the query");
  CHECK(json.at("rejected") == Json::array({"bad", "worse"}));
  CHECK(json.at("captions") == Json::array({"a caption"}));
  CHECK(json.at("released") == "good");
  CHECK_FALSE(json.contains("messages"));
  CHECK_FALSE(json.contains("query_sha256"));

  told.conversation.messages.insert(told.conversation.messages.begin(), {ecso::Role::system, {std::string{"be kind"}}});
  const Json several = Json::parse(audit_line(told.told(), 0, moment, true));
  REQUIRE(several.at("messages").size() == 2);
  CHECK(several.at("messages").at(0) == Json({{"role", "system"}, {"text", "be kind"}, {"images", Json::array()}}));
  CHECK(several.at("messages").at(1).at("images").size() == 1);
  CHECK(Json::parse(audit_line(told.told(), 0, moment, false)).contains("messages") == false);
}

TEST_CASE("the audit of a refusal holds every answer as rejected", "[serve]") {
  auto told = told_request({ecso::test::refused()});
  const Json json = Json::parse(audit_line(told.told(), 0, moment, true));
  CHECK(json.at("path") == "refused");
  CHECK(json.at("rejected") == Json::array({"bad", "worse", "good"}));
  CHECK(json.at("released") == "No.");
}

TEST_CASE("the audit of a stream that stopped tells what had left and what was withheld", "[serve]") {
  auto stopped = ecso::test::refused();
  stopped.path = ecso::Path::stopped;
  stopped.text = "ba";
  stopped.steps.resize(2);
  auto told = told_request({stopped});
  const Json json = Json::parse(audit_line(told.told(), 0, moment, true));
  CHECK(json.at("path") == "stopped");
  CHECK(json.at("rejected") == Json::array({"bad"}));
  CHECK(json.at("released") == "ba");

  const TemporaryFolder folder;
  { Audit{{.file = folder.path("audit.jsonl")}, tell_nobody}.request(told.told()); }
  CHECK(Json::parse(folder.read("audit.jsonl")).at("path") == "stopped");
}

TEST_CASE("the audit has a line for each choice that was repaired or refused, readable by its owner alone", "[serve]") {
  const TemporaryFolder folder;
  const std::string file = folder.path("audit.jsonl");
  {
    Audit audit{{.file = file}, tell_nobody};
    auto told = told_request({ecso::test::direct(), ecso::test::repaired(), ecso::test::refused()});
    std::vector<std::jthread> writers;
    for (int i = 0; i < 4; ++i) {
      writers.emplace_back([&audit, record = told.told()] {
        for (int k = 0; k < 50; ++k) audit.request(record);
      });
    }
    writers.clear();
    CHECK(audit.lost() == 0);
  }  // Writes what waits.
  std::istringstream in{folder.read("audit.jsonl")};
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) CHECK(Json::parse(line).at("choice") != 0);
  CHECK(lines == 400);
  struct stat status{};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
}

TEST_CASE("a full disk loses audit lines, counts them and is told of once a minute", "[serve]") {
  std::vector<std::string> told_of;
  {
    Audit audit{{.file = "/dev/full"}, [&](std::string_view message) { told_of.emplace_back(message); }};
    auto told = told_request({ecso::test::repaired(), ecso::test::refused()});
    for (int i = 0; i < 10; ++i) audit.request(told.told());
    CHECK(ecso::test::comes_true([&] { return audit.lost() == 20; }));
  }
  REQUIRE(told_of.size() == 1);
  CHECK_THAT(told_of.front(), ContainsSubstring("/dev/full") && ContainsSubstring("No space left"));
}

TEST_CASE("an audit line of whatever bytes is valid JSON", "[serve]") {
  const std::string evil = "x\xff\n\"";
  auto told = told_request({ecso::test::repaired()});
  told.record.client = told.record.model = evil;
  told.conversation.messages.back().parts.back() = evil;
  for (auto& step : told.outcomes.front().steps) step.reply = evil;
  const std::string line = audit_line(told.told(), 0, moment, true);
  CHECK(std::ranges::count(line, '\n') == 1);
  CHECK(Json::parse(line).at("rejected").at(0) == "x\uFFFD\n\"");
}

TEST_CASE("an audit that cannot be opened is an error", "[serve]") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS((Audit{{.file = folder.path("no/such/folder")}, tell_nobody}), ecso::command::WriteError);
}

}  // namespace

}  // namespace audit_test
