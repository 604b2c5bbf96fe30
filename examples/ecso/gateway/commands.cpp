#include "commands.hpp"

#include "../exit_code.hpp"
#include "../printing.hpp"
#include "../values.hpp"
#include "example_config.hpp"
#include "serve.hpp"
#include "service.hpp"
#include "simulated_chat.hpp"
#include "simulated_server.hpp"

#include <ecso/gateway/client_keys.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/url.hpp>
#include <ecso/secret.hpp>

#include <fmt/format.h>

#include <sys/random.h>

#include <array>
#include <chrono>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ecso::command {

namespace {

constexpr const char* serve_notes = R"(Examples:
  ecso serve                                                     # in front of the simulated model
  ecso serve --upstream http://127.0.0.1:8080/v1                 # in front of llama-server, vLLM, Ollama …
  ecso serve --upstream https://api.openai.com/v1 --api-key-file key --client-keys clients.keys
  ecso serve --print-config >ecso.toml                           # every setting, with what it is
  ecso serve --config ecso.toml --check
  curl http://127.0.0.1:8800/v1/chat/completions -d '{"messages":[{"role":"user","content":"Hello"}]}'

It answers POST /v1/chat/completions and /v1/messages, GET /v1/models, /healthz, /readyz and /metrics. On a loopback address it also
  shows a page at / and answers POST /v1/ecso/protect with the whole trace, withheld answers included ([page] enabled).
Settings: a flag comes before its environment variable (ECSO_UPSTREAM, ECSO_LISTEN, ECSO_POLICY, ECSO_DIALECT, ECSO_API_KEY_FILE,
  ECSO_CLIENT_KEYS, ECSO_STREAM, ECSO_AUDIT, ECSO_LOG, ECSO_LOG_LEVEL), that before the configuration file (TOML; --print-config
  prints one with every key), that before the default. The upstream's key comes from ECSO_API_KEY or a file, never from the command
  line.
Calls at once: an upstream gets as many as it has slots, or as turn out to do best where it does not say; the others wait, and
  whoever has begun is finished first. max_in_flight in the configuration sets another number.
Signals: SIGTERM and SIGINT let requests under way end, a second one does not. SIGHUP reads configuration and keys again and opens
  log and audit again; a configuration that cannot be used is logged and changes nothing.
Exit code: 0 ended by a signal, 64 the configuration cannot be used, 69 the port cannot be had, 74 log or audit cannot be written.)";

constexpr const char* simulate_notes = R"(Examples:
  ecso simulate &
  ecso serve --upstream http://127.0.0.1:8900/v1 --dialect vllm
  ecso protect --backend openai:http://127.0.0.1:8900 --image photo.jpg --query "What is this?"

The server speaks the APIs of OpenAI (/v1/chat/completions) and Anthropic (/v1/messages) and says in every reply that it is
  simulated. It knows ecso's own prompts; a prompt of one's own is to it a query like any other.)";

constexpr const char* hash_key_notes = R"(Examples:
  ecso hash-key --new alice >>clients.keys      # makes a key and shows it once, on standard error
  ecso hash-key bob <bobs.key >>clients.keys
  ecso serve --client-keys clients.keys

A line of the file is NAME:SHA256. Guessing at a hash is fast, so keys must be long and random, as --new makes them.)";

void add_serve(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("serve", "Protect a model behind its own API: the gateway");
  command.footer(serve_notes);
  const auto flags = std::make_shared<ServeFlags>();
  const auto check = std::make_shared<bool>(false);
  const auto print = std::make_shared<bool>(false);
  const auto add = [&](const char* flag, const char* name, const char* type, const char* description) {
    command
        .add_option_function<std::string>(
            flag, [flags, name](const std::string& value) { (*flags)[name] = value; }, description)
        ->type_name(type);
  };
  add("--upstream", "upstream", "URL", "Server that answers, up to and including /v1; default: the simulated model");
  add("--listen", "listen", "ADDRESS:PORT", "Where to serve (default 127.0.0.1:8800)");
  add("--policy", "policy", "P", "production (default), paper, or a TOML or JSON file; see `ecso policy --help`");
  add("--config", "config", "FILE", "Configuration file (TOML)");
  add("--dialect", "dialect", "D",
      "What the upstream understands: auto (default: it is asked), plain, llama-server, vllm, sglang, ollama or openai");
  add("--api-key-file", "api_key_file", "FILE", "File that holds the upstream's key; or set ECSO_API_KEY");
  add("--client-keys", "client_keys", "FILE", "Keys that clients may come in with; see `ecso hash-key --help`");
  add("--stream", "stream", "MODE",
      "hold (default): a stream leaves once it is verified; window: piece by piece, each once it is");
  add("--audit", "audit", "FILE", "Where a line goes for each answer that was repaired or refused");
  add("--log", "log", "FILE", "Where a line goes for each request; - is standard error (default)");
  add("--log-level", "log_level", "LEVEL", "debug, info (default), warn, error or off");
  command.add_flag("--check", *check, "Read the configuration, say what would run, and end");
  command.add_flag("--print-config", *print, "Print a configuration file with every setting at its default, and end");
  const auto refuse_key = [](const std::string&) {
    throw UsageError{
        "--api-key: a key on the command line can be read by every user of the machine; put it in ECSO_API_KEY or in a file "
        "named by --api-key-file"};
  };
  command.add_option_function<std::string>("--api-key", refuse_key)->group("")->expected(0, 1);
  command.callback([flags, check, print] {
    if (*print) {
      std::cout << example_config();
      if (!std::cout.flush()) throw WriteError{"standard output cannot be written"};
      throw CLI::Success{};
    }
    static_cast<void>(*check ? check_serve(*flags) : serve(*flags));
    throw CLI::Success{};
  });
}

struct SimulateOptions {
  std::string listen = "127.0.0.1:8900";
  std::string delay = "300ms";
  double words_per_second = 40;
};

void simulate(const SimulateOptions& options) {
  const ServiceSignals signals;
  const ListenAddress place = parse_listen_address(options.listen, "--listen");
  SimulatedServerOptions server_options;
  server_options.address = place.address;
  server_options.port = place.port;
  server_options.delay = parse_duration(options.delay, "--delay");
  server_options.words_per_second = options.words_per_second;
  std::optional<SimulatedServer> server;
  try {
    server.emplace(server_options);
  } catch (const Error& error) {
    throw UnavailableError{error.what()};
  }
  std::cerr << wrap(simulation_notice, "", terminal_of(2, ColorMode::never).columns) << server->url() << '\n' << std::flush;
  std::optional<int> signal;
  while (!signal || *signal == SIGHUP) signal = signals.wait(std::chrono::hours{1});
}

void add_simulate(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("simulate", "Serve the simulated model, to try things against");
  command.footer(simulate_notes);
  const auto options = std::make_shared<SimulateOptions>();
  command.add_option("--listen", options->listen, "Where to serve (default 127.0.0.1:8900)")->type_name("ADDRESS:PORT");
  command.add_option("--delay", options->delay, "Time before the first word of a response (default 300ms)")->type_name("TIME");
  command.add_option("--words-per-second", options->words_per_second, "Of a stream (default 40; 0: all at once)")
      ->type_name("N")
      ->check(CLI::Range(0.0, 1e6));
  command.callback([options] {
    simulate(*options);
    throw CLI::Success{};
  });
}

/// 256 random bits, behind a prefix that secret scanners and people know it by.
std::string random_key() {
  std::array<unsigned char, 32> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw std::runtime_error{"the system gives no random numbers"};
  }
  std::string key = "ecso-";
  for (const unsigned char byte : bytes) key += fmt::format("{:02x}", byte);
  return key;
}

void hash_key(const std::string& name, bool is_new) {
  std::string key;
  if (is_new) {
    key = random_key();
  } else {
    constexpr std::size_t most = std::size_t{16} * 1024;
    key.resize(most + 1);
    std::cin.read(key.data(), static_cast<std::streamsize>(key.size()));
    key.resize(static_cast<std::size_t>(std::cin.gcount()));
  }
  key = Secret::from_text(std::move(key)).reveal();
  const gateway::ClientKey line{name, gateway::hash_client_key(key)};
  if (const std::string fault = gateway::ClientKeys::fault_of(line); !fault.empty()) throw UsageError{fault};
  if (is_new) std::cerr << "The key, which is shown only now: " << key << '\n';
  std::cout << line.name << ':' << line.sha256 << '\n';
  if (!std::cout.flush()) throw WriteError{"standard output cannot be written"};
}

void add_hash_key(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("hash-key", "Print the line of a client's key for --client-keys");
  command.footer(hash_key_notes);
  const auto name = std::make_shared<std::string>("client");
  const auto new_name = std::make_shared<std::string>();
  CLI::Option* const hashed =
      command.add_option("name", *name, "Whose key standard input holds (default client); stands in logs and metrics")
          ->type_name("NAME");
  command.add_option("--new", *new_name, "Make a new key for NAME")->type_name("NAME")->excludes(hashed);
  command.callback([name, new_name] {
    hash_key(new_name->empty() ? *name : *new_name, !new_name->empty());
    throw CLI::Success{};
  });
}

void add_health(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("health", "Ask a gateway whether it is alive");
  command.footer("Examples:\n  ecso health\n  ecso health http://127.0.0.1:8800\n\nExit code: 0 it is, 69 it is not.");
  const auto url = std::make_shared<std::string>("http://127.0.0.1:8800");
  command.add_option("url", *url, "Where it serves (default http://127.0.0.1:8800)")->type_name("URL");
  command.callback([url] {
    std::optional<Url> health;
    try {
      health = Url::parse(*url).with_path("/healthz");
    } catch (const Error& error) {
      throw UsageError{error.message()};
    }
    constexpr std::chrono::milliseconds patience{5'000};
    try {
      HttpClient client{HttpOptions{.call_timeout = patience, .proxy = ""}};
      const int status = client.get(*health).status;
      if (status != 200) throw UnavailableError{fmt::format("{}: HTTP {}", health->text(), status)};
    } catch (const Error& error) {
      throw UnavailableError{error.what()};
    }
    std::cout << "ok\n";
    throw CLI::Success{};
  });
}

}  // namespace

void add_gateway_commands(CLI::App& app) {
  add_serve(app);
  add_simulate(app);
  add_hash_key(app);
  add_health(app);
}

}  // namespace ecso::command
