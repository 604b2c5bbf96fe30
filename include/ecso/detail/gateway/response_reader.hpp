#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/optional/optional.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace ecso::detail::gateway {

/// A body that goes to a function piece by piece.
struct SinkBody {
  using value_type = std::function<void(std::string_view)>;

  class reader {
   public:
    template <bool is_request, typename Fields>
    reader(boost::beast::http::header<is_request, Fields>& /*head*/, value_type& sink) : sink_{sink} {}

    void init(const boost::optional<std::uint64_t>& /*length*/, boost::system::error_code& error) { error = {}; }

    template <typename Buffers>
    std::size_t put(const Buffers& buffers, boost::system::error_code& error) {
      error = {};
      std::size_t size = 0;
      for (const auto& buffer : boost::beast::buffers_range_ref(buffers)) {
        sink_(std::string_view{static_cast<const char*>(buffer.data()), buffer.size()});
        size += buffer.size();
      }
      return size;
    }

    void finish(boost::system::error_code& error) { error = {}; }

   private:
    value_type& sink_;
  };
};

using ResponseParser = boost::beast::http::response_parser<SinkBody>;
using RequestParser = boost::beast::http::request_parser<SinkBody>;

/// Gives a parser what has arrived; gives how much of it was used. "need more" is no error.
template <typename Parser>
[[nodiscard]] std::size_t put(Parser& parser, std::string_view bytes, boost::system::error_code& error) {
  std::size_t used = 0;
  error = {};
  while (used < bytes.size() && !parser.is_done()) {
    const bool was_head = !parser.is_header_done();
    const std::size_t taken = parser.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += taken;
    if (error == boost::beast::http::error::need_more) {
      error = {};
      return used;
    }
    if (error || (taken == 0 && was_head == !parser.is_header_done())) return used;
    if (was_head && parser.is_header_done()) return used;
  }
  return used;
}

}  // namespace ecso::detail::gateway
