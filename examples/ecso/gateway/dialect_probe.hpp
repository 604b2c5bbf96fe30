#pragma once

#include <ecso/backend/openai_server.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/options.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace ecso::command {

/// Asks upstreams what they understand, all at once, each in a thread of its own; one that cannot be reached again and again.
class DialectProbe {
 public:
  struct Upstream {
    std::size_t place = 0;  ///< To tell it by.
    gateway::UpstreamOptions options = {};
  };

  /// Called in a thread of the probe, one call at a time; not allowed to throw.
  struct Listener {
    std::function<void(std::size_t place, const OpenAiServer& server)> on_answer;
    /// At the first failure. `is_asked_again`: until it answers.
    std::function<void(std::size_t place, const Error& error, bool is_asked_again)> on_silence;
  };

  /// Begins to ask.
  DialectProbe(std::vector<Upstream> upstreams, Listener listener);
  DialectProbe(const DialectProbe&) = delete;
  DialectProbe& operator=(const DialectProbe&) = delete;
  /// Gives up asking; after it, the listener is not called. Takes a moment at most: a thread in a look-up of a name, which
  /// nothing can end, is left to itself.
  ~DialectProbe();

 private:
  struct Shared;

  static void ask(Shared& shared, const Upstream& upstream);

  std::shared_ptr<Shared> shared_;  ///< Outlives this where a thread is stuck.
  std::vector<std::thread> threads_;
};

}  // namespace ecso::command
