// An image through the three calls that show it, up to the bytes of the finished requests, beside the least that could be done:
// one base64 pass and three copies of its text into new memory.

#include <ecso/backend/openai_wire.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/detail/base64.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "bench/bench.hpp"
#include "support/image_bytes.hpp"

namespace {

using namespace ecso;

/// A PNG of about `size` bytes that do not compress.
std::string big_png(std::size_t size) {
  std::mt19937_64 random{1};
  std::string noise(size, '\0');
  std::ranges::generate(noise, [&] { return static_cast<char>(random()); });
  return test::png_start(1024, 1024) + test::png_chunk("IDAT", noise) + test::png_chunk("IEND", "");
}

void compare(std::size_t size) {
  const std::string png = big_png(size);
  const Policy policy;
  const Capabilities capabilities;
  const std::optional<Sampling> no_sampling;
  const StepRequests steps{policy, capabilities, no_sampling};
  const std::string answer = "An answer of ordinary length. ";
  const std::size_t text_size = detail::base64_encoded_size(png.size());

  const auto fresh_image = [&] { return Image::from_bytes(png); };
  const double floor = bench::measure_ns(fresh_image, [&](const Image& image) {
    const auto text = std::make_unique_for_overwrite<char[]>(text_size);
    detail::base64_encode_to(image.bytes(), text.get());
    for (int i = 0; i < 3; ++i) {
      const auto body = std::make_unique_for_overwrite<char[]>(text_size + 1024);
      std::memcpy(body.get() + 512, text.get(), text_size);
      bench::keep(body);
    }
  });
  const double spent = bench::measure_ns(fresh_image, [&](const Image& image) {
    const Conversation conversation = ask({image}, "What is this?");
    for (const ModelRequest& request :
         {steps.answer(conversation), steps.check(conversation, answer), steps.caption(conversation, image, 1)}) {
      bench::keep(openai_request_body(std::get<VisionRequest>(request), {}));
    }
  });
  const auto making = bench::measure([&] { bench::keep(Image::from_bytes(png)); });
  fmt::print(
      "{} MiB image, three calls: {:.0f} us; one base64 pass and three copies: {:.0f} us; ratio {:.2f} ({:.2f} of the limit "
      "of 1.3)\n",
      size >> 20U, spent / 1e3, floor / 1e3, spent / floor, spent / floor / 1.3);
  fmt::print("  reading and checking the image first: {:.0f} us\n", making.ns / 1e3);
  const Image image = Image::from_bytes(png);
  const auto dom = bench::measure([&] {
    for (int i = 0; i < 3; ++i) {
      const nlohmann::json body{
          {"messages", {{{"role", "user"}, {"content", {{{"type", "image_url"}, {"image_url", {{"url", image.base64()}}}}}}}}}};
      bench::keep(body.dump());
    }
  });
  fmt::print("  the same three bodies through a JSON document object: {:.0f} us, {:.1f}x ours\n", dom.ns / 1e3, dom.ns / spent);
}

}  // namespace

int main() {
  compare(1U << 20U);
  compare(10U << 20U);
}
