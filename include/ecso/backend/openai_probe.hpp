#pragma once

#include <ecso/backend/openai.hpp>
#include <ecso/backend/openai_server.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/url.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// Asks a server what it is: `/v1/models`, and `/props`, `/version` and `/api/version` beside "/v1"; Ollama also which models it
/// has loaded, and what the one that is used can do. Generates nothing.
/// @throws Error as `HttpClient::get`, `unauthorized` if the server refuses the key, `unavailable` while a llama-server loads its
/// model, and `bad_input` for a URL that is none. What
/// the server answers otherwise, a 404 too, is an answer.
[[nodiscard]] inline OpenAiServer probe_openai_server(const OpenAiOptions& options, const CallContext& context = {}) {
  HttpClient client{options.http};
  const Url endpoint = openai_endpoint(options.base_url);
  std::vector<HttpHeader> headers{{"Accept", "application/json"}};
  if (!options.key.empty()) headers.push_back(key_header_of(options.key_header, options.key));
  OpenAiServerAnswers answers{.host = std::string{endpoint.host()}};

  std::string asked;
  const auto take = [&](const Url& url, HttpResponse response) -> std::string {
    asked.append(asked.empty() ? "" : ", ").append(url.path()).append(": ").append(std::to_string(response.status));
    if (answers.server_header.empty()) answers.server_header = response.server;
    if (response.status == 401 || response.status == 403) {
      throw server_error(response.status, response.body, {}, url.text(), options.key);
    }
    // While a llama-server loads its model it cannot tell what it will have.
    if (response.status == 503 && response.server == "llama.cpp")
      throw server_error(response.status, response.body, {}, url.text(), options.key);
    return response.status == 200 ? std::move(response.body) : std::string{};
  };
  const auto get = [&](const Url& url, std::string_view query = {}) {
    return take(url, client.get(url.with_query(query), headers, context));
  };
  constexpr std::string_view resource = "/chat/completions";
  const Url versioned = endpoint.without_path_end(resource);
  answers.models = get(versioned.with_path("/models"), options.query);
  const Url root = versioned.without_path_end("/v1");
  answers.props = get(root.with_path("/props"));
  OpenAiServer server = openai_server_of(answers);
  if (server.name != "llama-server") {
    answers.version = get(root.with_path("/version"));
    answers.ollama_version = get(root.with_path("/api/version"));
    server = openai_server_of(answers);
  }
  if (server.dialect.own_calls == OwnCalls::ollama_chat) {
    answers.ollama_loaded = get(root.with_path("/api/ps"));
    const bool is_only_one = options.model.empty() && server.models.size() == 1;
    if (const std::string model = is_only_one ? server.models.front() : options.model; !model.empty()) {
      std::vector<HttpHeader> json_headers = headers;
      json_headers.push_back({"Content-Type", "application/json"});
      const Url show = root.with_path("/api/show");
      answers.ollama_model = take(show, client.post(show, detail::dump_json({{"model", model}}), json_headers, context));
    }
    server = openai_server_of(answers);
  }
  server.asked = std::move(asked);
  return server;
}

/// The options with what the server says of itself: dialect, slots, whether it sees, and its model's name if it has just one and
/// none is given.
/// @throws Error as `probe_openai_server`.
[[nodiscard]] inline OpenAiOptions probed(OpenAiOptions options, const CallContext& context = {}) {
  OpenAiServer server = probe_openai_server(options, context);
  options.dialect = std::move(server.dialect);
  options.slots = server.slots;
  options.vision = server.vision.value_or(options.vision);
  if (options.model.empty() && server.models.size() == 1) options.model = server.models.front();
  return options;
}

}  // namespace ecso
