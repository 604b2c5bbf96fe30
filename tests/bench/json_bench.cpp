// Reading a client's chat request: the scanner beside nlohmann_json, on a text of 1 KB and on an image of 1 MiB; and the check of
// the image's base64 beside a plain copy of it.

#include <ecso/core/image.hpp>
#include <ecso/detail/base64_range.hpp>
#include <ecso/detail/json_text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

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

std::string text_request() {
  return R"({"model":"Qwen/Qwen2.5-VL-7B-Instruct","messages":[{"role":"system","content":"You are a helpful assistant."},)"
         R"({"role":"user","content":")" +
         std::string(750, 'q') + R"("}],"temperature":0.2,"top_p":0.95,"max_tokens":512,"stream":false,"seed":7,"n":1})";
}

std::string image_request(std::string_view base64) {
  return R"({"model":"llava","messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},)"
         R"({"type":"image_url","image_url":{"url":"data:image/png;base64,)" +
         std::string{base64} + R"("}}]}],"max_tokens":512})";
}

/// Short values, as in a list of tokens or of logit biases.
std::string many_values() {
  std::string text = "[";
  for (int i = 0; i < 20'000; ++i) text += fmt::format("{}{{\"token\":\"t{}\",\"logprob\":-{}.25}}", i == 0 ? "" : ",", i, i % 9);
  return text + "]";
}

/// One object of nothing but short names.
std::string many_members(int count) {
  std::string text = "{";
  for (int i = 0; i < count; ++i) text += fmt::format("{}\"{}\":1", i == 0 ? "" : ",", i);
  return text + "}";
}

void compare(std::string_view what, std::string_view text) {
  const detail::JsonLimits limits{.max_values = 10'000'000};
  const auto ours = bench::measure([&] { bench::keep(detail::JsonText{text, limits}); });
  const auto dom = bench::measure([&] { bench::keep(nlohmann::json::parse(text)); });
  fmt::print("{:<34} {:>9} bytes  {:>10.2f} us  {:>6.2f} GB/s  {:>2} allocations; nlohmann_json {:>10.1f} us, {:.0f}x\n", what,
             text.size(), ours.ns / 1e3, static_cast<double>(text.size()) / ours.ns, ours.allocated, dom.ns / 1e3,
             dom.ns / ours.ns);
}

void check_image(std::size_t size) {
  const Image image = Image::from_bytes(big_png(size));
  const std::string_view text = image.base64();
  const auto copied = std::make_unique_for_overwrite<char[]>(text.size());
  const auto speed = [&](const bench::Figure& figure) { return static_cast<double>(text.size()) / figure.ns; };
  const auto copy = bench::measure([&] {
    std::memcpy(copied.get(), text.data(), text.size());
    bench::keep(copied[0]);
  });
  const auto check = bench::measure([&] { bench::keep(detail::check_base64(text)); });
  const auto portable = bench::measure([&] { bench::keep(detail::base64_letters_portable(text)); });
  const auto range = bench::measure([&] { bench::keep(Image::from_base64_range({}, text)); });
  const auto decoded = bench::measure([&] { bench::keep(Image::from_base64(text)); });
  fmt::print("base64 of {} MiB: check {:.1f} us, {:.1f} GB/s (portable {:.1f} GB/s, memcpy {:.1f} GB/s); ", size >> 20U,
             check.ns / 1e3, speed(check), speed(portable), speed(copy));
  fmt::print("Image::from_base64_range {:.1f} us, from_base64 {:.1f} us\n", range.ns / 1e3, decoded.ns / 1e3);
}

}  // namespace

int main() {
  compare("a chat of 1 KB", text_request());
  compare("a chat with an image of 1 MiB", image_request(Image::from_bytes(big_png(1U << 20U)).base64()));
  compare("20,000 small objects", many_values());
  compare("an object of 100,000 members", many_members(100'000));
  compare("text that is not ASCII", [] {
    std::string text = "\"";
    while (text.size() < 100'000) text += "眼を閉じて";
    return text + "\"";
  }());
  compare("text full of escapes", [] {
    std::string text = "\"";
    while (text.size() < 100'000) text += R"(a line\nand \"more\" )";
    return text + "\"";
  }());
  check_image(1U << 20U);
  check_image(10U << 20U);
}
