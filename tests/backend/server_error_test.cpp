#include <ecso/backend/server_error.hpp>

#include <chrono>
#include <string>
#include <utility>

#include "support/catch.hpp"

namespace server_error_test {

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::Secret;
using ecso::server_error;

}  // namespace

TEST_CASE("Every status has its code", "[backend][openai]") {
  const auto [status, code] = GENERATE(table<int, Errc>({
      {400, Errc::bad_request}, {401, Errc::unauthorized}, {402, Errc::bad_request},  {403, Errc::unauthorized},
      {404, Errc::not_found},   {405, Errc::not_found},    {408, Errc::timeout},      {413, Errc::too_large},
      {422, Errc::bad_request}, {429, Errc::rate_limited}, {500, Errc::server_error}, {501, Errc::server_error},
      {502, Errc::unavailable}, {503, Errc::unavailable},  {504, Errc::unavailable},  {529, Errc::unavailable},
      {301, Errc::not_found},   {308, Errc::not_found},    {100, Errc::bad_reply},    {0, Errc::bad_reply},
      {999, Errc::bad_reply},   {-1, Errc::bad_reply},
  }));
  const Error error = server_error(status, "");
  CHECK(error.code() == code);
  CHECK(error.context().http_status == status);
  CHECK_FALSE(error.message().empty());
}

TEST_CASE("The server's own message is found in every shape", "[backend][openai]") {
  const auto [body, message] = GENERATE(table<std::string, std::string>({
      {R"({"error":{"code":400,"message":"Failed to load image or audio file","type":"invalid_request_error"}})",
       "Failed to load image or audio file"},
      {R"({"error":"model not found"})", "model not found"},
      {R"({"object":"error","message":"no such model","type":"NotFoundError","code":404})", "no such model"},
      {R"({"detail":"Not Found"})", "Not Found"},
      {R"({"detail":[{"loc":["body","messages"],"msg":"field required","type":"missing"},{"msg":"too short"},7]})",
       "messages: field required; too short"},
      {R"({"error":{"message":"a\r\n  b\u001b[31m"}})", "a b [31m"},
      {"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n",
       "<html> <head><title>502 Bad Gateway</title></head> </html>"},
      {"upstream connect error", "upstream connect error"},
      {R"({"error":{"code":7}})", R"({"error":{"code":7}})"},
      {R"({"message":"half)", R"({"message":"half)"},
      {R"("just a text")", R"("just a text")"},
  }));
  CHECK(server_error(400, body).message() == message);
}

TEST_CASE("An empty body gets a reason from its status", "[backend][openai]") {
  CHECK(server_error(413, "").message() == "the request is larger than the server's limit");
  CHECK(server_error(401, " \n").message() == "the server refused the key, or wants one");
}

TEST_CASE("Endpoint, status and waiting time are in the error", "[backend][openai]") {
  const Error error = server_error(429, R"({"error":{"message":"slow down"}})", 1500ms, "http://h/v1/chat/completions");
  CHECK(std::string{error.what()} == "http://h/v1/chat/completions: HTTP 429: slow down");
  CHECK(error.context().retry_after == 1500ms);
}

TEST_CASE("A redirect names its goal", "[backend][openai]") {
  const Error error = server_error(308, "<html>", {}, "http://h", {}, "https://h/\x1B[0m");
  CHECK(std::string{error.what()} ==
        "http://h: HTTP 308: the server redirects, which is not followed; it points to https://h/ [0m");
}

TEST_CASE("Messages are cut and never hold the key, wherever the server puts it", "[backend][openai]") {
  const Secret key = Secret::from_text("sk-0123456789");
  const std::string echo = "sk-0123456789";
  for (const std::string& body :
       {R"({"error":{"message":"bad key: )" + echo + R"("}})", R"({"detail":")" + echo + R"("})", "<b>" + echo + "</b>",
        std::string(193, 'x') + echo, R"({"error":")" + std::string(995, 'x') + echo + R"("})"}) {
    const Error error = server_error(401, body, {}, "http://h", key);
    CHECK_THAT(error.what(), !ContainsSubstring("sk-") && ContainsSubstring("[key]"));
  }
  CHECK_THAT(server_error(301, "", {}, "http://h", key, "http://h/?key=" + echo).what(), !ContainsSubstring("sk-"));
  CHECK(server_error(400, std::string(5000, 'x')).message().size() == 200 + std::string{"…"}.size());
  CHECK(server_error(400, R"({"error":")" + std::string(5000, 'x') + "\"}").message().size() == 1000 + std::string{"…"}.size());
}

TEST_CASE("A body that nests without end is quoted like any text", "[backend][openai]") {
  CHECK(server_error(500, std::string(100'000, '[')).message() == std::string(200, '[') + "…");
}

}  // namespace server_error_test
