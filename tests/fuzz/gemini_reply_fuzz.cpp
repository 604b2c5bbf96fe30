// Replies of Gemini, whole and streamed.

#include <ecso/backend/gemini_wire.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "support/reply_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body{reinterpret_cast<const char*>(data), size};
  ecso::test::fuzz_reply<ecso::GeminiStream>(body, ecso::parse_gemini_reply);
  return 0;
}
