#include <ecso/core/image.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

/// Any text is an image or an `Error` of one line, the same whether moved in or not; all ways to decode base64 agree; the
/// base64 of an image decodes to its bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecso;
  const std::string_view text{reinterpret_cast<const char*>(data), size};

  std::string fast(detail::base64_decoded_capacity(size), '\0');
  std::string slow = fast;
  const auto fast_result = detail::base64_decode_to(text, fast.data());
  const auto slow_result = detail::base64_decode_to(text, slow.data(), [](const char*&, const char*, char*&) {});
  if (fast_result.size != slow_result.size || fast_result.error_offset != slow_result.error_offset) std::abort();
  if (std::string_view{fast}.substr(0, fast_result.size) != std::string_view{slow}.substr(0, slow_result.size)) std::abort();

  const auto outcome = [](auto make) -> std::string {
    try {
      const Image image = make();
      if (Image::from_base64(image.base64()).bytes() != image.bytes()) std::abort();
      std::string expected(detail::base64_encoded_size(image.bytes().size()), '\0');
      detail::base64_encode_portable(image.bytes(), expected.data());
      if (image.base64() != expected) std::abort();
      return std::string{image.sha256()};
    } catch (const Error& error) {
      if (error.code() != Errc::bad_input || error.message().find('\n') != std::string::npos) std::abort();
      return error.message();
    }
  };
  if (outcome([&] { return Image::from_data_uri(text); }) != outcome([&] { return Image::from_data_uri(std::string{text}); })) {
    std::abort();
  }
  if (outcome([&] { return Image::from_base64(text); }) != outcome([&] { return Image::from_base64(std::string{text}); })) {
    std::abort();
  }
  return 0;
}
