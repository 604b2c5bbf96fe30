#pragma once

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/server_json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecso {

/// What a server says of itself, body by body; empty where it gave none. Untrusted: of any shape.
struct OpenAiServerAnswers {
  std::string host = {};            ///< Of the URL.
  std::string server_header = {};   ///< `Server`.
  std::string models = {};          ///< `GET /v1/models`.
  std::string props = {};           ///< `GET /props`: llama-server.
  std::string version = {};         ///< `GET /version`: vLLM, SGLang.
  std::string ollama_version = {};  ///< `GET /api/version`: Ollama.
  std::string ollama_loaded = {};   ///< `GET /api/ps`: Ollama.
  std::string ollama_model = {};    ///< `POST /api/show` for the model that is used: Ollama.
};

/// An OpenAI-compatible server as it is known from its own answers.
struct OpenAiServer {
  std::string name = "unknown";               ///< "llama-server", "vLLM", "SGLang", …
  std::string version = {};                   ///< As the server writes it; empty if it does not say.
  std::vector<std::string> models = {};       ///< At most 1000, in the server's order.
  std::optional<bool> vision = std::nullopt;  ///< Whether the model takes images, if it says.
  int slots = 0;                              ///< Queries it works on at once; 0: it does not say.
  int context_tokens = 0;                     ///< Of one query; 0: it does not say.
  bool reports_cached_tokens = false;         ///< Whether its usage tells what the prefix cache saved.
  OpenAiDialect dialect = {};
  std::string asked = {};  ///< What it was asked and the statuses that came, "/v1/models: 200, /props: 404"; empty if nothing.

  bool operator==(const OpenAiServer&) const = default;
};

namespace detail {

/// A whole number in a stranger's JSON, from 0 to `most`; 0 for anything else.
[[nodiscard]] inline int small_count_of(const Json& json, int most) {
  const auto count = count_of(json);
  return count > most ? most : static_cast<int>(count);
}

/// Major and minor number of "0.11.2" or "v0.11": 0.11 is 11, 1.2 is 1002.
[[nodiscard]] inline int version_number(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  int major = 0;
  int minor = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), major);
  if (error != std::errc{} || end == text.data() + text.size() || *end != '.') return 0;
  std::from_chars(end + 1, text.data() + text.size(), minor);
  return std::min(major, 1000) * 1000 + std::min(minor, 999);
}

/// Major, minor and patch number of "0.12.11-rc1", each at most 999; zeros of what has none.
[[nodiscard]] inline std::array<int, 3> version_numbers(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  std::array<int, 3> numbers{};
  for (int& number : numbers) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return numbers;
    number = std::clamp(number, 0, 999);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (!text.starts_with('.')) return numbers;
    text.remove_prefix(1);
  }
  return numbers;
}

/// JSON that may be anything; null if it is none.
[[nodiscard]] inline Json json_or_null(std::string_view text) {
  const auto limit_depth = [](int depth, Json::parse_event_t, Json&) { return depth <= max_json_depth; };
  Json json = Json::parse(text.begin(), text.end(), limit_depth, false);
  return json.is_discarded() ? Json{} : json;
}

[[nodiscard]] inline std::string short_text(const Json& json) {
  constexpr std::size_t longest = 200;
  return one_line(text_of(json), {}, longest);
}

inline void read_ollama(OpenAiServer& server, const OpenAiServerAnswers& answers, int most_tokens) {
  server.name = "Ollama";
  const Json answered = json_or_null(answers.ollama_version);
  const Json& version = member(answered, "version");
  server.version = short_text(version);
  // Only one who has answered there takes checks beside /v1: of a proxy that has /v1 alone, nothing else is known.
  if (!version.is_string()) return;
  constexpr std::array has_logprobs{0, 12, 11};
  server.dialect = ollama_dialect();
  if (version_numbers(server.version) < has_logprobs) server.dialect.logprobs = LogprobStyle::none;
  const Json shown = json_or_null(answers.ollama_model);
  if (const Json& abilities = member(shown, "capabilities"); abilities.is_array()) {
    server.vision = std::ranges::any_of(abilities, [](const Json& ability) { return text_of(ability) == "vision"; });
  }
  const Json loaded = json_or_null(answers.ollama_loaded);
  const Json& models = member(loaded, "models");
  if (!models.is_array() || server.models.size() != 1) return;
  for (const Json& model : models) {
    if (text_of(member(model, "name")) != server.models.front()) continue;
    server.context_tokens = small_count_of(member(model, "context_length"), most_tokens);
  }
}

}  // namespace detail

/// Tells from its answers which server it is and what it understands. An unknown one is asked for nothing but answers. Pure.
[[nodiscard]] inline OpenAiServer openai_server_of(const OpenAiServerAnswers& answers) {
  using detail::member;
  constexpr int most_tokens = 100'000'000;
  constexpr int most_slots = 4096;
  constexpr std::size_t most_models = 1000;
  OpenAiServer server;
  const detail::Json models = detail::json_or_null(answers.models);
  const detail::Json& list = member(models, "data");
  std::string owner;
  if (list.is_array()) {
    for (const detail::Json& model : list) {
      if (server.models.size() == most_models) break;
      std::string name = detail::short_text(member(model, "id"));
      if (!name.empty()) server.models.push_back(std::move(name));
    }
    if (!list.empty()) {
      owner = detail::short_text(member(list.front(), "owned_by"));
      server.context_tokens = detail::small_count_of(member(list.front(), "max_model_len"), most_tokens);
    }
  }

  const detail::Json props = detail::json_or_null(answers.props);
  if (member(props, "total_slots").is_number() || owner == "llamacpp" || answers.server_header == "llama.cpp") {
    server.name = "llama-server";
    server.version = detail::short_text(member(props, "build_info"));
    server.slots = detail::small_count_of(member(props, "total_slots"), most_slots);
    server.context_tokens = detail::small_count_of(member(member(props, "default_generation_settings"), "n_ctx"), most_tokens);
    const detail::Json& vision = member(member(props, "modalities"), "vision");
    if (vision.is_boolean()) server.vision = vision.get<bool>();
    server.reports_cached_tokens = true;
    server.dialect = llama_server_dialect();
    server.dialect.context_tokens = server.context_tokens;
    return server;
  }

  server.version = detail::short_text(member(detail::json_or_null(answers.version), "version"));
  if (owner == "sglang") {
    server.name = "SGLang";
    server.dialect = sglang_dialect();
    server.reports_cached_tokens = true;
  } else if (owner == "vllm") {
    server.name = "vLLM";
    server.dialect = vllm_dialect();
    constexpr int has_structured_outputs = 11;
    const int number = detail::version_number(server.version);
    if (number > 0 && number < has_structured_outputs) server.dialect.choices = ChoiceStyle::guided_choice;
    server.reports_cached_tokens = true;
  } else if (owner == "lmdeploy") {
    server.name = "LMDeploy";
    server.dialect = {.logprobs = LogprobStyle::top_logprobs};
  } else if (const detail::Json ollama = detail::json_or_null(answers.ollama_version);
             owner == "library" || member(ollama, "version").is_string()) {
    detail::read_ollama(server, answers, most_tokens);
  } else if (owner == "organization_owner") {
    server.name = "LM Studio";
  } else if (answers.host.ends_with(".openai.azure.com")) {
    server.name = "Azure OpenAI";
    server.dialect = openai_dialect();
    server.reports_cached_tokens = true;
  } else if (answers.host == "api.openai.com") {
    server.name = "OpenAI";
    server.dialect = openai_dialect();
    server.reports_cached_tokens = true;
  } else if (answers.host == "openrouter.ai") {
    server.name = "OpenRouter";
    server.dialect = {.logprobs = LogprobStyle::top_logprobs, .cutting = CutSwitch::transforms};
  }
  if (server.models.size() == 1) server.dialect.context_tokens = server.context_tokens;
  return server;
}

}  // namespace ecso
