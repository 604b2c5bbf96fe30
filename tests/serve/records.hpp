#pragma once

#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/gateway/request_record.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace ecso::test {

/// A request as the gateway tells of it, with all that its record points at.
struct ToldRequest {
  std::vector<Outcome> outcomes;
  Conversation conversation;
  gateway::RequestRecord record;

  /// Points the record at the rest; once that is as it shall be.
  const gateway::RequestRecord& told() {
    record.outcomes.clear();
    for (const Outcome& outcome : outcomes) record.outcomes.push_back(&outcome);
    record.conversation = &conversation;
    return record;
  }
};

inline StepRecord step(Step kind, int round, std::string reply) {
  StepRecord record;
  record.step = kind;
  record.round = round;
  record.reply = std::move(reply);
  record.usage = {.prompt_tokens = 100, .cached_tokens = 10, .completion_tokens = 1};
  return record;
}

inline StepRecord verdict(Step kind, int round, Verdict said, double p_harmful) {
  StepRecord record = step(kind, round, "yes or no");
  record.verdict = said;
  record.p_harmful = p_harmful;
  return record;
}

/// A choice that took two eyes-closed rounds.
inline Outcome repaired() {
  Outcome outcome;
  outcome.path = Path::eyes_closed;
  outcome.text = "good";
  outcome.policy = "production";
  outcome.steps = {step(Step::answer, 0, "bad"),
                   verdict(Step::check, 0, Verdict::harmful, 0.98),
                   step(Step::caption, 1, "a caption"),
                   step(Step::regenerate, 1, "worse"),
                   verdict(Step::recheck, 1, Verdict::harmful, 0.75),
                   step(Step::regenerate, 2, "good"),
                   verdict(Step::recheck, 2, Verdict::safe, 0.01)};
  return outcome;
}

inline Outcome refused() {
  Outcome outcome = repaired();
  outcome.path = Path::refused;
  outcome.text = "No.";
  return outcome;
}

inline Outcome direct() {
  Outcome outcome;
  outcome.path = Path::direct;
  outcome.text = "fine";
  outcome.policy = "production";
  outcome.steps = {step(Step::answer, 0, "fine"), verdict(Step::check, 0, Verdict::safe, 0.02)};
  return outcome;
}

inline ToldRequest told_request(std::vector<Outcome> outcomes) {
  ToldRequest told;
  told.outcomes = std::move(outcomes);
  told.conversation = ask({Image::from_file("examples/images/benign.png")}, "the query");
  told.record.id = "id-1";
  told.record.address = "127.0.0.1";
  told.record.method = "POST";
  told.record.target = "/v1/chat/completions";
  told.record.model = "llava";
  told.record.upstream = "default";
  told.record.status = 200;
  told.record.request_bytes = 123;
  told.record.response_bytes = 456;
  told.record.duration = std::chrono::microseconds{1500};
  told.record.upstream_time = std::chrono::microseconds{1250};
  return told;
}

}  // namespace ecso::test
