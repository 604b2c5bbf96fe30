#include <ecso/core/image.hpp>
#include <ecso/detail/base64_range.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace ecso;

void require(bool condition) {
  if (!condition) std::abort();
}

template <typename Make>
std::optional<Image> made(Make make, std::string& message) {
  try {
    return make();
  } catch (const Error& error) {
    message = error.message();
    require(error.code() == Errc::bad_input && !message.empty() && message.find('\n') == std::string::npos);
    return std::nullopt;
  }
}

std::string encoded(std::string_view bytes) {
  std::string text(detail::base64_encoded_size(bytes.size()), '\0');
  detail::base64_encode_portable(bytes, text.data());
  return text;
}

/// What the range accepts is canonical base64 of an image that, if it is whole, is the one that decoding all of it gives; and of
/// whole images it refuses only such as no camera or editor writes.
void check(std::string_view chars) {
  // Exactly as long as it is, so that a sanitizer sees a read behind it.
  const std::vector<char> exact{chars.begin(), chars.end()};
  const std::string_view text{exact.data(), exact.size()};
  require(detail::base64_letters(text) == detail::base64_letters_portable(text));
  std::string refused;
  std::string not_whole;
  const auto range = made([&] { return Image::from_base64_range({}, text); }, refused);
  const auto whole = made([&] { return Image::from_base64(text); }, not_whole);
  if (range) {
    require(range->base64() == text && encoded(range->bytes()) == text && range->sha256() == detail::sha256_hex(range->bytes()));
    require(range->width() > 0 && range->height() > 0 &&
            std::uint64_t{range->width()} * range->height() <= ImageLimits{}.max_pixels);
    std::string no_description;
    const auto described = made([&] { return (static_cast<void>(range->description()), *range); }, no_description);
    require(described.has_value() == whole.has_value());
    if (!whole) require(no_description == not_whole);
  }
  if (range && whole) {
    require(range->media_type() == whole->media_type() && range->width() == whole->width() && range->height() == whole->height());
    require(*range == *whole && range->description() == whole->description() && range->identity() != whole->identity());
  }
  if (!range && whole && whole->base64() == text) {
    require(refused.find("first chunk") != std::string::npos || refused.find("among the first") != std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  check(bytes);
  check(encoded(bytes));
  return 0;
}
