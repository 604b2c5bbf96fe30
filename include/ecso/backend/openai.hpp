#pragma once

#include <ecso/backend/openai_wire.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/secret.hpp>
#include <ecso/http/url.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// Which server an OpenAiBackend talks to, and how.
struct OpenAiOptions {
  /// "http://127.0.0.1:8080", "https://api.openai.com/v1" or the whole ".../chat/completions". "/v1" is added where there is no
  /// path.
  std::string base_url;
  std::string model = {};      ///< Used where a request names none; empty: the server chooses.
  Secret key = {};             ///< Sent as bearer token; may be empty.
  bool vision = true;          ///< Whether the model takes images.
  int slots = 0;               ///< Queries the server works on at once; 0: unknown.
  OpenAiDialect dialect = {};  ///< What the server understands; the default works with any and cannot force a choice.
  HttpOptions http = {};
};

/// A model behind an OpenAI-compatible HTTP server: llama-server, vLLM, OpenAI and the like. Thread safe; calls run side by side.
///
///     ecso::OpenAiBackend model{{.base_url = "http://127.0.0.1:8080", .dialect = ecso::llama_server_dialect()}};
class OpenAiBackend final : public MllmBackend {
 public:
  /// Does not connect.
  /// @throws Error (bad_input) if the base URL is not usable.
  explicit OpenAiBackend(OpenAiOptions options)
      : options_{std::move(options)}, url_{endpoint_of(Url::parse(options_.base_url))}, client_{options_.http} {}

  /// @throws Error as `HttpClient::post`, `openai_error`, `parse_openai_reply` and `openai_request_body` say, and `unsupported`
  /// for images where `OpenAiOptions::vision` is false.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    if (!options_.vision && has_image(request.conversation)) {
      throw Error{Errc::unsupported, "this model takes no images", {.endpoint = url_.text()}};
    }
    return call(request, context);
  }

  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  [[nodiscard]] Capabilities capabilities() const override {
    return {
        .vision = options_.vision,
        .logprobs = options_.dialect.logprobs != LogprobStyle::none && options_.dialect.choices != ChoiceStyle::response_format,
        .forced_choice = options_.dialect.choices != ChoiceStyle::none,
        .concurrent = true,
        .slots = options_.slots};
  }

  /// Where the requests go.
  [[nodiscard]] const Url& url() const noexcept { return url_; }

 private:
  [[nodiscard]] static Url endpoint_of(const Url& base) {
    constexpr std::string_view resource = "/chat/completions";
    if (base.path().ends_with(resource)) return base;
    return base.path().empty() ? base.with_path("/v1").with_path(resource) : base.with_path(resource);
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    const std::string body = openai_request_body(request, options_.dialect, options_.model);
    std::vector<HttpHeader> headers{{"Content-Type", "application/json"}, {"Accept", "application/json"}};
    if (!options_.key.empty()) headers.push_back({"Authorization", "Bearer " + options_.key.reveal()});
    const HttpResponse response = client_.post(url_, body, headers, context);
    if (response.status < 200 || response.status >= 300) {
      throw openai_error(response.status, response.body, response.retry_after, url_.text(), options_.key, response.location);
    }
    try {
      Reply reply = parse_openai_reply(response.body, options_.key);
      const bool is_wrapped = !request.options.choices.empty() && options_.dialect.choices == ChoiceStyle::response_format;
      if (is_wrapped) reply.text = openai_choice(std::move(reply.text));
      return reply;
    } catch (const Error& error) {
      throw Error{error.code(), error.message(), {.endpoint = url_.text(), .http_status = response.status}};
    }
  }

  OpenAiOptions options_;
  Url url_;
  HttpClient client_;
};

}  // namespace ecso
