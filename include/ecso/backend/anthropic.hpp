#pragma once

#include <ecso/backend/anthropic_wire.hpp>
#include <ecso/backend/call_as_learned.hpp>
#include <ecso/backend/check_lesson.hpp>
#include <ecso/backend/learned_dialects.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/model_call.hpp>
#include <ecso/http/options.hpp>
#include <ecso/http/url.hpp>
#include <ecso/secret.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ecso {

/// Which server an AnthropicBackend talks to, and how.
struct AnthropicOptions {
  /// "https://api.anthropic.com", "http://127.0.0.1:8080" for llama-server, or the whole ".../v1/messages". "/v1/messages" is
  /// added, or "/messages" to a path that ends with "/v1".
  std::string base_url;
  std::string model = {};  ///< Used where a request names none. The API wants one; llama-server takes any.
  Secret key = {};         ///< Sent as `x-api-key`. May be empty.
  bool vision = true;      ///< Whether the model takes images.
  AnthropicDialect dialect = {};
  HttpOptions http = {};
};

/// Fits a check to what its model turned out to need.
inline void fit_check(CallOptions& check, const AnthropicDialect& dialect) {
  if (asks_for_verdict(check.step) && dialect.thinks_first) give_room_to_think(check, 0);
}

/// Takes over what the reply to a check has shown.
inline void learn_from_check(AnthropicDialect& dialect, const CallOptions& options, const Reply& reply) {
  dialect.thinks_first = dialect.thinks_first || lesson_of(options, reply).thinks_first;
}

/// A model behind Anthropic's Messages API, or a server that speaks it, such as llama-server. Thread safe; calls run side by
/// side. What the model refuses (temperature and top_p, the word that a check is not to think) is left out from then on, and the
/// call made again without it; a model that was cut in its thoughts gets room for them.
/// Answers are streamed, but for those of a handful of tokens, so that a server stops where a caller goes away.
///
///     ecso::AnthropicBackend model{{.base_url = "http://127.0.0.1:8080", .model = "tiny"}};
class AnthropicBackend final : public MllmBackend {
 public:
  /// Does not connect.
  /// @throws Error (bad_input) if the base URL is not usable.
  explicit AnthropicBackend(AnthropicOptions options)
      : options_{std::move(options)},
        url_{endpoint_of(Url::parse(options_.base_url))},
        client_{options_.http},
        learned_{options_.dialect} {}

  /// @throws Error as `make_model_call`, `parse_anthropic_reply` and `anthropic_request_body` say, and `unsupported` for images
  /// where `AnthropicOptions::vision` is false.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    if (!options_.vision && has_image(request.conversation)) {
      throw Error{Errc::unsupported, "this model takes no images", {.endpoint = url_.text()}};
    }
    return call(request, context);
  }

  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  /// The API has neither log-probabilities nor forced choices.
  [[nodiscard]] Capabilities capabilities() const override {
    return {.vision = options_.vision, .concurrent = true, .streaming = true};
  }

  /// Where the requests go.
  [[nodiscard]] const Url& url() const noexcept { return url_; }

  /// How a model is asked now, after what it has refused.
  /// @param model empty for that of `AnthropicOptions::model`.
  [[nodiscard]] AnthropicDialect dialect(std::string_view model = {}) const {
    return learned_.of(model.empty() ? std::string_view{options_.model} : model);
  }

 private:
  struct Format {
    using Stream = AnthropicStream;
    static constexpr bool streams_events = true;
    static Reply parse(std::string_view body, const Secret& key) { return parse_anthropic_reply(body, key); }
  };

  [[nodiscard]] static Url endpoint_of(const Url& base) {
    if (base.path().ends_with("/messages")) return base;
    return base.with_path(base.path().ends_with("/v1") ? "/messages" : "/v1/messages");
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    const std::string& model = request.options.model.empty() ? options_.model : request.options.model;
    const auto once = [&](const Request& fitted, const AnthropicDialect& dialect) { return call_once(fitted, dialect, context); };
    return detail::call_as_learned(learned_, model, request, once, anthropic_fallback);
  }

  template <typename Request>
  [[nodiscard]] Reply call_once(const Request& request, const AnthropicDialect& dialect, const CallContext& context) {
    constexpr int handful = 16;
    const bool stream = context.on_text || request.options.sampling.max_tokens.value_or(dialect.max_tokens) > handful;
    ModelCall model_call{.url = url_,
                         .body = anthropic_request_body(request, dialect, options_.model, {.stream = stream}),
                         .headers = model_call_headers(stream),
                         .stream = stream};
    model_call.headers.push_back({"anthropic-version", "2023-06-01"});
    if (!options_.key.empty()) model_call.headers.push_back({"x-api-key", options_.key.reveal()});
    return make_model_call<Format>(client_, model_call, options_.key, context);
  }

  AnthropicOptions options_;
  Url url_;
  HttpClient client_;
  LearnedDialects<AnthropicDialect> learned_;
};

}  // namespace ecso
