#include "exit_code.hpp"

#include "printing.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::command {

namespace {

std::string_view advice_for(const Error& error) noexcept {
  switch (error.code()) {
    case Errc::unauthorized: return "set ECSO_API_KEY, or name a file with the key by --api-key-file";
    case Errc::not_found: return "check the URL of --backend, and --model";
    case Errc::too_large: return "send a smaller image, or raise the server's limit";
    case Errc::rate_limited: return "try again later";
    case Errc::server_error: return "the server's log may say more";
    case Errc::unavailable:
      return error.context().http_status == 0 ? "is the server running, and the URL of --backend right?" : "try again later";
    case Errc::tls: return "check the server's certificate, and whether it speaks https at all";
    case Errc::timeout: return "is the server out of reach, or slow? --deadline gives a query more time";
    case Errc::bad_reply: return "is the URL of --backend that of an OpenAI-compatible server?";
    case Errc::internal: return "this is a fault in ecso or a backend";
    default: return {};
  }
}

}  // namespace

int exit_code_of(const Error& error) noexcept {
  switch (error.code()) {
    case Errc::bad_input:
    case Errc::bad_request:
    case Errc::too_large:
    case Errc::unsupported: return exit_bad_input;
    case Errc::unauthorized:
    case Errc::not_found:
    case Errc::server_error:
    case Errc::tls:
    case Errc::bad_reply: return exit_unavailable;
    // A server that answers at all will be ready soon; one that cannot be reached needs somebody's hand.
    case Errc::unavailable: return error.context().http_status == 0 ? exit_unavailable : exit_try_again;
    case Errc::rate_limited:
    case Errc::timeout: return exit_try_again;
    case Errc::cancelled: return exit_interrupted;
    case Errc::internal: return exit_internal;
  }
  return exit_internal;
}

int exit_code_of(const Outcome& outcome) noexcept {
  if (outcome.path == Path::failed) return outcome.error ? exit_code_of(*outcome.error) : exit_internal;
  return outcome.path == Path::refused ? exit_refused : exit_answered;
}

std::string explain(const Error& error) {
  std::string text = one_line(error.what());
  if (const auto wait = error.context().retry_after) text += fmt::format(" (it asks to wait {} s)", (wait->count() + 999) / 1000);
  std::string advice{advice_for(error)};
  if (advice.empty()) return text;
  // A check's server may be another.
  if (const auto step = error.context().step; step && asks_for_verdict(*step)) {
    for (const auto& [name, both] : {std::pair{"--backend", "--backend or --check-backend"},
                                     std::pair{"ECSO_API_KEY", "ECSO_API_KEY or ECSO_CHECK_API_KEY"}}) {
      const std::size_t at = advice.find(name);
      if (at != std::string::npos) advice.replace(at, std::string_view{name}.size(), both);
    }
  }
  return text.append("; ").append(advice);
}

}  // namespace ecso::command
