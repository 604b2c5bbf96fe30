#include "backends.hpp"

#include "exit_code.hpp"
#include "printing.hpp"

#include <ecso/backend/anthropic.hpp>
#include <ecso/backend/by_step.hpp>
#include <ecso/backend/gemini.hpp>
#include <ecso/backend/llava_worker.hpp>
#include <ecso/backend/ollama.hpp>
#include <ecso/backend/openai.hpp>
#include <ecso/backend/openai_probe.hpp>
#include <ecso/backend/replay.hpp>
#include <ecso/backend/simulated.hpp>
#include <ecso/decorator/retry.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/models/profiles.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string_view>

namespace ecso::command {

namespace {

/// A kind of backend, as --backend names it.
struct Kind {
  std::string_view name;
  std::string_view place;        ///< What follows the colon; empty if nothing does.
  std::string_view default_url;  ///< Where the kind's own server is, if that is known.
  std::string_view description;
};

constexpr std::array kinds{
    Kind{"simulated", "", "", "A deterministic stand-in with the paper's weakness; the default"},
    Kind{"openai", "URL", "", "OpenAI-compatible: llama-server, vLLM, SGLang, LMDeploy, LM Studio, OpenAI, Azure, OpenRouter"},
    Kind{"anthropic", "[URL]", "https://api.anthropic.com", "The Messages API: Anthropic, llama-server"},
    Kind{"gemini", "[URL]", "https://generativelanguage.googleapis.com", "The Gemini API, generateContent"},
    Kind{"ollama", "[URL]", "http://127.0.0.1:11434", "Ollama's own API"},
    Kind{"llava", "URL", "", "A LLaVA controller, which names a worker for each call"},
    Kind{"llava-worker", "URL", "", "A LLaVA worker, asked directly"},
    Kind{"replay", "FILE", "", "Exchanges that --record wrote"},
};

std::string known_kinds() {
  std::string known;
  for (const Kind& kind : kinds) {
    known.append(known.empty() ? "" : ", ").append(kind.name);
    if (!kind.place.empty()) known.append(":").append(kind.place);
  }
  return known;
}

/// The settings of one server.
struct ServerSettings {
  const Settings& all;
  ServerRole role = ServerRole::chat;

  [[nodiscard]] std::optional<Settings::Value> find(std::string_view name) const { return all.find(role, name); }
  [[nodiscard]] Secret key() const { return all.key(role); }
};

std::string text_of(const ServerSettings& settings, std::string_view name) {
  const auto value = settings.find(name);
  return value ? value->text : std::string{};
}

HttpOptions http_options(const ServerSettings& settings) {
  HttpOptions http;
  http.ca_file = text_of(settings, "ca_file");
  http.client_certificate_file = text_of(settings, "client_certificate_file");
  http.client_key_file = text_of(settings, "client_key_file");
  http.unix_socket = text_of(settings, "unix_socket");
  return http;
}

OpenAiOptions openai_options(const ServerSettings& settings, std::string url) {
  OpenAiOptions options;
  options.base_url = std::move(url);
  options.model = text_of(settings, "model");
  options.key = settings.key();
  if (const std::string version = text_of(settings, "api_version"); !version.empty()) {
    options.query = "api-version=" + version;
    options.key_header = KeyHeader::api_key;
  }
  options.http = http_options(settings);
  return options;
}

CallContext probe_context(const Settings& settings, const std::stop_token& stop) {
  constexpr std::chrono::milliseconds patience{10'000};
  const std::chrono::milliseconds deadline = settings.policy().deadline;
  return {.stop = stop,
          .deadline = std::chrono::steady_clock::now() + (deadline.count() > 0 ? std::min(deadline, patience) : patience)};
}

/// One of the backends that want base_url, model, key and http.
template <typename Backend, typename Options>
std::unique_ptr<MllmBackend> make_plain(const ServerSettings& settings, std::string url) {
  Options options;
  options.base_url = std::move(url);
  options.model = text_of(settings, "model");
  options.key = settings.key();
  options.http = http_options(settings);
  return std::make_unique<Backend>(std::move(options));
}

std::unique_ptr<MllmBackend> make_llava(const ServerSettings& settings, std::string url, LlavaEndpoint endpoint) {
  LlavaOptions options;
  options.base_url = std::move(url);
  options.endpoint = endpoint;
  options.model = text_of(settings, "model");
  options.http = http_options(settings);
  if (const auto profile = settings.find("profile")) options.conversation = find_profile(profile->text).conversation;
  return std::make_unique<LlavaWorkerBackend>(std::move(options));
}

std::unique_ptr<MllmBackend> make_server(const ServerSettings& settings, std::string_view kind, std::string url,
                                         const std::optional<OpenAiDialect>& dialect, const std::stop_token& stop) {
  if (kind == "openai") {
    OpenAiOptions options = openai_options(settings, std::move(url));
    if (dialect) {
      options.dialect = *dialect;
    } else {
      options = probed(std::move(options), probe_context(settings.all, stop));
    }
    return std::make_unique<OpenAiBackend>(std::move(options));
  }
  if (kind == "anthropic") return make_plain<AnthropicBackend, AnthropicOptions>(settings, std::move(url));
  if (kind == "gemini") return make_plain<GeminiBackend, GeminiOptions>(settings, std::move(url));
  if (kind == "ollama") return make_plain<OllamaBackend, OllamaOptions>(settings, std::move(url));
  return make_llava(settings, std::move(url), kind == "llava" ? LlavaEndpoint::controller : LlavaEndpoint::worker);
}

std::string yes_or_no(bool value) { return value ? "yes" : "no"; }

std::string_view name_of(ChoiceStyle style) {
  switch (style) {
    case ChoiceStyle::none: return "none";
    case ChoiceStyle::grammar: return "grammar";
    case ChoiceStyle::structured_outputs: return "structured_outputs";
    case ChoiceStyle::guided_choice: return "guided_choice";
    case ChoiceStyle::regex: return "regex";
    case ChoiceStyle::response_format: return "response_format";
    case ChoiceStyle::format: return "format";
  }
  return "unknown";
}

detail::Json to_json(const OpenAiServer& server, const Url& url) {
  return {{"url", url.text()},
          {"server", server.name},
          {"version", server.version},
          {"models", server.models},
          {"vision", server.vision ? detail::Json(*server.vision) : detail::Json{}},
          {"slots", server.slots},
          {"context_tokens", server.context_tokens},
          {"logprobs", server.dialect.logprobs != LogprobStyle::none},
          {"forced_choice", name_of(server.dialect.choices)},
          {"leases_slots", server.dialect.slots != SlotStyle::none && server.slots > 0},
          {"reports_cached_tokens", server.reports_cached_tokens}};
}

void print(const OpenAiServer& server, const Url& url) {
  constexpr std::size_t most_models = 10;
  const auto line = [](std::string_view name, const std::string& value) {
    std::cout << fmt::format("{:<18}{}\n", name, printable(value));
  };
  const auto number = [](int value) { return value > 0 ? std::to_string(value) : std::string{"it does not say"}; };
  line("url", url.text());
  line("server", server.version.empty() ? server.name : server.name + " " + server.version);
  std::string models;
  for (std::size_t i = 0; i < std::min(server.models.size(), most_models); ++i)
    models.append(models.empty() ? "" : ", ").append(server.models[i]);
  if (server.models.size() > most_models) models += fmt::format(" and {} more", server.models.size() - most_models);
  line("models", models.empty() ? "it does not say" : models);
  line("vision", server.vision ? yes_or_no(*server.vision) : "it does not say");
  line("slots", number(server.slots));
  line("context", server.context_tokens > 0 ? fmt::format("{} tokens", server.context_tokens) : number(0));
  line("logprobs", yes_or_no(server.dialect.logprobs != LogprobStyle::none));
  line("forced choice", std::string{name_of(server.dialect.choices)});
  line("leased slots", yes_or_no(server.dialect.slots != SlotStyle::none && server.slots > 0));
  line("cached tokens", server.reports_cached_tokens ? "it reports them" : "it does not report them");
}

/// The backend that a server's settings name; the simulated one if they name none.
BackendStack make_one(const ServerSettings& settings, const std::stop_token& stop) {
  const Settings::Value value = settings.find("backend").value_or(Settings::Value{"simulated", ""});
  // Also where the backend does not need it: a typo shall not wait for another backend to be noticed.
  const std::optional<OpenAiDialect> dialect = settings.all.dialect(settings.role);
  const int attempts = settings.all.attempts();
  if (value.text == "simulated") return BackendStack{std::make_unique<SimulatedBackend>()};

  const std::size_t colon = value.text.find(':');
  const std::string_view name = std::string_view{value.text}.substr(0, colon);
  std::string place = colon == std::string::npos ? std::string{} : value.text.substr(colon + 1);
  const auto kind = std::ranges::find(kinds, name, &Kind::name);
  const bool has_place = colon != std::string::npos || (kind != kinds.end() && !kind->default_url.empty());
  if (kind == kinds.end() || kind->place.empty() || !has_place) {
    throw UsageError{fmt::format("{}: there is no such backend; there are {}", value.source, known_kinds())};
  }
  if (name == "replay") return BackendStack{std::make_unique<ReplayBackend>(place)};
  if (place.empty()) place = kind->default_url;
  try {
    static_cast<void>(Url::parse(place));
  } catch (const Error& error) {
    throw UsageError{fmt::format("{}: {}; write {}:http://HOST:PORT", value.source, error.message(), name)};
  }
  BackendStack stack{make_server(settings, name, place, dialect, stop)};
  if (attempts > 1) stack.wrap<RetryBackend>(RetryOptions{.max_attempts = attempts});
  return stack;
}

/// What would be read for nothing is more likely a mistake.
void refuse_settings_of_no_checker(const Settings& settings) {
  for (const std::string_view name : {"dialect", "api_key_file", "api_version", "profile", "ca_file", "client_certificate_file",
                                      "client_key_file", "unix_socket"}) {
    const auto given = settings.find(ServerRole::check, name);
    if (!given) continue;
    throw UsageError{
        fmt::format("{}: it is for the server that --check-backend names, and none is named; --check-model alone is a model of "
                    "the same server",
                    given->source)};
  }
}

}  // namespace

void BackendStack::check_by(BackendStack checker) {
  MllmBackend& chat = model();
  MllmBackend& check = checker.model();
  for (auto& layer : checker.layers_) layers_.push_back(std::move(layer));
  layers_.push_back(std::make_unique<ByStep>(StepBackends{.answer = chat, .check = check, .caption = chat, .regenerate = chat}));
}

BackendStack make_backend(const Settings& settings, const std::stop_token& stop) {
  const bool has_checker = settings.find(ServerRole::check, "backend").has_value();
  if (!has_checker) refuse_settings_of_no_checker(settings);
  BackendStack stack = make_one({settings, ServerRole::chat}, stop);
  if (has_checker) stack.check_by(make_one({settings, ServerRole::check}, stop));
  return stack;
}

int backends(const BackendsOptions& options, const Settings& settings) {
  if (options.probe.empty()) {
    detail::Json list = detail::Json::array();
    for (const Kind& kind : kinds) {
      const std::string written = kind.place.empty() ? std::string{kind.name} : fmt::format("{}:{}", kind.name, kind.place);
      if (options.json) {
        list.push_back({{"backend", written}, {"default_url", kind.default_url}, {"description", kind.description}});
      } else {
        std::cout << fmt::format("{:<18}{}\n", written, kind.description);
      }
    }
    if (options.json) std::cout << list.dump(2) << '\n';
  } else {
    const OpenAiOptions asked = openai_options({settings}, options.probe);
    const Url url = openai_endpoint(asked.base_url);
    const OpenAiServer server = probe_openai_server(asked, probe_context(settings, {}));
    if (options.json) {
      std::cout << detail::dump_json(to_json(server, url), 2) << '\n';
    } else {
      print(server, url);
    }
  }
  if (!std::cout.flush()) throw WriteError{"standard output cannot be written"};
  return exit_answered;
}

}  // namespace ecso::command
