#pragma once

#include <ecso/detail/gateway/sweeper.hpp>
#include <ecso/detail/gateway/task.hpp>
#include <ecso/detail/gateway/upstream.hpp>
#include <ecso/detail/gateway/upstream_call.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// Asks upstreams which models they have, all at once. Of one thread.
class ModelQuery final : public Timed, public std::enable_shared_from_this<ModelQuery> {
 public:
  ModelQuery(Sweeper& sweeper, const Executor& executor, const std::vector<std::shared_ptr<Upstream>>& upstreams)
      : Timed{sweeper}, executor_{executor}, changed_{executor} {
    for (const auto& upstream : upstreams) calls_.push_back({upstream, std::make_shared<UpstreamCall>(sweeper, upstream)});
  }

  /// Ends it: what has come by then is the answer.
  void give_up() {
    for (const Call& call : calls_) call.sent->cancel();
  }

  /// @param headers lines for an upstream.
  Task<void> run(std::shared_ptr<ModelQuery> self, std::function<std::string(const Upstream&)> headers) {
    static_cast<void>(self);
    expire_after(patience);
    open_ = calls_.size();
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      asio::co_spawn(executor_, ask(shared_from_this(), i, headers(*calls_[i].upstream)), asio::detached);
    }
    while (open_ > 0) co_await changed_.wait();
    expire_never();
  }

  /// The list of all that answered with a success; nothing if none did.
  [[nodiscard]] std::optional<std::string> list() const {
    std::vector<std::string_view> bodies;
    for (const Call& call : calls_) {
      if (call.response && call.response->status < 300) bodies.push_back(call.response->body);
    }
    if (bodies.empty()) return std::nullopt;
    return bodies.size() == 1 ? std::string{bodies.front()} : merged(bodies);
  }

  /// What the first said that answered, but not with a success; null if none did.
  [[nodiscard]] const UpstreamResponse* refusal() const {
    const auto is_refusal = [](const Call& call) { return call.response && call.response->status >= 400; };
    const auto found = std::ranges::find_if(calls_, is_refusal);
    return found == calls_.end() ? nullptr : &*found->response;
  }

 private:
  static constexpr std::chrono::milliseconds patience{5'000};
  static constexpr std::size_t most_bytes = std::size_t{4} << 20;

  struct Call {
    std::shared_ptr<Upstream> upstream;
    std::shared_ptr<UpstreamCall> sent;
    std::optional<UpstreamResponse> response = std::nullopt;
  };

  void on_expired() override { give_up(); }

  static Task<void> ask(std::shared_ptr<ModelQuery> self, std::size_t number, std::string headers) {
    Call& call = self->calls_[number];
    try {
      std::string body;
      UpstreamRequest request{.method = "GET", .target = "/models", .headers = std::move(headers)};
      ResponseSink sink{.on_body = [&body](std::string_view bytes) {
        if (bytes.size() > most_bytes - body.size()) throw Error{Errc::bad_reply, "a list of models of more than 4 MiB"};
        body += bytes;
      }};
      auto response = co_await call.sent->send(call.sent, std::move(request), std::move(sink));
      if (response.status < 300) response.body = std::move(body);
      call.response = std::move(response);
    } catch (const std::exception&) {
      call.response.reset();  // the others' models are listed without its own
    }
    --self->open_;
    self->changed_.signal();
  }

  /// One list of the models of several. A body that is no such list adds nothing.
  [[nodiscard]] static std::string merged(const std::vector<std::string_view>& bodies) {
    std::string all = R"({"object":"list","data":[)";
    std::string_view before;
    for (const std::string_view body : bodies) {
      try {
        const JsonText list{body};
        for (const JsonValue model : list.root()["data"].items()) all.append(std::exchange(before, ",")).append(model.raw());
      } catch (const Error&) {
        continue;
      }
    }
    return all + "]}";
  }

  Executor executor_;
  Event changed_;
  std::vector<Call> calls_;
  std::size_t open_ = 0;
};

}  // namespace ecso::detail::gateway
