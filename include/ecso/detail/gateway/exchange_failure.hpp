#pragma once

#include <ecso/detail/gateway/upstream_call.hpp>
#include <ecso/error.hpp>

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace ecso::detail::gateway {

/// How an exchange failed, for the client.
struct ExchangeFailure {
  int status = 502;
  std::string code = {};
  std::string message = {};
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  /// The upstream's own response, if that was to the client's own request: it goes on as it is.
  std::optional<UpstreamResponse> upstream = std::nullopt;
};

/// What a client is told: the step and the kind of failure. What the server said stays out, as nobody has verified it.
/// @param name of the upstream, where it is another than the one that answers.
[[nodiscard]] inline std::string public_message(const Error& error, std::string_view name = {}) {
  const std::string server = name.empty() ? std::string{"the upstream"} : fmt::format("the upstream {}", name);
  const auto reason = [&]() -> std::string {
    switch (error.code()) {
      case Errc::bad_input: return error.message();
      case Errc::bad_request: return server + " refused the request";
      case Errc::unauthorized: return server + " refused the key, or wants one";
      case Errc::not_found: return server + " does not know the path or the model";
      case Errc::too_large: return "the request is larger than " + server + " takes";
      case Errc::rate_limited: return server + " has too many requests";
      case Errc::server_error: return server + " failed";
      case Errc::unavailable: return server + " cannot be reached, or is not ready";
      case Errc::tls: return server + "\'s certificate or its TLS handshake is not in order";
      case Errc::timeout: return "the time is over";
      case Errc::cancelled: return "it was given up";
      case Errc::bad_reply: return server + "\'s reply is not usable";
      case Errc::unsupported:
      case Errc::internal: break;
    }
    return "the gateway failed";
  };
  const ErrorContext& context = error.context();
  const std::string step = context.step ? fmt::format("{}: ", to_string(*context.step)) : std::string{};
  const std::string status = context.http_status != 0 ? fmt::format(" (HTTP {})", context.http_status) : std::string{};
  return step + reason() + status;
}

/// What becomes of an exchange that failed.
/// @param own what the upstream said to the client's own request, if it was no success and may go on.
/// @param own_status its status, whatever it said; 0 if it was a success, or none came. @param name as in `public_message`.
[[nodiscard]] inline ExchangeFailure exchange_failure(const Error& error, const std::optional<UpstreamResponse>& own,
                                                      int own_status, std::string_view name = {}) {
  ExchangeFailure failure;
  failure.code = to_string(error.code());
  failure.message = public_message(error, name);
  failure.retry_after = error.context().retry_after;
  switch (error.code()) {
    case Errc::bad_input: failure.status = 400; break;
    case Errc::timeout: failure.status = 504; break;
    case Errc::rate_limited: failure.status = 429; break;
    case Errc::unavailable: failure.status = 503; break;
    default: failure.status = 502; break;
  }
  if (error.context().step != Step::answer || own_status < 400 || own_status > 599) return failure;
  failure.status = own_status;
  failure.upstream = own;
  return failure;
}

}  // namespace ecso::detail::gateway
