#pragma once

#include <llama.h>
#include <mtmd-helper.h>
#include <mtmd.h>

#include <memory>

namespace ecso::detail {

/// Frees what libllama and libmtmd made.
struct LlamaDeleter {
  void operator()(llama_model* model) const noexcept { llama_model_free(model); }
  void operator()(llama_context* context) const noexcept { llama_free(context); }
  void operator()(llama_sampler* sampler) const noexcept { llama_sampler_free(sampler); }
  void operator()(mtmd_context* context) const noexcept { mtmd_free(context); }
  void operator()(mtmd_bitmap* bitmap) const noexcept { mtmd_bitmap_free(bitmap); }
  void operator()(mtmd_input_chunks* chunks) const noexcept { mtmd_input_chunks_free(chunks); }
  void operator()(mtmd_helper_video* video) const noexcept { mtmd_helper_video_free(video); }
};

/// Owns what libllama or libmtmd made.
template <typename Thing>
using LlamaHandle = std::unique_ptr<Thing, LlamaDeleter>;

}  // namespace ecso::detail
