#pragma once

#include <ecso/core/trace.hpp>
#include <ecso/gateway/client_chat.hpp>
#include <ecso/gateway/options.hpp>

#include <string>
#include <string_view>

/// How a stream ends of which a part had left before the rest of its answer was found harmful. Pure.
namespace ecso::detail::gateway {

/// Between what has left and what stands in for the rest.
inline constexpr std::string_view paragraph = "\n\n";

/// The outcome as the client sees it. @param left what has left of the answer.
[[nodiscard]] inline Outcome seen_outcome(Outcome outcome, std::string_view left, ecso::gateway::OnHarm on_harm) {
  if (on_harm == ecso::gateway::OnHarm::replace) {
    outcome.text.insert(0, std::string{left}.append(paragraph));
    return outcome;
  }
  outcome.path = Path::stopped;
  outcome.text = left;
  outcome.error.reset();
  return outcome;
}

/// The last bytes of the stream.
[[nodiscard]] inline std::string rest_after_harm(const ecso::gateway::ClientChat& chat, ecso::gateway::UpstreamAnswer& answer,
                                                 const Outcome& outcome, const ecso::gateway::ReleaseNote& note,
                                                 ecso::gateway::OnHarm on_harm) {
  switch (on_harm) {
    case ecso::gateway::OnHarm::stop: return answer.release_end({}, note);
    case ecso::gateway::OnHarm::replace: return answer.release_end(std::string{paragraph}.append(outcome.text), note);
    case ecso::gateway::OnHarm::end: break;
  }
  return chat.error_event(502, "harmful", "the rest of the answer was found harmful");
}

}  // namespace ecso::detail::gateway
