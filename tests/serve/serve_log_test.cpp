#include "ecso/gateway/serve_log.hpp"

#include "command/command.hpp"
#include "ecso/exit_code.hpp"
#include "ecso/gateway/append_file.hpp"
#include "ecso/gateway/json_line.hpp"
#include "serve/records.hpp"
#include "support/catch.hpp"

#include <ecso/detail/json.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace serve_log_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::command::AppendFile;
using ecso::command::JsonLine;
using ecso::command::level_of;
using ecso::command::LogLevel;
using ecso::command::request_line;
using ecso::command::ServeLog;
using ecso::detail::Json;
using ecso::test::TemporaryFolder;
using ecso::test::told_request;

constexpr std::chrono::system_clock::time_point moment{std::chrono::milliseconds{1'738'324'800'123}};

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

TEST_CASE("a request is one line of JSON with all that is known of it but its content", "[serve]") {
  auto told = told_request({ecso::test::repaired(), ecso::test::direct()});
  told.record.client = "alice";
  const std::string line = request_line(told.told(), moment, false);
  CHECK(line ==
        R"({"time":"2025-01-31T12:00:00.123Z","level":"info","id":"id-1","client":"alice","address":"127.0.0.1","method":"POST",)"
        R"("target":"/v1/chat/completions","model":"llava","upstream":"default","status":200,"policy":"production",)"
        R"("paths":["eyes_closed","direct"],"verdicts":[["harmful","harmful","safe"],["safe"]],"calls":9,"prompt_tokens":900,)"
        R"("cached_tokens":90,"completion_tokens":9,"ms":1.500,"upstream_ms":1.250,"request_bytes":123,"response_bytes":456})"
        "\n");
  for (const char* content : {"bad", "good", "a caption", "the query"}) CHECK_THAT(line, !ContainsSubstring(content));
  const Json with_content = Json::parse(request_line(told.told(), moment, true));
  CHECK(with_content.at("query") == "the query");
  CHECK(with_content.at("answers") == Json::array({"good", "fine"}));
}

TEST_CASE("a request that is no chat has a short line", "[serve]") {
  ecso::gateway::RequestRecord record;
  record.id = "7";
  record.address = "::1";
  record.method = "GET";
  record.target = "/nowhere";
  record.status = 404;
  record.error = "there is no such path";
  CHECK(
      request_line(record, moment, true) ==
      R"({"time":"2025-01-31T12:00:00.123Z","level":"warn","id":"7","address":"::1","method":"GET","target":"/nowhere","status":404,)"
      R"("ms":0.000,"upstream_ms":0.000,"request_bytes":0,"response_bytes":0,"error":"there is no such path"})"
      "\n");
  CHECK(level_of(record) == LogLevel::warn);
  record.status = 502;
  CHECK(level_of(record) == LogLevel::error);
  record.error = {};
  record.status = 200;
  CHECK(level_of(record) == LogLevel::info);
  record.target = "/metrics";
  CHECK(level_of(record) == LogLevel::debug);
}

TEST_CASE("whatever bytes come from outside, a line stays one line of valid JSON", "[serve]") {
  const std::string evil =
      std::string{"a\"b\\c\nd\re\tf\0g\x1b[31m", 18} + "\xff\xc3\x28 \xed\xa0\x80 \xf0\x9f\x98\x80 {\"x\":1}";
  auto told = told_request({ecso::test::direct()});
  told.record.id = told.record.client = told.record.address = told.record.method = told.record.target = told.record.model =
      told.record.upstream = told.record.error = evil;
  told.conversation.messages.back().parts.back() = evil;
  told.outcomes.front().text = evil;
  told.outcomes.front().policy = evil;
  const std::string line = request_line(told.told(), moment, true);
  CHECK(std::ranges::count(line, '\n') == 1);
  CHECK(std::ranges::none_of(line.substr(0, line.size() - 1), [](char c) { return static_cast<unsigned char>(c) < ' '; }));
  const Json json = Json::parse(line);
  const std::string clean = json.at("target");
  CHECK(clean.substr(0, 18) == evil.substr(0, 18));
  CHECK_THAT(clean, ContainsSubstring("\uFFFD\uFFFD( \uFFFD\uFFFD\uFFFD \xf0\x9f\x98\x80 {\"x\":1}"));
  CHECK(json.at("client") == clean);
  CHECK(json.at("query") == clean);
  CHECK(json.at("answers").at(0) == clean);
}

TEST_CASE("long content is cut between code points", "[serve]") {
  using ecso::command::shortened;
  CHECK(shortened("abc", 3) == "abc");
  CHECK(shortened("abcd", 3) == "abc…");
  CHECK(shortened("ab\xc3\xa4", 3) == "ab…");
  auto told = told_request({ecso::test::direct()});
  told.outcomes.front().text = std::string(1'000'000, 'x');
  CHECK(request_line(told.told(), moment, true).size() < 20'000);
}

TEST_CASE("a line is short, however many choices there are and whatever a client sends", "[serve]") {
  const std::string endless(1'000'000, 'x');
  auto told = told_request(std::vector(8, ecso::test::direct()));
  for (auto& outcome : told.outcomes) outcome.text = endless;
  told.conversation.messages.back().parts.back() = std::string(10'000, 'q');
  told.record.target = told.record.model = told.record.error = endless;
  const std::string line = request_line(told.told(), moment, true);
  CHECK(line.size() < 22'000);
  const Json json = Json::parse(line);
  CHECK(json.at("query").get<std::string>().size() == 10'000);
  CHECK(json.at("answers").at(0) == std::string(6'384, 'x') + "…");
  CHECK(json.at("answers").at(7) == "…");
  CHECK(request_line(told.told(), moment, false).size() < 5'000);
}

TEST_CASE("a line is built member by member", "[serve]") {
  JsonLine line;
  line.member("a", 1).flag("b", true).fraction("c", 0.5).fraction("d", std::numeric_limits<double>::infinity());
  line.begin_array("e").element("x").begin_object().member("y", "z").end().end().begin_object("f").end();
  CHECK(std::move(line).finish() == "{\"a\":1,\"b\":true,\"c\":0.500,\"d\":null,\"e\":[\"x\",{\"y\":\"z\"}],\"f\":{}}\n");
  CHECK(JsonLine{}.finish() == "{}\n");
}

TEST_CASE("the log holds the lines of its level, written when it ends at the latest", "[serve]") {
  const TemporaryFolder folder;
  auto told = told_request({ecso::test::direct()});
  {
    ServeLog log{{.file = folder.path("log"), .level = LogLevel::warn}};
    log.request(told.told());
    told.record.status = 500;
    log.request(told.told());
    log.message(LogLevel::info, "quiet");
    log.message(LogLevel::error, "loud \xff");
  }
  const auto lines = lines_of(folder.read("log"));
  REQUIRE(lines.size() == 2);
  CHECK(lines.at(0).at("status") == 500);
  CHECK(lines.at(0).at("level") == "error");
  CHECK(lines.at(1).at("message") == "loud \uFFFD");
}

TEST_CASE("a log that is written by many threads has every line", "[serve]") {
  const TemporaryFolder folder;
  constexpr std::size_t threads = 4;
  constexpr std::size_t requests = 2000;
  {
    ServeLog log{{.file = folder.path("log")}};
    std::vector<std::jthread> writers;
    for (std::size_t i = 0; i < threads; ++i) {
      writers.emplace_back([&log] {
        auto told = told_request({ecso::test::direct()});
        for (std::size_t k = 0; k < requests; ++k) log.request(told.told());
      });
    }
  }
  CHECK(lines_of(folder.read("log")).size() == threads * requests);
}

TEST_CASE("a log that is stuck holds 16 MiB at most, and says how many lines were lost", "[serve]") {
  const TemporaryFolder folder;
  const std::string path = folder.path("pipe");
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  const std::string text(100'000, 'x');
  constexpr std::size_t lines = 200;
  std::string read;
  {
    ServeLog log{{.file = path}};
    for (std::size_t i = 0; i < lines; ++i) log.message(LogLevel::info, text);
    const auto read_on = [&] {
      std::vector<char> bytes(1 << 20);
      const ssize_t got = ::read(reader, bytes.data(), bytes.size());
      if (got > 0) read.append(bytes.data(), static_cast<std::size_t>(got));
      if (got <= 0) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    };
    while (read.size() < 10'000'000) read_on();
    log.message(LogLevel::info, "room again");
    while (read.find("\"lost\"") == std::string::npos || !read.ends_with('\n')) read_on();
  }
  ::close(reader);
  const auto said = lines_of(read);
  REQUIRE(said.size() > 3);
  const std::size_t written = said.size() - 2;
  CHECK(written * text.size() <= std::size_t{17} * 1024 * 1024);
  CHECK(said.at(written).at("message") == "room again");
  CHECK(said.at(written + 1).at("lost") == lines - written);
}

TEST_CASE("a log that cannot be opened is an error, one that cannot be written is not", "[serve]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH((ServeLog{{.file = folder.path("no/such/folder")}}), ContainsSubstring("cannot be opened for writing"));
  CHECK_THROWS_AS((ServeLog{{.file = folder.path()}}), ecso::command::WriteError);
  auto told = told_request({ecso::test::direct()});
  ServeLog log{{.file = "/dev/full"}};
  for (int i = 0; i < 100; ++i) log.request(told.told());
}

TEST_CASE("lines of several writers to one file do not mix", "[serve]") {
  const TemporaryFolder folder;
  AppendFile one{folder.path("file")};
  AppendFile two{folder.path("file")};
  const auto write = [](AppendFile& file, char letter) {
    const std::string line = std::string(3000, letter) + "\n";
    for (int i = 0; i < 200; ++i) CHECK(file.write(line) == 0);
  };
  {
    const std::jthread other{[&] { write(two, 'b'); }};
    write(one, 'a');
  }
  std::istringstream in{folder.read("file")};
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines)
    CHECK((line == std::string(3000, 'a') || line == std::string(3000, 'b')));
  CHECK(lines == 400);
}

}  // namespace

}  // namespace serve_log_test
