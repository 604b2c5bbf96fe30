#pragma once

#include <ecso/backend/call_as_learned.hpp>
#include <ecso/backend/check_lesson.hpp>
#include <ecso/backend/learned_dialects.hpp>
#include <ecso/backend/ollama_own_calls.hpp>
#include <ecso/backend/ollama_wire.hpp>
#include <ecso/backend/openai_fallback.hpp>
#include <ecso/backend/openai_wire.hpp>
#include <ecso/backend/slot_pool.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/model_call.hpp>
#include <ecso/http/url.hpp>
#include <ecso/secret.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ecso {

/// How a key is sent.
enum class KeyHeader {
  bearer,   ///< `Authorization: Bearer …`.
  api_key,  ///< `api-key: …`: Azure.
};

/// Which server an OpenAiBackend talks to, and how.
struct OpenAiOptions {
  /// "http://127.0.0.1:8080", "https://api.openai.com/v1" or the whole ".../chat/completions". "/v1" is added where there is no
  /// path. For Azure "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT", with a query.
  std::string base_url;
  std::string query = {};  ///< After the URL's "?": "api-version=2024-10-21" for Azure. Never a key: messages show it.
  std::string model = {};  ///< Used where a request names none; empty: the server chooses.
  Secret key = {};         ///< May be empty.
  KeyHeader key_header = KeyHeader::bearer;
  bool vision = true;          ///< Whether the model takes images.
  int slots = 0;               ///< Queries the server works on at once; 0: unknown.
  OpenAiDialect dialect = {};  ///< What the server understands; the default works with any and cannot force a choice.
  HttpOptions http = {};
};

/// The header that a key goes out by.
[[nodiscard]] inline HttpHeader key_header_of(KeyHeader style, const Secret& key) {
  return style == KeyHeader::bearer ? HttpHeader{"Authorization", "Bearer " + key.reveal()} : HttpHeader{"api-key", key.reveal()};
}

/// Where chat completions are, for each way to write `OpenAiOptions::base_url`.
/// @throws Error (bad_input) if it is not usable.
[[nodiscard]] inline Url openai_endpoint(std::string_view base_url) {
  constexpr std::string_view resource = "/chat/completions";
  Url base = Url::parse(base_url);
  if (base.path().ends_with(resource)) return base;
  return base.path().empty() ? base.with_path("/v1").with_path(resource) : base.with_path(resource);
}

/// A model behind an OpenAI-compatible HTTP server: llama-server, vLLM, OpenAI and the like. Thread safe; calls run side by side.
/// An optional field that the server refuses (log-probabilities, forced choices, seed and the like) is left out for that model in
/// the next ten minutes, and the call made again without it; so is one that it turns out to ignore. A model that thinks before
/// its verdicts gets room for them, and so does one whose verdicts are words alone. Where the dialect has slots and their number
/// is known, a query leases one for all its calls. Of an Ollama server, checks, captions and answers without the image take its
/// own API, which cuts nothing (`OwnCalls`).
///
///     ecso::OpenAiBackend model{{.base_url = "http://127.0.0.1:8080", .dialect = ecso::llama_server_dialect()}};
class OpenAiBackend final : public MllmBackend {
 public:
  /// Does not connect.
  /// @throws Error (bad_input) if the base URL is not usable.
  explicit OpenAiBackend(OpenAiOptions options)
      : options_{std::move(options)},
        url_{openai_endpoint(options_.base_url).with_query(options_.query)},
        client_{options_.http},
        learned_{options_.dialect} {
    if (options_.slots > 0 && options_.dialect.slots != SlotStyle::none) slots_.emplace(options_.slots);
  }

  /// @throws Error as `make_model_call`, `parse_openai_reply` and `openai_request_body` say, `unsupported` for images where
  /// `OpenAiOptions::vision` is false, and `cancelled` or `timeout` while all slots are taken.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    if (!options_.vision && has_image(request.conversation)) {
      throw Error{Errc::unsupported, "this model takes no images", {.endpoint = url_.text()}};
    }
    return call(request, context);
  }

  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  /// What the dialect given to the constructor can do.
  [[nodiscard]] Capabilities capabilities() const override {
    return {
        .vision = options_.vision,
        .logprobs = options_.dialect.logprobs != LogprobStyle::none && options_.dialect.choices != ChoiceStyle::response_format,
        .forced_choice = options_.dialect.choices != ChoiceStyle::none,
        .concurrent = true,
        .streaming = true,
        .prefix_cache = options_.dialect.prefix_cache,
        .slots = options_.slots,
        .may_cut = options_.dialect.may_cut,
        .context_tokens = options_.dialect.context_tokens};
  }

  /// Where the requests go.
  [[nodiscard]] const Url& url() const noexcept { return url_; }

  /// How a model is asked now, after what it has refused.
  /// @param model empty for that of `OpenAiOptions::model`.
  [[nodiscard]] OpenAiDialect dialect(std::string_view model = {}) const {
    return learned_.of(model.empty() ? std::string_view{options_.model} : model);
  }

 private:
  struct Format {
    using Stream = OpenAiStream;
    static constexpr bool streams_events = true;
    static Reply parse(std::string_view body, const Secret& key) { return parse_openai_reply(body, key); }
  };

  struct OllamaFormat {
    using Stream = OllamaStream;
    static constexpr bool streams_events = false;
    static Reply parse(std::string_view body, const Secret& key) { return parse_ollama_reply(body, key); }
  };

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    const SlotPool::Use slot = use_slot(context);
    const std::string& model = request.options.model.empty() ? options_.model : request.options.model;
    const OpenAiDialect dialect = learned_.of(model);
    return detail::call_fitted(request, dialect,
                               [&](const Request& fitted) { return call(fitted, model, dialect, slot.slot(), context); });
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const std::string& model, OpenAiDialect dialect, std::optional<int> slot,
                           const CallContext& context) {
    const unsigned shape = shape_of(request.options, context);
    for (;;) {
      try {
        Reply reply = call_once(request, dialect, slot, context);
        learn_from_check(dialect, request.options, reply);
        learned_.learn(model, shape, dialect);
        return reply;
      } catch (const Error& error) {
        auto plainer = openai_fallback(dialect, request.options, error, model);
        if (!plainer && may_be_about_fields(error) && !learned_.has_answered(model, shape)) plainer = plain_dialect(dialect);
        if (!plainer || *plainer == dialect) throw;
        dialect = *std::move(plainer);
      }
    }
  }

  /// Which optional fields a request asks for.
  [[nodiscard]] static unsigned shape_of(const CallOptions& options, const CallContext& context) {
    const bool asked[] = {options.top_logprobs > 0, !options.choices.empty(), options.sampling.seed.has_value(),
                          asks_for_verdict(options.step), static_cast<bool>(context.on_text)};
    unsigned shape = 0;
    for (const bool is_asked : asked) shape = shape * 2 + (is_asked ? 1 : 0);
    return shape;
  }

  [[nodiscard]] SlotPool::Use use_slot(const CallContext& context) {
    if (!slots_) return {};
    try {
      return slots_->use(context);
    } catch (const Error& error) {
      throw Error{error.code(), error.message(), {.endpoint = url_.text()}};
    }
  }

  template <typename Request>
  [[nodiscard]] Reply call_once(const Request& request, const OpenAiDialect& dialect, std::optional<int> slot,
                                const CallContext& context) {
    const bool stream = wants_stream(request.options, dialect, context);
    if (takes_ollama_chat(request.options.step, dialect.own_calls)) return call_ollama(request, dialect, context);
    ModelCall model_call{.url = url_,
                         .body = openai_request_body(request, dialect, options_.model, {.stream = stream, .slot = slot}),
                         .headers = model_call_headers(stream),
                         .stream = stream};
    if (!options_.key.empty()) model_call.headers.push_back(key_header_of(options_.key_header, options_.key));
    Reply reply = make_model_call<Format>(client_, model_call, options_.key, context);
    const bool is_wrapped = !request.options.choices.empty() && dialect.choices == ChoiceStyle::response_format;
    if (is_wrapped) reply.text = openai_choice(std::move(reply.text));
    return reply;
  }

  template <typename Request>
  [[nodiscard]] Reply call_ollama(const Request& request, const OpenAiDialect& dialect, const CallContext& context) {
    const OllamaDialect own = ollama_dialect_of(dialect, request.options.step);
    const bool is_forced = forces_choice(request.options, own);
    CallContext watched = context;
    if (is_forced) watched.on_text = nullptr;  // the text is the choice inside the JSON
    const bool stream = wants_stream(request.options, dialect, watched);
    ModelCall model_call{.url = ollama_url(),
                         .body = ollama_request_body(request, own, options_.model, {.stream = stream}),
                         .headers = {{"Content-Type", "application/json"}, {"Accept", "application/x-ndjson, application/json"}},
                         .stream = stream};
    if (!options_.key.empty()) model_call.headers.push_back(key_header_of(options_.key_header, options_.key));
    Reply reply = make_model_call<OllamaFormat>(client_, model_call, options_.key, watched);
    if (!is_forced) return reply;
    reply.text = ollama_choice(std::move(reply.text));
    if (context.on_text) context.on_text(reply.text);
    return reply;
  }

  [[nodiscard]] Url ollama_url() const {
    return url_.without_path_end("/chat/completions").without_path_end("/v1").with_query({}).with_path("/api/chat");
  }

  [[nodiscard]] static bool wants_stream(const CallOptions& options, const OpenAiDialect& dialect, const CallContext& context) {
    constexpr int handful = 16;
    const bool is_long = options.choices.empty() && options.sampling.max_tokens.value_or(handful + 1) > handful;
    return context.on_text || (is_long && dialect.stream == StreamUse::long_answers);
  }

  OpenAiOptions options_;
  Url url_;
  HttpClient client_;
  std::optional<SlotPool> slots_;
  LearnedDialects<OpenAiDialect> learned_;
};

}  // namespace ecso
