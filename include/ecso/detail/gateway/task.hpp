#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

#include <chrono>

/// The gateway's names for what Asio gives, all bound to one executor type: each thread has an io_context of its own.
/// gcc 12 miscompiles many spellings of `co_await`: here it is one plain `auto x = co_await f(...);` a statement.
namespace ecso::detail::gateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
template <typename T>
using Task = asio::awaitable<T, Executor>;

/// Ends a co_await with a tuple that begins with the error; nothing is thrown.
inline constexpr auto awaited = asio::as_tuple(asio::use_awaitable_t<Executor>{});

/// Wakes one coroutine of the same thread that waits. What it waits for is looked at again by itself.
class Event {
 public:
  explicit Event(const Executor& executor) : timer_{executor} {}

  void signal() {
    is_set_ = true;
    if (is_awaited_) timer_.cancel();
  }

  /// Until the next signal, or the one that came since the last wait, or the time.
  Task<void> wait(Clock::time_point until = Clock::time_point::max()) {
    if (!is_set_) {
      timer_.expires_at(until);
      is_awaited_ = true;
      auto result = co_await timer_.async_wait(awaited);
      static_cast<void>(result);
      is_awaited_ = false;
    }
    is_set_ = false;
  }

 private:
  Timer timer_;
  bool is_set_ = false;
  bool is_awaited_ = false;
};

}  // namespace ecso::detail::gateway
