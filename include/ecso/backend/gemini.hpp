#pragma once

#include <ecso/backend/call_as_learned.hpp>
#include <ecso/backend/check_lesson.hpp>
#include <ecso/backend/gemini_wire.hpp>
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

/// Which server a GeminiBackend talks to, and how.
struct GeminiOptions {
  /// "https://generativelanguage.googleapis.com", to which "/v1beta" is added; or a URL whose path ends before "/models".
  std::string base_url;
  std::string model = {};  ///< Used where a request names none; see `gemini_model_path`.
  Secret key = {};         ///< Sent as `x-goog-api-key`. May be empty.
  bool vision = true;      ///< Whether the model takes images.
  GeminiDialect dialect = {};
  HttpOptions http = {};
};

/// Fits a check to what its model turned out to need.
inline void fit_check(CallOptions& check, const GeminiDialect& dialect) {
  if (asks_for_verdict(check.step) && dialect.thinks_first) give_room_to_think(check, 0);
}

/// Takes over what the reply to a check has shown.
inline void learn_from_check(GeminiDialect& dialect, const CallOptions& options, const Reply& reply) {
  CallOptions asked = options;
  if (!dialect.choices) asked.choices.clear();
  if (!dialect.logprobs) asked.top_logprobs = 0;
  const CheckLesson lesson = lesson_of(asked, reply);
  if (lesson.ignored_choices) dialect.choices = false;
  if (lesson.ignored_logprobs) dialect.logprobs = false;
  dialect.thinks_first = dialect.thinks_first || lesson.thinks_first;
}

/// A model behind the Gemini API. Thread safe; calls run side by side. If the model refuses or ignores log-probabilities, forced
/// choices or a budget of no thoughts, they are left out from then on, and the call made again without them; a model that was cut
/// in its thoughts gets room for them. Answers are streamed, but for those of a handful of
/// tokens. A prompt that Gemini's own filter blocks is an Error (bad_reply).
///
///     ecso::GeminiBackend model{{.base_url = "https://generativelanguage.googleapis.com", .model = "gemini-2.5-flash",
///                                .key = ecso::Secret::from_environment("GEMINI_API_KEY")}};
class GeminiBackend final : public MllmBackend {
 public:
  /// Does not connect.
  /// @throws Error (bad_input) if the base URL or the model's name is not usable.
  explicit GeminiBackend(GeminiOptions options)
      : options_{std::move(options)},
        base_{base_of(Url::parse(options_.base_url))},
        client_{options_.http},
        learned_{options_.dialect} {
    if (!options_.model.empty()) static_cast<void>(gemini_model_path(options_.model));
  }

  /// @throws Error as `make_model_call`, `parse_gemini_reply`, `gemini_request_body` and `gemini_model_path` say, and
  /// `unsupported` for images where `GeminiOptions::vision` is false.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    if (!options_.vision && has_image(request.conversation)) {
      throw Error{Errc::unsupported, "this model takes no images", {.endpoint = base_.text()}};
    }
    return call(request, context);
  }

  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  /// What the dialect given to the constructor can do.
  [[nodiscard]] Capabilities capabilities() const override {
    return {.vision = options_.vision,
            .logprobs = options_.dialect.logprobs,
            .forced_choice = options_.dialect.choices,
            .concurrent = true,
            .streaming = true};
  }

  /// Below which the models are.
  [[nodiscard]] const Url& url() const noexcept { return base_; }

  /// How a model is asked now, after what it has refused.
  /// @param model empty for that of `GeminiOptions::model`.
  [[nodiscard]] GeminiDialect dialect(std::string_view model = {}) const {
    return learned_.of(model.empty() ? std::string_view{options_.model} : model);
  }

 private:
  struct Format {
    using Stream = GeminiStream;
    static constexpr bool streams_events = true;
    static Reply parse(std::string_view body, const Secret& key) { return parse_gemini_reply(body, key); }
  };

  [[nodiscard]] static Url base_of(const Url& base) { return base.path().empty() ? base.with_path("/v1beta") : base; }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    const std::string& model = request.options.model.empty() ? options_.model : request.options.model;
    const auto once = [&](const Request& fitted, const GeminiDialect& dialect) { return call_once(fitted, dialect, context); };
    return detail::call_as_learned(learned_, model, request, once, gemini_fallback);
  }

  template <typename Request>
  [[nodiscard]] Reply call_once(const Request& request, const GeminiDialect& dialect, const CallContext& context) {
    constexpr int handful = 16;
    const bool stream = context.on_text || request.options.sampling.max_tokens.value_or(handful + 1) > handful;
    const std::string& model = request.options.model.empty() ? options_.model : request.options.model;
    const Url resource = base_.with_path(gemini_model_path(model));
    ModelCall model_call{.url = stream ? resource.with_path(":streamGenerateContent").with_query("alt=sse")
                                       : resource.with_path(":generateContent"),
                         .body = gemini_request_body(request, dialect),
                         .headers = model_call_headers(stream),
                         .stream = stream};
    if (!options_.key.empty()) model_call.headers.push_back({"x-goog-api-key", options_.key.reveal()});
    return make_model_call<Format>(client_, model_call, options_.key, context);
  }

  GeminiOptions options_;
  Url base_;
  HttpClient client_;
  LearnedDialects<GeminiDialect> learned_;
};

}  // namespace ecso
