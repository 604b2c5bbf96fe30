#include "ecso/gateway/serve_settings.hpp"

#include "command/command.hpp"
#include "ecso/exit_code.hpp"
#include "support/catch.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace serve_settings_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::command::LogLevel;
using ecso::command::parse_listen_address;
using ecso::command::read_serve_settings;
using ecso::command::ServeSettings;
using ecso::command::UsageError;
using ecso::test::TemporaryFolder;
using std::chrono::milliseconds;

/// A variable of the environment while it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_{name} { ::setenv(name, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

ServeSettings read(const TemporaryFolder& folder, std::string_view toml) {
  return read_serve_settings({{"config", folder.write("ecso.toml", toml)}});
}

const std::string hash(64, 'a');

TEST_CASE("without flags and file, serve listens on the loopback in front of the simulated model", "[serve]") {
  const ServeSettings settings = read_serve_settings({});
  CHECK(settings.gateway.address == "127.0.0.1");
  CHECK(settings.gateway.port == 8800);
  CHECK(settings.gateway.simulated);
  CHECK(settings.gateway.upstreams.empty());
  CHECK(*settings.gateway.policy == ecso::policy::production());
  CHECK(settings.simulated.delay == milliseconds{300});
  CHECK(settings.log.file == "-");
  CHECK(settings.audit.file.empty());
  CHECK_FALSE(settings.gateway.page.has_value());
  CHECK_THAT(describe(settings), ContainsSubstring("simulated model"));
}

TEST_CASE("flags say the same as the file and come before it", "[serve]") {
  const TemporaryFolder folder;
  const std::string config =
      folder.write("ecso.toml",
                   "upstream = \"http://127.0.0.1:1/v1\"\nlisten = \"127.0.0.1:1\"\npolicy = \"paper\"\n"
                   "dialect = \"vllm\"\n[log]\nfile = \"a.log\"\nlevel = \"warn\"\n[stream]\nmode = \"hold\"\n");
  const ServeSettings from_file = read_serve_settings({{"config", config}});
  CHECK(from_file.gateway.upstreams.front().url == "http://127.0.0.1:1/v1");
  CHECK(from_file.gateway.policy->name == "paper");
  CHECK(from_file.gateway.upstreams.front().dialect == ecso::vllm_dialect());
  CHECK(from_file.ask_dialect.empty());
  CHECK(from_file.log.file == folder.path("a.log"));
  CHECK(from_file.log.level == LogLevel::warn);

  const ServeSettings from_flags = read_serve_settings({{"config", config},
                                                        {"upstream", "http://127.0.0.1:2/v1/"},
                                                        {"listen", "[::1]:99"},
                                                        {"policy", "production"},
                                                        {"dialect", "auto"},
                                                        {"stream", "window"},
                                                        {"log", "-"},
                                                        {"log_level", "debug"},
                                                        {"audit", "audit.jsonl"}});
  CHECK(from_flags.gateway.upstreams.size() == 1);
  CHECK(from_flags.gateway.upstreams.front().url == "http://127.0.0.1:2/v1");
  CHECK(from_flags.ask_dialect == std::vector<std::size_t>{0});
  CHECK(from_flags.gateway.address == "::1");
  CHECK(from_flags.gateway.port == 99);
  CHECK(from_flags.gateway.policy->name == "production");
  CHECK(from_flags.gateway.stream == ecso::gateway::StreamMode::window);
  CHECK(from_flags.log.file == "-");
  CHECK(from_flags.log.level == LogLevel::debug);
  CHECK(from_flags.audit.file == "audit.jsonl");

  const Variable listen{"ECSO_LISTEN", "127.0.0.1:77"};
  CHECK(read_serve_settings({{"config", config}}).gateway.port == 77);
  CHECK(read_serve_settings({{"config", config}, {"listen", "127.0.0.1:78"}}).gateway.port == 78);
}

TEST_CASE("every setting of the file arrives", "[serve]") {
  const TemporaryFolder folder;
  folder.write("key", "sk-one\n");
  folder.write("clients.keys", "# who\nalice:" + hash + "\n");
  folder.write("mild.toml", "max_rounds = 3\nname = \"mild\"\n");
  const Variable key{"SECOND_KEY", "sk-two"};
  const ServeSettings settings = read(folder, R"(
listen = "0.0.0.0:80"
threads = 3
policy = "strict"
drain_timeout = "5s"
[[upstream]]
name = "one"
url = "http://127.0.0.1:8080/v1"
key_file = "key"
dialect = "llama-server"
ca_file = "ca.pem"
verify_certificate = false
connect_timeout = "1s"
first_byte_timeout = "2m"
between_bytes_timeout = 3
max_connections = 7
max_in_flight = 6
idle_timeout = "500ms"
down_time = "1s"
[[upstream]]
name = "two"
url = "https://api.example/v1"
key_variable = "SECOND_KEY"
[[route]]
model = "llava*"
upstreams = ["two", "one"]
policy = "mild.toml"
[[route]]
[policies.strict]
base = "production"
probability.threshold = 0.2
[policies.loose]
base = "paper"
[bounds]
max_header_bytes = "8KiB"
max_body_bytes = "1MiB"
max_buffered_bytes = 2000000
max_connections = 10
max_in_flight = 11
max_queued = 12
header_timeout = "1s"
body_timeout = "2s"
idle_timeout = "3s"
write_timeout = "4s"
queue_timeout = "5s"
requests_per_second = 0.5
burst = 3
max_choices = 2
max_depth = 20
[stream]
mode = "window"
lookahead_bytes = 100
on_harm = "replace"
keep_alive = "1s"
begin_after = "3s"
[images]
max = 2
max_bytes = "1MiB"
max_pixels = 1000
hosts = ["images.example"]
[overrides]
policy = true
stream = true
[tls]
certificate_file = "cert.pem"
private_key_file = "key.pem"
[clients]
keys_file = "clients.keys"
trust_system_turns = true
[audit]
file = "audit.jsonl"
content = true
[log]
file = "-"
level = "error"
content = true
[page]
enabled = false
[cors]
origins = ["https://page.example"]
[simulated]
delay = "1s"
words_per_second = 5
jailbroken_by_image = 0.5
self_check_right = 0.25
caption_leaks = 0.75
seed = 9
)");
  const auto& options = settings.gateway;
  CHECK(options.address == "0.0.0.0");
  CHECK(options.port == 80);
  CHECK(options.threads == 3);
  CHECK(options.policy->name == "strict");
  CHECK(options.policy->probability.threshold == 0.2);
  CHECK(options.drain_timeout == milliseconds{5'000});
  REQUIRE(options.upstreams.size() == 2);
  const auto& one = options.upstreams.front();
  CHECK(one.name == "one");
  CHECK(one.url == "http://127.0.0.1:8080/v1");
  CHECK(one.key.reveal() == "sk-one");
  CHECK(one.dialect == ecso::llama_server_dialect());
  CHECK(one.ca_file == folder.path("ca.pem"));
  CHECK_FALSE(one.verify_certificate);
  CHECK(one.connect_timeout == milliseconds{1'000});
  CHECK(one.first_byte_timeout == milliseconds{120'000});
  CHECK(one.between_bytes_timeout == milliseconds{3'000});
  CHECK(one.max_connections == 7);
  CHECK(one.max_in_flight == 6);
  CHECK(options.upstreams.back().max_in_flight == 0);
  // Reached by TLS: as many calls as there are connections, until it says that it has no room.
  CHECK(options.upstreams.back().first_in_flight == options.upstreams.back().max_connections);
  CHECK(one.idle_timeout == milliseconds{500});
  CHECK(one.down_time == milliseconds{1'000});
  CHECK(options.upstreams.back().key.reveal() == "sk-two");
  CHECK(settings.ask_dialect == std::vector<std::size_t>{1});
  REQUIRE(options.routes.size() == 2);
  CHECK(options.routes.front().model == "llava*");
  CHECK(options.routes.front().upstreams == std::vector<std::string>{"two", "one"});
  CHECK(options.routes.front().policy->max_rounds == 3);
  CHECK(options.routes.back().model == "*");
  CHECK(options.routes.back().policy == nullptr);
  REQUIRE(options.policies.size() == 2);
  CHECK(options.bounds.max_header_bytes == 8192);
  CHECK(options.bounds.max_body_bytes == 1'048'576);
  CHECK(options.bounds.max_buffered_bytes == 2'000'000);
  CHECK(options.bounds.max_connections == 10);
  CHECK(options.bounds.max_in_flight == 11);
  CHECK(options.bounds.max_queued == 12);
  CHECK(options.bounds.header_timeout == milliseconds{1'000});
  CHECK(options.bounds.body_timeout == milliseconds{2'000});
  CHECK(options.bounds.idle_timeout == milliseconds{3'000});
  CHECK(options.bounds.write_timeout == milliseconds{4'000});
  CHECK(options.bounds.queue_timeout == milliseconds{5'000});
  CHECK(options.bounds.requests_per_second == 0.5);
  CHECK(options.bounds.burst == 3);
  CHECK(options.chat.max_choices == 2);
  CHECK(options.chat.max_depth == 20);
  CHECK(options.stream == ecso::gateway::StreamMode::window);
  CHECK(options.lookahead_bytes == 100);
  CHECK(options.on_harm == ecso::gateway::OnHarm::replace);
  CHECK(options.keep_alive == milliseconds{1'000});
  CHECK(options.begin_after == milliseconds{3'000});
  CHECK(options.chat.max_images == 2);
  CHECK(options.chat.image.max_bytes == 1'048'576);
  CHECK(options.chat.image.max_pixels == 1000);
  CHECK(options.chat.image_hosts == std::vector<std::string>{"images.example"});
  CHECK(options.overrides.policy);
  CHECK(options.overrides.stream_mode);
  CHECK(options.certificate_file == folder.path("cert.pem"));
  CHECK(options.private_key_file == folder.path("key.pem"));
  REQUIRE(options.keys.size() == 1);
  CHECK(options.keys.front().name == "alice");
  CHECK(options.keys.front().sha256 == hash);
  CHECK(options.trust_system_turns);
  CHECK(settings.audit == ecso::command::AuditSettings{folder.path("audit.jsonl"), true});
  CHECK(settings.log == ecso::command::LogSettings{"-", LogLevel::error, true});
  CHECK(options.page == false);
  CHECK(options.allowed_origins == std::vector<std::string>{"https://page.example"});
  CHECK_FALSE(options.simulated);
  CHECK(settings.simulated.delay == milliseconds{1'000});
  CHECK(settings.simulated.words_per_second == 5);
  CHECK(settings.simulated.model.jailbroken_by_image == 0.5);
  CHECK(settings.simulated.model.self_check_right == 0.25);
  CHECK(settings.simulated.model.caption_leaks == 0.75);
  CHECK(settings.simulated.model.seed == 9);
  const std::string described = describe(settings);
  CHECK_THAT(described, ContainsSubstring("https://0.0.0.0:80") && ContainsSubstring("llava*: two, one, policy mild"));
  CHECK_THAT(described,
             ContainsSubstring("CERTIFICATE NOT VERIFIED") && ContainsSubstring("1 with keys; checks trust their system turns"));
  CHECK_THAT(described, !ContainsSubstring("sk-"));
}

TEST_CASE("the example of a configuration can be read and says the defaults", "[serve]") {
  const ServeSettings example = read_serve_settings({{"config", "examples/deploy/ecso.toml"}});
  const ServeSettings defaults = read_serve_settings({});
  CHECK(describe(example) == describe(defaults));
  const auto& bounds = example.gateway.bounds;
  const auto& expected = defaults.gateway.bounds;
  CHECK(bounds.max_header_bytes == expected.max_header_bytes);
  CHECK(bounds.max_body_bytes == expected.max_body_bytes);
  CHECK(bounds.max_buffered_bytes == expected.max_buffered_bytes);
  CHECK(bounds.max_connections == expected.max_connections);
  CHECK(bounds.max_in_flight == expected.max_in_flight);
  CHECK(bounds.max_queued == expected.max_queued);
  CHECK(bounds.header_timeout == expected.header_timeout);
  CHECK(bounds.body_timeout == expected.body_timeout);
  CHECK(bounds.idle_timeout == expected.idle_timeout);
  CHECK(bounds.write_timeout == expected.write_timeout);
  CHECK(bounds.queue_timeout == expected.queue_timeout);
  CHECK(example.gateway.drain_timeout == defaults.gateway.drain_timeout);
  CHECK(example.gateway.keep_alive == defaults.gateway.keep_alive);
  CHECK(example.gateway.begin_after == defaults.gateway.begin_after);
  CHECK(example.gateway.trust_system_turns == defaults.gateway.trust_system_turns);
  CHECK(example.gateway.lookahead_bytes == defaults.gateway.lookahead_bytes);
  CHECK(example.gateway.chat.max_images == defaults.gateway.chat.max_images);
  CHECK(example.gateway.chat.image.max_bytes == defaults.gateway.chat.image.max_bytes);
  CHECK(example.gateway.chat.image.max_pixels == defaults.gateway.chat.image.max_pixels);
  CHECK(example.gateway.chat.max_choices == defaults.gateway.chat.max_choices);
  CHECK(example.gateway.chat.max_depth == defaults.gateway.chat.max_depth);
  CHECK(example.simulated.delay == defaults.simulated.delay);
  CHECK(example.simulated.words_per_second == defaults.simulated.words_per_second);
  CHECK(example.log == defaults.log);
  CHECK(example.audit == defaults.audit);
}

TEST_CASE("the example of a configuration names every key that there is", "[serve]") {
  const TemporaryFolder folder;
  std::ifstream file{"examples/deploy/ecso.toml"};
  const std::string example{std::istreambuf_iterator<char>{file}, {}};
  for (const std::string table : {"", "[bounds]", "[stream]", "[images]", "[overrides]", "[tls]", "[clients]", "[audit]", "[log]",
                                  "[page]", "[cors]", "[simulated]", "[[upstream]]", "[[route]]"}) {
    CAPTURE(table);
    std::string known;
    try {
      static_cast<void>(read(folder, table + "\nno_such_key = 1\n"));
    } catch (const UsageError& error) {
      known = error.what();
    }
    REQUIRE_THAT(known, ContainsSubstring("known are "));
    std::istringstream keys{known.substr(known.find("known are ") + std::string_view{"known are "}.size())};
    for (std::string key; std::getline(keys >> std::ws, key, ',');) {
      CAPTURE(key);
      const bool is_there =
          example.find("\n" + key + " = ") != std::string::npos || example.find("\n# " + key + " = ") != std::string::npos ||
          example.find("[" + key + "]") != std::string::npos || example.find("[" + key + ".") != std::string::npos;
      CHECK(is_there);
    }
  }
}

TEST_CASE("a key goes to the one upstream it can be meant for", "[serve]") {
  const TemporaryFolder folder;
  folder.write("key", "sk-file\n");
  const std::string two =
      "[[upstream]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\n[[upstream]]\nname = \"b\"\nurl = \"http://127.0.0.1:2\"\n";
  {
    const Variable key{"ECSO_API_KEY", "sk-variable"};
    const std::string url = "http://127.0.0.1:1/v1";
    CHECK(read_serve_settings({{"upstream", url}}).gateway.upstreams.front().key.reveal() == "sk-variable");
    CHECK(read_serve_settings({{"upstream", url}, {"api_key_file", folder.path("key")}}).gateway.upstreams.front().key.reveal() ==
          "sk-file");
    CHECK(read(folder, "upstream = \"http://127.0.0.1:1\"\napi_key_file = \"key\"\n").gateway.upstreams.front().key.reveal() ==
          "sk-variable");
    for (const auto& upstream : read(folder, two).gateway.upstreams) CHECK(upstream.key.empty());
  }
  CHECK(read(folder, "upstream = \"http://127.0.0.1:1\"\napi_key_file = \"key\"\n").gateway.upstreams.front().key.reveal() ==
        "sk-file");
  CHECK_THROWS_WITH(read(folder, "api_key_file = \"key\"\n" + two), ContainsSubstring("api_key_file: which of the upstreams"));
}

TEST_CASE("a configuration that cannot be used is one line that names the key", "[serve]") {
  const TemporaryFolder folder;
  folder.write("empty.keys", "# nobody\n");
  folder.write("bad.keys", "alice:sk-secret\n");
  const std::string upstream = "[[upstream]]\nurl = \"http://127.0.0.1:1\"\n";
  for (const auto& [toml, message] : std::vector<std::pair<std::string, std::string>>{
           {"listn = \"x\"", "ecso.toml: listn: unknown key; known are policies, listen"},
           {"[bounds]\nmax = 1", "ecso.toml: bounds.max: unknown key; known are max_header_bytes, "},
           {upstream + "port = 1", "ecso.toml: upstream[0].port: unknown key; known are name, url"},
           {"listen = 8800", "ecso.toml: listen: must be a text"},
           {"listen = \"8800\"", "ecso.toml: listen: \"8800\" is not ADDRESS:PORT"},
           {"listen = \"::1:8800\"", "is not ADDRESS:PORT"},
           {"listen = \"127.0.0.1:99999\"", "is no number from 0 to 65535"},
           {"upstream = 7", "ecso.toml: upstream: must be an array of tables, [[upstream]]"},
           {"upstream = \"127.0.0.1:80\"", "ecso.toml: upstream: the URL \"127.0.0.1:80\" does not start with http://"},
           {"upstream = \"http://u:sk-secret@host\"", "holds a user or a password"},
           {"[[upstream]]\nname = \"x\"", "ecso.toml: upstream[0].url: the URL \"\" is empty"},
           {upstream + upstream, "ecso.toml: upstream[1].name: \"default\" stands twice"},
           {upstream + "connect_timeout = \"soon\"", "upstream[0].connect_timeout: \"soon\" is no time"},
           {upstream + "connect_timeout = true", "upstream[0].connect_timeout: must be a text or a number"},
           {upstream + "max_connections = 0", "upstream[0].max_connections: \"0\" is no number from 1"},
           {upstream + "max_in_flight = 0", "upstream[0].max_in_flight: \"0\" is no number from 1"},
           {upstream + "max_in_flight = \"many\"", "upstream[0].max_in_flight: must be \"auto\" or a whole number from 1 to"},
           {"[bounds]\nmax_in_flight = true", "bounds.max_in_flight: must be \"auto\" or a whole number from 1 to"},
           {upstream + "dialect = \"latin\"", "upstream[0].dialect: \"latin\" is none of plain, "},
           {upstream + "key_file = \"none\"", "none"},
           {upstream + "key_variable = \"NO_SUCH_VARIABLE\"", "NO_SUCH_VARIABLE is not set"},
           {upstream + "[[route]]\nupstreams = [\"x\"]", "ecso.toml: route[0].upstreams: there is no upstream \"x\""},
           {"policy = \"lenient\"", "no such file, and no policy of that name"},
           {"[policies.a]\nmax_rouds = 1", "ecso.toml: policies.a.max_rouds: unknown key"},
           {"[policies.a]\nname = \"b\"", "ecso.toml: policies.a.name: leave it out"},
           {"[policies.a]\nmax_rounds = 99", "ecso.toml: policies.a: policy: max_rounds"},
           {"[bounds]\nmax_body_bytes = \"64MB\"", "bounds.max_body_bytes: \"64MB\" is no size"},
           {"[bounds]\nmax_body_bytes = \"99999999999GiB\"", "is no size"},
           {"[bounds]\nburst = -1", "bounds.burst: must be a number from 0"},
           {"[stream]\nmode = \"drip\"", "stream.mode: \"drip\" is none of hold, window"},
           {"[stream]\non_harm = \"laugh\"", "stream.on_harm: \"laugh\" is none of stop, replace, end"},
           {"[images]\nhosts = \"x\"", "images.hosts: must be an array of texts"},
           {"[tls]\ncertificate_file = \"c\"", "go together"},
           {"[clients]\nkeys_file = \"none.keys\"", "none.keys: no such file"},
           {"[clients]\nkeys_file = \"empty.keys\"", "there is no key in it"},
           {"[clients]\nkeys_file = \"bad.keys\"", "bad.keys: keys: line 1: "},
           {"[log]\nlevel = \"loud\"", "log.level: \"loud\" is none of debug, info"},
           {"[clients]\ntrust_system_turns = \"yes\"", "clients.trust_system_turns: must be true or false"},
           {"[stream]\nbegin_after = \"soon\"", "stream.begin_after: \"soon\" is no time"},
           {"[page]\nenabled = 1", "page.enabled: must be true or false"},
           {"log = 1", "ecso.toml: log: must be a table"},
           {"api_key = \"sk-secret\"", "ecso.toml: api_key: a key does not belong here"},
           {"listen = ", "ecso.toml: not TOML at line 1"}}) {
    CAPTURE(toml);
    CHECK_THROWS_AS(read(folder, toml), UsageError);
    CHECK_THROWS_WITH(read(folder, toml), ContainsSubstring(message) && !ContainsSubstring("sk-secret"));
  }
  CHECK_THROWS_WITH(read_serve_settings({{"config", folder.path("none.toml")}}), ContainsSubstring("none.toml: no such file"));
  CHECK_THROWS_WITH(read_serve_settings({{"stream", "drip"}}), ContainsSubstring("--stream: \"drip\" is none of"));
  CHECK_THROWS_WITH(read_serve_settings({{"log_level", "loud"}}), ContainsSubstring("--log-level: \"loud\" is none of"));
}

TEST_CASE("a policy that protects less is said to", "[serve]") {
  CHECK_THAT(describe(read_serve_settings({{"policy", "paper"}})), ContainsSubstring("an undecided verdict passes"));
  CHECK_THAT(describe(read_serve_settings({})), !ContainsSubstring("less than full protection"));
}

TEST_CASE("an address to listen on is read with its port", "[serve]") {
  CHECK(parse_listen_address("localhost:0", "x").address == "127.0.0.1");
  CHECK(parse_listen_address("[::]:80", "x").address == "::");
  CHECK(parse_listen_address("10.0.0.1:65535", "x").port == 65'535);
  for (const char* wrong : {"", ":", ":80", "h:", "h:x", "h:-1", "h:65536", "::1:80"}) {
    CHECK_THROWS_WITH(parse_listen_address(wrong, "--listen"), Catch::Matchers::StartsWith("--listen: "));
  }
}

}  // namespace

}  // namespace serve_settings_test
