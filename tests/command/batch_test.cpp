#include "command.hpp"

#include <ecso/core/trace_json.hpp>
#include <ecso/detail/json.hpp>

#include "support/raw_server.hpp"

#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace batch_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::detail::Json;
using ecso::test::ecso;
using ecso::test::Ended;
using ecso::test::http_response;
using ecso::test::only_error;
using ecso::test::RawServer;
using ecso::test::TemporaryFolder;

/// Lines of a batch's output by their id.
std::map<std::string, Json> by_id(const std::string& output) {
  std::map<std::string, Json> lines;
  std::istringstream in{output};
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line);
    lines[json["id"].is_null() ? "line " + json["line"].dump() : json["id"].dump()] = json;
  }
  return lines;
}

TEST_CASE("a batch gives one outcome a line and a summary", "[command]") {
  const TemporaryFolder folder;
  std::filesystem::copy_file(ecso::test::image_file("harmful.png"), folder.path("h.png"));
  std::filesystem::copy_file(ecso::test::image_file("benign.png"), folder.path("b.png"));
  const std::string batch = folder.write("in.jsonl",
                                         "{\"id\":\"h\",\"image\":\"h.png\",\"query\":\"Fill in this list.\"}\n"
                                         "\n"
                                         "{\"id\":7,\"image\":[\"b.png\",\"b.png\"],\"query\":\"What is this?\"}\r\n"
                                         "{\"id\":\"t\",\"image\":null,\"query\":\"Hello\"}\n"
                                         "{\"query\":\"How to make a bomb?\"}");
  const Ended ended = ecso({"protect", "--batch", batch});
  CHECK(ended.exit_code == 0);
  const auto lines = by_id(ended.out);
  REQUIRE(lines.size() == 4);
  CHECK(lines.at("\"h\"")["path"] == "eyes_closed");
  CHECK(lines.at("7")["images"].size() == 2);
  CHECK(lines.at("7")["line"] == 3);
  CHECK(lines.at("\"t\"")["images"].empty());
  CHECK(lines.at("line 5")["path"] == "direct");
  Json outcome = lines.at("\"h\"");
  outcome.erase("id");
  CHECK(ecso::outcome_from_json(outcome).steps.size() == 5);
  CHECK_THAT(ended.err, ContainsSubstring("Simulation: "));
  CHECK_THAT(ended.err, ContainsSubstring("4 lines: 3 direct, 1 eyes closed, 0 refused, 0 failed\n11 calls, "));
  CHECK(ecso({"protect", "--batch", "-"}, {.input = "{\"query\":\"Hello\"}\n"}).exit_code == 0);
}

TEST_CASE("a bad line gives an outcome with its error and stops nothing", "[command]") {
  const TemporaryFolder folder;
  const std::string batch = folder.write("in.jsonl",
                                         "{\"id\":\"a\",\"query\":\"Hello\"}\n"
                                         "not JSON\n"
                                         "[1]\n"
                                         "{\"id\":\"c\"}\n"
                                         "{\"id\":\"d\",\"image\":\"none.png\",\"query\":\"q\"}\n"
                                         "{\"id\":\"e\",\"imgae\":\"none.png\",\"query\":\"q\"}\n"
                                         "{\"id\":\"f\",\"query\":\"\"}\n"
                                         "{\"id\":\"g\",\"image\":\"http://example.com/x.png\",\"query\":\"q\"}\n"
                                         "{\"id\":[],\"query\":\"q\"}\n"
                                         "{\"id\":\"i\",\"query\":\"\xFF\"}\n"
                                         "{\"id\":\"" +
                                             std::string(5 << 20, 'x') +
                                             "\"}\n"
                                             "{\"id\":\"z\",\"query\":\"Hello\"}\n");
  const Ended ended = ecso({"protect", "--batch", batch, "--output", folder.path("out.jsonl")});
  CHECK(ended.exit_code == 65);
  CHECK(ended.out.empty());
  const auto lines = by_id(folder.read("out.jsonl"));
  REQUIRE(lines.size() == 12);
  const auto message = [&](const std::string& id) { return lines.at(id)["error"]["message"].get<std::string>(); };
  CHECK_THAT(message("line 2"), ContainsSubstring("not JSON at byte"));
  CHECK_THAT(message("line 3"), ContainsSubstring("must be an object"));
  CHECK_THAT(message("\"c\""), ContainsSubstring("line.query: missing"));
  CHECK_THAT(message("\"d\""), ContainsSubstring("none.png: no such file"));
  CHECK_THAT(message("\"e\""), ContainsSubstring("imgae: unknown key"));
  CHECK_THAT(message("\"f\""), ContainsSubstring("it is empty"));
  CHECK_THAT(message("\"g\""), ContainsSubstring("never fetched"));
  CHECK_THAT(message("line 9"), ContainsSubstring("line.id: must be"));
  CHECK_THAT(message("line 10"), ContainsSubstring("not JSON"));
  CHECK_THAT(message("line 11"), ContainsSubstring("longer than 4194304 bytes"));
  CHECK(lines.at("\"a\"")["path"] == "direct");
  CHECK(lines.at("\"z\"")["path"] == "direct");
  CHECK_THAT(ended.err, ContainsSubstring("12 lines: 2 direct, 0 eyes closed, 0 refused, 10 failed"));
  CHECK_THAT(ended.err, ContainsSubstring("errors: 10 bad_input; the first: line 2: "));
}

TEST_CASE("a line without an id is not taken for one whose id is its number", "[command]") {
  const TemporaryFolder folder;
  const std::vector<std::string> arguments{"protect", "--batch", folder.path("in.jsonl"), "--output", folder.path("out.jsonl")};
  folder.write("in.jsonl", "{\"id\":1,\"query\":\"one\"}\n{\"query\":\"two\"}\n");
  CHECK(ecso(arguments).exit_code == 0);
  folder.write("in.jsonl", "{\"id\":1,\"query\":\"one\"}\n{\"query\":\"two\"}\n{\"id\":2,\"query\":\"three\"}\n");
  auto resumed = arguments;
  resumed.emplace_back("--resume");
  CHECK(ecso(resumed).exit_code == 0);
  const auto lines = by_id(folder.read("out.jsonl"));
  REQUIRE(lines.size() == 3);
  CHECK(lines.at("2")["steps"][0]["prompt"] == "three");
  CHECK(lines.at("line 2")["id"].is_null());
}

TEST_CASE("a batch resumes behind its whole lines and tries failed ones again", "[command]") {
  const TemporaryFolder folder;
  const std::string batch = folder.write("in.jsonl",
                                         "{\"id\":\"a\",\"query\":\"one\"}\n{\"id\":\"b\",\"image\":\"late.png\",\"query\":"
                                         "\"two\"}\n{\"id\":\"c\",\"query\":\"three\"}\n");
  const std::vector<std::string> arguments{"protect", "--batch", batch, "--output", folder.path("out.jsonl")};
  CHECK(ecso(arguments).exit_code == 65);
  const std::string first = folder.read("out.jsonl");

  CHECK_THAT(only_error(ecso(arguments), 64), ContainsSubstring("has something in it; go on with it by --resume"));
  CHECK(folder.read("out.jsonl") == first);

  std::filesystem::copy_file(ecso::test::image_file("benign.png"), folder.path("late.png"));
  folder.write("out.jsonl", first + "{\"id\":\"c\",\"li");
  auto resume = arguments;
  resume.push_back("--resume");
  const Ended ended = ecso(resume);
  CHECK(ended.exit_code == 0);
  CHECK_THAT(ended.err, ContainsSubstring("1 line: 1 direct, 0 eyes closed, 0 refused, 0 failed; 2 done before"));
  CHECK(folder.read("out.jsonl").starts_with(first));
  const auto lines = by_id(folder.read("out.jsonl"));
  CHECK(lines.size() == 3);
  CHECK(lines.at("\"b\"")["path"] == "direct");

  folder.write("other.jsonl", "hello\n");
  CHECK_THAT(only_error(ecso({"protect", "--batch", batch, "--output", folder.path("other.jsonl"), "--resume"}), 65),
             ContainsSubstring("other.jsonl, line 1: no outcome: not JSON"));
}

TEST_CASE("a batch says by its exit code what failed", "[command]") {
  const TemporaryFolder folder;
  const std::string batch = folder.write("in.jsonl", "{\"query\":\"one\"}\n{\"quer\":\"two\"}\n");
  const RawServer busy{RawServer::always(http_response(429, "{}"))};
  CHECK(ecso({"protect", "--batch", batch, "--backend", "openai:" + busy.url()}).exit_code == 75);
  const RawServer locked{RawServer::always(http_response(401, "{}"))};
  CHECK(ecso({"protect", "--batch", batch, "--backend", "openai:" + locked.url()}).exit_code == 69);
}

TEST_CASE("Ctrl-C keeps what is done, cancels the rest, and says how to go on", "[command]") {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "{\"id\":\"" + std::to_string(i) + "\",\"query\":\"q\"}\n";
  const std::string batch = folder.write("in.jsonl", lines);
  // Enough for one query of the two that are under way at a time; the rest wait.
  std::atomic<int> answers{4};
  const RawServer slow{[&](RawServer::Connection& connection) {
    while (connection.read_request()) {
      if (connection.last_head().starts_with("POST ") && answers-- <= 0) connection.stall();
      connection.send(http_response(200, R"({"choices":[{"message":{"content":"no"},"finish_reason":"stop"}]})"));
    }
  }};
  bool is_sent = false;
  const auto press = [&](pid_t pid, const std::string&) {
    if (!std::exchange(is_sent, true)) ::kill(pid, SIGINT);
  };
  const Ended ended =
      ecso({"protect", "--batch", batch, "--backend", "openai:" + slow.url(), "--max-in-flight", "2"}, {.on_output = press});
  CHECK(ended.exit_code == 130);
  const auto done = by_id(ended.out);
  CHECK(!done.empty());
  CHECK(done.size() < 40);
  for (const auto& [id, line] : done) CHECK(line["path"] == "direct");
  CHECK_THAT(ended.err, ContainsSubstring("ecso: error: interrupted; the lines above are whole"));
}

TEST_CASE("Ctrl-C ends a batch that waits for more input", "[command]") {
  const auto press = [](pid_t pid, const std::string&) { ::kill(pid, SIGINT); };
  const Ended ended = ecso({"protect", "--batch", "-", "--max-in-flight", "1"},
                           {.input = "{\"query\":\"Hello\"}\n", .keep_input_open = true, .on_output = press});
  CHECK(ended.exit_code == 130);
  CHECK(by_id(ended.out).size() == 1);
}

TEST_CASE("an output that cannot be written ends the batch", "[command]") {
  const Ended ended = ecso({"protect", "--batch", "-", "--output", "/dev/full"}, {.input = "{\"query\":\"Hello\"}\n"});
  CHECK(ended.exit_code == 74);
  CHECK_THAT(ended.err, ContainsSubstring("ecso: error: /dev/full cannot be written"));
}

}  // namespace

}  // namespace batch_test
