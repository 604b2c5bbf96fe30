#include "backends.hpp"
#include "calibrate/calibrate.hpp"
#include "demo.hpp"
#include "exit_code.hpp"
#include "models_command.hpp"
#include "printing.hpp"
#include "protect.hpp"
#include "settings.hpp"
#if defined(ECSO_WITH_GATEWAY)
#include "gateway/commands.hpp"
#endif

#include <ecso/core/policy_json.hpp>
#include <ecso/version.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <csignal>
#include <exception>
#include <iostream>
#include <string>

namespace {

using namespace ecso::command;

constexpr const char* about =
    R"(ecso makes answers of multimodal language models safer: "Eyes Closed, Safety On" (arXiv 2403.09572))";

constexpr const char* examples = R"(Examples:
  ecso demo
  ecso protect --image photo.jpg --query "What is this?"
  ecso protect --backend openai:http://127.0.0.1:8080 --image photo.jpg --query "What is this?"
  ecso serve --upstream http://127.0.0.1:8080/v1
  ecso calibrate --backend openai:http://127.0.0.1:8080 --output policy.toml
  ecso backends --probe http://127.0.0.1:8080
  ecso models
  ecso policy paper

`ecso COMMAND --help` says more.)";

constexpr const char* protect_notes = R"(Examples:
  ecso protect --image photo.jpg --query "What is this?"
  answer=$(ecso protect --backend openai:http://127.0.0.1:8080 --image photo.jpg --query "What is this?")
  echo "What is in both?" | ecso protect --image a.png --image b.png --query - --json
  ecso protect --batch in.jsonl --output out.jsonl --backend openai:https://api.openai.com/v1 --model gpt-4o-mini --api-key-file key
  ecso protect --batch in.jsonl --output out.jsonl --resume

Output: the steps go to standard error, the released answer to standard output. An answer that the policy does
  not release is not shown but by --trace and in JSON, which holds the whole trace.
Batch: a line of the input is {"id": "1", "image": "a.png", "query": "…"}; "image" may also be a list, or absent for a text; a relative
  path starts at the batch file's folder; ids should be unique; without one a line goes by its number. A line of the output is
  {"id": …, "line": …, outcome}, in order of completion. A bad line gives an outcome with its error and stops nothing. Ctrl-C keeps
  what is done; --resume leaves out ids that have an outcome, tries again those that failed, and the last line of an id counts.
Checks: by the model that answers, unless --check-model names another of its server, or --check-backend another server:
    ecso protect --backend openai:http://127.0.0.1:8080 --check-backend ollama --check-model llama-guard3 --policy guard.toml …
  A guard model wants its own form of check: guard.toml has check_form = "guard". Every setting of a server has a counterpart
  check_… for the one that checks (check_api_version, check_unix_socket and so on in the file or as variables); none is shared.
Settings: a flag comes before its environment variable (ECSO_BACKEND, ECSO_MODEL, ECSO_POLICY, ECSO_DIALECT, ECSO_DEADLINE,
  ECSO_MAX_IN_FLIGHT and so on, ECSO_COLOR, ECSO_API_KEY_FILE, ECSO_CONFIG), that before the configuration file (TOML: backend = "…",
  max_in_flight = 4; by default ecso/config.toml in $XDG_CONFIG_HOME or ~/.config, never in the current folder), that before the
  default. NO_COLOR is honoured. The API key comes from ECSO_API_KEY or a file, never from the command line.
Exit code: 0 answered, 3 refused, 64 wrong usage, 65 bad input, 69 server unavailable, 70 internal fault, 74 cannot write,
  75 try again later, 130 interrupted. Of a batch: 0 if every line has an outcome (a refusal is one), else the largest of the codes
  of the lines that failed.)";

void add_setting(CLI::App& app, Settings::Flags& flags, const char* flag, const char* name, const char* value_name,
                 const char* description) {
  app.add_option_function<std::string>(
         flag, [&flags, name](const std::string& value) { flags[name] = value; }, description)
      ->type_name(value_name);
}

void add_model_settings(CLI::App& app, Settings::Flags& flags) {
  add_setting(app, flags, "--backend", "backend", "B",
              "simulated (default), openai:URL, anthropic, gemini, ollama, llava:URL, llava-worker:URL or replay:FILE; see `ecso "
              "backends`");
  add_setting(app, flags, "--model", "model", "NAME", "Model to ask the server for");
  add_setting(
      app, flags, "--dialect", "dialect", "D",
      "What an OpenAI-compatible server understands: auto (default: it is asked), plain, llama-server, vllm, sglang, ollama or "
      "openai");
  add_setting(app, flags, "--attempts", "attempts", "N", "Calls to make of one that fails in passing (default 3)");
  add_setting(app, flags, "--profile", "profile", "NAME",
              "Model whose chat format a LLaVA worker wants (default llava-1.5-7b); see `ecso models`");
  add_setting(app, flags, "--policy", "policy", "P",
              "production (default), paper, or a TOML or JSON file; see `ecso policy --help`");
  add_setting(app, flags, "--deadline", "deadline", "TIME",
              "Time for a query, all its calls together: 30s, 500ms, 2m; 0 for none");
  add_setting(app, flags, "--api-key-file", "api_key_file", "FILE", "File that holds the API key; or set ECSO_API_KEY");
  add_setting(app, flags, "--color", "color", "WHEN", "auto (default), always or never");
  add_setting(app, flags, "--config", "config", "FILE", "Configuration file (TOML)");
  add_setting(app, flags, "--api-version", "api_version", "VERSION",
              "Azure's api-version; the key then goes in its api-key header");
  add_setting(app, flags, "--ca-file", "ca_file", "FILE", "Certificates to trust (PEM), in place of the system's");
  add_setting(app, flags, "--client-certificate-file", "client_certificate_file", "FILE", "Client certificate (PEM)");
  add_setting(app, flags, "--client-key-file", "client_key_file", "FILE", "Its private key (PEM), if it is not in the same file");
  add_setting(app, flags, "--unix-socket", "unix_socket", "PATH", "Unix socket to connect to, whatever host the URL names");
  const auto refuse_key = [](const std::string&) {
    throw UsageError{
        "--api-key: a key on the command line can be read by every user of the machine; put it in ECSO_API_KEY or in a file "
        "named by --api-key-file"};
  };
  app.add_option_function<std::string>("--api-key", refuse_key)->group("")->expected(0, 1);
}

void add_check_settings(CLI::App& app, Settings::Flags& flags) {
  add_setting(app, flags, "--check-backend", "check_backend", "B",
              "Another backend for checks and rechecks, such as a guard model's server; by default the same");
  add_setting(app, flags, "--check-model", "check_model", "NAME",
              "Model that checks: of the check backend, or, without one, of the same server (as models.check of a policy)");
  add_setting(app, flags, "--check-dialect", "check_dialect", "D", "As --dialect, of the check backend");
  add_setting(app, flags, "--check-api-key-file", "check_api_key_file", "FILE",
              "File that holds its API key; or set ECSO_CHECK_API_KEY. It never gets the other one");
  add_setting(app, flags, "--check-ca-file", "check_ca_file", "FILE", "Certificates to trust of it (PEM)");
  const auto refuse_key = [](const std::string&) {
    throw UsageError{
        "--check-api-key: a key on the command line can be read by every user of the machine; put it in ECSO_CHECK_API_KEY or in "
        "a file named by --check-api-key-file"};
  };
  app.add_option_function<std::string>("--check-api-key", refuse_key)->group("")->expected(0, 1);
}

/// What CLI11 found wrong. An argument that was not expected is named without its value, which may be a key.
std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string message = one_line(error.what());
  if (const auto unknown = app.remaining(true); !unknown.empty()) {
    message = fmt::format("{} is not known here", one_line(unknown.front().substr(0, unknown.front().find('='))));
  }
  const auto chosen = app.get_subcommands();
  return fmt::format("{}; see ecso{} --help", message, chosen.empty() ? "" : " " + chosen.front()->get_name());
}

int run_protect(const ProtectOptions& options, const Settings& settings, bool has_query) {
  if (options.batch.empty()) {
    if (!has_query) throw UsageError{"--query is needed, or --batch; see ecso protect --help"};
    if (!options.output.empty() || options.resume) throw UsageError{"--output and --resume go with --batch only"};
    return protect(options, settings);
  }
  if (has_query || !options.images.empty())
    throw UsageError{"--batch brings images and queries of its own; leave out --image and --query"};
  if (options.resume && options.output.empty()) throw UsageError{"--resume needs the --output FILE to go on with"};
  return protect_batch(options, settings);
}

int run(int argc, char** argv) {
  CLI::App app{about, "ecso"};
  app.set_version_flag("--version", fmt::format("ecso {}", ecso::version));
  app.require_subcommand(1);
  app.footer(examples);
  Settings::Flags flags;

  ProtectOptions protect_options;
  CLI::App& protect_command = *app.add_subcommand("protect", "Answer a query about images, safely");
  protect_command.footer(protect_notes);
  protect_command
      .add_option("--image", protect_options.images, "Image file (PNG, JPEG, WebP, GIF, BMP); may be given several times")
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  const CLI::Option& query =
      *protect_command.add_option("--query", protect_options.query, "The query; - reads standard input")->type_name("TEXT");
  protect_command.add_option("--batch", protect_options.batch, "Answer every line of a JSONL file; - is standard input")
      ->type_name("FILE");
  protect_command.add_option("--output", protect_options.output, "Where a batch's outcomes go, in place of standard output")
      ->type_name("FILE");
  protect_command.add_flag("--resume", protect_options.resume, "Go on with a batch that was stopped");
  add_setting(protect_command, flags, "--max-in-flight", "max_in_flight", "N", "Most calls of a batch at once (default 8)");
  protect_command.add_flag("--json", protect_options.json, "Print the whole outcome as JSON");
  protect_command.add_flag("--trace", protect_options.trace, "Show prompts and all replies whole, also those that are withheld");
  protect_command.add_flag("--quiet,-q", protect_options.quiet, "Do not show the steps");
  protect_command
      .add_option("--record", protect_options.record, "Write every exchange with the model to a file, for --backend replay:FILE")
      ->type_name("FILE");
  add_model_settings(protect_command, flags);
  add_check_settings(protect_command, flags);

  DemoOptions demo_options;
  CLI::App& demo_command = *app.add_subcommand("demo", "Show the method on a harmful and a benign example");
  demo_command.footer(
      "Examples:\n  ecso demo\n  ecso demo --trace\n  ecso demo --backend openai:http://127.0.0.1:8080 --dialect llama-server");
  demo_command.add_flag("--trace", demo_options.trace, "Show prompts and all replies whole, also those that are withheld");
  add_model_settings(demo_command, flags);
  add_check_settings(demo_command, flags);

  CalibrateOptions calibrate_options;
  CLI::App& calibrate_command = *app.add_subcommand("calibrate", "Choose the check's threshold by labelled answers");
  add_calibrate_options(calibrate_command, calibrate_options);
  add_setting(calibrate_command, flags, "--max-in-flight", "max_in_flight", "N", "Most calls at once (default 8)");
  add_model_settings(calibrate_command, flags);

  std::string policy_name = "production";
  CLI::App& policy_command = *app.add_subcommand("policy", "Print a policy in full as JSON, to start one's own from");
  policy_command.footer(
      "A policy file is JSON or TOML; it names the policy it starts from and what differs:\n"
      "  base = \"production\"\n  name = \"strict\"\n  max_rounds = 3\n  probability.threshold = 0.2\n\n"
      "Examples:\n  ecso policy paper\n  ecso policy > mine.json\n  ecso policy strict.toml");
  policy_command.add_option("policy", policy_name, "production (default), paper or a file")->type_name("NAME|FILE");

  BackendsOptions backends_options;
  CLI::App& backends_command = *app.add_subcommand("backends", "List the backends, or ask a server what it is and can do");
  backends_command.footer(
      "Examples:\n  ecso backends\n  ecso backends --probe http://127.0.0.1:8080\n"
      "  ecso backends --probe https://api.openai.com/v1 --api-key-file key --json");
  backends_command.add_option("--probe", backends_options.probe, "URL of an OpenAI-compatible server")->type_name("URL");
  backends_command.add_flag("--json", backends_options.json, "Print JSON");
  add_model_settings(backends_command, flags);

  add_models_command(app);
#if defined(ECSO_WITH_GATEWAY)
  add_gateway_commands(app);
#else
  app.add_subcommand("serve", "Protect a model behind its own API: the gateway")->allow_extras()->callback([] {
    throw UsageError{"serve: this ecso was built without Boost, OpenSSL, prometheus-cpp and spdlog, so it has no gateway"};
  });
#endif

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    throw UsageError{usage_error(app, error)};
  }
  if (policy_command.parsed()) {
    std::cout << ecso::detail::dump_json(ecso::to_json(load_policy(policy_name)), 2) << '\n';
    return exit_answered;
  }
  const Settings settings{flags};
  if (backends_command.parsed()) return backends(backends_options, settings);
  if (calibrate_command.parsed()) return calibrate(calibrate_options, settings);
  return demo_command.parsed() ? demo(demo_options, settings) : run_protect(protect_options, settings, query.count() > 0);
}

int report(const std::string& message, int exit_code) {
  std::cerr << "ecso: error: " << one_line(message) << '\n';
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that goes away shall be an error of the write, not a silent end.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const UsageError& error) {
    return report(error.what(), exit_usage);
  } catch (const WriteError& error) {
    return report(error.what(), exit_cannot_write);
  } catch (const UnavailableError& error) {
    return report(error.what(), exit_unavailable);
  } catch (const ecso::Error& error) {
    return report(explain(error), exit_code_of(error));
  } catch (const std::exception& error) {
    return report(error.what(), exit_internal);
  }
}
