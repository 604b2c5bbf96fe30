#include <ecso/core/image_header.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

/// Any bytes are an image within the limits or an `Error` of one line; an image stays one with bytes behind it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  try {
    const ecso::ImageHeader header = ecso::read_image_header(bytes);
    if (header.width == 0 || header.height == 0 || std::uint64_t{header.width} * header.height > 50'000'000) std::abort();
    if (header.description.size() > 4096 || !ecso::detail::is_valid_utf8(header.description)) std::abort();
  } catch (const ecso::Error& error) {
    if (error.code() != ecso::Errc::bad_input || error.message().find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
