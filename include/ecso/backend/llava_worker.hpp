#pragma once

#include <ecso/backend/llava_controller.hpp>
#include <ecso/backend/llava_wire.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/model_call.hpp>
#include <ecso/http/options.hpp>
#include <ecso/http/url.hpp>
#include <ecso/models/paper_models.hpp>
#include <ecso/secret.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {

/// What a LLaVA URL leads to.
enum class LlavaEndpoint {
  controller,  ///< It names a worker for each call.
  /// It answers. A controller does too: it hands the call on to a worker that only it can reach, but gives up on one that is
  /// silent for 5 s.
  worker,
};

/// Which LLaVA server a LlavaWorkerBackend talks to, and how.
struct LlavaOptions {
  std::string base_url;  ///< "http://127.0.0.1:10000".
  LlavaEndpoint endpoint = LlavaEndpoint::controller;
  /// As the worker registered it, "llava-v1.5-7b", where a request names none. A controller needs it.
  std::string model = {};
  /// How the model wants a chat written. A worker does not do it; with another model's the answers are bad.
  ConversationTemplate conversation = models::llava_1_5_7b.conversation;
  /// Most tokens to generate where a request does not say; a worker that is not told stops after 256.
  int max_tokens = llava_max_tokens;
  bool vision = true;  ///< Whether the model takes images.
  /// Hosts, without port, that workers may be on beside the controller's own; see LlavaController.
  std::vector<std::string> allowed_worker_hosts = {};
  /// Longest stream. Each of its messages repeats prompt and answer, so it has many times the answer's size; no more of it than
  /// one message is held.
  std::size_t max_stream_bytes = std::size_t{64} * 1024 * 1024;
  /// `call_timeout` is for all that one `generate` needs; `max_response_bytes` is for the controller's answers only.
  HttpOptions http = {};
};

/// A model behind a LLaVA worker, found by its controller or directly. Thread safe; calls run side by side. A controller is asked
/// for a worker before each call, as it spreads the load so; where that worker cannot be reached, the controller is told to look
/// after its workers and asked once more.
///
/// The server counts no tokens and has no log-probabilities, forced choices or seeds; why an answer ended is in part a guess
/// (LlavaStream). Its worker fails on grey images that are not square: send RGB. A worker whose model's name lacks
/// "llava" fails on all images.
///
///     ecso::LlavaWorkerBackend model{{.base_url = "http://127.0.0.1:10000", .model = "llava-v1.5-7b"}};
class LlavaWorkerBackend final : public MllmBackend {
 public:
  /// Does not connect.
  /// @throws Error (bad_input) if the base URL is not usable.
  explicit LlavaWorkerBackend(LlavaOptions options)
      : options_{std::move(options)}, url_{Url::parse(options_.base_url)}, client_{worker_http(options_)} {
    if (options_.endpoint == LlavaEndpoint::controller) controller_.emplace(url_, options_.allowed_worker_hosts, options_.http);
  }

  /// @throws Error as `llava_prompt`, `llava_request_body`, LlavaController, `make_model_call` and LlavaStream say; `unsupported`
  /// for images where `LlavaOptions::vision` is false; `bad_input` if a controller is to be asked and no model is named.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    if (!options_.vision && has_image(request.conversation)) {
      throw Error{Errc::unsupported, "this model takes no images", {.endpoint = url_.text()}};
    }
    return call(request, context);
  }

  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  [[nodiscard]] Capabilities capabilities() const override {
    return {.vision = options_.vision, .concurrent = true, .streaming = true};
  }

 private:
  struct Format {
    using Stream = LlavaStream;
    static constexpr bool streams_events = false;
    /// A stream of no bytes comes here.
    static Reply parse(std::string_view, const Secret&) { throw Error{Errc::bad_reply, "an empty response"}; }
  };

  [[nodiscard]] static HttpOptions worker_http(const LlavaOptions& options) {
    HttpOptions http = options.http;
    http.max_response_bytes = options.max_stream_bytes;
    return http;
  }

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, CallContext context) {
    const std::string& model = request.options.model.empty() ? options_.model : request.options.model;
    const Sampling& sampling = request.options.sampling;
    const LlavaPrompt prompt = llava_prompt(options_.conversation, request.conversation, sampling, options_.max_tokens);
    ModelCall model_call{.url = url_,
                         .body = llava_request_body(prompt, sampling, model),
                         .headers = {{"Content-Type", "application/json"}},
                         .stream = true};
    limit_time(context);
    if (!controller_) return call_worker(url_, model_call, prompt, context);

    std::optional<Url> worker;
    if (!model.empty()) worker = controller_->worker_for(model, context);
    if (!worker) throw controller_->no_worker(model, context);
    bool is_text_used = false;
    CallContext watched = context;
    if (context.on_text) {
      watched.on_text = [&](std::string_view piece) {
        is_text_used = true;
        context.on_text(piece);
      };
    }
    try {
      return call_worker(*worker, model_call, prompt, watched);
    } catch (const Error& error) {
      if (error.code() != Errc::unavailable || is_text_used) throw;
      controller_->refresh(context);
      worker = controller_->worker_for(model, context);
      if (!worker) throw;
    }
    return call_worker(*worker, model_call, prompt, context);
  }

  void limit_time(CallContext& context) const {
    if (options_.http.call_timeout.count() <= 0) return;
    const auto latest = std::chrono::steady_clock::now() + options_.http.call_timeout;
    if (!context.deadline || *context.deadline > latest) context.deadline = latest;
  }

  [[nodiscard]] Reply call_worker(const Url& worker, ModelCall& model_call, const LlavaPrompt& prompt,
                                  const CallContext& context) {
    model_call.url = worker.with_path("/worker_generate_stream");
    return make_model_call<Format>(client_, model_call, {}, context,
                                   LlavaStream{prompt.rendered.prompt, prompt.stops, prompt.max_tokens});
  }

  LlavaOptions options_;
  Url url_;
  HttpClient client_;
  std::optional<LlavaController> controller_;
};

}  // namespace ecso
