#pragma once

#include <ecso/backend/call_as_learned.hpp>
#include <ecso/backend/check_lesson.hpp>
#include <ecso/backend/learned_dialects.hpp>
#include <ecso/backend/ollama_wire.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/model_call.hpp>
#include <ecso/http/options.hpp>
#include <ecso/http/url.hpp>
#include <ecso/secret.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace ecso {

/// How an OllamaBackend gets a verdict out of a check.
enum class OllamaVerdict {
  logprobs,       ///< Log-probabilities: Ollama 0.12.11 and later. Of an older one, which leaves them out, the forced choice.
  forced_choice,  ///< The answer is held to the choices.
};

/// Which server an OllamaBackend talks to, and how.
struct OllamaOptions {
  /// "http://127.0.0.1:11434", or the whole ".../api/chat". "/api/chat" is added, or "/chat" to a path that ends with "/api".
  std::string base_url;
  std::string model = {};  ///< Used where a request names none. Ollama wants one.
  Secret key = {};         ///< For a server behind a proxy that wants one: sent as `Authorization: Bearer …`. May be empty.
  bool vision = true;      ///< Whether the model takes images.
  /// What checks ask for. Of checks that think (`OllamaDialect::check_thinks`), it is always the forced choice, as the
  /// probabilities would be those of their thoughts.
  OllamaVerdict verdict = OllamaVerdict::logprobs;
  OllamaDialect dialect = {};
  HttpOptions http = {};
};

/// A model behind Ollama's own API. Thread safe; calls run side by side. Answers are streamed, but for those of a handful of
/// tokens and those that are held to choices. A prompt that the server has no room for is an Error (bad_request): it is told not
/// to cut. What the server refuses or ignores (log-probabilities, the forced choice) is left out for that model in the next ten
/// minutes; a model that thinks before its verdicts gets room for them.
///
///     ecso::OllamaBackend model{{.base_url = "http://127.0.0.1:11434", .model = "qwen2.5vl"}};
class OllamaBackend final : public MllmBackend {
 public:
  /// Does not connect.
  /// @throws Error (bad_input) if the base URL is not usable.
  explicit OllamaBackend(OllamaOptions options)
      : options_{std::move(options)},
        url_{endpoint_of(Url::parse(options_.base_url))},
        client_{options_.http},
        learned_{options_.dialect} {}

  /// @throws Error as `make_model_call`, `parse_ollama_reply` and `ollama_request_body` say, and `unsupported` for images where
  /// `OllamaOptions::vision` is false.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    if (!options_.vision && has_image(request.conversation)) {
      throw Error{Errc::unsupported, "this model takes no images", {.endpoint = url_.text()}};
    }
    return call(request, context);
  }

  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  [[nodiscard]] Capabilities capabilities() const override {
    const bool thinks = options_.dialect.check_thinks.value_or(true);
    return {.vision = options_.vision,
            .logprobs = options_.verdict == OllamaVerdict::logprobs && !thinks && options_.dialect.logprobs,
            .forced_choice = options_.dialect.choices,
            .concurrent = true,
            .streaming = true,
            .prefix_cache = true,
            .context_tokens = options_.dialect.num_ctx};
  }

  /// Where the requests go.
  [[nodiscard]] const Url& url() const noexcept { return url_; }

  /// How a model is asked now, after what it has refused or ignored.
  /// @param model empty for that of `OllamaOptions::model`.
  [[nodiscard]] OllamaDialect dialect(std::string_view model = {}) const {
    return learned_.of(model.empty() ? std::string_view{options_.model} : model);
  }

 private:
  struct Format {
    using Stream = OllamaStream;
    static constexpr bool streams_events = false;
    static Reply parse(std::string_view body, const Secret& key) { return parse_ollama_reply(body, key); }
  };

  [[nodiscard]] static Url endpoint_of(const Url& base) {
    if (base.path().ends_with("/api/chat")) return base;
    return base.with_path(base.path().ends_with("/api") ? "/chat" : "/api/chat");
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    const std::string& model = request.options.model.empty() ? options_.model : request.options.model;
    const auto once = [&](const Request& fitted, const OllamaDialect& dialect) { return call_once(fitted, dialect, context); };
    return detail::call_as_learned(learned_, model, request, once, ollama_fallback);
  }

  template <typename Request>
  [[nodiscard]] Reply call_once(const Request& request, const OllamaDialect& dialect, const CallContext& context) {
    if (!forces_choice(request.options, dialect)) return send(request, dialect, context);
    // The text is the choice inside the JSON, so its pieces are not to be seen.
    CallContext unwatched = context;
    unwatched.on_text = nullptr;
    Reply reply = send(request, dialect, unwatched);
    reply.text = ollama_choice(std::move(reply.text));
    if (context.on_text) context.on_text(reply.text);
    return reply;
  }

  template <typename Request>
  [[nodiscard]] Reply send(const Request& request, const OllamaDialect& dialect, const CallContext& context) {
    constexpr int handful = 16;
    const CallOptions& options = request.options;
    const bool is_long = !forces_choice(options, dialect) && options.sampling.max_tokens.value_or(handful + 1) > handful;
    const bool stream = context.on_text || is_long;
    ModelCall model_call{.url = url_,
                         .body = ollama_request_body(request, dialect, options_.model, {.stream = stream}),
                         .headers = {{"Content-Type", "application/json"}, {"Accept", "application/x-ndjson, application/json"}},
                         .stream = stream};
    if (!options_.key.empty()) model_call.headers.push_back({"Authorization", "Bearer " + options_.key.reveal()});
    return make_model_call<Format>(client_, model_call, options_.key, context);
  }

  OllamaOptions options_;
  Url url_;
  HttpClient client_;
  LearnedDialects<OllamaDialect> learned_;
};

}  // namespace ecso
