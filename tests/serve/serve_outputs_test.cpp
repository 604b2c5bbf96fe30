// The audit and the log of a running `ecso serve`.

#include "command/command.hpp"
#include "ecso/gateway/simulated_server.hpp"
#include "serve/chats.hpp"
#include "serve/serving.hpp"
#include "support/catch.hpp"

#include <ecso/core/image.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <thread>

namespace serve_outputs_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using ecso::detail::Json;
using ecso::detail::sha256_hex;
using ecso::test::chat;
using ecso::test::harmful_chat;
using ecso::test::harmful_query;
using ecso::test::lines_of;
using ecso::test::Serving;
using ecso::test::TemporaryFolder;

/// A configuration of the simulated model, none of whose repaired answers passes its check.
std::string never_repaired(const std::string& more) {
  return "listen = \"127.0.0.1:0\"\n[simulated]\ndelay = 0\ncaption_leaks = 1.0\n" + more;
}

TEST_CASE("a running gateway audits a refused answer, by hashes or with its content", "[serve]") {
  const TemporaryFolder folder;
  const std::string refusal = ecso::policy::production().refusal;
  for (const bool content : {false, true}) {
    CAPTURE(content);
    const std::string audit = std::string{"[audit]\nfile = \"audit"} + (content ? "1\"\ncontent = true\n" : "0\"\n");
    Serving gateway{{"serve", "--config", folder.write("ecso.toml", never_repaired(audit))}};
    const Json reply = Json::parse(chat(gateway.url(), harmful_chat()).body);
    REQUIRE(reply.at("ecso").at("path") == "refused");
    CHECK(reply.at("choices").at(0).at("message").at("content") == refusal);
    gateway.signal(SIGTERM);
    CHECK(gateway.end() == 0);
    const auto lines = lines_of(folder.read(content ? "audit1" : "audit0"));
    REQUIRE(lines.size() == 1);
    const Json& line = lines.front();
    CHECK(line.at("path") == "refused");
    CHECK(line.at("images").at(0) == std::string{ecso::Image::from_file("examples/images/harmful.png").sha256()});
    if (content) {
      CHECK(line.at("query") == harmful_query);
      CHECK(line.at("released") == refusal);
      REQUIRE(line.at("rejected").size() == 3);
      for (const Json& text : line.at("rejected"))
        CHECK_THAT(text.get<std::string>(), ContainsSubstring("[simulated harmful answer]"));
      CHECK(line.at("captions").size() == 2);
    } else {
      CHECK(line.at("query_sha256") == sha256_hex(harmful_query));
      CHECK(line.at("released_sha256") == sha256_hex(refusal));
      CHECK(line.at("rejected_sha256").size() == 3);
      CHECK_THAT(lines.front().dump(), !ContainsSubstring("simulated harmful"));
    }
  }
}

/// The reader of a named pipe, that reads when it is told to.
class PipeReader {
 public:
  explicit PipeReader(const std::string& path) {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(fd_ >= 0);
  }
  PipeReader(const PipeReader&) = delete;
  PipeReader& operator=(const PipeReader&) = delete;
  ~PipeReader() { ::close(fd_); }

  /// All that comes until the writer closes it.
  std::string read_to_end() {
    std::string text;
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t got = ::read(fd_, bytes.data(), bytes.size());
      if (got == 0) return text;
      if (got > 0) text.append(bytes.data(), static_cast<std::size_t>(got));
      if (got < 0) std::this_thread::sleep_for(1ms);
    }
  }

 private:
  int fd_ = -1;
};

TEST_CASE("an audit that nobody reads delays no answer, and is written whole once somebody does", "[serve]") {
  const TemporaryFolder folder;
  PipeReader reader{folder.path("audit")};
  const std::string config = "listen = \"127.0.0.1:0\"\n[simulated]\ndelay = 0\n[audit]\nfile = \"audit\"\ncontent = true\n";
  Serving gateway{{"serve", "--config", folder.write("ecso.toml", config)}};
  constexpr std::size_t requests = 20;
  const std::string query = harmful_query + std::string(16'000, ' ');  // A pipe holds 64 KiB.
  for (std::size_t i = 0; i < requests; ++i) CHECK(chat(gateway.url(), harmful_chat(query)).status == 200);
  CHECK(ecso::test::get(gateway.url(), "/healthz").status == 200);
  gateway.signal(SIGTERM);
  REQUIRE(gateway.says("told to end"));
  CHECK(lines_of(reader.read_to_end()).size() == requests);
  CHECK(gateway.end() == 0);
}

TEST_CASE("an audit that is stuck does not keep the gateway from ending, and what is lost is told", "[serve]") {
  const TemporaryFolder folder;
  const PipeReader reader{folder.path("audit")};
  const std::string config = "listen = \"127.0.0.1:0\"\n[simulated]\ndelay = 0\n[audit]\nfile = \"audit\"\ncontent = true\n";
  Serving gateway{{"serve", "--config", folder.write("ecso.toml", config)}};
  const std::string query = harmful_query + std::string(100'000, ' ');
  for (int i = 0; i < 3; ++i) CHECK(chat(gateway.url(), harmful_chat(query)).status == 200);
  gateway.signal(SIGTERM);
  CHECK(gateway.end() == 0);
  CHECK_THAT(gateway.said(), ContainsSubstring("the file takes nothing; 3 lost so far"));
}

TEST_CASE("SIGHUP writes out what waits for the old audit", "[serve]") {
  const TemporaryFolder folder;
  const std::string config = "listen = \"127.0.0.1:0\"\n[simulated]\ndelay = 0\n[audit]\nfile = \"audit\"\n";
  Serving gateway{{"serve", "--config", folder.write("ecso.toml", config)}};
  CHECK(chat(gateway.url(), harmful_chat()).status == 200);
  REQUIRE(gateway.says("\"target\":\"/v1/chat/completions\""));  // Its client has the answer a moment before.
  std::filesystem::rename(folder.path("audit"), folder.path("audit.1"));
  gateway.signal(SIGHUP);
  REQUIRE(gateway.says("was read again\""));
  CHECK(lines_of(folder.read("audit.1")).size() == 1);
  CHECK(chat(gateway.url(), harmful_chat()).status == 200);
  CHECK(Serving::happens([&] { return lines_of(folder.read("audit")).size() == 1; }));
}

}  // namespace

}  // namespace serve_outputs_test
