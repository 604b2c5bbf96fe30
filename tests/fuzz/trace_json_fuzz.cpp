// The readers of outcomes, replies, policies and protocols: whatever comes, they read it or refuse it with an Error, and what
// they read they write again the same.

#include <ecso/core/policy_json.hpp>
#include <ecso/core/protocol_json.hpp>
#include <ecso/core/trace_json.hpp>
#include <ecso/detail/json.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace {

/// Reads with `read`; if that works, what is written must be read again as equal.
template <typename Read>
void round_trip(const ecso::detail::Json& json, Read read) {
  try {
    const auto value = read(json);
    if (!(read(ecso::detail::parse_json(ecso::detail::dump_json(to_json(value)), "again")) == value)) std::abort();
  } catch (const ecso::Error&) {
    return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto policy = std::make_shared<const ecso::Policy>();
  static const std::string fingerprint = ecso::fingerprint(*policy);
  ecso::detail::Json json;
  try {
    json = ecso::detail::parse_json({reinterpret_cast<const char*>(data), size}, "input");
  } catch (const ecso::Error&) {
    return 0;
  }
  round_trip(json, [](const auto& j) { return ecso::outcome_from_json(j); });
  round_trip(json, [](const auto& j) { return ecso::reply_from_json(j); });
  round_trip(json, [](const auto& j) { return ecso::policy_from_json(j); });
  if (json.is_object()) json["policy_sha256"] = fingerprint;
  try {
    ecso::EcsoProtocol protocol = ecso::protocol_from_json(json, policy, {});
    ecso::Reply reply;
    reply.text = "No";
    while (!protocol.done()) protocol.resume(protocol.pending().front().id, reply);
  } catch (const ecso::Error&) {
    return 0;
  }
  return 0;
}
