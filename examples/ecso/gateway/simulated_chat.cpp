#include "simulated_chat.hpp"

#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/prompts.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/error.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

namespace ecso::command {

namespace {

using detail::Json;

constexpr std::string_view fingerprint = "simulated";

Error bad(std::string message) { return Error{Errc::bad_input, std::move(message)}; }

/// Whether `text` is `prompt` with its slots filled.
bool is_filled(std::string_view prompt, std::string_view text) {
  std::vector<std::string_view> pieces;
  detail::scan_template(
      prompt, [&](std::string_view piece) { pieces.push_back(piece); }, [](std::string_view) {}, [](std::string_view) {});
  if (pieces.empty() || (prompt.starts_with(pieces.front()) && !text.starts_with(pieces.front()))) return false;
  if (prompt.ends_with(pieces.back()) && !text.ends_with(pieces.back())) return false;
  for (const std::string_view piece : pieces) {
    const std::size_t at = text.find(piece);
    if (at == std::string_view::npos) return false;
    text.remove_prefix(at + piece.size());
  }
  return true;
}

const Json& member(const Json& json, std::string_view name) {
  static const Json none;
  if (!json.is_object()) return none;
  const auto found = json.find(name);
  return found == json.end() ? none : *found;
}

const std::string& text_in(const Json& json, std::string_view name) {
  const Json& found = member(json, name);
  if (!found.is_string()) throw bad(std::string{name} + ": must be a string");
  return found.get_ref<const std::string&>();
}

bool flag_in(const Json& json, std::string_view name) {
  const Json& found = member(json, name);
  if (!found.is_null() && !found.is_boolean()) throw bad(std::string{name} + ": must be true or false");
  return found.is_boolean() && found.get<bool>();
}

std::int64_t number_in(const Json& json, std::string_view name, std::int64_t otherwise, std::int64_t least, std::int64_t most) {
  const Json& found = member(json, name);
  if (found.is_null()) return otherwise;
  if (!found.is_number_integer() || found.get<std::int64_t>() < least || found.get<std::int64_t>() > most) {
    throw bad(std::string{name} + ": must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return found.get<std::int64_t>();
}

Role role_of(const std::string& name) {
  if (name == "system" || name == "developer") return Role::system;
  if (name == "assistant") return Role::assistant;
  if (name == "user" || name == "tool" || name == "function") return Role::user;
  throw bad("messages: unknown role \"" + name + "\"");
}

/// A part that says or shows something; the others (tool calls and results, thoughts) mean nothing to the simulated model.
void read_part(const Json& part, std::vector<Part>& parts) {
  const std::string& type = text_in(part, "type");
  if (type == "text") {
    parts.emplace_back(text_in(part, "text"));
  } else if (type == "image_url") {
    const Json& image = member(part, "image_url");
    parts.emplace_back(
        Image::from_data_uri(std::string{text_in(image.is_string() ? part : image, image.is_string() ? "image_url" : "url")}));
  } else if (type == "image") {
    const Json& source = member(part, "source");
    if (text_in(source, "type") != "base64") throw bad("image: the simulated model fetches nothing; send base64");
    parts.emplace_back(Image::from_base64(std::string{text_in(source, "data")}));
  }
}

std::vector<Part> read_content(const Json& content) {
  std::vector<Part> parts;
  if (content.is_string()) {
    parts.emplace_back(content.get<std::string>());
  } else if (content.is_array()) {
    for (const Json& part : content) read_part(part, parts);
  } else if (!content.is_null()) {
    throw bad("content: must be a string or an array");
  }
  return parts;
}

Conversation read_conversation(const Json& json) {
  Conversation conversation;
  if (const Json& system = member(json, "system"); !system.is_null()) {
    conversation.messages.push_back({Role::system, read_content(system)});
  }
  const Json& messages = member(json, "messages");
  if (!messages.is_array() || messages.empty()) throw bad("messages: must be an array that is not empty");
  for (const Json& message : messages) {
    conversation.messages.push_back({role_of(text_in(message, "role")), read_content(member(message, "content"))});
  }
  // What a client puts into the assistant's mouth is no query.
  if (conversation.messages.back().role == Role::assistant) conversation.messages.pop_back();
  if (conversation.messages.empty()) throw bad("messages: nobody asks anything");
  return conversation;
}

CallOptions read_options(const Json& json, Step step) {
  CallOptions options;
  options.step = step;
  const Json& structured = member(member(json, "structured_outputs"), "choice");
  const Json& choices = structured.is_null() ? member(json, "guided_choice") : structured;
  if (choices.is_array()) {
    for (const Json& choice : choices) {
      if (choice.is_string()) options.choices.push_back(choice.get<std::string>());
    }
  }
  if (flag_in(json, "logprobs"))
    options.top_logprobs = static_cast<int>(std::max<std::int64_t>(1, number_in(json, "top_logprobs", 1, 0, 20)));
  return options;
}

Json usage_json(ChatApi api, const Usage& usage) {
  if (api == ChatApi::anthropic) {
    return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", usage.cached_tokens},
            {"output_tokens", usage.completion_tokens}};
  }
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

/// All choices share one prompt.
Usage usage_of(std::span<const Reply> replies) {
  Usage usage = replies.front().usage;
  for (const Reply& reply : replies.subspan(1)) usage.completion_tokens += reply.usage.completion_tokens;
  return usage;
}

Json logprobs_json(const Reply& reply) {
  if (reply.logprobs.empty()) return {};
  Json tokens = Json::array();
  for (const TokenLogprobs& token : reply.logprobs) {
    Json top = Json::array();
    for (const TokenLogprob& other : token.top)
      top.push_back({{"token", other.token}, {"logprob", other.logprob}, {"bytes", nullptr}});
    tokens.push_back({{"token", token.token}, {"logprob", token.logprob}, {"bytes", nullptr}, {"top_logprobs", std::move(top)}});
  }
  return {{"content", std::move(tokens)}, {"refusal", nullptr}};
}

Json head_json(ChatApi api, std::string_view object, const SimulatedResponse& response) {
  if (api == ChatApi::anthropic) {
    return {{"id", response.id},
            {"type", "message"},
            {"role", "assistant"},
            {"model", simulated_model_name},
            {"system_fingerprint", fingerprint},
            {"simulated", true}};
  }
  return {{"id", response.id},
          {"object", object},
          {"created", response.created},
          {"model", simulated_model_name},
          {"system_fingerprint", fingerprint},
          {"simulated", true}};
}

/// A text cut before each word: "one two" gives "one" and " two".
std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' ', 1), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

SimulatedEvent data_event(const Json& json, bool is_word = false) {
  return {"data: " + detail::dump_json(json) + "\n\n", is_word};
}

std::vector<SimulatedEvent> openai_events(const SimulatedCall& call, std::span<const Reply> replies,
                                          const SimulatedResponse& response) {
  std::vector<SimulatedEvent> events;
  const auto add = [&](std::size_t index, Json delta, const Json& finish, const Json& logprobs, bool is_word) {
    Json chunk = head_json(ChatApi::openai, "chat.completion.chunk", response);
    chunk["choices"] =
        Json::array({{{"index", index}, {"delta", std::move(delta)}, {"logprobs", logprobs}, {"finish_reason", finish}}});
    if (call.include_usage) chunk["usage"] = nullptr;
    events.push_back(data_event(chunk, is_word));
  };
  for (std::size_t i = 0; i < replies.size(); ++i) {
    add(i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr, false);
    bool is_first = true;
    for (const std::string_view word : words_of(replies[i].text)) {
      add(i, {{"content", word}}, nullptr, is_first ? logprobs_json(replies[i]) : Json{}, true);
      is_first = false;
    }
    add(i, Json::object(), "stop", nullptr, false);
  }
  if (call.include_usage) {
    Json chunk = head_json(ChatApi::openai, "chat.completion.chunk", response);
    chunk["choices"] = Json::array();
    chunk["usage"] = usage_json(ChatApi::openai, usage_of(replies));
    events.push_back(data_event(chunk));
  }
  events.push_back({"data: [DONE]\n\n"});
  return events;
}

std::vector<SimulatedEvent> anthropic_events(const Reply& reply, const SimulatedResponse& response) {
  std::vector<SimulatedEvent> events;
  const auto add = [&](std::string_view type, Json json, bool is_word = false) {
    Json event{{"type", type}};
    event.update(json);
    events.push_back({"event: " + std::string{type} + "\ndata: " + detail::dump_json(event) + "\n\n", is_word});
  };
  Json message = head_json(ChatApi::anthropic, "", response);
  message["content"] = Json::array();
  message["stop_reason"] = nullptr;
  message["stop_sequence"] = nullptr;
  message["usage"] = usage_json(ChatApi::anthropic, reply.usage);
  message["usage"]["output_tokens"] = 1;
  add("message_start", {{"message", std::move(message)}});
  add("content_block_start", {{"index", 0}, {"content_block", {{"type", "text"}, {"text", ""}}}});
  for (const std::string_view word : words_of(reply.text)) {
    add("content_block_delta", {{"index", 0}, {"delta", {{"type", "text_delta"}, {"text", word}}}}, true);
  }
  add("content_block_stop", {{"index", 0}});
  add("message_delta", {{"delta", {{"stop_reason", "end_turn"}, {"stop_sequence", nullptr}}},
                        {"usage", {{"output_tokens", reply.usage.completion_tokens}}}});
  add("message_stop", Json::object());
  return events;
}

}  // namespace

Step simulated_step(std::string_view prompt, bool has_image) {
  for (const StaticPrompts& known : {prompts::hardened, prompts::paper}) {
    if (prompt == known.next_turn_check.text()) return Step::check;
    if (is_filled(known.check.text(), prompt)) return has_image ? Step::check : Step::recheck;
    if (!has_image && is_filled(known.clarify.text(), prompt)) return Step::recheck;
    if (has_image && is_filled(known.caption.text(), prompt)) return Step::caption;
    if (has_image && prompt.ends_with(known.same_turn_caption.text())) return Step::caption;
    for (const std::string_view regenerate : {known.regenerate.text(), known.strict_regenerate.text(),
                                              known.text_regenerate.text(), known.strict_text_regenerate.text()}) {
      if (!has_image && is_filled(regenerate, prompt)) return Step::regenerate;
    }
  }
  // The paper's own is left out: its policy has one round and never asks for it, but people may well type those three words.
  return has_image && prompt == prompts::hardened.neutral_caption.text() ? Step::caption : Step::answer;
}

SimulatedCall read_simulated_call(ChatApi api, std::string_view body) {
  const Json json = detail::parse_json(body, "request");
  if (!json.is_object()) throw bad("the request is not an object");
  Conversation conversation = read_conversation(json);
  const bool shows_image = has_image(conversation);
  CallOptions options = read_options(json, simulated_step(query_of(conversation), shows_image));
  options.continues_chat = query_of(conversation) == prompts::hardened.next_turn_check.text();
  SimulatedCall call;
  call.stream = flag_in(json, "stream");
  call.include_usage = flag_in(member(json, "stream_options"), "include_usage");
  constexpr std::int64_t most_choices = 16;
  if (api == ChatApi::openai) call.choices = static_cast<std::size_t>(number_in(json, "n", 1, 1, most_choices));
  if (shows_image) {
    call.request = VisionRequest{std::move(conversation), std::move(options)};
  } else {
    call.request = TextRequest{close_eyes(conversation, {}), std::move(options)};
  }
  return call;
}

std::string simulated_body(ChatApi api, std::span<const Reply> replies, const SimulatedResponse& response) {
  Json body = head_json(api, "chat.completion", response);
  if (api == ChatApi::anthropic) {
    body["content"] = Json::array({{{"type", "text"}, {"text", replies.front().text}}});
    body["stop_reason"] = "end_turn";
    body["stop_sequence"] = nullptr;
    body["usage"] = usage_json(api, replies.front().usage);
    return detail::dump_json(body);
  }
  body["choices"] = Json::array();
  for (const Reply& reply : replies) {
    body["choices"].push_back({{"index", body["choices"].size()},
                               {"message", {{"role", "assistant"}, {"content", reply.text}, {"refusal", nullptr}}},
                               {"logprobs", logprobs_json(reply)},
                               {"finish_reason", "stop"}});
  }
  body["usage"] = usage_json(api, usage_of(replies));
  return detail::dump_json(body);
}

std::vector<SimulatedEvent> simulated_events(ChatApi api, const SimulatedCall& call, std::span<const Reply> replies,
                                             const SimulatedResponse& response) {
  return api == ChatApi::openai ? openai_events(call, replies, response) : anthropic_events(replies.front(), response);
}

std::string simulated_error(ChatApi api, int status, std::string_view message) {
  const std::string_view type = status == 404   ? "not_found_error"
                                : status == 413 ? "request_too_large"
                                : status >= 500 ? "api_error"
                                                : "invalid_request_error";
  if (api == ChatApi::anthropic) return detail::dump_json({{"type", "error"}, {"error", {{"type", type}, {"message", message}}}});
  return detail::dump_json({{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", nullptr}}}});
}

std::string simulated_models() {
  // In the entry as well: a gateway in front of several servers makes one list of theirs.
  const Json model{{"id", simulated_model_name}, {"object", "model"}, {"created", 0}, {"owned_by", "ecso"}, {"simulated", true}};
  return detail::dump_json({{"object", "list"}, {"data", Json::array({model})}, {"simulated", true}});
}

}  // namespace ecso::command
