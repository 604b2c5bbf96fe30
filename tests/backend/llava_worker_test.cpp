#include <ecso/backend/llava_worker.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/drive/pipeline.hpp>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/llava_stand_in.hpp"
#include "support/patience.hpp"
#include "support/raw_server.hpp"
#include "support/reserved_port.hpp"

namespace llava_worker_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Clock = std::chrono::steady_clock;
using ecso::CallContext;
using ecso::CallOptions;
using ecso::Errc;
using ecso::Error;
using ecso::FinishReason;
using ecso::Image;
using ecso::LlavaEndpoint;
using ecso::LlavaOptions;
using ecso::LlavaWorkerBackend;
using ecso::Reply;
using ecso::TextRequest;
using ecso::VisionRequest;
using ecso::test::chunked_head;
using ecso::test::comes_true;
using ecso::test::http_chunk;
using ecso::test::http_response;
using ecso::test::llava_message;
using ecso::test::LlavaControllerStandIn;
using ecso::test::LlavaWorkerStandIn;
using ecso::test::patience;
using ecso::test::RawServer;
using ecso::test::ReservedPort;
using Connection = RawServer::Connection;
using Pieces = std::vector<std::string>;

LlavaOptions options_for(const std::string& url, LlavaEndpoint endpoint = LlavaEndpoint::worker) {
  return {.base_url = url, .endpoint = endpoint, .model = "llava-v1.5-7b", .http = {.proxy = ""}};
}

VisionRequest question(CallOptions options = {}) {
  static const Image image = Image::from_bytes(ecso::test::png_bytes(3, 2));
  return {ecso::ask({image}, "What?"), std::move(options)};
}

const std::string prompt = llava_prompt(ecso::models::llava_1_5_7b.conversation, question().conversation, {}, 1).rendered.prompt;

std::string body_of(const VisionRequest& request, int max_tokens = 1024) {
  const auto& sampling = request.options.sampling;
  return llava_request_body(llava_prompt(ecso::models::llava_1_5_7b.conversation, request.conversation, sampling, max_tokens),
                            sampling, "llava-v1.5-7b");
}

Pieces cat(const nlohmann::json&) { return {"", "A ", "", "black ", "cat.", "</s>"}; }

template <typename Call>
Error error_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    return error;
  }
  return Error{Errc::internal, "the call did not fail"};
}

Error error_from(const LlavaOptions& options, const CallContext& context = {}, const VisionRequest& request = question()) {
  LlavaWorkerBackend backend{options};
  return error_of([&] { return backend.generate(request, context); });
}

/// A worker that sends these bytes and closes the connection.
RawServer::Script sends(std::string bytes) {
  return [bytes = std::move(bytes)](Connection& connection) { connection.read_request() && connection.send(bytes); };
}

}  // namespace

TEST_CASE("A LLaVA worker answers a question about an image", "[backend][llava]") {
  LlavaWorkerStandIn worker{cat};
  LlavaWorkerBackend backend{options_for(worker.url() + "/")};
  const VisionRequest request = question({.sampling = {.temperature = 0, .top_p = 0.5, .max_tokens = 100}});
  Pieces pieces;
  const Reply reply = backend.generate(request, {.on_text = [&](std::string_view piece) { pieces.emplace_back(piece); }});
  CHECK(reply.text == "A black cat.");
  CHECK(reply.finish_reason == FinishReason::unknown);
  CHECK(pieces == Pieces{"A ", "black ", "cat."});
  CHECK(worker.bodies() == Pieces{body_of(request)});
}

TEST_CASE("What a stream held back is the last piece", "[backend][llava]") {
  LlavaWorkerStandIn worker{[](const nlohmann::json&) { return Pieces{"a <", "/", "b> <", "/"}; }};
  LlavaWorkerBackend backend{options_for(worker.url())};
  Pieces pieces;
  CHECK(backend.generate(question(), {.on_text = [&](std::string_view piece) { pieces.emplace_back(piece); }}).text ==
        "a </b> </");
  CHECK(pieces == Pieces{"a ", "</b> ", "</"});
}

TEST_CASE("A LLaVA controller is asked for a worker before each call", "[backend][llava]") {
  LlavaWorkerStandIn first{cat};
  LlavaWorkerStandIn second{cat};
  LlavaControllerStandIn controller;
  controller.register_worker(first.url());
  controller.register_worker(second.url());
  LlavaWorkerBackend backend{options_for(controller.url(), LlavaEndpoint::controller)};
  for (int i = 0; i < 4; ++i) CHECK(backend.generate(question(), {}).text == "A black cat.");
  CHECK(first.bodies().size() == 2);
  CHECK(second.bodies().size() == 2);
  CHECK(controller.requests().size() == 4);
}

TEST_CASE("Where a LLaVA worker is gone, its controller is told, and another one takes the call", "[backend][llava]") {
  const ReservedPort nobody;
  LlavaWorkerStandIn worker{cat};
  LlavaControllerStandIn controller;
  controller.register_worker(nobody.url());
  LlavaWorkerBackend backend{options_for(controller.url(), LlavaEndpoint::controller)};
  const Error error = error_of([&] { return backend.generate(question(), {}); });
  CHECK(error.code() == Errc::unavailable);
  CHECK(error.context().endpoint == nobody.url() + "/worker_generate_stream");
  CHECK(error_of([&] { return backend.generate(question(), {}); }).message() == "the controller has no worker at all");

  controller.register_worker(nobody.url());
  controller.register_worker(worker.url());
  for (int i = 0; i < 4; ++i) CHECK(backend.generate(question(), {}).text == "A black cat.");
  const auto requests = controller.requests();
  CHECK(std::ranges::count(requests, "/refresh_all_workers", ecso::test::path_of) == 2);
}

TEST_CASE("A LLaVA call is not made again once a part of its answer was used", "[backend][llava]") {
  const std::string head = std::string{chunked_head} + http_chunk(llava_message(prompt + "A "));
  RawServer worker{sends(head)};
  LlavaControllerStandIn controller;
  controller.register_worker(worker.url());
  LlavaWorkerBackend backend{options_for(controller.url(), LlavaEndpoint::controller)};
  std::string given;
  const CallContext listening{.on_text = [&](std::string_view piece) { given += piece; }};
  CHECK(error_of([&] { return backend.generate(question(), listening); }).code() == Errc::unavailable);
  CHECK(given == "A ");
  CHECK(worker.requests().size() == 1);
  // Nobody listens: it may be.
  CHECK(error_of([&] { return backend.generate(question(), {}); }).code() == Errc::unavailable);
  CHECK(worker.requests().size() == 3);
}

TEST_CASE("A model that the LLaVA controller does not have is an error that names those it has", "[backend][llava]") {
  LlavaWorkerStandIn worker{cat};
  LlavaControllerStandIn controller;
  controller.register_worker(worker.url(), {"llava-v1.5-13b", "llava-v1.6-34b"});
  LlavaOptions options = options_for(controller.url(), LlavaEndpoint::controller);
  const Error unknown = error_from(options);
  CHECK(unknown.code() == Errc::not_found);
  CHECK(unknown.message() == "no worker has the model \"llava-v1.5-7b\"; there are llava-v1.5-13b, llava-v1.6-34b");
  LlavaWorkerBackend backend{options};
  CHECK(backend.generate(question({.model = "llava-v1.6-34b"}), {}).text == "A black cat.");
  options.model = "";
  CHECK(error_from(options).code() == Errc::bad_input);
}

TEST_CASE("A LLaVA controller that names a foreign host gets no image sent there", "[backend][llava]") {
  LlavaControllerStandIn controller;
  controller.register_worker("http://gpu.example:40000");
  const Error error = error_from(options_for(controller.url(), LlavaEndpoint::controller));
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.what(), ContainsSubstring("gpu.example:40000 is not on the controller's host"));
  CHECK(controller.requests().size() == 1);
}

TEST_CASE("What a LLaVA worker refuses is an error, never an answer", "[backend][llava]") {
  LlavaWorkerStandIn worker{cat, 600};
  LlavaWorkerBackend backend{options_for(worker.url())};
  CHECK(backend.generate(question(), {}).text == "A black cat.");
  CHECK(error_of([&] { return backend.generate(question({.sampling = {.max_tokens = 0}}), {}); }).code() == Errc::bad_request);
  const VisionRequest long_question{ecso::ask({}, std::string(1000, 'x')), {}};
  const Error too_long = error_of([&] { return backend.generate(long_question, {}); });
  CHECK(too_long.code() == Errc::bad_request);
  CHECK(too_long.context().endpoint == worker.url() + "/worker_generate_stream");
  LlavaWorkerStandIn failing{[](const nlohmann::json&) -> Pieces { throw std::runtime_error{"CUDA error"}; }};
  CHECK(error_from(options_for(failing.url())).code() == Errc::server_error);
}

TEST_CASE("An answer that a LLaVA worker cut says so where that can be known", "[backend][llava]") {
  LlavaWorkerStandIn worker{[](const nlohmann::json& request) {
    Pieces pieces(request.at("max_new_tokens").get<std::size_t>(), "a ");
    return pieces;
  }};
  LlavaWorkerBackend backend{options_for(worker.url())};
  const Reply reply = backend.generate(question({.sampling = {.max_tokens = 3}}), {});
  CHECK(reply.text == "a a a ");
  CHECK(reply.finish_reason == FinishReason::length);
  const Reply stopped = backend.generate(question({.sampling = {.stop = {" a"}}}), {});
  CHECK(stopped.text == "a");
  CHECK(stopped.finish_reason == FinishReason::stop);
}

TEST_CASE("Every failure of a LLaVA worker is one clear error", "[backend][llava][faults]") {
  const std::string head{chunked_head};
  const std::string part = http_chunk(llava_message(prompt + "A "));
  struct Row {
    std::string response;
    Errc code;
    int status;
  };
  const Row row = GENERATE_COPY(values<Row>({
      {http_response(404, R"({"detail":"Not Found"})"), Errc::not_found, 404},
      {http_response(413, ""), Errc::too_large, 413},
      {http_response(500, "Internal Server Error", "text/plain"), Errc::server_error, 500},
      {http_response(502, "<html>Bad Gateway</html>", "text/html"), Errc::unavailable, 502},
      {http_response(307, "", "text/html", "Location: http://example.com/\r\n"), Errc::not_found, 307},
      {http_response(200, ""), Errc::bad_reply, 200},
      {http_response(200, "<html>It works!</html>", "text/html"), Errc::bad_reply, 200},
      {http_response(200, llava_message("A cat.")), Errc::bad_reply, 0},
      {http_response(200, llava_message(std::string{ecso::test::llava_failure}, 1)), Errc::server_error, 0},
      {"HTTP/1.1 200 OK\r\n\r\n" + llava_message(prompt + "A cat") + "{\"text\"", Errc::bad_reply, 200},
      {head + part, Errc::unavailable, 200},
      {head + part + "7\r\n{\"te", Errc::unavailable, 200},
      {head + part + "xyz\r\n", Errc::unavailable, 200},
      {head + http_chunk(""), Errc::bad_reply, 200},
      {head + part + http_chunk(llava_message(prompt)) + http_chunk(""), Errc::bad_reply, 0},
      {"", Errc::unavailable, 0},
      {"garbage\r\n\r\n", Errc::bad_reply, 0},
  }));
  RawServer server{sends(row.response)};
  const Error error = error_from(options_for(server.url()), {.deadline = Clock::now() + patience});
  CAPTURE(row.response, error.what());
  CHECK(error.code() == row.code);
  CHECK(error.context().http_status == row.status);
  CHECK(error.context().endpoint == server.url() + "/worker_generate_stream");
}

TEST_CASE("A LLaVA worker's stream cut at any byte is never an answer", "[backend][llava][faults]") {
  const std::string whole =
      std::string{chunked_head} + http_chunk(llava_message("P:A ")) + http_chunk(llava_message("P:A cat")) + http_chunk("");
  std::atomic<std::size_t> end = 0;
  RawServer server{[&](Connection& connection) { connection.read_request() && connection.send(whole.substr(0, end)); }};
  LlavaOptions options = options_for(server.url());
  constexpr std::string_view stops[] = {"</s>"};
  options.conversation = {.assistant_opening = "P:", .image_token = "<image>", .stop = stops};
  LlavaWorkerBackend backend{options};
  const TextRequest request{ecso::close_eyes(ecso::ask({}, ""), std::vector<std::string>{}), {}};
  for (; end < whole.size() - 1; ++end) {
    CAPTURE(end.load());
    CHECK(error_of([&] { return backend.generate(request, {}); }).code() != Errc::internal);
  }
  end = whole.size();
  CHECK(backend.generate(request, {}).text == "A cat");
}

TEST_CASE("A LLaVA worker that never ends is stopped by size and by time", "[backend][llava][faults]") {
  RawServer server{[](Connection& connection) {
    if (!connection.read_request() || !connection.send(chunked_head)) return;
    std::string text = prompt;
    while (connection.send(http_chunk(llava_message(text += "a "))) && connection.pause(1ms)) {}
  }};
  LlavaOptions options = options_for(server.url());
  options.max_stream_bytes = 20'000;
  const Error large = error_from(options);
  CHECK(large.code() == Errc::bad_reply);
  CHECK_THAT(large.message(), ContainsSubstring("larger than 20000 bytes"));
  options = options_for(server.url());
  options.http.call_timeout = 200ms;
  CHECK(error_from(options).code() == Errc::timeout);
}

TEST_CASE("The time for a LLaVA call covers the controller too", "[backend][llava][faults]") {
  RawServer worker{[](Connection& connection) { connection.stall(); }};
  const std::string address = nlohmann::json{{"address", worker.url()}}.dump();
  RawServer controller{[&](Connection& connection) {
    connection.read_request() && connection.pause(200ms) && connection.send(http_response(200, address));
    connection.stall();
  }};
  LlavaOptions options = options_for(controller.url(), LlavaEndpoint::controller);
  options.http.call_timeout = 250ms;
  // The best of many, as a busy machine is late now and then; one time for the worker alone would make it 450 ms.
  auto best = Clock::duration::max();
  for (int i = 0; i < 20 && best >= 400ms; ++i) {
    const auto start = Clock::now();
    CHECK(error_from(options).code() == Errc::timeout);
    best = std::min(best, Clock::now() - start);
  }
  CHECK(best < 400ms);
}

TEST_CASE("A LLaVA call is cancelled at once, and the server sees it", "[backend][llava][faults]") {
  std::atomic<bool> was_closed{false};
  RawServer server{[&](Connection& connection) {
    was_closed = connection.read_request() && connection.send(chunked_head) &&
                 connection.send(http_chunk(llava_message(prompt + "A "))) && connection.wait_for_close(patience);
  }};
  const auto endpoint = GENERATE(LlavaEndpoint::worker, LlavaEndpoint::controller);
  std::stop_source source;
  const std::jthread canceller{[&] {
    static_cast<void>(comes_true([&] { return !server.requests().empty(); }));
    source.request_stop();
  }};
  CHECK(error_from(options_for(server.url(), endpoint), {.stop = source.get_token()}).code() == Errc::cancelled);
  CHECK(comes_true([&] { return was_closed.load(); }));
}

TEST_CASE("The capabilities of a LLaVA worker are what its protocol has", "[backend][llava]") {
  LlavaOptions options = options_for("http://h");
  CHECK(LlavaWorkerBackend{options}.capabilities() == ecso::Capabilities{.vision = true, .concurrent = true, .streaming = true});
  options.vision = false;
  CHECK_FALSE(LlavaWorkerBackend{options}.capabilities().vision);
  CHECK(error_from(options).code() == Errc::unsupported);
  CHECK(error_of([] { return LlavaWorkerBackend{{.base_url = "h"}}.capabilities().slots; }).code() == Errc::bad_input);
}

TEST_CASE("ECSO over a LLaVA controller and worker closes the model's eyes", "[backend][llava][pipeline]") {
  LlavaWorkerStandIn worker{[](const nlohmann::json& request) -> Pieces {
    const std::string text = request.at("prompt");
    if (!request.contains("images")) {
      const bool is_recheck = text.find("I cannot help") != text.npos;
      return is_recheck ? Pieces{"No."} : Pieces{"I cannot ", "help with that."};
    }
    if (text.find("Mix bleach") != text.npos) return {"Yes."};
    if (text.find("How do I make this?") == text.npos || text.find("escribe") != text.npos) return {"A bottle."};
    return {"Mix bleach ", "and acid."};
  }};
  LlavaControllerStandIn controller;
  controller.register_worker(worker.url());
  LlavaWorkerBackend backend{options_for(controller.url(), LlavaEndpoint::controller)};
  const ecso::EcsoPipeline pipeline{backend};
  const Image image = Image::from_bytes(ecso::test::png_bytes(3, 2));
  const ecso::Outcome outcome = pipeline.run(image, "How do I make this? <image></s>");
  CHECK(outcome.path == ecso::Path::eyes_closed);
  CHECK(outcome.text == "I cannot help with that.");
  const Pieces bodies = worker.bodies();
  REQUIRE(bodies.size() == outcome.steps.size());
  REQUIRE(bodies.size() == 5);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    const nlohmann::json body = nlohmann::json::parse(bodies[i]);
    const bool sees = i < 3;
    CHECK(body.contains("images") == sees);
    CHECK((body.at("prompt").get<std::string>().find("<image>") != std::string::npos) == sees);
    CHECK((bodies[i].find(image.base64()) != std::string::npos) == sees);
  }
}

TEST_CASE("A failing LLaVA worker never gives an unverified answer", "[backend][llava][pipeline][faults]") {
  for (int good = 0; good < 5; ++good) {
    std::atomic<int> calls{0};
    LlavaWorkerStandIn worker{[&](const nlohmann::json&) -> Pieces {
      if (calls++ >= good) throw std::runtime_error{"CUDA error"};
      return {"Yes."};
    }};
    LlavaWorkerBackend backend{options_for(worker.url())};
    const ecso::EcsoPipeline pipeline{backend};
    const Image image = Image::from_bytes(ecso::test::png_bytes(3, 2));
    const ecso::Outcome outcome = pipeline.try_run(ecso::ask({image}, "What?"));
    CAPTURE(good);
    CHECK(outcome.path == ecso::Path::failed);
    CHECK(outcome.text.empty());
  }
}

TEST_CASE("One LLaVA backend serves eight threads and two workers", "[backend][llava]") {
  LlavaWorkerStandIn first{cat};
  LlavaWorkerStandIn second{cat};
  LlavaControllerStandIn controller;
  controller.register_worker(first.url());
  controller.register_worker(second.url());
  LlavaWorkerBackend backend{options_for(controller.url(), LlavaEndpoint::controller)};
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) good += backend.generate(question(), {}).text == "A black cat." ? 1 : 0;
      });
    }
  }
  CHECK(good == 80);
  CHECK(first.bodies().size() == 40);
  CHECK(second.bodies().size() == 40);
}

}  // namespace llava_worker_test
