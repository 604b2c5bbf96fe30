#pragma once

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace ecso::detail::gateway {

/// Bytes that arrived and are not used yet. Allocates at the first read; never writes what nobody reads.
class ReadBuffer {
 public:
  explicit ReadBuffer(std::size_t initial_bytes) : initial_{initial_bytes} {}

  [[nodiscard]] std::string_view data() const noexcept { return {bytes_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }

  /// May be called while a read into `prepare`'s room is under way.
  void consume(std::size_t count) noexcept { begin_ += count; }

  /// Room for at least one byte more; a buffer that holds `most_bytes` gets none.
  [[nodiscard]] boost::asio::mutable_buffer prepare(std::size_t most_bytes) {
    if (begin_ == end_) begin_ = end_ = 0;
    if (capacity_ == 0) grow_to(initial_);
    if (end_ == capacity_ && begin_ > 0) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    if (end_ == capacity_ && capacity_ < most_bytes) grow_to(std::min(2 * capacity_, most_bytes));
    return {bytes_.get() + end_, std::min(capacity_ - end_, most_bytes - std::min(most_bytes, size()))};
  }
  void commit(std::size_t count) noexcept { end_ += count; }

  /// Gives its memory back if it holds nothing.
  void shrink() noexcept {
    if (size() != 0) return;
    bytes_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  void grow_to(std::size_t capacity) {
    auto larger = std::make_unique_for_overwrite<char[]>(capacity);
    if (size() != 0) std::memcpy(larger.get(), bytes_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
    bytes_ = std::move(larger);
    capacity_ = capacity;
  }

  std::size_t initial_;
  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace ecso::detail::gateway
