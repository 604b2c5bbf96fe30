#pragma once

#include <ecso/detail/gateway/request_head.hpp>

#include <boost/beast/http/status.hpp>

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace ecso::detail::gateway {

/// What is said to a client.
struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string headers = {};  ///< Further lines, each with its CRLF.
  std::string body = {};
};

/// The head of a response, with the header lines that say how its body ends and whether the connection goes on.
[[nodiscard]] inline std::string response_head(const Response& response, std::string_view framing, std::string_view persistence) {
  namespace http = boost::beast::http;
  const std::string_view reason = view_of(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status))));
  return fmt::format("HTTP/1.1 {} {}\r\ncontent-type: {}\r\n{}{}{}\r\n", response.status, reason, response.content_type,
                     response.headers, framing, persistence);
}

}  // namespace ecso::detail::gateway
