#pragma once

#include <ecso/core/trace.hpp>
#include <ecso/gateway/client_chat.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ecso::gateway {

/// One finished request, for logs and audits. Valid only during the call that shows it.
struct RequestRecord {
  std::string_view id;       ///< Unique; also in the header `x-request-id` of the response.
  std::string_view client;   ///< Name of its key; empty if there are none.
  std::string_view address;  ///< Of its connection.
  std::string_view method;
  std::string_view target;    ///< Without a query.
  std::string_view model;     ///< Of a chat.
  std::string_view upstream;  ///< Name of the one that answered; empty if none did.
  std::string_view checker;   ///< Of a chat: name of the one that its policy has check; empty if that is the one that answers.
  int status = 0;             ///< 499: the client went away first.
  std::size_t request_bytes = 0;
  std::size_t response_bytes = 0;
  std::chrono::nanoseconds duration{0};
  std::chrono::nanoseconds upstream_time{0};  ///< While at least one upstream call was under way.
  std::string_view error = {};                ///< One line; empty if all went well.
  /// Of a chat that came to an end: one outcome a choice, with the text of all steps.
  std::vector<const Outcome*> outcomes = {};
  const Conversation* conversation = nullptr;  ///< Of a chat.
};

/// Sees every finished request, in the thread that served it: several at once. Must not throw, and be quick.
using OnRequest = std::function<void(const RequestRecord& record)>;

}  // namespace ecso::gateway
