#pragma once

#include <ecso/detail/llama/handles.hpp>
#include <ecso/detail/llama/process.hpp>
#include <ecso/detail/llama/prompt.hpp>
#include <ecso/detail/llama/watch.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ecso::detail {

/// How a LlamaSession is set up.
struct LlamaSessionOptions {
  std::uint32_t context_tokens = 0;
  std::uint32_t batch_tokens = 0;
  std::int32_t threads = 0;
  bool gpu = false;
};

/// What a model has read: one sequence of tokens and images, of which a new prompt keeps the beginning that is the same.
/// Not thread safe, and stays where it is, as libllama calls back.
class LlamaSession {
 public:
  /// @param mmproj empty: a model of text alone.
  /// @throws Error (bad_input) if there is no memory for the context, or the projector does not load or fit the model.
  LlamaSession(llama_model& model, const std::string& mmproj, const LlamaSessionOptions& options) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = options.context_tokens;
    params.n_batch = params.n_ubatch = options.batch_tokens;
    params.n_seq_max = 1;
    params.n_threads = params.n_threads_batch = options.threads;
    params.offload_kqv = params.op_offload = options.gpu;
    params.no_perf = true;
    // A window that slides forgets the beginning that a next prompt wants to keep.
    params.swa_full = true;
    params.abort_callback = [](void* self) { return static_cast<LlamaSession*>(self)->is_over(); };
    params.abort_callback_data = this;
    llama_logged_error().clear();
    context_.reset(llama_init_from_model(&model, params));
    if (context_ == nullptr) throw Error{Errc::bad_input, "libllama makes no context" + reason()};
    batch_tokens_ = llama_n_batch(context_.get());
    if (!mmproj.empty()) open_eyes(model, mmproj, options);
  }
  LlamaSession(const LlamaSession&) = delete;
  LlamaSession& operator=(const LlamaSession&) = delete;
  ~LlamaSession() = default;

  /// Null: a model of text alone.
  [[nodiscard]] mtmd_context* eyes() const noexcept { return eyes_.get(); }

  /// Most tokens of a prompt and its answer together.
  [[nodiscard]] std::size_t context_tokens() const noexcept { return llama_n_ctx_seq(context_.get()); }

  /// Tokens read so far.
  [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }

  /// The scores for the next token, valid until something is read.
  [[nodiscard]] const float* logits() const { return llama_get_logits_ith(context_.get(), -1); }

  [[nodiscard]] llama_token sample(llama_sampler& sampler) const { return llama_sampler_sample(&sampler, context_.get(), -1); }

  /// Reads a prompt from its beginning; returns how many tokens were there already.
  /// @throws Error (bad_request) if the prompt is longer than the context, (cancelled, timeout) as `watch` says,
  /// (server_error) if libllama fails.
  std::size_t read(const LlamaPrompt& prompt, const LlamaWatch& watch) {
    if (const std::size_t count = prompt.tokens(); count >= context_tokens()) {
      throw Error{Errc::bad_request,
                  fmt::format("the prompt has {} tokens, the context has room for {}", count, context_tokens())};
    }
    if (prompt.units.empty()) throw Error{Errc::bad_request, "the prompt has no token"};
    const Watching watching{*this, watch};
    const std::size_t kept = keep_common(prompt.units);
    const std::size_t cached_tokens = tokens_;
    for (std::size_t i = kept; i < prompt.units.size();) {
      watch.check();
      i = prompt.units[i].chunk != nullptr ? read_image(prompt.units, i, watch) : read_tokens(prompt.units, i, watch);
    }
    return cached_tokens;
  }

  /// Reads a token of the answer.
  void read(llama_token token, const LlamaWatch& watch) {
    const Watching watching{*this, watch};
    read_tokens({{.token = token}}, 0, watch);
  }

 private:
  /// Lets the callbacks see the call's watch while it reads.
  class Watching {
   public:
    Watching(LlamaSession& session, const LlamaWatch& watch) : session_{session} { session.watch_ = &watch; }
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
    ~Watching() { session_.watch_ = nullptr; }

   private:
    LlamaSession& session_;
  };

  [[nodiscard]] bool is_over() const noexcept { return watch_ != nullptr && watch_->is_over(); }

  [[nodiscard]] static std::string reason() { return llama_logged_error().empty() ? std::string{} : ": " + llama_logged_error(); }

  void open_eyes(const llama_model& model, const std::string& mmproj, const LlamaSessionOptions& options) {
    mtmd_context_params params = mtmd_context_params_default();
    params.use_gpu = options.gpu;
    params.n_threads = options.threads;
    params.print_timings = false;
    // There is no abort callback here, but one that may look at results and end the computation (false). It is asked first which
    // ones it wants to see: those that take long.
    params.cb_eval = [](ggml_tensor* tensor, bool ask, void* self) {
      if (ask) return tensor->op == GGML_OP_MUL_MAT || tensor->op == GGML_OP_FLASH_ATTN_EXT;
      return !static_cast<LlamaSession*>(self)->is_over();
    };
    params.cb_eval_user_data = this;
    llama_logged_error().clear();
    eyes_.reset(mtmd_init_from_file(mmproj.c_str(), &model, params));
    if (eyes_ == nullptr) throw Error{Errc::bad_input, "libmtmd does not load " + mmproj + reason()};
  }

  /// Forgets what follows the common beginning of what was read and `units`; its size. The last unit is always read again, for
  /// its scores.
  std::size_t keep_common(const std::vector<PromptUnit>& units) {
    const std::size_t most = std::min(read_.size(), units.size() - 1);
    std::size_t kept = 0;
    while (kept < most && read_[kept].is_same(units[kept])) ++kept;
    const llama_memory_t memory = llama_get_memory(context_.get());
    read_.resize(kept);
    count();
    if (!llama_memory_seq_rm(memory, 0, position_, -1)) {
      // A model with a state that cannot be taken back.
      llama_memory_clear(memory, true);
      read_.clear();
      count();
    }
    return read_.size();
  }

  void count() {
    tokens_ = 0;
    position_ = 0;
    for (const PromptUnit& unit : read_) {
      tokens_ += unit.tokens;
      position_ += unit.positions;
    }
  }

  /// What was read counts only from here on: a call that fails leaves a beginning that is right.
  void add(const PromptUnit& unit) {
    read_.push_back(unit);
    read_.back().chunk = nullptr;
    tokens_ += unit.tokens;
    position_ += unit.positions;
  }

  /// Reads the tokens from `first` on, as many as fit a batch; where it came to.
  std::size_t read_tokens(const std::vector<PromptUnit>& units, std::size_t first, const LlamaWatch& watch) {
    std::size_t end = first;
    while (end < units.size() && end - first < batch_tokens_ && units[end].chunk == nullptr) ++end;
    const std::size_t count = end - first;
    std::vector<llama_token> tokens(count);
    std::vector<llama_pos> positions(count);
    std::vector<std::int32_t> sequence_counts(count, 1);
    llama_seq_id sequence = 0;
    std::vector<llama_seq_id*> sequences(count, &sequence);
    std::vector<std::int8_t> wants_logits(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
      tokens[i] = units[first + i].token;
      positions[i] = position_ + static_cast<llama_pos>(i);
    }
    if (end == units.size()) wants_logits.back() = 1;
    llama_logged_error().clear();
    const std::int32_t status = llama_decode(context_.get(), {.n_tokens = static_cast<std::int32_t>(count),
                                                              .token = tokens.data(),
                                                              .embd = nullptr,
                                                              .pos = positions.data(),
                                                              .n_seq_id = sequence_counts.data(),
                                                              .seq_id = sequences.data(),
                                                              .logits = wants_logits.data()});
    expect_success(status, "a text", watch);
    for (std::size_t i = first; i < end; ++i) add(units[i]);
    return end;
  }

  std::size_t read_image(const std::vector<PromptUnit>& units, std::size_t at, const LlamaWatch& watch) {
    const PromptUnit& image = units[at];
    if (mtmd_decode_use_non_causal(eyes_.get(), image.chunk) && image.tokens > llama_n_ubatch(context_.get())) {
      throw Error{Errc::unsupported, fmt::format("this model reads an image's {} tokens at once, more than the {} of "
                                                 "LlamaOptions::batch_tokens",
                                                 image.tokens, llama_n_ubatch(context_.get()))};
    }
    llama_logged_error().clear();
    const std::int32_t encoded = mtmd_encode_chunk(eyes_.get(), image.chunk);
    expect_success(encoded, "an image", watch);
    llama_pos end = position_;
    const std::int32_t decoded =
        mtmd_helper_decode_image_chunk(eyes_.get(), context_.get(), image.chunk, mtmd_get_output_embd(eyes_.get()), position_, 0,
                                       static_cast<std::int32_t>(batch_tokens_), &end, nullptr, nullptr);
    expect_success(decoded, "an image", watch);
    add(image);
    return at + 1;
  }

  static void expect_success(std::int32_t status, std::string_view what, const LlamaWatch& watch) {
    watch.check();
    if (status != 0)
      throw Error{Errc::server_error, fmt::format("libllama cannot read {} (status {}){}", what, status, reason())};
  }

  LlamaHandle<llama_context> context_;
  LlamaHandle<mtmd_context> eyes_;
  std::size_t batch_tokens_ = 0;
  const LlamaWatch* watch_ = nullptr;
  std::vector<PromptUnit> read_;
  std::size_t tokens_ = 0;
  llama_pos position_ = 0;
};

}  // namespace ecso::detail
