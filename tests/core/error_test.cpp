#include <ecso/error.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <type_traits>

namespace error_test {

namespace {

using namespace ecso;
using namespace std::string_literals;

constexpr Errc all_codes[]{Errc::bad_input,    Errc::bad_request,  Errc::unauthorized, Errc::not_found, Errc::too_large,
                           Errc::rate_limited, Errc::server_error, Errc::unavailable,  Errc::tls,       Errc::timeout,
                           Errc::cancelled,    Errc::bad_reply,    Errc::unsupported,  Errc::internal};

}  // namespace

TEST_CASE("An error says step, endpoint, status and reason on one line", "[error]") {
  CHECK(Error{Errc::timeout, "too slow"}.what() == "too slow"s);
  CHECK(Error{Errc::server_error,
              "out of memory",
              {.step = Step::check, .endpoint = "http://localhost:8080/v1", .http_status = 500}}
            .what() == "check: http://localhost:8080/v1: HTTP 500: out of memory"s);
  CHECK(Error{Errc::not_found, "no such model", {.http_status = 404}}.what() == "HTTP 404: no such model"s);
  CHECK(Error{Errc::unavailable, "refused", {.endpoint = "http://localhost:1"}}.what() == "http://localhost:1: refused"s);
  CHECK(Error{Errc::timeout, "late", {.step = Step::caption}}.what() == "caption: late"s);
  CHECK(Error{Errc::bad_reply, "<html>\r\n<body>\noops"}.what() == "<html>  <body> oops"s);
}

TEST_CASE("An error keeps code, reason and context", "[error]") {
  const Error error{Errc::rate_limited, "slow\ndown", {.http_status = 429, .retry_after = std::chrono::milliseconds{1500}}};
  CHECK(error.code() == Errc::rate_limited);
  CHECK(error.message() == "slow\ndown");
  CHECK(error.context().http_status == 429);
  CHECK(error.context().retry_after == std::chrono::milliseconds{1500});
  CHECK(error.context().step == std::nullopt);
  CHECK(error.context().endpoint.empty());
}

TEST_CASE("An error is given its step once", "[error]") {
  const Error error{Errc::timeout, "late", {.endpoint = "e"}};
  const Error in_check = error.in_step(Step::check);
  CHECK(in_check.what() == "check: e: late"s);
  CHECK(in_check.context().step == Step::check);
  CHECK(in_check.code() == Errc::timeout);
  CHECK(in_check.in_step(Step::answer) == in_check);
  CHECK(error.what() == "e: late"s);
}

TEST_CASE("An error is a value", "[error]") {
  static_assert(std::is_base_of_v<std::exception, Error> && std::is_copy_constructible_v<Error> &&
                std::is_copy_assignable_v<Error>);
  const Error error{Errc::tls, "x", {.http_status = 1}};
  const Error copy = error;
  CHECK(copy == error);
  CHECK(copy.what() == std::string{error.what()});
  CHECK_FALSE(error == Error{Errc::timeout, "x", {.http_status = 1}});
  CHECK_FALSE(error == Error{Errc::tls, "y", {.http_status = 1}});
  CHECK_FALSE(error == Error{Errc::tls, "x"});
  CHECK_THROWS_AS(throw error, std::exception);
}

TEST_CASE("Only what may pass by itself is worth retrying", "[error]") {
  for (const Errc code : all_codes) {
    INFO(to_string(code));
    CHECK(worth_retrying(code) == (code == Errc::rate_limited || code == Errc::unavailable || code == Errc::timeout));
  }
}

TEST_CASE("Every code has a name of its own", "[error]") {
  std::set<std::string_view> names;
  for (const Errc code : all_codes) names.insert(to_string(code));
  CHECK(names.size() == std::size(all_codes));
  CHECK_FALSE(names.contains("unknown"));
  CHECK(to_string(Errc::bad_input) == "bad_input");
}

}  // namespace error_test
