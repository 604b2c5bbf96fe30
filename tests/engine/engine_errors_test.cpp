// How a real llama-server says no, and what our client makes of it. What our side refuses to send goes over a plain socket.

#include <ecso/backend/openai.hpp>
#include <ecso/core/image.hpp>
#include <ecso/detail/base64.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/fixture.hpp"
#include "support/reserved_port.hpp"

#include <chrono>
#include <string>
#include <string_view>

using namespace ecso;
using namespace ecso::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Sends one user turn with `image_url` written as given; the server's status and message.
HttpAnswer send_image_url(const std::string& image_url) {
  const std::string body = fmt::format(
      R"({{"max_tokens":1,"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{}}},{{"type":"text","text":"hi"}}]}}]}})",
      image_url);
  HttpAnswer answer = http_exchange(engine().port(), "POST", "/v1/chat/completions", body);
  if (answer.status != 200) answer.body = nlohmann::json::parse(answer.body).at("error").at("message");
  return answer;
}

HttpAnswer send_image(std::string_view bytes) {
  std::string base64(detail::base64_encoded_size(bytes.size()), '=');
  detail::base64_encode_to(bytes, base64.data());
  return send_image_url(R"({"url":"data:image/png;base64,)" + base64 + "\"}");
}

/// An image whose structure is whole, as we check it, but whose pixels are missing.
std::string undecodable_png() { return png_claiming(64, 64); }

}  // namespace

TEST_CASE("The engine decodes PNG, JPEG, GIF and BMP", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  for (const std::string& bytes : {png_bytes(8, 8), jpeg_bytes(8, 8), gif_bytes(8, 8), bmp_bytes(8, 8)}) {
    const Image image = Image::from_bytes(bytes);
    INFO(to_string(image.media_type()));
    CHECK_FALSE(model.generate(look_at(image, "What is this?"), {}).text.empty());
  }
}

TEST_CASE("An image that the engine cannot decode is a bad request", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const Image webp = Image::from_bytes(webp_bytes(8, 8));
  const Image corrupt = Image::from_bytes(undecodable_png());
  const Image huge = Image::from_bytes(png_claiming(30'000, 30'000), {.max_pixels = 1'000'000'000});
  for (const Image& image : {webp, corrupt, huge}) {
    INFO(image.width() << " pixels wide " << to_string(image.media_type()));
    const Error error = error_of([&] { return model.generate(look_at(image, "What is this?"), {}); });
    CHECK(error.code() == Errc::bad_request);
    CHECK(error.context().http_status == 400);
    CHECK_THAT(error.what(), ContainsSubstring("Failed to load image") && ContainsSubstring(engine().url()));
  }
}

TEST_CASE("What the engine would refuse, or worse accept, never leaves our side", "[engine]") {
  const std::string jpeg = jpeg_bytes(64, 64);
  const std::string truncated_jpeg = jpeg.substr(0, jpeg.size() - 10);
  CHECK(error_of([&] { return Image::from_bytes(truncated_jpeg); }).code() == Errc::bad_input);
  CHECK(send_image(truncated_jpeg).status == 200);  // it decodes what there is and says nothing

  CHECK(error_of([] { return Image::from_bytes("hello world"); }).code() == Errc::bad_input);
  CHECK(send_image("hello world").status == 400);
  CHECK(error_of([] { return Image::from_base64("@@@"); }).code() == Errc::bad_input);
  CHECK(send_image_url(R"({"url":"data:image/png;base64,@@@"})").status == 400);
  CHECK(error_of([] { return Image::from_bytes(png_claiming(30'000, 30'000)); }).code() == Errc::bad_input);
}

TEST_CASE("The engine calls malformed requests its own failure, status 500", "[engine]") {
  CHECK(send_image_url(R"({"url":""})").status == 500);
  CHECK(send_image_url(R"("data:image/png;base64,AAAA")").status == 500);
  const std::string_view no_role = R"({"messages":[{"content":"hi"}]})";
  CHECK(http_exchange(engine().port(), "POST", "/v1/chat/completions", no_role).status == 500);
}

TEST_CASE("A prompt longer than the engine's context is a bad request", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  std::string text;
  for (int i = 0; i < 5'000; ++i) text += "zq ";
  const Error error = error_of([&] { return model.generate(read(text), {}); });
  CHECK(error.code() == Errc::bad_request);
  CHECK(error.context().http_status == 400);
  CHECK_THAT(error.what(), ContainsSubstring("exceeds the available context size"));
}

TEST_CASE("Images that are together more than 100 MiB are too large, although the engine says so without a word", "[engine]") {
  OpenAiBackend model{options_for(engine())};
  const Image image = Image::from_bytes(png_bytes(40, 30, std::string(20'000'000, 'x')));
  const VisionRequest request{ask({image, image, image, image}, "What is this?"), {.sampling = greedy}};
  const Error error = error_of([&] { return model.generate(request, {}); });
  CHECK(error.code() == Errc::too_large);
  CHECK(error.context().http_status == 413);
}

TEST_CASE("A wrong or missing key is unauthorized, and the key is not repeated", "[engine]") {
  OpenAiOptions options = options_for(blind_engine());
  const auto call = [&] { return OpenAiBackend{options}.generate(read("hi"), {}); };
  CHECK(error_of(call).code() == Errc::unauthorized);

  options.key = Secret::from_text("a-wrong-key");
  const Error error = error_of(call);
  CHECK(error.code() == Errc::unauthorized);
  CHECK(error.context().http_status == 401);
  CHECK_THAT(error.what(), ContainsSubstring("Invalid API Key") && !ContainsSubstring("a-wrong-key"));

  options.key = Secret::from_text(blind_engine_key);
  CHECK_FALSE(call().text.empty());
}

TEST_CASE("An image sent to a text-only engine is an error that is not worth a retry", "[engine]") {
  OpenAiOptions options = options_for(blind_engine());
  options.key = Secret::from_text(blind_engine_key);
  const Error error = error_of([&] { return OpenAiBackend{options}.generate(look_at(picture("blind"), "What is this?"), {}); });
  CHECK(error.code() == Errc::server_error);
  CHECK(error.context().http_status == 500);
  CHECK_FALSE(worth_retrying(error.code()));
  CHECK_THAT(error.what(), ContainsSubstring("image input is not supported"));

  options.vision = false;
  CHECK(error_of([&] { return OpenAiBackend{options}.generate(look_at(picture("blind"), "What is this?"), {}); }).code() ==
        Errc::unsupported);
}

TEST_CASE("A path that the engine does not have is not found", "[engine]") {
  OpenAiOptions options = options_for(engine());
  options.base_url += "/nowhere";
  const Error error = error_of([&] { return OpenAiBackend{options}.generate(read("hi"), {}); });
  CHECK(error.code() == Errc::not_found);
  CHECK(error.context().http_status == 404);
  CHECK_THAT(error.what(), ContainsSubstring("/nowhere"));
}

TEST_CASE("Where no engine listens, the connection is refused", "[engine]") {
  OpenAiOptions options = options_for(engine());
  const ReservedPort nobody;
  options.base_url = nobody.url();
  const Error error = error_of([&] { return OpenAiBackend{options}.generate(read("hi"), {}); });
  CHECK(error.code() == Errc::unavailable);
  CHECK(error.context().http_status == 0);
  CHECK(worth_retrying(error.code()));
}

TEST_CASE("An engine that is still loading is unavailable, and answers later", "[engine]") {
  // The large context takes a moment to lay out; so there is time to see the status 503.
  EngineServer server{{.name = "engine-loading", .arguments = {"-c", "1048576", "-np", "128"}, .wait_until_ready = false}};
  OpenAiBackend model{options_for(server)};
  int refused = 0;
  int loading = 0;
  const auto give_up = std::chrono::steady_clock::now() + test::patience;
  std::string text;
  while (text.empty() && std::chrono::steady_clock::now() < give_up) {
    try {
      text = model.generate(read("hi"), {}).text;
    } catch (const Error& error) {
      if (error.code() != Errc::unavailable) throw;
      ++(error.context().http_status == 503 ? loading : refused);
    }
  }
  INFO(refused << " calls refused, " << loading << " answered with 503\n" << server.log_tail());
  CHECK_FALSE(text.empty());
  CHECK(loading > 0);
}

TEST_CASE("An engine that is killed in the middle of a call is unavailable", "[engine]") {
  EngineServer server{{.name = "engine-killed"}};
  OpenAiBackend model{options_for(server)};
  const CallContext context{.on_text = [&](std::string_view) { server.kill(); }};
  const Error error = error_of([&] { return model.generate(read("Spell.", long_job()), context); });
  CHECK(error.code() == Errc::unavailable);
}
