#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/detail/llama/handles.hpp>
#include <ecso/detail/llama/process.hpp>
#include <ecso/detail/llama/prompt.hpp>
#include <ecso/detail/llama/sampler.hpp>
#include <ecso/detail/llama/session.hpp>
#include <ecso/detail/llama/template.hpp>
#include <ecso/detail/llama/watch.hpp>
#include <ecso/detail/text_stream.hpp>
#include <ecso/detail/token_logprobs.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace ecso {

/// Which model a LlamaBackend loads, and how it runs.
struct LlamaOptions {
  std::filesystem::path model_path;        ///< The language model, GGUF.
  std::filesystem::path mmproj_path = {};  ///< Its vision tower and projector, GGUF; empty: a model of text alone.
  /// A Jinja template, or a name of llama.cpp's ("vicuna", "chatml"); empty: the model's own. libllama runs no Jinja: it knows
  /// the common templates by their looks.
  std::string chat_template = {};
  int context_tokens = 4096;  ///< Most tokens of a prompt and its answer together. At least 1.
  int batch_tokens = 512;     ///< Prompt tokens computed at once. At least 1.
  int threads = 0;            ///< 0: one for each of the machine's.
  int gpu_layers = 0;         ///< Layers that go to a GPU; 0: none, and no vision tower either; negative: all.
  /// Most pixels of a request's images together; decoding takes three bytes for each.
  std::uint64_t max_pixels = 200'000'000;
  Sampling sampling = {};  ///< Used where a request leaves a value out, and then: temperature 1, top_p 1, a random seed.
  /// libllama's log is one for the whole process and goes to stderr. True: the first such backend silences it for good, and
  /// errors here say why. False: it is left to the program (`llama_log_set`, `mtmd_helper_log_set`).
  bool silence_log = true;
};

/// A model in this process, by libllama and libmtmd (llama.cpp 0.7 or newer). Thread safe; calls run one after another.
/// A prompt that begins like the one before, images included, is computed only from where they differ. Images are PNG, JPEG, GIF
/// or BMP. What looks like a control token in a conversation's texts ("</s>") is read as the text it is.
///
///     ecso::LlamaBackend model{{.model_path = "llava-v1.5-7b.gguf", .mmproj_path = "mmproj.gguf"}};
class LlamaBackend final : public MllmBackend {
 public:
  /// Loads the model.
  /// @throws Error (bad_input) if a number is out of range, a file is not there or not usable, or memory is short;
  /// (unsupported) if the model does not write token after token, or libllama does not know its chat template.
  explicit LlamaBackend(LlamaOptions options) : options_{std::move(options)}, name_{options_.model_path.filename().string()} {
    naming_the_model([&] { load(); });
  }

  /// @throws Error (unsupported) for images where there is no projector; (bad_input) for an image that cannot be decoded, a text
  /// that is not UTF-8 or an option out of range; (bad_request) if the prompt is longer than the context; (bad_reply) if the
  /// answer is empty; (server_error) if libllama fails; (cancelled, timeout), on a CPU within a computation too, once the matrix
  /// product at hand is done: the sooner, the fewer `batch_tokens`.
  /// Every error names the model's file.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request.conversation.messages, request.options, context);
  }

  /// @throws Error as the other.
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override {
    return call(request.conversation.messages(), request.options, context);
  }

  [[nodiscard]] Capabilities capabilities() const override {
    return {.vision = sees(),
            .logprobs = true,
            .forced_choice = true,
            .concurrent = false,
            .streaming = true,
            .prefix_cache = true,
            .slots = 1};
  }

 private:
  /// Runs `work`, whose errors get the model's file as endpoint.
  template <typename Work>
  std::invoke_result_t<Work> naming_the_model(Work work) const {
    try {
      return work();
    } catch (const Error& error) {
      ErrorContext context = error.context();
      if (context.endpoint.empty()) context.endpoint = name_;
      throw Error{error.code(), error.message(), std::move(context)};
    }
  }

  [[nodiscard]] bool sees() const { return session_->eyes() != nullptr && mtmd_support_vision(session_->eyes()); }

  void load() {
    const auto expect_positive = [](int value, std::string_view name) {
      if (value < 1) throw Error{Errc::bad_input, fmt::format("LlamaOptions::{} is {}; it must be at least 1", name, value)};
    };
    expect_positive(options_.context_tokens, "context_tokens");
    expect_positive(options_.batch_tokens, "batch_tokens");
    for (const std::filesystem::path& file : {options_.model_path, options_.mmproj_path}) {
      if (!file.empty() && !std::filesystem::is_regular_file(file))
        throw Error{Errc::bad_input, "no such file: " + file.string()};
    }
    if (options_.silence_log) detail::silence_llama_log();
    detail::load_llama_devices();

    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = options_.gpu_layers;
    detail::llama_logged_error().clear();
    model_.reset(llama_model_load_from_file(options_.model_path.string().c_str(), params));
    if (model_ == nullptr) {
      const std::string& reason = detail::llama_logged_error();
      throw Error{Errc::bad_input, reason.empty() ? "libllama does not load the model" : reason};
    }
    if (!llama_model_has_decoder(model_.get()) || llama_model_has_encoder(model_.get()) ||
        llama_model_is_diffusion(model_.get())) {
      throw Error{Errc::unsupported, "the model is not one that writes token after token"};
    }
    const char* own_template = llama_model_chat_template(model_.get(), nullptr);
    if (options_.chat_template.empty() && own_template != nullptr) options_.chat_template = own_template;
    if (options_.chat_template.empty()) {
      throw Error{Errc::unsupported, "the model has no chat template; name one in LlamaOptions::chat_template"};
    }
    static_cast<void>(detail::apply_llama_template(options_.chat_template, std::vector<llama_chat_message>{{"user", "?"}}));
    vocab_ = llama_model_get_vocab(model_.get());
    for (llama_token token = 0; token < llama_vocab_n_tokens(vocab_); ++token) {
      longest_token_ = std::max(longest_token_, std::strlen(llama_vocab_get_text(vocab_, token)));
    }
    const auto hardware = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    session_.emplace(*model_, options_.mmproj_path.string(),
                     detail::LlamaSessionOptions{.context_tokens = static_cast<std::uint32_t>(options_.context_tokens),
                                                 .batch_tokens = static_cast<std::uint32_t>(options_.batch_tokens),
                                                 .threads = options_.threads > 0 ? options_.threads : hardware,
                                                 .gpu = options_.gpu_layers != 0});
  }

  template <typename Messages>
  [[nodiscard]] Reply call(const Messages& messages, const CallOptions& options, const CallContext& context) {
    const detail::LlamaWatch watch{context};
    return naming_the_model([&] {
      std::unique_lock lock{mutex_, std::try_to_lock};
      for (; !lock.owns_lock(); static_cast<void>(lock.try_lock())) {
        watch.check();
        std::this_thread::sleep_for(std::chrono::milliseconds{2});
      }
      watch.check();
      const detail::LlamaPrompt prompt = read_conversation(messages, watch);
      const detail::LlamaHandle<llama_sampler> sampler = detail::llama_sampler_for(options, options_.sampling, *vocab_);
      Reply reply;
      reply.model = name_;
      reply.usage.prompt_tokens = static_cast<std::int64_t>(prompt.tokens());
      reply.usage.cached_tokens = static_cast<std::int64_t>(session_->read(prompt, watch));
      write_answer(reply, *sampler, options, context, watch);
      return reply;
    });
  }

  template <typename Messages>
  [[nodiscard]] detail::LlamaPrompt read_conversation(const Messages& messages, const detail::LlamaWatch& watch) const {
    if (messages.empty()) throw Error{Errc::bad_input, "the conversation has no message"};
    std::vector<std::pair<Role, detail::LlamaTurn>> turns;
    turns.reserve(messages.size());
    for (const auto& message : messages) turns.emplace_back(message.role, detail::llama_turn(message));
    std::vector<detail::PromptPiece> pieces = detail::apply_llama_template(options_.chat_template, std::move(turns));

    std::size_t bytes = 0;
    std::size_t images = 0;
    std::uint64_t pixels = 0;
    for (const detail::PromptPiece& piece : pieces) {
      bytes += piece.text.size();
      if (piece.image == nullptr) continue;
      ++images;
      pixels += std::uint64_t{piece.image->width()} * piece.image->height();
    }
    if (images != 0 && !sees()) throw Error{Errc::unsupported, "this model takes no images"};
    // Before anything is computed: each image has a token, and no token says more than the longest.
    const std::size_t least = images + bytes / std::max<std::size_t>(longest_token_, 1);
    if (least > session_->context_tokens()) {
      throw Error{Errc::bad_request, fmt::format("the prompt has {} tokens or more, the context has room for {}", least,
                                                 session_->context_tokens())};
    }
    if (pixels > options_.max_pixels) {
      throw Error{Errc::bad_input, fmt::format("the images have {} pixels, more than the {} of LlamaOptions::max_pixels", pixels,
                                               options_.max_pixels)};
    }
    return detail::llama_prompt(*vocab_, session_->eyes(), std::move(pieces), watch);
  }

  void write_answer(Reply& reply, llama_sampler& sampler, const CallOptions& options, const CallContext& context,
                    const detail::LlamaWatch& watch) {
    const Sampling& wanted = options.sampling;
    const std::optional<int> max_tokens = wanted.max_tokens ? wanted.max_tokens : options_.sampling.max_tokens;
    detail::TextStream stream{wanted.stop.empty() ? options_.sampling.stop : wanted.stop};
    const auto pass_on = [&](std::string_view piece) {
      if (context.on_text && !piece.empty()) context.on_text(piece);
    };
    reply.finish_reason = FinishReason::stop;
    while (true) {
      watch.check();
      const llama_token token = session_->sample(sampler);
      ++reply.usage.completion_tokens;
      if (options.top_logprobs > 0) reply.logprobs.push_back(logprobs_of(token, options.top_logprobs));
      if (llama_vocab_is_eog(vocab_, token)) break;
      pass_on(stream.append(text_of(token)));
      if (stream.stopped() || is_chosen(stream.text(), options.choices)) break;
      const bool is_enough = max_tokens && reply.usage.completion_tokens >= *max_tokens;
      if (is_enough || session_->tokens() + 1 >= session_->context_tokens()) {
        reply.finish_reason = FinishReason::length;
        break;
      }
      session_->read(token, watch);
    }
    pass_on(stream.finish());
    if (stream.stopped()) reply.finish_reason = FinishReason::stop;
    reply.text = std::move(stream).text();
    if (reply.text.empty()) {
      throw Error{Errc::bad_reply, fmt::format("empty content (finish reason: {})", to_string(reply.finish_reason))};
    }
  }

  /// Whether the answer is one of the choices and cannot become another.
  [[nodiscard]] static bool is_chosen(const std::string& text, const std::vector<std::string>& choices) {
    return std::ranges::count_if(choices, [&](const std::string& choice) { return choice.starts_with(text); }) == 1 &&
           std::ranges::find(choices, text) != choices.end();
  }

  [[nodiscard]] std::string text_of(llama_token token) const {
    std::string text(longest_token_ + 1, '\0');
    const auto size = static_cast<std::int32_t>(text.size());
    const std::int32_t length = llama_token_to_piece(vocab_, token, text.data(), size, 0, false);
    text.resize(static_cast<std::size_t>(std::max(length, 0)));
    return text;
  }

  /// From the model's own scores, before sampling and grammar.
  [[nodiscard]] TokenLogprobs logprobs_of(llama_token token, int top) const {
    const std::span<const float> logits{session_->logits(), static_cast<std::size_t>(llama_vocab_n_tokens(vocab_))};
    const auto text = [&](std::size_t other) { return detail::to_valid_utf8(text_of(static_cast<llama_token>(other))); };
    return detail::token_logprobs(detail::TokenDistribution{logits}, static_cast<std::size_t>(token),
                                  static_cast<std::size_t>(std::min(top, 20)), text);
  }

  LlamaOptions options_;
  std::string name_;
  detail::LlamaHandle<llama_model> model_;
  const llama_vocab* vocab_ = nullptr;
  std::size_t longest_token_ = 0;
  std::optional<detail::LlamaSession> session_;
  std::mutex mutex_;
};

}  // namespace ecso
