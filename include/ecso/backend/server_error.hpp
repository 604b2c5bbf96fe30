#pragma once

#include <ecso/detail/server_json.hpp>
#include <ecso/error.hpp>
#include <ecso/secret.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ecso {
namespace detail {

[[nodiscard]] constexpr Errc errc_of_status(int status) noexcept {
  switch (status) {
    case 401:
    case 403: return Errc::unauthorized;
    case 404:
    case 405: return Errc::not_found;
    case 408: return Errc::timeout;
    case 413: return Errc::too_large;
    case 429: return Errc::rate_limited;
    case 502:
    case 503:
    case 504:
    case 529: return Errc::unavailable;  // 529: Anthropic is overloaded
    default: break;
  }
  if (status >= 300 && status < 400) return Errc::not_found;
  if (status >= 400 && status < 500) return Errc::bad_request;
  if (status >= 500 && status < 600) return Errc::server_error;
  return Errc::bad_reply;
}

/// What to say for a server that says nothing.
[[nodiscard]] constexpr std::string_view reason_of(Errc code) noexcept {
  switch (code) {
    case Errc::bad_request: return "the server refused the request and gave no reason";
    case Errc::unauthorized: return "the server refused the key, or wants one";
    case Errc::not_found: return "the server has no such path; check the base URL";
    case Errc::timeout: return "the server waited too long for the request";
    case Errc::too_large: return "the request is larger than the server's limit";
    case Errc::rate_limited: return "too many requests";
    case Errc::server_error: return "the server failed and gave no reason";
    case Errc::unavailable: return "the server is not ready";
    default: return "not a status that a chat completion can have";
  }
}

/// The message in a JSON body; empty if there is none.
[[nodiscard]] inline std::string message_in(std::string_view body) {
  try {
    const auto json = parse_known_members(body);
    return json ? server_message(*json) : std::string{};
  } catch (const Error&) {
    return {};  // nested too deep: as good as no JSON
  }
}

}  // namespace detail

/// The error for a response whose status is not a success: the status as Errc (see there; also 405 and redirects are `not_found`,
/// 408 is `timeout`, other 4xx are `bad_request`), and the server's own message on one line. Of a body in another shape, HTML for
/// example, the first 200 characters.
/// @param key is taken out of what the server says.
/// @param location where a redirect points to.
[[nodiscard]] inline Error server_error(int status, std::string_view body,
                                        std::optional<std::chrono::milliseconds> retry_after = std::nullopt,
                                        std::string endpoint = {}, const Secret& key = {}, std::string_view location = {}) {
  constexpr std::size_t max_message = 1000;
  constexpr std::size_t max_excerpt = 200;
  const Errc code = detail::errc_of_status(status);
  std::string message;
  if (status >= 300 && status < 400) {
    message = "the server redirects, which is not followed";
    if (!location.empty()) message.append("; it points to ").append(detail::one_line(location, key, max_excerpt));
  } else {
    message = detail::one_line(detail::message_in(body), key, max_message);
    if (message.empty()) message = detail::one_line(body, key, max_excerpt);
    if (message.empty()) message = detail::reason_of(code);
  }
  return Error{code, std::move(message), {.endpoint = std::move(endpoint), .http_status = status, .retry_after = retry_after}};
}

}  // namespace ecso
