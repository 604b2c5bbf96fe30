#pragma once

#include <ecso/core/step.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ecso {

/// What kind of thing went wrong. It tells a caller what to do: mend the input, the set-up, or try again later
/// (`worth_retrying`).
enum class Errc {
  bad_input,     ///< The caller's image, query, template, policy or file is not usable.
  bad_request,   ///< The server refused the request as malformed or too long (HTTP 400, 422).
  unauthorized,  ///< The server refused the key (HTTP 401, 403).
  not_found,     ///< No such path or model (HTTP 404).
  too_large,     ///< The server's size limit (HTTP 413).
  rate_limited,  ///< Too many requests (HTTP 429).
  server_error,  ///< The server failed (other HTTP 5xx).
  unavailable,   ///< No connection, or the server is not ready (HTTP 502, 503, 504).
  tls,           ///< The TLS handshake or the certificate failed.
  timeout,       ///< A call or the whole query ran out of time.
  cancelled,     ///< The caller asked to stop.
  bad_reply,     ///< The server's reply is not what the protocol promises, is empty or is too large.
  unsupported,   ///< The backend cannot do what was asked.
  internal,      ///< An exception of another type came out of a backend or observer.
};

/// The code's name as it stands in traces.
[[nodiscard]] constexpr std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::bad_input: return "bad_input";
    case Errc::bad_request: return "bad_request";
    case Errc::unauthorized: return "unauthorized";
    case Errc::not_found: return "not_found";
    case Errc::too_large: return "too_large";
    case Errc::rate_limited: return "rate_limited";
    case Errc::server_error: return "server_error";
    case Errc::unavailable: return "unavailable";
    case Errc::tls: return "tls";
    case Errc::timeout: return "timeout";
    case Errc::cancelled: return "cancelled";
    case Errc::bad_reply: return "bad_reply";
    case Errc::unsupported: return "unsupported";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

/// True where the same call may succeed later without any change: `rate_limited`, `unavailable`, `timeout`.
[[nodiscard]] constexpr bool worth_retrying(Errc code) noexcept {
  return code == Errc::rate_limited || code == Errc::unavailable || code == Errc::timeout;
}

/// What is known of a failure beside its message. Everything is optional.
struct ErrorContext {
  std::optional<Step> step = std::nullopt;  ///< The step of the method that failed.
  std::string endpoint = {};                ///< The URL, file or backend that failed; never holds a key.
  int http_status = 0;                      ///< The HTTP status, 0 if there was none.
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;  ///< What the server asked to wait.

  bool operator==(const ErrorContext&) const = default;
};

/// The one exception type of ecso. `what()` is one line that names step, endpoint, status and reason. A value: it can be copied
/// and compared.
class Error : public std::exception {
 public:
  Error(Errc code, std::string message, ErrorContext context = {})
      : code_{code}, message_{std::move(message)}, context_{std::move(context)}, what_{describe()} {}

  [[nodiscard]] const char* what() const noexcept override { return what_.c_str(); }
  [[nodiscard]] Errc code() const noexcept { return code_; }
  /// The reason alone, without step, endpoint and status.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  [[nodiscard]] const ErrorContext& context() const noexcept { return context_; }

  /// The same error, said to have happened in `step` unless it already names one.
  [[nodiscard]] Error in_step(Step step) const {
    if (context_.step) return *this;
    ErrorContext context = context_;
    context.step = step;
    return Error{code_, message_, std::move(context)};
  }

  friend bool operator==(const Error& a, const Error& b) {
    return a.code_ == b.code_ && a.message_ == b.message_ && a.context_ == b.context_;
  }

 private:
  [[nodiscard]] std::string describe() const {
    std::string text;
    if (context_.step) text.append(to_string(*context_.step)).append(": ");
    if (!context_.endpoint.empty()) text.append(context_.endpoint).append(": ");
    if (context_.http_status != 0) text.append("HTTP ").append(std::to_string(context_.http_status)).append(": ");
    text += message_;
    std::ranges::replace_if(text, [](char c) { return c == '\n' || c == '\r' || c == '\0'; }, ' ');
    return text;
  }

  Errc code_;
  std::string message_;
  ErrorContext context_;
  std::string what_;
};

}  // namespace ecso
