#pragma once

#include <ecso/backend/learned_dialects.hpp>
#include <ecso/core/request.hpp>
#include <ecso/error.hpp>

#include <string>
#include <utility>

/// Calls of a model in the way in which it has turned out to be asked. What of a dialect a check needs, and what its reply shows,
/// say `fit_check(CallOptions&, const Dialect&)` and `learn_from_check(Dialect&, const CallOptions&, const Reply&)` beside it.
namespace ecso::detail {

/// Calls `call(request)` with the request, a check fitted to what its model needs.
template <typename Dialect, typename Request, typename Call>
[[nodiscard]] Reply call_fitted(const Request& request, const Dialect& dialect, const Call& call) {
  CallOptions fitted = request.options;
  fit_check(fitted, dialect);
  if (fitted == request.options) return call(request);
  Request other = request;
  other.options = std::move(fitted);
  return call(other);
}

/// Calls a model as it is known, and again in plainer words as long as it refuses a field; learns what has worked.
/// @param call_once `Reply(request, dialect)`. @param plainer `std::optional<Dialect>(dialect, options, error)`: how to ask after
/// a refusal; nothing where another call would not help.
/// @throws Error as `call_once`.
template <typename Dialect, typename Request, typename CallOnce, typename Plainer>
[[nodiscard]] Reply call_as_learned(LearnedDialects<Dialect>& learned, const std::string& model, const Request& request,
                                    const CallOnce& call_once, const Plainer& plainer) {
  const Dialect known = learned.of(model);
  return call_fitted(request, known, [&](const Request& fitted) {
    Dialect dialect = known;
    for (;;) {
      try {
        Reply reply = call_once(fitted, dialect);
        learn_from_check(dialect, fitted.options, reply);
        if (dialect != known) learned.learn(model, 0, dialect);
        return reply;
      } catch (const Error& error) {
        auto next = plainer(dialect, fitted.options, error);
        if (!next) throw;
        dialect = *std::move(next);
      }
    }
  });
}

}  // namespace ecso::detail
