#include <ecso/backend/llava_controller.hpp>

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/llava_stand_in.hpp"
#include "support/raw_server.hpp"

namespace llava_controller_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::LlavaController;
using ecso::Url;
using ecso::test::http_response;
using ecso::test::RawServer;

const ecso::HttpOptions direct{.proxy = ""};

template <typename Call>
Error error_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    return error;
  }
  return Error{Errc::internal, "the call did not fail"};
}

/// What comes of a controller that names `address`, asked at `host` of 127.0.0.1.
std::optional<Url> worker_at(const std::string& address, const std::vector<std::string>& allowed = {},
                             const std::string& host = "127.0.0.1") {
  RawServer server{RawServer::always(http_response(200, nlohmann::json{{"address", address}}.dump()))};
  LlavaController controller{Url::parse("http://" + host + ":" + std::to_string(server.port())), allowed, direct};
  return controller.worker_for("llava", {});
}

}  // namespace

TEST_CASE("A controller is asked for a worker, for its models and to look after its workers", "[backend][llava]") {
  ecso::test::LlavaControllerStandIn server;
  server.register_worker("http://127.0.0.1:1", {"llava-v1.5-7b", "llava-v1.5-13b"});
  LlavaController controller{Url::parse(server.url()), {}, direct};
  CHECK(controller.worker_for("llava-v1.5-7b", {})->text() == "http://127.0.0.1:1");
  CHECK_FALSE(controller.worker_for("gpt", {}));
  CHECK(controller.models({}) == std::vector<std::string>{"llava-v1.5-13b", "llava-v1.5-7b"});
  controller.refresh({});
  CHECK(controller.models({}).empty());
  const auto requests = server.requests();
  REQUIRE(requests.size() == 5);
  CHECK_THAT(requests[0].head, ContainsSubstring("POST /get_worker_address HTTP/1.1\r\n") &&
                                   ContainsSubstring("\r\nContent-Type: application/json"));
  CHECK(requests[0].body == R"({"model":"llava-v1.5-7b"})");
  CHECK_THAT(requests[2].head, ContainsSubstring("POST /list_models HTTP/1.1\r\n"));
  CHECK(requests[2].body.empty());
  CHECK_THAT(requests[3].head, ContainsSubstring("POST /refresh_all_workers HTTP/1.1\r\n"));
}

TEST_CASE("A worker may be on the controller's host, or both on this machine", "[backend][llava]") {
  const std::string address =
      GENERATE(as<std::string>{}, "http://127.0.0.1:40000", "http://127.0.0.1:40000/", "HTTP://LOCALHOST:21002",
               "http://[::1]:40000/llava", "http://127.1.2.3", "https://127.0.0.1:40000");
  CAPTURE(address);
  CHECK(worker_at(address)->text() == Url::parse(address).text());
}

TEST_CASE("A controller's word does not lead to any other host unless it is listed", "[backend][llava]") {
  const std::string address = GENERATE(
      as<std::string>{}, "http://169.254.169.254", "http://10.0.0.7:40000", "http://gpu-2:40000", "http://127.0.0.1.example.com",
      "http://127.example.com", "http://localhost.example.com", "http://0.0.0.0:40000", "http://[::ffff:127.0.0.1]:40000",
      "http://[fd00::7]:40000", "http://127.0.0.1@example.com", "http://example.com/127.0.0.1", "http://example.com#127.0.0.1",
      "http://example.com?127.0.0.1", "file:///etc/passwd", "ftp://127.0.0.1", "127.0.0.1:40000", "//127.0.0.1", "http://", " ",
      "http://127.0.0.1\r\nX: y", "gopher://127.0.0.1:25/_");
  const Error error = error_of([&] { return worker_at(address); });
  CAPTURE(address, error.what());
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.message(), ContainsSubstring("the controller's worker: "));
  CHECK_THAT(error.context().endpoint, ContainsSubstring("http://127.0.0.1:"));
}

TEST_CASE("Listed hosts are allowed, with any port, and no others", "[backend][llava]") {
  const std::vector<std::string> allowed{"GPU-2", "[fd00::7]", "0.0.0.0"};
  CHECK(worker_at("http://gpu-2:40000", allowed));
  CHECK(worker_at("http://Gpu-2:40001/x", allowed));
  CHECK(worker_at("http://[fd00::7]:1", allowed));
  CHECK(worker_at("http://0.0.0.0:1", allowed));
  CHECK_THAT(error_of([&] { return worker_at("http://gpu-3:40000", allowed); }).message(),
             ContainsSubstring("to trust it, list gpu-3"));
}

TEST_CASE("Only a controller on this machine may lead to this machine", "[backend][llava]") {
  // No connection: whatever host the URLs name, all bytes go through the proxy, which is ours.
  struct Row {
    std::string address;
    bool is_allowed;
  };
  const Row row = GENERATE(values<Row>({{"http://llava.example:40000", true},
                                        {"http://127.0.0.1:40000", false},
                                        {"http://localhost:40000", false},
                                        {"http://[::1]:40000", false}}));
  RawServer proxy{RawServer::always(http_response(200, nlohmann::json{{"address", row.address}}.dump()))};
  LlavaController controller{Url::parse("http://llava.example"), {}, {.proxy = proxy.url()}};
  CAPTURE(row.address);
  if (row.is_allowed) {
    CHECK(controller.worker_for("llava", {})->text() == row.address);
  } else {
    CHECK(error_of([&] { return controller.worker_for("llava", {}); }).code() == Errc::bad_reply);
  }
}

TEST_CASE("A controller with TLS leads to no worker without, unless its host is listed", "[backend][llava]") {
  const auto is_allowed = [](const char* worker, const std::vector<std::string>& hosts) {
    try {
      ecso::detail::check_worker(Url::parse(worker), Url::parse("https://llava.example"), hosts);
      return true;
    } catch (const Error& error) {
      CHECK(error.code() == Errc::bad_reply);
      return false;
    }
  };
  CHECK(is_allowed("https://llava.example:40000", {}));
  CHECK_FALSE(is_allowed("http://llava.example:40000", {}));
  CHECK(is_allowed("http://llava.example:40000", {"llava.example"}));
}

TEST_CASE("A model without a worker is an error that names the models there are", "[backend][llava]") {
  ecso::test::LlavaControllerStandIn server;
  LlavaController controller{Url::parse(server.url()), {}, direct};
  CHECK(controller.no_worker("gpt", {}).code() == Errc::unavailable);
  CHECK(controller.no_worker("", {}).code() == Errc::bad_input);
  server.register_worker("http://127.0.0.1:1", {"llava-v1.5-7b", "llava-v1.5-13b\n"});
  const Error error = controller.no_worker("gpt\n", {});
  CHECK(error.code() == Errc::not_found);
  CHECK(error.message() == "no worker has the model \"gpt\"; there are llava-v1.5-13b, llava-v1.5-7b");
  CHECK(error.context().endpoint == server.url());
  CHECK(controller.no_worker("", {}).message() == "no model is named; there are llava-v1.5-13b, llava-v1.5-7b");
  std::vector<std::string> many;
  for (int i = 100; i < 200; ++i) many.push_back("m" + std::to_string(i));
  server.register_worker("http://127.0.0.1:2", many);
  CHECK_THAT(controller.no_worker("gpt", {}).message(), ContainsSubstring("m117 and 82 more"));
}

TEST_CASE("A controller that fails is one clear error", "[backend][llava]") {
  struct Row {
    std::string response;
    Errc code;
    int status;
  };
  const Row row = GENERATE(values<Row>({
      {http_response(500, "Internal Server Error", "text/plain"), Errc::server_error, 500},
      {http_response(404, R"({"detail":"Not Found"})"), Errc::not_found, 404},
      {http_response(503, ""), Errc::unavailable, 503},
      {http_response(307, "", "text/html", "Location: http://example.com/\r\n"), Errc::not_found, 307},
      {http_response(200, "null"), Errc::bad_reply, 200},
      {http_response(200, std::string(2'000'000, ' ')), Errc::bad_reply, 200},
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"addr", Errc::unavailable, 200},
      {"", Errc::unavailable, 0},
  }));
  RawServer server{[&](RawServer::Connection& connection) { connection.read_request() && connection.send(row.response); }};
  LlavaController controller{Url::parse(server.url()), {}, direct};
  const Error error = error_of([&] { return controller.worker_for("llava", {}); });
  CAPTURE(error.what());
  CHECK(error.code() == row.code);
  CHECK(error.context().http_status == row.status);
  CHECK(error.context().endpoint == server.url() + "/get_worker_address");
}

}  // namespace llava_controller_test
