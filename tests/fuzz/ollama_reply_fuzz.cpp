// Replies of Ollama, whole and streamed.

#include <ecso/backend/ollama_wire.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "support/reply_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body{reinterpret_cast<const char*>(data), size};
  ecso::test::fuzz_reply<ecso::OllamaStream>(body, ecso::parse_ollama_reply);
  ecso::test::require(body.empty() || !ecso::ollama_choice(std::string{body}).empty());
  return 0;
}
