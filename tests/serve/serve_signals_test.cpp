// A running `ecso serve`, and what signals make of it.

#include "command/command.hpp"
#include "ecso/gateway/simulated_server.hpp"
#include "serve/chats.hpp"
#include "serve/serving.hpp"
#include "support/catch.hpp"
#include "support/http_socket.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/error.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <string_view>

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using ecso::command::SimulatedServer;
using ecso::detail::Json;
using ecso::test::benign_chat;
using ecso::test::chat;
using ecso::test::HttpReply;
using ecso::test::HttpSocket;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using ecso::test::serve_anywhere;
using ecso::test::Serving;
using ecso::test::status_of_chat;
using ecso::test::TemporaryFolder;
using Clock = std::chrono::steady_clock;

TEST_CASE("SIGTERM lets a request under way end, a second one does not", "[serve]") {
  for (const bool twice : {false, true}) {
    CAPTURE(twice);
    // The second time there is no end to it.
    const SimulatedServer upstream{{.delay = twice ? std::chrono::milliseconds{10min} : 400ms}};
    Serving gateway{serve_anywhere({"--upstream", upstream.url(), "--dialect", "vllm"})};
    auto answer = std::async(std::launch::async, [&] { return status_of_chat(gateway.url(), benign_chat); });
    REQUIRE(Serving::happens([&] { return upstream.requests() > 0; }));
    gateway.signal(SIGTERM);
    REQUIRE(gateway.says("told to end"));
    if (twice) gateway.signal(SIGINT);
    CHECK(gateway.end() == 0);
    const auto status = answer.get();
    CHECK(status == (twice ? std::nullopt : std::optional{200}));
    CHECK_THAT(gateway.said(), ContainsSubstring(R"("message":"ended")"));
  }
}

TEST_CASE("SIGHUP reads the configuration again, and a bad one changes nothing", "[serve]") {
  const TemporaryFolder folder;
  const SimulatedServer upstream;
  const auto write = [&](const std::string& more) {
    return folder.write("ecso.toml",
                        "listen = \"127.0.0.1:0\"\nupstream = \"" + upstream.url() + "\"\ndialect = \"vllm\"\n" + more);
  };
  const auto policy_used = [](const Serving& gateway) {
    return Json::parse(chat(gateway.url(), benign_chat).body).at("ecso").at("policy").get<std::string>();
  };
  const std::string log = "[log]\nfile = \"log\"\n";
  Serving gateway{{"serve", "--config", write(log)}};
  CHECK(policy_used(gateway) == "production");
  const auto logs = [&](std::string_view text) {
    return Serving::happens([&] { return folder.read("log").find(text) != std::string::npos; });
  };

  write("policy = \"mine\"\n[policies.mine]\nmax_rounds = 3\n" + log);
  gateway.signal(SIGHUP);
  REQUIRE(logs("was read again\""));
  CHECK(policy_used(gateway) == "mine");

  write("nonsense = 1\n");
  gateway.signal(SIGHUP);
  REQUIRE(logs("nonsense: unknown key"));
  write("threads = 7\n");
  gateway.signal(SIGHUP);
  REQUIRE(logs("threads"));
  CHECK(policy_used(gateway) == "mine");

  write(log);
  std::filesystem::rename(folder.path("log"), folder.path("log.1"));
  gateway.signal(SIGHUP);
  REQUIRE(logs("was read again\""));
  CHECK(policy_used(gateway) == "production");
  REQUIRE(logs("/v1/chat/completions"));
  gateway.signal(SIGTERM);
  CHECK(gateway.end() == 0);
}

TEST_CASE("an upstream that comes later is asked then what it understands", "[serve]") {
  const ReservedPort reserved;
  Serving gateway{serve_anywhere({"--upstream", reserved.url() + "/v1"})};
  CHECK(gateway.says("upstream default cannot say what it understands, so nothing special is asked of it until it can"));
  CHECK(chat(gateway.url(), benign_chat).status >= 500);
  const SimulatedServer upstream{{.port = static_cast<std::uint16_t>(reserved.port())}};
  CHECK(
      gateway.says("upstream default does not say what it is, so nothing special is asked of it; it answered /v1/models: 200, "
                   "/props: 404, /version: 404, /api/version: 404. If it understands more, say so by"));
  CHECK(Serving::happens([&] { return chat(gateway.url(), benign_chat).status == 200; }));
}

TEST_CASE("systemd is told when serve is ready, reloads and ends", "[serve]") {
  const TemporaryFolder folder;
  const std::string path = folder.path("notify");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::strcpy(address.sun_path, path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const timeval patience{120, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto told = [&] {
    std::array<char, 256> text{};
    const ssize_t got = ::recv(fd, text.data(), text.size(), 0);
    return std::string{text.data(), static_cast<std::size_t>(got < 0 ? 0 : got)};
  };
  Serving gateway{serve_anywhere(), {{"NOTIFY_SOCKET", path}}};
  CHECK(told() == "READY=1");
  gateway.signal(SIGHUP);
  CHECK_THAT(told(), ContainsSubstring("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(told() == "READY=1");
  gateway.signal(SIGTERM);
  CHECK(told() == "STOPPING=1");
  CHECK(gateway.end() == 0);
  ::close(fd);
}

TEST_CASE("an upstream that takes connections and never answers holds up neither the start, nor SIGHUP, nor SIGTERM", "[serve]") {
  const RawServer silent{[](RawServer::Connection& connection) {
    while (connection.read_request()) {}
  }};
  const TemporaryFolder folder;
  std::string toml = "listen = \"127.0.0.1:0\"\n";
  for (const char* name : {"a", "b", "c", "d"})
    toml += "[[upstream]]\nname = \"" + std::string{name} + "\"\nurl = \"" + silent.url() + "/v1\"\n";
  const std::string config = folder.write("ecso.toml", toml);
  // Who waited for the upstreams would take the 3 s that they have to tell what they understand. The best of many, as a busy
  // machine is late now and then.
  constexpr auto at_once = 2500ms;
  auto start = Clock::duration::max();
  auto reload = start;
  auto end = start;
  for (int i = 0; i < 10 && std::max({start, reload, end}) >= at_once; ++i) {
    const std::size_t before = silent.requests().size();
    const auto started = Clock::now();
    Serving gateway{{"serve", "--config", config}};
    CHECK(ecso::test::get(gateway.url(), "/healthz").status == 200);
    start = std::min(start, Clock::now() - started);
    REQUIRE(Serving::happens([&] { return silent.requests().size() >= before + 4; }));  // All are asked, side by side.

    const auto hup = Clock::now();
    gateway.signal(SIGHUP);
    CHECK(gateway.says("was read again\""));
    reload = std::min(reload, Clock::now() - hup);
    REQUIRE(Serving::happens([&] { return silent.requests().size() >= before + 8; }));  // The new configuration asks again.

    const auto term = Clock::now();
    gateway.signal(SIGTERM);
    CHECK(gateway.end() == 0);
    end = std::min(end, Clock::now() - term);
    CHECK_THAT(gateway.said(), ContainsSubstring("\"message\":\"ended\""));
  }
  CHECK(start < at_once);
  CHECK(reload < at_once);
  CHECK(end < at_once);
}

TEST_CASE("what an upstream has told holds over SIGHUP, until it is asked again", "[serve]") {
  std::atomic<bool> is_silent{false};
  const RawServer upstream{[&](RawServer::Connection& connection) {
    while (connection.read_request()) {
      const std::string& head = connection.last_head();
      const bool is_chat = head.starts_with("POST ");
      if (!is_chat && is_silent) continue;
      const bool is_known = is_chat || head.starts_with("GET /v1/models ");
      const std::string body = is_chat ? R"({"choices":[{"message":{"role":"assistant","content":"No"},"finish_reason":"stop"}]})"
                                       : R"({"object":"list","data":[{"id":"m","owned_by":"vllm"}]})";
      if (!connection.send(ecso::test::http_response(is_known ? 200 : 404, is_known ? body : "{}"))) return;
    }
  }};
  // Whether the check of a chat is held to its choices, which is asked only of who understands that.
  const auto is_held_to_choices = [&](const Serving& gateway) {
    CHECK(chat(gateway.url(), benign_chat).status == 200);
    std::string check;  // The last chat; what it understands may be asked at any time.
    for (const auto& request : upstream.requests()) {
      if (request.head.starts_with("POST ")) check = request.body;
    }
    return check.find("_choice") != std::string::npos || check.find("structured_outputs") != std::string::npos;
  };
  Serving gateway{serve_anywhere({"--upstream", upstream.url() + "/v1"})};
  REQUIRE(gateway.says("upstream default is vLLM"));
  CHECK(Serving::happens([&] { return is_held_to_choices(gateway); }));

  is_silent = true;
  gateway.signal(SIGHUP);
  REQUIRE(gateway.says("was read again\""));
  CHECK(is_held_to_choices(gateway));
}

TEST_CASE("SIGHUP changes how the simulated model behaves", "[serve]") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& simulated) {
    return folder.write("ecso.toml", "listen = \"127.0.0.1:0\"\n[simulated]\ndelay = 0\n" + simulated);
  };
  const auto path = [](const Serving& gateway) {
    return Json::parse(chat(gateway.url(), ecso::test::harmful_chat()).body).at("ecso").at("path").get<std::string>();
  };
  Serving gateway{{"serve", "--config", write("")}};
  CHECK(path(gateway) == "eyes_closed");
  write("jailbroken_by_image = 0.0\n");
  gateway.signal(SIGHUP);
  REQUIRE(gateway.says("was read again\""));
  CHECK(path(gateway) == "direct");
}

TEST_CASE("SIGHUP takes keys of clients away and gives new ones", "[serve]") {
  const TemporaryFolder folder;
  const auto line = [](const std::string& name, const std::string& key) {
    return name + ":" + ecso::detail::sha256_hex(key) + "\n";
  };
  const std::string keys = folder.write("keys", line("alice", "old-key") + line("bob", "key-of-bob"));
  Serving gateway{serve_anywhere({"--client-keys", keys})};
  CHECK(chat(gateway.url(), benign_chat, "old-key").status == 200);
  CHECK(chat(gateway.url(), benign_chat, "new-key").status == 401);

  folder.write("keys", line("alice", "new-key") + line("bob", "key-of-bob"));
  gateway.signal(SIGHUP);
  REQUIRE(gateway.says("was read again\""));
  CHECK(chat(gateway.url(), benign_chat, "old-key").status == 401);
  CHECK(chat(gateway.url(), benign_chat, "new-key").status == 200);
  CHECK(chat(gateway.url(), benign_chat, "key-of-bob").status == 200);

  // Nobody comes in by a file that cannot be used.
  folder.write("keys", "alice:short\n");
  gateway.signal(SIGHUP);
  REQUIRE(gateway.says("cannot be used, so the old one stays"));
  CHECK(chat(gateway.url(), benign_chat, "new-key").status == 200);
  CHECK(chat(gateway.url(), benign_chat).status == 401);
}

TEST_CASE("requests under way are cut when drain_timeout is over, and that is said", "[serve]") {
  const SimulatedServer upstream{{.delay = 1min}};
  const TemporaryFolder folder;
  const std::string config =
      folder.write("ecso.toml", "listen = \"127.0.0.1:0\"\ndrain_timeout = \"300ms\"\ndialect = \"vllm\"\nupstream = \"" +
                                    upstream.url() + "\"\n");
  Serving gateway{{"serve", "--config", config}};
  auto answer = std::async(std::launch::async, [&] { return status_of_chat(gateway.url(), benign_chat); });
  REQUIRE(Serving::happens([&] { return upstream.requests() > 0; }));
  const auto start = Clock::now();
  gateway.signal(SIGTERM);
  CHECK(gateway.end() == 0);
  const auto took = Clock::now() - start;
  CHECK(took >= 300ms);
  CHECK(took < 20s);  // What it takes if nothing is said is 30 s.
  CHECK(answer.get() == std::nullopt);
  CHECK_THAT(gateway.said(), ContainsSubstring("requests under way were cut, as drain_timeout is over"));
}

TEST_CASE("a gateway that drains says so to whoever is asking already, and answers what is under way", "[serve]") {
  const SimulatedServer upstream{{.delay = 1500ms}};
  const ReservedPort reserved;  // so that nobody else listens there once it does not
  // One thread does one thing after another: what came before the chat has been read before it.
  const TemporaryFolder folder;
  const std::string config =
      folder.write("ecso.toml", "listen = \"" + reserved.address() + "\"\nthreads = 1\ndialect = \"vllm\"\nupstream = \"" +
                                    upstream.url() + "\"\n");
  Serving gateway{{"serve", "--config", config}};
  HttpSocket half{reserved.port()};
  REQUIRE(half.send("GET /readyz HTTP/1.1\r\nHost: local"));
  auto answer = std::async(std::launch::async, [&] { return status_of_chat(gateway.url(), benign_chat); });
  REQUIRE(Serving::happens([&] { return upstream.requests() > 0; }));
  gateway.signal(SIGTERM);
  REQUIRE(gateway.says("told to end"));
  REQUIRE(half.send("host\r\n\r\n"));
  const HttpReply reply = half.read();
  CHECK(reply.status == 503);
  CHECK_THAT(reply.body, ContainsSubstring("draining"));
  CHECK(reply.header("connection") == "close");
  CHECK_THROWS(HttpSocket{reserved.port()});
  CHECK(answer.get() == 200);
  CHECK(gateway.end() == 0);
}

}  // namespace
