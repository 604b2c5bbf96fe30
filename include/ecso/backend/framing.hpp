#pragma once

#include <ecso/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

/// How servers cut a response into messages, read from pieces that may end anywhere. Each of these takes bytes by
/// `feed(bytes, sink)`, calls `sink(message)` for each message that is complete, and again at the end by `finish(sink)` for one
/// that its format lets end with the response. Not thread safe.
namespace ecso {

/// Longest message of a stream, in bytes.
inline constexpr std::size_t max_stream_message_bytes = std::size_t{4} * 1024 * 1024;

namespace detail {

inline void check_message_size(std::size_t size) {
  if (size > max_stream_message_bytes) {
    throw Error{Errc::bad_reply, "a message of the stream is longer than " + std::to_string(max_stream_message_bytes) + " bytes"};
  }
}

/// Messages that end with a byte.
template <char End>
class EndByteFraming {
 public:
  /// @throws Error (bad_reply) if a message is longer than `max_stream_message_bytes`; and what `sink` throws.
  template <typename Sink>
  void feed(std::string_view bytes, const Sink& sink) {
    for (std::size_t end = bytes.find(End); end != bytes.npos; end = bytes.find(End)) {
      check_message_size(rest_.size() + end);
      if (rest_.empty()) {
        sink(bytes.substr(0, end));
      } else {
        rest_.append(bytes.substr(0, end));
        sink(std::string_view{rest_});
        rest_.clear();
      }
      bytes.remove_prefix(end + 1);
    }
    check_message_size(rest_.size() + bytes.size());
    rest_.append(bytes);
  }

  /// A last message may lack its end.
  template <typename Sink>
  void finish(const Sink& sink) {
    if (!rest_.empty()) sink(std::string_view{rest_});
    rest_.clear();
  }

 private:
  std::string rest_;
};

}  // namespace detail

/// One JSON a line: Ollama.
using LineFraming = detail::EndByteFraming<'\n'>;

/// JSON texts that end with a zero byte: the LLaVA worker.
using NulFraming = detail::EndByteFraming<'\0'>;

/// Server-sent events (WHATWG HTML, "Server-sent events", event stream interpretation): lines end with CR LF, LF or CR; comments
/// and unknown fields are skipped; an event without a data line is none; an event that its empty line does not complete is
/// dropped. The sink gets `(event, data)`; `event` is empty where the stream names none.
class SseFraming {
 public:
  /// @throws Error (bad_reply) if an event or line is longer than `max_stream_message_bytes`; and what `sink` throws.
  template <typename Sink>
  void feed(std::string_view bytes, const Sink& sink) {
    while (!bytes.empty()) {
      if (is_after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
      is_after_cr_ = false;
      const std::size_t end = bytes.find_first_of("\r\n");
      detail::check_message_size(line_.size() + data_.size() + std::min(end, bytes.size()));
      line_.append(bytes.substr(0, end));
      if (end == bytes.npos) return;
      is_after_cr_ = bytes[end] == '\r';
      bytes.remove_prefix(end + 1);
      take_line(sink);
      line_.clear();
    }
  }

  /// Nothing: what is not complete does not count.
  template <typename Sink>
  void finish(const Sink&) noexcept {}

 private:
  template <typename Sink>
  void take_line(const Sink& sink) {
    std::string_view line = line_;
    if (is_first_line_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    is_first_line_ = false;
    if (line.empty()) return dispatch(sink);
    const std::size_t colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view value = colon == line.npos ? std::string_view{} : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "data") {
      data_.append(value).append(1, '\n');
    } else if (field == "event") {
      event_ = value;
    }
  }

  template <typename Sink>
  void dispatch(const Sink& sink) {
    if (!data_.empty()) {
      data_.pop_back();
      sink(std::string_view{event_}, std::string_view{data_});
    }
    data_.clear();
    event_.clear();
  }

  std::string line_;
  std::string data_;
  std::string event_;
  bool is_after_cr_ = false;
  bool is_first_line_ = true;
};

}  // namespace ecso
