#include <ecso/core/protocol_json.hpp>

#include <ecso/detail/json.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

namespace protocol_json_test {

namespace {

using namespace ecso;
using Catch::Matchers::ContainsSubstring;

const std::vector<Image> images{Image::from_bytes(test::png_bytes(2, 1)), Image::from_bytes(test::png_bytes(2, 2))};

/// Calls `visit` on every protocol that can be reached by good replies, whichever call ends first, and by one failure.
void for_each_moment(const EcsoProtocol& at, const std::function<void(const EcsoProtocol&)>& visit) {
  visit(at);
  if (at.done()) return;
  const auto go_on = [&](const PendingCall& call, const char* text, FinishReason finish = FinishReason::stop) {
    EcsoProtocol next = at;
    next.resume(call.id, {.text = text,
                          .finish_reason = finish,
                          .usage = {5, 3, 1},
                          .model = "m",
                          .counts = {.prompt = 7, .text = 3},
                          .duration = std::chrono::nanoseconds{1234567}});
    for_each_moment(next, visit);
  };
  go_on(at.pending().front(), "Yes");
  if (asks_for_verdict(at.pending().front().step())) {
    go_on(at.pending().front(), "No");
    if (at.outcome().steps.size() < 8) {
      go_on(at.pending().front(), "Hm.");
      go_on(at.pending().front(), "", FinishReason::length);
    }
  }
  if (at.pending().size() > 1 && at.outcome().steps.size() < 3) go_on(at.pending().back(), "A drawing.");
  EcsoProtocol failed = at;
  failed.fail(at.pending().front().id,
              Error{Errc::rate_limited, "slow down", {.http_status = 429, .retry_after = std::chrono::milliseconds{1500}}});
  visit(failed);
}

std::shared_ptr<const Policy> speculating() {
  Policy policy = policy::production();
  policy.speculation = Speculation::caption;
  return std::make_shared<const Policy>(policy);
}

}  // namespace

TEST_CASE("a protocol comes back from JSON equal to itself at every moment", "[protocol][json]") {
  const auto policy = speculating();
  Conversation chat = ask({images[0], images[1]}, "Compare \"them\".");
  chat.messages.insert(chat.messages.begin(), Message{Role::system, {std::string{"Be brief."}}});
  chat.context = "tools: []";
  std::size_t moments = 0;
  for_each_moment(EcsoProtocol{chat, policy, {.logprobs = true}, Sampling{.temperature = 0.25, .stop = {"\n\n"}}},
                  [&](const EcsoProtocol& protocol) {
                    const std::string text = detail::dump_json(to_json(protocol));
                    const EcsoProtocol back = protocol_from_json(detail::parse_json(text, "state"), policy, images);
                    if (!(back == protocol)) FAIL(text);
                    ++moments;
                  });
  CHECK(moments > 100);
}

TEST_CASE("a protocol that is read back goes on as the one that was written", "[protocol][json]") {
  const auto policy = speculating();
  EcsoProtocol protocol{ask({images[0]}, "What?"), policy};
  Reply reply;
  reply.text = "Bad.";
  protocol.resume(protocol.pending().front().id, reply);
  EcsoProtocol back = protocol_from_json(to_json(protocol), policy, images);
  for (EcsoProtocol* p : {&protocol, &back}) {
    while (!p->done()) {
      reply.text = p->pending().front().step() == Step::check ? "Yes" : "No";
      p->resume(p->pending().front().id, reply);
    }
  }
  CHECK(back == protocol);
  CHECK(back.outcome().path == Path::eyes_closed);
}

TEST_CASE("a clarification is not read back without the undecided check that it follows", "[protocol][json]") {
  const auto policy = speculating();
  EcsoProtocol protocol{ask({}, "What?"), policy};
  protocol.resume(0, {.text = "A bowl."});
  protocol.resume(1, {.text = "Hm."});
  REQUIRE(protocol.pending().front().clarification == 1);
  for (const int other : {-1, 2, 9}) {
    auto json = to_json(protocol);
    json["pending"][0]["clarification"] = other;
    CHECK_THROWS_WITH(protocol_from_json(json, policy, images), ContainsSubstring("protocol.pending.clarification"));
  }
  auto json = to_json(protocol);
  json["outcome"]["steps"][1]["verdict"] = "safe";
  CHECK_THROWS_WITH(protocol_from_json(json, policy, images), ContainsSubstring("protocol.pending.clarification"));
}

TEST_CASE("the JSON of a protocol holds no image", "[protocol][json]") {
  const std::string text = detail::dump_json(to_json(EcsoProtocol{ask({images[0]}, "What?"), speculating()}));
  CHECK(text.find(images[0].base64().substr(0, 40)) == std::string::npos);
  CHECK_THAT(text, ContainsSubstring(std::string{images[0].sha256()}));
}

TEST_CASE("a protocol is not read under another policy, without its images, or when its parts do not fit", "[protocol][json]") {
  const auto policy = speculating();
  EcsoProtocol protocol{ask({images[0]}, "What?"), policy};
  const auto json = to_json(protocol);
  CHECK_THROWS_WITH(protocol_from_json(json, std::make_shared<const Policy>(), images), ContainsSubstring("another policy"));
  CHECK_THROWS_WITH(protocol_from_json(json, nullptr, images), ContainsSubstring("another policy"));
  CHECK_THROWS_WITH(protocol_from_json(json, policy, {}), ContainsSubstring("no image with hash"));
  const auto broken = [&](auto change) {
    auto copy = json;
    change(copy);
    return protocol_from_json(copy, policy, images);
  };
  CHECK_THROWS_WITH(broken([](auto& j) { j["schema"] = 99; }), ContainsSubstring("protocol.schema: is 99"));
  CHECK_THROWS_WITH(broken([](auto& j) { j.erase("state"); }), ContainsSubstring("protocol.state: missing"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["state"] = "dreaming"; }), ContainsSubstring("is not a state"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["state"] = "done"; }), ContainsSubstring("does not fit the state"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["state"] = "checking", j["answer"] = 3; }),
                    ContainsSubstring("is not the number of an answer"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["pending"][0]["step"] = "recheck"; }), ContainsSubstring("does not fit the state"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["pending"][0]["id"] = 77; }), ContainsSubstring("protocol.pending.id"));
  CHECK_THROWS_WITH(broken([](auto& j) {
                      j["next_id"] = 9;
                      j["pending"].push_back(j["pending"][0]);
                      j["pending"].back()["id"] = 8;
                    }),
                    ContainsSubstring("protocol.pending.id"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["pending"] = nlohmann::ordered_json::array(); }),
                    ContainsSubstring("does not fit the state"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["round"] = 9; }), ContainsSubstring("protocol.round"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["messages"][0]["role"] = "king"; }),
                    ContainsSubstring("\"king\" is none of system, user, assistant"));
  CHECK_THROWS_WITH(broken([](auto& j) { j["messages"] = 5; }), ContainsSubstring("must be an array"));
}

}  // namespace protocol_json_test
