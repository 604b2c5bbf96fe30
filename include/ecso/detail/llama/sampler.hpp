#pragma once

#include <ecso/core/request.hpp>
#include <ecso/detail/choice_grammar.hpp>
#include <ecso/detail/llama/handles.hpp>
#include <ecso/error.hpp>

#include <llama.h>

#include <cmath>
#include <cstdint>
#include <optional>

namespace ecso::detail {

/// libllama's seeds are half as wide, and one of them means a random one.
[[nodiscard]] inline std::uint32_t llama_seed(std::optional<std::uint64_t> seed) {
  if (!seed) return LLAMA_DEFAULT_SEED;
  const auto folded = static_cast<std::uint32_t>(*seed ^ *seed >> 32);
  return folded == LLAMA_DEFAULT_SEED ? 0 : folded;
}

/// Draws the tokens of an answer: only what leads to a choice, then temperature, then top_p.
/// @param fallback used where the request leaves a value out.
/// @throws Error (bad_input) if an option is out of range, or a choice cannot be forced.
[[nodiscard]] inline LlamaHandle<llama_sampler> llama_sampler_for(const CallOptions& options, const Sampling& fallback,
                                                                  const llama_vocab& vocab) {
  const auto choose = [](const auto& wanted, const auto& otherwise) { return wanted ? wanted : otherwise; };
  const Sampling& sampling = options.sampling;
  const double temperature = choose(sampling.temperature, fallback.temperature).value_or(1.0);
  const double top_p = choose(sampling.top_p, fallback.top_p).value_or(1.0);
  if (!(temperature >= 0 && std::isfinite(temperature))) throw Error{Errc::bad_input, "the temperature is not 0 or more"};
  if (!(top_p >= 0 && top_p <= 1)) throw Error{Errc::bad_input, "top_p is not between 0 and 1"};
  if (choose(sampling.max_tokens, fallback.max_tokens).value_or(1) < 1) {
    throw Error{Errc::bad_input, "max_tokens is less than 1"};
  }

  LlamaHandle<llama_sampler> chain{llama_sampler_chain_init(llama_sampler_chain_default_params())};
  if (!options.choices.empty()) {
    llama_sampler* grammar = llama_sampler_init_grammar(&vocab, choice_grammar(options.choices).c_str(), "root");
    if (grammar == nullptr) throw Error{Errc::bad_input, "libllama makes no grammar of the choices"};
    llama_sampler_chain_add(chain.get(), grammar);
  }
  if (temperature == 0) {
    llama_sampler_chain_add(chain.get(), llama_sampler_init_greedy());
    return chain;
  }
  llama_sampler_chain_add(chain.get(), llama_sampler_init_temp(static_cast<float>(temperature)));
  if (top_p < 1) llama_sampler_chain_add(chain.get(), llama_sampler_init_top_p(static_cast<float>(top_p), 1));
  llama_sampler_chain_add(chain.get(), llama_sampler_init_dist(llama_seed(choose(sampling.seed, fallback.seed))));
  return chain;
}

}  // namespace ecso::detail
