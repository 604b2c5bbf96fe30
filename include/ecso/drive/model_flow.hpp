#pragma once

#include <ecso/core/protocol.hpp>
#include <ecso/error.hpp>

#include <concepts>
#include <span>
#include <string>
#include <utility>

namespace ecso {

/// Anything a driver can run to its end: it names the calls that may go out, takes replies and failures, and knows when it is
/// done.
template <typename T>
concept ModelFlow = requires(T& flow, const T& observed, CallId id, Reply reply, const Error& error) {
  { observed.pending() } -> std::convertible_to<std::span<const PendingCall>>;
  { observed.done() } -> std::same_as<bool>;
  flow.resume(id, std::move(reply));
  flow.fail(id, error);
};

/// A flow that wants to know what there is of some texts while they are generated: `report_at` of a call gives the numbers of
/// tokens at which, and `progress` takes the text.
template <typename T>
concept ProgressFlow = ModelFlow<T> && requires(T& flow, const T& observed, CallId id, std::string text) {
  { observed.report_at(id) } -> std::convertible_to<std::span<const int>>;
  flow.progress(id, std::move(text));
};

/// A backend in the eyes of a driver: `MllmBackend`, a class derived from it, or any type with the same two functions.
template <typename T>
concept ModelBackend = requires(T& backend, const VisionRequest& vision, const TextRequest& text, const CallContext& context) {
  { backend.generate(vision, context) } -> std::same_as<Reply>;
  { backend.generate(text, context) } -> std::same_as<Reply>;
  { backend.capabilities() } -> std::same_as<Capabilities>;
};

static_assert(ProgressFlow<EcsoProtocol>);

}  // namespace ecso
