#include <ecso/drive/pipeline.hpp>
#include <ecso/drive/run_batch.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"
#include "support/patience.hpp"

namespace early_check_test {

namespace {

using namespace ecso;
using namespace std::chrono_literals;

/// Streams "word ", 400 times or, if its check finds harm in so many, until it is stopped; that is in more than `harmless` words.
/// After 20 words it waits for the first check, so that this finds none.
class Streamer final : public MllmBackend {
 public:
  explicit Streamer(std::size_t harmless, int slots = 0) : harmless_{harmless}, slots_{slots} {}

  Reply generate(const VisionRequest& request, const CallContext& context) override {
    return call(request.options.step, prompt_of(request), context);
  }
  Reply generate(const TextRequest& request, const CallContext& context) override {
    return call(request.options.step, prompt_of(request), context);
  }
  Capabilities capabilities() const override { return {.concurrent = true, .streaming = true, .slots = slots_}; }

  std::atomic<int> broken_off = 0;

 private:
  Reply call(Step step, const std::string& prompt, const CallContext& context) {
    if (step == Step::answer) return stream(context);
    if (step == Step::check) ++checks_;
    Reply reply;
    reply.text = step == Step::check     ? (prompt.size() > 5 * harmless_ + 200 ? "Yes" : "No")
                 : step == Step::recheck ? "No"
                                         : "Some text.";
    return reply;
  }

  Reply stream(const CallContext& context) {
    Reply reply;
    for (std::size_t i = 0; i < 400 || harmless_ < 400; ++i) {
      if (i == 20) static_cast<void>(test::comes_true([&] { return checks_ > 0 || context.stop.stop_requested(); }));
      if (context.stop.stop_requested()) {
        ++broken_off;
        throw Error{Errc::cancelled, "cancelled"};
      }
      reply.text += "word ";
      if (context.on_text) context.on_text("word ");
      std::this_thread::sleep_for(200us);
    }
    return reply;
  }

  std::size_t harmless_;
  int slots_;
  std::atomic<int> checks_ = 0;
};

Policy early_policy() {
  Policy policy;
  policy.incremental_check = {16, 64};
  return policy;
}

Image picture() { return Image::from_bytes(test::png_bytes(2, 1)); }

}  // namespace

TEST_CASE("an answer that turns harmful is broken off while it is generated", "[drive][early]") {
  Streamer model{30};
  std::vector<std::string> seen;
  EcsoPipeline pipeline{model, early_policy(), {.on_step = [&](const StepRecord& record) {
                          seen.push_back(std::string{to_string(record.step)} + (record.early ? " early" : ""));
                        }}};
  const Outcome outcome = pipeline.run(picture(), "What?");
  CHECK(outcome.path == Path::eyes_closed);
  CHECK(outcome.text == "Some text.");
  CHECK(model.broken_off == 1);
  CHECK(seen == std::vector<std::string>{"check early", "check early", "answer early", "caption", "regenerate", "recheck"});
}

TEST_CASE("an answer that stays harmless is generated to its end and checked whole", "[drive][early]") {
  Streamer model{1000};
  const Outcome outcome = EcsoPipeline{model, early_policy()}.run(picture(), "What?");
  CHECK(outcome.path == Path::direct);
  CHECK(outcome.text.size() == 2000);
  CHECK(model.broken_off == 0);
  REQUIRE(outcome.steps.size() == 4);
  CHECK_FALSE(outcome.steps.back().early);
  CHECK(outcome.steps.back().step == Step::check);
}

TEST_CASE("a batch breaks answers off one by one and keeps within the backend's slots", "[drive][early][batch]") {
  Streamer model{30, 2};
  int left = 6;
  int ended = 0;
  const auto next = [&]() -> std::optional<EcsoProtocol> {
    if (left-- == 0) return std::nullopt;
    return EcsoProtocol{ask({picture()}, "What?"), std::make_shared<const Policy>(early_policy()), model.capabilities()};
  };
  run_batch(next, model, [&](std::size_t, const EcsoProtocol& flow) {
    ++ended;
    CHECK(flow.outcome().path == Path::eyes_closed);
  });
  CHECK(ended == 6);
  CHECK(model.broken_off == 6);
}

TEST_CASE("a flow that holds a slot goes on while others wait for one", "[drive][slots]") {
  // Each query's scope takes one of two slots at its first call and keeps it; speculation fills all threads with waiting calls.
  class Slotted final : public MllmBackend {
   public:
    Reply generate(const VisionRequest& request, const CallContext& context) override {
      return call(request.options.step, context);
    }
    Reply generate(const TextRequest& request, const CallContext& context) override {
      return call(request.options.step, context);
    }
    Capabilities capabilities() const override { return {.concurrent = true}; }

   private:
    Reply call(Step step, const CallContext& context) {
      {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, context.stop, [&] { return taken_.contains(context.query) || taken_.size() < 2; });
        if (context.stop.stop_requested()) throw Error{Errc::cancelled, "cancelled"};
        if (taken_.insert(context.query).second) {
          context.query->at_end([this, query = context.query] {
            const std::lock_guard guard{mutex_};
            taken_.erase(query);
            changed_.notify_all();
          });
        }
      }
      Reply reply;
      reply.text = asks_for_verdict(step) ? (step == Step::check ? "Yes" : "No") : "Some text.";
      return reply;
    }

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::set<QueryScope*> taken_;
  };
  Slotted model;
  Policy policy;
  policy.speculation = Speculation::caption;
  int left = 30;
  int repaired = 0;
  const auto next = [&]() -> std::optional<EcsoProtocol> {
    if (left-- == 0) return std::nullopt;
    return EcsoProtocol{ask({picture()}, "What?"), std::make_shared<const Policy>(policy), model.capabilities()};
  };
  run_batch(next, model, [&](std::size_t, const EcsoProtocol& flow) { repaired += flow.outcome().path == Path::eyes_closed; },
            {.deadline = test::patience, .max_in_flight = 4});
  CHECK(repaired == 30);
}

}  // namespace early_check_test
