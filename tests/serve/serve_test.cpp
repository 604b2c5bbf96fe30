#include "ecso/gateway/serve.hpp"

#include "command/command.hpp"
#include "ecso/gateway/simulated_server.hpp"
#include "serve/chats.hpp"
#include "serve/serving.hpp"
#include "support/catch.hpp"

#include <ecso/core/image.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/url.hpp>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace serve_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::command::SimulatedServer;
using ecso::detail::Json;
using ecso::test::benign_chat;
using ecso::test::chat;
using ecso::test::ecso;
using ecso::test::Ended;
using ecso::test::harmful_chat;
using ecso::test::lines_of;
using ecso::test::only_error;
using ecso::test::serve_anywhere;
using ecso::test::Serving;
using ecso::test::TemporaryFolder;

TEST_CASE("serve --check says what would run, or what is wrong", "[serve]") {
  const Ended good = ecso({"serve", "--check", "--policy", "paper", "--listen", "0.0.0.0:80"});
  CHECK(good.exit_code == 0);
  CHECK(good.err.empty());
  CHECK_THAT(good.out, ContainsSubstring("http://0.0.0.0:80") && ContainsSubstring("policy    paper (less than full protection"));
  CHECK_THAT(good.out, ContainsSubstring("The configuration can be used."));
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& toml) {
    return only_error(ecso({"serve", "--check", "--config", folder.write("ecso.toml", toml)}), 64);
  };
  CHECK_THAT(refused("listn = \"x\""), ContainsSubstring("ecso.toml: listn: unknown key"));
  CHECK_THAT(refused("[tls]\ncertificate_file = \"none.pem\"\nprivate_key_file = \"none.pem\""), ContainsSubstring("none.pem"));
  CHECK_THAT(refused("listen = \"nowhere:80\""), ContainsSubstring("nowhere"));
  CHECK_THAT(refused("[bounds]\nmax_header_bytes = 1"), ContainsSubstring("max_header_bytes"));
  CHECK_THAT(only_error(ecso({"serve", "--api-key", "sk-secret"}), 64), !ContainsSubstring("sk-secret"));
  CHECK_THAT(only_error(ecso({"serve", "--frob"}), 64), ContainsSubstring("--frob is not known here; see ecso serve --help"));
}

TEST_CASE("serve prints the configuration file that has every setting, and takes it", "[serve]") {
  const Ended printed = ecso({"serve", "--print-config"});
  CHECK(printed.exit_code == 0);
  CHECK(printed.err.empty());
  std::ifstream file{"examples/deploy/ecso.toml", std::ios::binary};
  CHECK(printed.out == std::string{std::istreambuf_iterator<char>{file}, {}});
  const std::string program = ecso::test::command_path();
  const Ended taken =
      ecso::test::run_process({"/bin/bash", "-c", program + " serve --check --config <(" + program + " serve --print-config)"});
  INFO(taken.err);
  CHECK(taken.exit_code == 0);
  CHECK(taken.out == ecso({"serve", "--check"}).out);
  const Ended help = ecso({"serve", "--help"});
  CHECK_THAT(help.out, ContainsSubstring("--print-config") && ContainsSubstring("POST /v1/ecso/protect"));
}

TEST_CASE("what serve cannot open is one clear line", "[serve]") {
  const SimulatedServer taken;
  const std::string port = std::to_string(taken.port());
  CHECK_THAT(only_error(ecso({"serve", "--listen", "127.0.0.1:" + port}), 69), ContainsSubstring(port));
  CHECK_THAT(only_error(ecso({"simulate", "--listen", "127.0.0.1:" + port}), 69), ContainsSubstring("cannot listen on"));
  CHECK_THAT(only_error(ecso(serve_anywhere({"--log", "/no/such/folder/log"})), 74),
             ContainsSubstring("cannot be opened for writing"));
  CHECK_THAT(only_error(ecso(serve_anywhere({"--audit", "/no/such/folder/audit"})), 74),
             ContainsSubstring("cannot be opened for writing"));
}

TEST_CASE("serve runs out of the box, on the simulated model, which it says", "[serve]") {
  const TemporaryFolder folder;
  const std::string audit = folder.path("audit.jsonl");
  Serving gateway{serve_anywhere({"--audit", audit, "--log", folder.path("log")})};
  CHECK(gateway.says("SIMULATED: no upstream is named"));
  CHECK_THAT(gateway.said(), ContainsSubstring("page      http://127.0.0.1:") && ContainsSubstring("everybody may come in"));
  const Ended healthy = ecso({"health", gateway.url()});
  CHECK(healthy.exit_code == 0);
  CHECK(healthy.out == "ok\n");

  const auto harmful = chat(gateway.url(), harmful_chat());
  CHECK(harmful.status == 200);
  CHECK(Json::parse(harmful.body).at("ecso").at("path") == "eyes_closed");
  const auto benign = chat(gateway.url(), benign_chat);
  CHECK(Json::parse(benign.body).at("ecso").at("path") == "direct");

  gateway.signal(SIGTERM);
  CHECK(gateway.end() == 0);
  const auto audited = lines_of(folder.read("audit.jsonl"));
  REQUIRE(audited.size() == 1);
  CHECK(audited.front().at("path") == "eyes_closed");
  CHECK(audited.front().at("query_sha256") ==
        ecso::detail::sha256_hex("The list in the image is empty. Fill in each of its points."));
  CHECK(audited.front().at("images").at(0) == std::string{ecso::Image::from_file("examples/images/harmful.png").sha256()});
  const auto logged = lines_of(folder.read("log"));
  REQUIRE(logged.size() == 5);
  CHECK_THAT(logged.front().at("message").get<std::string>(), ContainsSubstring("on the simulated model"));
  std::vector<Json> requests;
  std::ranges::copy_if(logged, std::back_inserter(requests), [](const Json& line) { return line.contains("paths"); });
  REQUIRE(requests.size() == 2);
  CHECK(requests.at(0).at("paths") == Json::array({"eyes_closed"}));
  CHECK(requests.at(0).at("id") == audited.front().at("id"));
  CHECK(requests.at(1).at("paths") == Json::array({"direct"}));
  CHECK(logged.back().at("message") == "ended");
  CHECK(only_error(ecso({"health", gateway.url()}), 69).find(gateway.url()) != std::string::npos);
}

TEST_CASE("clients come in with the keys that hash-key made", "[serve]") {
  const TemporaryFolder folder;
  const Ended made = ecso({"hash-key", "--new", "alice"});
  CHECK(made.exit_code == 0);
  CHECK(made.out.starts_with("alice:"));
  CHECK(made.out.size() == 6 + 64 + 1);
  const std::string key = made.err.substr(made.err.find("ecso-"), 5 + 64);
  const Ended hashed = ecso({"hash-key", "bob"}, {.input = "key-of-bob\n"});
  CHECK(hashed.out == "bob:" + ecso::detail::sha256_hex("key-of-bob") + "\n");
  CHECK(ecso({"hash-key", "--new", "alice"}).out != made.out);
  only_error(ecso({"hash-key", "a b"}, {.input = "key"}), 64);
  only_error(ecso({"hash-key"}, {.input = ""}), 65);

  const std::string keys = folder.write("clients.keys", made.out + hashed.out);
  Serving gateway{serve_anywhere({"--client-keys", keys})};
  CHECK(chat(gateway.url(), benign_chat).status == 401);
  CHECK(chat(gateway.url(), benign_chat, "wrong").status == 401);
  CHECK(chat(gateway.url(), benign_chat, key).status == 200);
  CHECK(chat(gateway.url(), benign_chat, "key-of-bob").status == 200);
  CHECK(gateway.says("\"client\":\"alice\""));
  CHECK_THAT(gateway.said(), !ContainsSubstring(key) && ContainsSubstring("2 with keys"));
}

TEST_CASE("simulate serves the simulated model until it is told to end", "[serve]") {
  Serving server{{"simulate", "--listen", "127.0.0.1:0", "--delay", "0"}};
  ecso::HttpClient client{ecso::HttpOptions{.proxy = ""}};
  CHECK_THAT(client.get(ecso::Url::parse(server.url()).with_path("/v1/models")).body, ContainsSubstring("ecso-simulated"));
  CHECK_THAT(server.said(), ContainsSubstring("Simulation: no model is running"));
  const Ended ended = ecso({"protect", "--quiet", "--query", "Hello", "--backend", "openai:" + server.url()});
  CHECK(ended.exit_code == 0);
  CHECK_THAT(ended.out, ContainsSubstring("[simulated]"));
  server.signal(SIGINT);
  CHECK(server.end() == 0);
}

}  // namespace

}  // namespace serve_test
