#pragma once

#include <ecso/backend/llava_wire.hpp>
#include <ecso/backend/server_error.hpp>
#include <ecso/core/backend.hpp>
#include <ecso/detail/server_json.hpp>
#include <ecso/detail/text.hpp>
#include <ecso/error.hpp>
#include <ecso/http/client.hpp>
#include <ecso/http/options.hpp>
#include <ecso/http/url.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso {
namespace detail {

/// Host of a URL in lower case, without port; an IPv6 address in its brackets.
[[nodiscard]] inline std::string host_of(const Url& url) {
  std::string_view text = url.text();
  text.remove_prefix(text.find("://") + 3);
  text = text.substr(0, text.find('/'));
  return lower_ascii(text.substr(0, text.starts_with('[') ? text.find(']') + 1 : text.find(':')));
}

/// True for a name or address of the machine itself. "127.example.com" is none.
[[nodiscard]] inline bool is_loopback(std::string_view host) {
  const bool is_number = host.find_first_not_of("0123456789.") == host.npos;
  return host == "localhost" || host == "[::1]" || (is_number && host.starts_with("127."));
}

/// @throws Error (bad_reply) if `controller` may not lead to `worker`, see LlavaController.
inline void check_worker(const Url& worker, const Url& controller, const std::vector<std::string>& allowed_hosts) {
  const std::string host = host_of(worker);
  const std::string own = host_of(controller);
  if (std::ranges::find(allowed_hosts, host) != allowed_hosts.end()) return;
  if (host != own && !(is_loopback(host) && is_loopback(own))) {
    throw Error{Errc::bad_reply, worker.text() + " is not on the controller's host; to trust it, list " + host +
                                     " as a host that workers may be on"};
  }
  const bool is_downgrade = controller.text().starts_with("https:") && !worker.text().starts_with("https:");
  if (is_downgrade) throw Error{Errc::bad_reply, worker.text() + " has no TLS, which the controller has"};
}

}  // namespace detail

/// A LLaVA controller, which knows the workers. Thread safe.
///
/// What it says of a worker's address is a stranger's word, and a request with the user's image would follow it anywhere. So a
/// worker must be on the controller's own host (both on this machine counts as that), and on https if the controller is, or else
/// on a host that the user has listed.
class LlavaController {
 public:
  /// @param allowed_worker_hosts hosts without port: "gpu-2", "10.0.0.7", "[fd00::7]".
  /// @param http for the calls to the controller; its answers may have 1 MiB at most.
  LlavaController(Url url, const std::vector<std::string>& allowed_worker_hosts, HttpOptions http)
      : url_{std::move(url)}, client_{limited(std::move(http))} {
    for (const std::string& host : allowed_worker_hosts) allowed_.push_back(detail::lower_ascii(host));
  }

  /// A worker that has `model`; none if there is none. The controller spreads the load by what it has answered before.
  /// @throws Error with the controller as endpoint: as `HttpClient::post`, `server_error` and `parse_llava_address` say, and
  /// `bad_reply` for an address that is not allowed.
  [[nodiscard]] std::optional<Url> worker_for(std::string_view model, const CallContext& context) {
    const std::string address = ask("/get_worker_address", llava_address_request_body(model), context, parse_llava_address);
    if (address.empty()) return std::nullopt;
    try {
      Url worker = Url::parse(address);
      detail::check_worker(worker, url_, allowed_);
      return worker;
    } catch (const Error& error) {
      throw Error{
          Errc::bad_reply, "the controller's worker: " + detail::excerpt_of(error.message(), {}), {.endpoint = url_.text()}};
    }
  }

  /// Names of the models that have a worker, sorted.
  /// @throws Error with the controller as endpoint.
  [[nodiscard]] std::vector<std::string> models(const CallContext& context) {
    return ask("/list_models", {}, context, parse_llava_models);
  }

  /// Has the controller ask all its workers whether they live, and forget those that do not.
  /// @throws Error with the controller as endpoint.
  void refresh(const CallContext& context) { static_cast<void>(post("/refresh_all_workers", {}, context)); }

  /// The error for a model without a worker: `not_found`, or `bad_input` if `model` is empty, naming the models there are; or
  /// `unavailable` if there are none at all, as workers come back by themselves.
  /// @throws Error if the controller cannot be asked.
  [[nodiscard]] Error no_worker(std::string_view model, const CallContext& context) {
    constexpr std::size_t max_named = 20;
    const std::vector<std::string> known = models(context);
    if (known.empty() && !model.empty())
      return {Errc::unavailable, "the controller has no worker at all", {.endpoint = url_.text()}};
    std::string message =
        model.empty() ? "no model is named" : "no worker has the model \"" + detail::excerpt_of(model, {}) + "\"";
    for (std::size_t i = 0; i < std::min(known.size(), max_named); ++i) {
      message.append(i == 0 ? "; there are " : ", ").append(detail::excerpt_of(known[i], {}));
    }
    if (known.size() > max_named) message.append(" and ").append(std::to_string(known.size() - max_named)).append(" more");
    return {model.empty() ? Errc::bad_input : Errc::not_found, std::move(message), {.endpoint = url_.text()}};
  }

 private:
  [[nodiscard]] static HttpOptions limited(HttpOptions http) {
    http.max_response_bytes = std::min(http.max_response_bytes, std::size_t{1} * 1024 * 1024);
    return http;
  }

  [[nodiscard]] HttpResponse post(std::string_view path, std::string_view body, const CallContext& context) {
    const Url url = url_.with_path(path);
    const HttpHeader headers[] = {{"Content-Type", "application/json"}};
    HttpResponse response = client_.post(url, body, headers, context);
    if (response.status >= 200 && response.status < 300) return response;
    throw server_error(response.status, response.body, response.retry_after, url.text(), {}, response.location);
  }

  template <typename Result>
  [[nodiscard]] Result ask(std::string_view path, std::string_view body, const CallContext& context,
                           Result (*parse)(std::string_view)) {
    const HttpResponse response = post(path, body, context);
    try {
      return parse(response.body);
    } catch (const Error& error) {
      throw Error{error.code(), error.message(), {.endpoint = url_.with_path(path).text(), .http_status = response.status}};
    }
  }

  Url url_;
  std::vector<std::string> allowed_;
  HttpClient client_;
};

}  // namespace ecso
