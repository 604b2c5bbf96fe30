#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/error.hpp>

#include <chrono>
#include <exception>
#include <string>
#include <utility>
#include <variant>

namespace ecso::detail {

using CallResult = std::variant<Reply, Error>;

/// Makes one call. Whatever the backend throws becomes an Error; a call whose time is over or that was cancelled does not start.
template <ModelBackend Backend>
[[nodiscard]] CallResult call(Backend& backend, const ModelRequest& request, const CallContext& context) {
  if (context.stop.stop_requested()) return Error{Errc::cancelled, "cancelled before the call started"};
  const auto start = std::chrono::steady_clock::now();
  if (context.deadline && start >= *context.deadline)
    return Error{Errc::timeout, "the query's deadline passed before the call started"};
  try {
    Reply reply = std::visit([&](const auto& r) { return backend.generate(r, context); }, request);
    if (reply.duration.count() == 0) reply.duration = std::chrono::steady_clock::now() - start;
    return reply;
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& error) {
    return Error{Errc::internal, std::string{"the backend threw: "} + error.what()};
  } catch (...) {
    return Error{Errc::internal, "the backend threw something that is no std::exception"};
  }
}

/// Gives a call's result to its flow.
template <ModelFlow Flow>
void deliver(Flow& flow, CallId id, CallResult result) {
  if (auto* reply = std::get_if<Reply>(&result)) {
    flow.resume(id, std::move(*reply));
  } else {
    flow.fail(id, std::get<Error>(result));
  }
}

}  // namespace ecso::detail
