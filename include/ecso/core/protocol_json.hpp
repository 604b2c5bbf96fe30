#pragma once

#include <ecso/core/policy_json.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/request_json.hpp>
#include <ecso/core/trace_json.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/detail/sha256.hpp>
#include <ecso/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// A protocol written down mid-flight and taken up again, in another process if need be. Images stand as hashes and the policy as
/// a hash: both are given again when the protocol is read. Pending calls keep their numbers; their requests are made anew from
/// the state. An early check is not kept: its
/// answer will begin anew.
namespace ecso {

/// SHA-256 of a policy's JSON: equal policies have equal fingerprints.
[[nodiscard]] inline std::string fingerprint(const Policy& policy) {
  return detail::sha256_hex(detail::dump_json(to_json(policy)));
}

/// Reads and writes what `EcsoProtocol` keeps to itself. Use `to_json` and `protocol_from_json`.
struct ProtocolJson {
  static nlohmann::ordered_json write(const EcsoProtocol& protocol) {
    nlohmann::ordered_json json{{"schema", trace_schema}, {"policy_sha256", fingerprint(*protocol.policy_)}};
    json["capabilities"] = to_json(protocol.capabilities_);
    if (protocol.sampling_) json["sampling"] = to_json(*protocol.sampling_);
    json["messages"] = write_messages(protocol.conversation());
    if (!protocol.conversation().context.empty()) json["context"] = protocol.conversation().context;
    json["round"] = protocol.round_;
    json["next_id"] = protocol.next_id_;
    json["state"] = to_string(protocol.state_);
    if (const auto answer = answer_of(protocol.state_)) json["answer"] = *answer;
    json["pending"] = nlohmann::ordered_json::array();
    for (const PendingCall& call : protocol.pending_) {
      if (call.early) continue;
      json["pending"].push_back({{"id", call.id},
                                 {"step", to_string(call.step())},
                                 {"round", call.round},
                                 {"image", call.image},
                                 {"speculative", call.speculative},
                                 {"clarification", call.clarification}});
    }
    json["outcome"] = to_json(protocol.outcome_);
    return json;
  }

  static EcsoProtocol read(const nlohmann::ordered_json& json, std::shared_ptr<const Policy> policy,
                           std::span<const Image> images) {
    const detail::JsonReader in{json, "protocol"};
    int schema = 0;
    in.read("schema", schema);
    if (schema != trace_schema)
      throw bad("protocol.schema: is " + std::to_string(schema) + "; this version reads " + std::to_string(trace_schema));
    std::string policy_hash;
    in.read("policy_sha256", policy_hash);
    if (policy == nullptr || policy_hash != fingerprint(*policy))
      throw bad("protocol.policy_sha256: it was written under another policy");

    const Capabilities able = capabilities_from_json(in.value("capabilities"), in.at("capabilities"));
    std::optional<Sampling> sampling;
    if (in.has("sampling")) sampling = sampling_from_json(in.value("sampling"), in.at("sampling"));

    Conversation conversation = read_messages(in, images);
    in.read_if("context", conversation.context);
    EcsoProtocol protocol{std::move(conversation), std::move(policy), able, std::move(sampling)};
    Outcome outcome = outcome_from_json(in.value("outcome"), in.at("outcome"));
    if (outcome.images != protocol.outcome_.images) throw bad("protocol.outcome.images: are not those of the messages");
    outcome.images = std::move(protocol.outcome_.images);
    protocol.outcome_ = std::move(outcome);
    in.read("round", protocol.round_);
    if (protocol.round_ < 0 || protocol.round_ > protocol.policy_->max_rounds) throw bad("protocol.round: out of range");
    in.read("next_id", protocol.next_id_);
    read_state(in, protocol);
    read_pending(in, protocol);
    return protocol;
  }

 private:
  static Error bad(std::string message) { return Error{Errc::bad_input, std::move(message)}; }

  static std::optional<std::size_t> answer_of(const ProtocolState& state) {
    if (const auto* checking = std::get_if<state::Checking>(&state)) return checking->answer;
    if (const auto* rechecking = std::get_if<state::Rechecking>(&state)) return rechecking->answer;
    return std::nullopt;
  }

  static nlohmann::ordered_json write_messages(const Conversation& conversation) {
    auto messages = nlohmann::ordered_json::array();
    for (const Message& message : conversation.messages) {
      auto parts = nlohmann::ordered_json::array();
      for (const Part& part : message.parts) {
        const auto* image = std::get_if<Image>(&part);
        if (image == nullptr) {
          parts.push_back({{"text", std::get<std::string>(part)}});
        } else {
          parts.push_back({{"image_sha256", image->sha256()}});
        }
      }
      messages.push_back({{"role", to_string(message.role)}, {"parts", std::move(parts)}});
    }
    return messages;
  }

  static Conversation read_messages(const detail::JsonReader& in, std::span<const Image> images) {
    Conversation conversation;
    for (const auto& item : in.array("messages")) {
      const detail::JsonReader message_in{item, in.at("messages")};
      Message& message = conversation.messages.emplace_back();
      message_in.read("role", message.role, detail::all_roles);
      for (const auto& part : message_in.array("parts")) {
        const detail::JsonReader part_in{part, message_in.at("parts")};
        std::string text;
        if (part_in.has("text")) {
          part_in.read("text", text);
          message.parts.emplace_back(std::move(text));
          continue;
        }
        part_in.read("image_sha256", text);
        const auto image = std::ranges::find_if(images, [&](const Image& i) { return i.sha256() == text; });
        if (image == images.end()) throw bad(part_in.at("image_sha256") + ": no image with hash " + text + " was given");
        message.parts.emplace_back(*image);
      }
    }
    return conversation;
  }

  static void read_state(const detail::JsonReader& in, EcsoProtocol& protocol) {
    std::size_t answer = 0;
    in.read_if("answer", answer);
    const std::array<ProtocolState, 6> states{state::Answering{},    state::Checking{answer},   state::Captioning{},
                                              state::Regenerating{}, state::Rechecking{answer}, state::Done{}};
    std::string name;
    in.read("state", name);
    const auto found = std::ranges::find_if(states, [&](const ProtocolState& s) { return to_string(s) == name; });
    if (found == states.end()) throw bad("protocol.state: \"" + name + "\" is not a state");
    protocol.state_ = *found;
    const auto& steps = protocol.outcome_.steps;
    const Step wanted = name == "checking" ? Step::answer : Step::regenerate;
    if (answer_of(protocol.state_) && (answer >= steps.size() || steps[answer].step != wanted || steps[answer].error)) {
      throw bad("protocol.answer: is not the number of an answer");
    }
  }

  static void read_pending(const detail::JsonReader& in, EcsoProtocol& protocol) {
    protocol.conversation_ = Conversation{protocol.conversation()};
    protocol.pending_.clear();
    for (const auto& item : in.array("pending")) {
      const detail::JsonReader call_in{item, in.at("pending")};
      PendingCall call;
      Step step{};
      call_in.read("id", call.id);
      call_in.read("step", step, detail::all_steps);
      call_in.read("round", call.round);
      call_in.read("image", call.image);
      call_in.read("speculative", call.speculative);
      call_in.read_if("clarification", call.clarification);
      if (call.clarification < 0 || call.clarification > protocol.policy_->clarifications) {
        throw bad("protocol.pending.clarification: out of range");
      }
      const auto is_there_already = [&](const PendingCall& other) {
        return other.id == call.id || (other.step() == step && (step != Step::caption || other.image == call.image));
      };
      if (call.id >= protocol.next_id_ || std::ranges::any_of(protocol.pending_, is_there_already)) {
        throw bad("protocol.pending.id: out of range or twice");
      }
      call.request = request_of(protocol, step, call);
      protocol.pending_.push_back(std::move(call));
    }
    const bool is_done = protocol.done();
    const bool waits = std::ranges::any_of(protocol.pending_, [](const PendingCall& call) { return !call.speculative; });
    if (is_done ? !protocol.pending_.empty() : !waits) throw bad("protocol.pending: does not fit the state");
  }

  static ModelRequest request_of(const EcsoProtocol& protocol, Step step, const PendingCall& call) {
    const StepRequests requests = protocol.requests();
    const Conversation& conversation = protocol.conversation();
    const auto fits = [&](bool holds) {
      if (!holds) throw bad("protocol.pending.step: " + std::string{to_string(step)} + " does not fit the state");
    };
    switch (step) {
      case Step::answer: fits(std::holds_alternative<state::Answering>(protocol.state_)); return requests.answer(conversation);
      case Step::check: fits(std::holds_alternative<state::Checking>(protocol.state_)); return check_of(protocol, step, call);
      case Step::caption:
        fits(call.image < protocol.outcome_.images.size() && protocol.caption_of(call.image, call.round) == nullptr);
        fits(call.speculative ? protocol.round_ == 0 : std::holds_alternative<state::Captioning>(protocol.state_));
        return requests.caption(conversation, *protocol.outcome_.images[call.image].image(), call.round);
      case Step::regenerate: {
        fits(std::holds_alternative<state::Regenerating>(protocol.state_));
        std::vector<std::string_view> captions;
        for (std::size_t image = 0; image < protocol.outcome_.images.size(); ++image) {
          const StepRecord* caption = protocol.caption_of(image, protocol.round_);
          fits(caption != nullptr);
          captions.emplace_back(caption->reply);
        }
        return requests.regenerate(conversation, captions, protocol.round_);
      }
      case Step::recheck: fits(std::holds_alternative<state::Rechecking>(protocol.state_)); return check_of(protocol, step, call);
    }
    throw bad("protocol.pending.step: unknown");
  }

  static ModelRequest check_of(const EcsoProtocol& protocol, Step step, const PendingCall& call) {
    const StepRequests requests = protocol.requests();
    const Conversation& conversation = protocol.conversation();
    const std::string& answer = protocol.outcome_.steps[protocol.checked_answer()].reply;
    const Counted counted = protocol.counted(protocol.checked_answer());
    if (call.clarification == 0) {
      return step == Step::check ? requests.check(conversation, answer, CheckRoom::verdict, counted)
                                 : requests.recheck(conversation, answer, CheckRoom::verdict, counted);
    }
    const auto is_asked_again = [&](const StepRecord& record) {
      return record.step == step && record.round == call.round && record.verdict == Verdict::undecided && !record.early &&
             record.clarification + 1 == call.clarification;
    };
    const auto& steps = protocol.outcome_.steps;
    const auto before = std::find_if(steps.rbegin(), steps.rend(), is_asked_again);
    if (before != steps.rend()) {
      auto request = requests.clarify(step, conversation, answer, before->doubt, before->reply, counted);
      if (request) return *std::move(request);
    }
    throw bad("protocol.pending.clarification: there is no check to ask about again");
  }
};

[[nodiscard]] inline nlohmann::ordered_json to_json(const EcsoProtocol& protocol) { return ProtocolJson::write(protocol); }

/// @param policy equal to the one it was written under. @param images must hold those of the conversation, found by hash.
/// @throws Error (bad_input) naming the path of what is missing, wrong or does not fit together.
[[nodiscard]] inline EcsoProtocol protocol_from_json(const nlohmann::ordered_json& json, std::shared_ptr<const Policy> policy,
                                                     std::span<const Image> images) {
  return ProtocolJson::read(json, std::move(policy), images);
}

}  // namespace ecso
