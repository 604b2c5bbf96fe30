#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/step_requests.hpp>
#include <ecso/decorator/reply_store.hpp>
#include <ecso/detail/cache_entry.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/single_flight.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ecso {

/// Whose replies a cache holds: another scope is another cache, even in the same store.
struct CacheScope {
  std::string endpoint = {};  ///< The server, such as its base URL.
  /// The model that answers requests which name none. May be empty only where the endpoint is given and never serves another
  /// model.
  std::string model = {};
  std::string policy = {};  ///< `fingerprint(policy)` of `ecso/core/protocol_json.hpp`: 64 hexadecimal digits.

  bool operator==(const CacheScope&) const = default;
};

/// What a `CacheBackend` keeps.
struct CacheOptions {
  /// The steps whose replies are kept. Verdicts and captions are the same each time; answers are for people, who may want
  /// another.
  std::vector<Step> steps = {Step::check, Step::recheck, Step::caption};
  /// Also keep replies that chance had a part in: those to requests with neither temperature 0 nor a seed.
  bool also_sampled = false;
  std::size_t max_entry_bytes = std::size_t{1024} * 1024;  ///< Largest reply that is kept, as JSON.
  /// Told when the store cannot be read or written, in the thread of the call; the call goes on without it. What it throws is
  /// dropped.
  std::function<void(const Error&)> on_store_error = {};
};

/// What a `CacheBackend` did so far.
struct CacheStats {
  std::uint64_t hits = 0;          ///< Replies from the store.
  std::uint64_t shared = 0;        ///< Replies of an equal call at the same time, wherever it had them from.
  std::uint64_t misses = 0;        ///< Calls of the model, for requests that may be kept.
  std::uint64_t stored = 0;        ///< Replies put into the store.
  std::uint64_t damaged = 0;       ///< Entries of the store that were not what had been put there; each was also a miss.
  std::uint64_t store_errors = 0;  ///< Times the store could not be read or written.

  bool operator==(const CacheStats&) const = default;
};

/// A model that is asked the same thing only once. A reply is given again only for exactly the same request: every text, image
/// byte, step, sampling setting, choice and model name, in the same scope; so a verdict is never believed of another answer. A
/// reply that was kept says that it took no tokens, as it did not, and gives `on_text` its text in one piece.
///
/// Kept are whole replies alone: no error, nothing empty, nothing a filter cut, and what ends for its length only if it used up
/// the request's own `max_tokens`, since then it would end there again. An entry of the store that is damaged, of another version
/// or under the wrong key counts as none and is overwritten. Whoever can write to the store decides what the verdicts are, and
/// whoever can read it reads the captions: guard it as the program itself.
///
/// Equal calls at the same time become one: the others wait for it, as long as their own stop token and deadline let them. If it
/// fails, is cancelled or gives nothing to keep, each of them makes its own call.
///
/// As thread safe as the backend, which must outlive it, as must the store.
///
///     ecso::MemoryStore store;
///     ecso::CacheBackend cached{model, store, {.endpoint = url, .model = "llava", .policy = ecso::fingerprint(policy)}};
///     ecso::EcsoPipeline pipeline{cached, policy};
class CacheBackend final : public MllmBackend {
 public:
  /// @throws Error (bad_input) if the scope names neither endpoint nor model, or its policy is no fingerprint.
  CacheBackend(MllmBackend& backend, ReplyStore& store, const CacheScope& scope, CacheOptions options = {})
      : backend_{backend},
        store_{store},
        scope_({{"endpoint", scope.endpoint}, {"model", scope.model}, {"policy", scope.policy}}),
        options_{std::move(options)} {
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (scope.endpoint.empty() && scope.model.empty())
      throw Error{Errc::bad_input, "cache: the scope must name the model or its endpoint"};
    if (scope.policy.size() != 64 || !std::ranges::all_of(scope.policy, is_digit))
      throw Error{Errc::bad_input, "cache: the scope's policy must be its fingerprint, 64 hexadecimal digits"};
    if (!detail::exact_json(scope_)) throw Error{Errc::bad_input, "cache: the scope must be UTF-8"};
  }

  /// @throws what the backend throws; never because of the store.
  [[nodiscard]] Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request, context);
  }
  [[nodiscard]] Reply generate(const TextRequest& request, const CallContext& context) override { return call(request, context); }

  [[nodiscard]] Capabilities capabilities() const override { return backend_.capabilities(); }

  /// Each number is right; together they may be of slightly different moments while calls run.
  [[nodiscard]] CacheStats stats() const noexcept {
    return {.hits = hits_,
            .shared = shared_,
            .misses = misses_,
            .stored = stored_,
            .damaged = damaged_,
            .store_errors = store_errors_};
  }

 private:
  using Counter = std::atomic<std::uint64_t>;

  template <typename Request>
  [[nodiscard]] Reply call(const Request& request, const CallContext& context) {
    if (!may_be_kept(request.options)) return backend_.generate(request, context);
    const std::optional<std::string> key = detail::cache_key(scope_, request);
    if (!key) return backend_.generate(request, context);
    detail::SingleFlight::Seat seat{flights_, *key};
    if (!seat.leads()) {
      if (std::optional<Reply> others = seat.wait(context)) return give(std::move(*others), shared_, context);
    } else if (std::optional<Reply> kept = find(*key)) {
      seat.share(*kept);
      return give(std::move(*kept), hits_, context);
    }

    ++misses_;
    Reply reply = backend_.generate(request, context);
    if (!is_worth_keeping(reply, request.options)) return reply;
    const std::optional<std::string> entry = detail::write_cache_entry(*key, reply);
    if (!entry || entry->size() > options_.max_entry_bytes) return reply;
    if (seat.leads()) seat.share(detail::as_free(reply));
    use_store([&] {
      store_.save(*key, *entry);
      ++stored_;
    });
    return reply;
  }

  [[nodiscard]] bool may_be_kept(const CallOptions& options) const {
    const bool is_sampled = options.sampling.temperature != 0.0 && !options.sampling.seed;
    return (!is_sampled || options_.also_sampled) && std::ranges::find(options_.steps, options.step) != options_.steps.end();
  }

  [[nodiscard]] static bool is_worth_keeping(const Reply& reply, const CallOptions& options) {
    if (reply.text.empty()) return false;
    switch (reply.finish_reason) {
      case FinishReason::unknown:
      case FinishReason::stop: return true;
      // Cut by the server's own limits, it might be whole next time.
      case FinishReason::length:
        return options.sampling.max_tokens && reply.usage.completion_tokens >= *options.sampling.max_tokens;
      case FinishReason::content_filter:
      case FinishReason::other: return false;
    }
    return false;
  }

  [[nodiscard]] std::optional<Reply> find(const std::string& key) {
    std::optional<std::string> entry;
    use_store([&] { entry = store_.load(key); });
    if (!entry) return std::nullopt;
    std::optional<Reply> reply = detail::read_cache_entry(key, *entry);
    if (!reply) ++damaged_;
    return reply;
  }

  [[nodiscard]] static Reply give(Reply reply, Counter& counter, const CallContext& context) {
    ++counter;
    if (context.on_text) context.on_text(reply.text);
    return reply;
  }

  template <typename Use>
  void use_store(Use use) {
    try {
      use();
    } catch (const Error& error) {
      report(error);
    } catch (const std::exception& error) {
      report(Error{Errc::internal, std::string{"the reply store threw: "} + error.what()});
    } catch (...) {
      report(Error{Errc::internal, "the reply store threw something that is no std::exception"});
    }
  }

  void report(const Error& error) {
    ++store_errors_;
    if (!options_.on_store_error) return;
    try {
      options_.on_store_error(error);
    } catch (...) {
      return;
    }
  }

  MllmBackend& backend_;
  ReplyStore& store_;
  detail::Json scope_;
  CacheOptions options_;
  detail::SingleFlight flights_;
  Counter hits_{0};
  Counter shared_{0};
  Counter misses_{0};
  Counter stored_{0};
  Counter damaged_{0};
  Counter store_errors_{0};
};

}  // namespace ecso
