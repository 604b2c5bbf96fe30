// Answers of the Messages API, whole and streamed: what leaves is what came or nothing of it, and everything is checked.

#include <ecso/backend/framing.hpp>
#include <ecso/detail/utf8.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/anthropic_answer.hpp>
#include <ecso/gateway/anthropic_answer_stream.hpp>
#include <ecso/gateway/anthropic_said.hpp>
#include <ecso/gateway/exact_names.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/json_mutator.hpp"
#include "support/shown_fuzz.hpp"

namespace {

using ecso::Path;
using ecso::gateway::AnswerText;
using ecso::gateway::AnthropicAnswer;
using ecso::gateway::AnthropicAnswerStream;
using ecso::gateway::Release;
using ecso::gateway::ReleaseNote;
using ecso::gateway::UpstreamAnswer;
using ecso::test::has_number_list;
using ecso::test::is_one_of;
using ecso::test::require;
using ecso::test::require_answer_shown;
using ecso::test::require_shown;
using nlohmann::json;

constexpr std::string_view refusal = "No.";
constexpr ReleaseNote as_it_came{.ecso = {}, .replace_usage = false};
constexpr ReleaseNote noted{.ecso = R"({"calls":3})", .usage = {3, 1, 2}};

/// Whether it may stand in a log.
bool is_one_line(std::string_view text) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; };
  return !text.empty() && ecso::detail::is_valid_utf8(text) && std::ranges::none_of(text, is_control);
}

template <typename Answer>
std::unique_ptr<Answer> read(std::string_view first, std::string_view second) {
  auto answer = std::make_unique<Answer>();
  try {
    answer->feed(first);
    answer->feed(second);
    answer->finish();
  } catch (const ecso::Error& error) {
    require(error.code() == ecso::Errc::bad_reply || error.code() == ecso::Errc::server_error);
    require(is_one_line(error.message()));
    return nullptr;
  }
  return answer;
}

std::string released(UpstreamAnswer& answer, const Release& release, const ReleaseNote& note) {
  return answer.release(std::vector<Release>{release}, note);
}

/// Every member that is not one of the API's own words was put before the check.
void check_beside(std::string_view shown, const json& object, std::initializer_list<std::string_view> read) {
  const auto& own = ecso::gateway::anthropic_own;
  for (const auto& [name, value] : object.items()) {
    const bool is_own = !value.is_structured() && std::ranges::find(own, name) != std::ranges::end(own);
    if (!is_own && !is_one_of(read, name)) require_answer_shown(shown, name, value);
  }
}

void check_block(std::string_view shown, const json& block) {
  if (!block.is_object()) return require_answer_shown(shown, "", block);
  const bool is_call = block.contains("input") && block.contains("name") && block["name"].is_string();
  // The input of a call may have numbers.
  if (is_call) require_shown(shown, block["input"]);
  check_beside(shown, block, {is_call ? "input" : "type"});
}

void check_message(std::string_view shown, const json& message) {
  if (message.contains("usage")) require(!has_number_list(message["usage"]));
  if (message.contains("id") && !message["id"].is_string()) require_answer_shown(shown, "id", message["id"]);
  check_beside(shown, message, {"content", "id", "usage"});
  if (!message.contains("content")) return;
  if (!message["content"].is_array()) return require_answer_shown(shown, "content", message["content"]);
  for (const json& block : message["content"]) check_block(shown, block);
}

void check_event(std::string_view shown, const json& event) {
  if (event["type"] == "message_start") {
    check_beside(shown, event, {"message"});
    check_message(shown, event["message"]);
  } else if (event["type"] == "content_block_start") {
    check_beside(shown, event, {"content_block"});
    check_block(shown, event["content_block"]);
  } else if (event["type"] == "content_block_delta") {
    check_beside(shown, event, {"delta"});
    check_beside(shown, event["delta"], {});
  } else if (event["type"] == "message_delta") {
    const bool has_delta = event.contains("delta") && event["delta"].is_object();
    if (event.contains("usage")) require(!has_number_list(event["usage"]));
    check_beside(shown, event, {"usage", has_delta ? "delta" : "usage"});
    if (has_delta) check_beside(shown, event["delta"], {});
  } else {
    check_beside(shown, event, {});
  }
}

/// Erases what the gateway never passes on. Whether there was any.
bool erase_notes(json& object) {
  std::string folded;
  std::vector<std::string> notes;
  for (const auto& [name, value] : object.items()) {
    if (ecso::gateway::folded_name(name, folded) == "ecso") notes.push_back(name);
  }
  for (const std::string& name : notes) object.erase(name);
  return !notes.empty();
}

constexpr std::string_view repaired_content =
    R"([{"type":"text","text":"kind words"},{"type":"tool_use","id":"t","name":"f","input":{"a":[1]}}])";

const AnthropicAnswer& repaired() {
  static const auto answer =
      read<AnthropicAnswer>(R"({"content":)", std::string{repaired_content} + R"(,"stop_reason":"tool_use"})");
  return *answer;
}

void fuzz_whole(std::string_view body) {
  const auto answer = read<AnthropicAnswer>(body.substr(0, body.size() / 2), body.substr(body.size() / 2));
  if (!answer) return;
  json came = json::parse(body);
  const std::string everything = answer->reply(0, AnswerText::everything).text;
  require(ecso::detail::is_valid_utf8(everything));
  const bool had_notes = erase_notes(came);
  check_message(everything, came);
  const std::string as_is = released(*answer, {.path = Path::direct}, as_it_came);
  require(had_notes ? json::parse(as_is) == came : as_is == body);

  json direct = json::parse(released(*answer, {.path = Path::direct}, noted));
  json expected = came;
  require(direct["ecso"] == json::parse(noted.ecso) && direct["usage"]["output_tokens"] == 2);
  for (json* object : {&direct, &expected}) {
    object->erase("ecso");
    object->erase("usage");
  }
  require(direct == expected);

  json kept;
  for (const char* name : {"id", "model"}) {
    if (came.contains(name) && came[name].is_string()) kept[name] = came[name];
  }
  kept.update({{"type", "message"}, {"role", "assistant"}, {"stop_sequence", nullptr}, {"ecso", json::parse(noted.ecso)}});
  for (const Path path : {Path::refused, Path::eyes_closed}) {
    json left = json::parse(released(*answer, {.path = path, .regenerated = &repaired(), .refusal = refusal}, noted));
    require(left["usage"]["output_tokens"] == 2);
    left.erase("usage");
    const bool is_refused = path == Path::refused;
    kept["stop_reason"] = is_refused ? "end_turn" : "tool_use";
    kept["content"] = is_refused ? json::array({{{"type", "text"}, {"text", refusal}}}) : json::parse(repaired_content);
    require(left == kept);
  }
}

std::vector<json> events_of(std::string_view stream) {
  std::vector<json> events;
  ecso::SseFraming framing;
  framing.feed(stream, [&](std::string_view name, std::string_view data) {
    events.push_back(json::parse(data));
    require(events.back()["type"] == name);
  });
  return events;
}

/// Nothing of the answer stands in what leaves in its place: no name and no text but these.
void check_replaced(const std::string& stream, const AnthropicAnswerStream& answer, std::string_view id) {
  const std::string model = answer.reply(0, AnswerText::content).model;
  constexpr std::string_view names =
      "|type|message|id|role|model|content|stop_reason|stop_sequence|usage|input_tokens|cache_creation_input_tokens|"
      "cache_read_input_tokens|output_tokens|index|delta|content_block|text|partial_json|name|input|ecso|calls|";
  constexpr std::string_view texts =
      "|message_start|content_block_start|content_block_delta|content_block_stop|message_delta|message_stop|message|assistant|"
      "text|"
      "text_delta|tool_use|input_json_delta|end_turn||t|f|No.|kind words|{\"a\":[1]}|";
  const auto is_among = [](std::string_view words, const std::string& word) {
    return word.find('|') == word.npos && words.find("|" + word + "|") != words.npos;
  };
  const auto check = [&](const auto& self, const json& value) -> void {
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      require(is_among(texts, text) || text == model || text == id);
    }
    if (value.is_array()) {
      for (const json& item : value) self(self, item);
    }
    if (!value.is_object()) return;
    for (const auto& [name, member] : value.items()) {
      require(is_among(names, name));
      self(self, member);
    }
  };
  for (const json& event : events_of(stream)) check(check, event);
}

/// What has left of a stream that was cut is a message, and says nothing that was not verified.
void check_cut(std::string_view stream, std::string_view came, std::size_t verified) {
  AnthropicAnswerStream cut;
  cut.feed(stream);
  cut.finish();
  const std::string_view said = cut.text_so_far();
  require(said.size() <= verified && came.starts_with(said));
}

void fuzz_stream(std::string_view body) {
  const auto answer = read<AnthropicAnswerStream>(body, {});
  for (const std::size_t cut : {body.size() / 3, body.size() / 2, body.size() - body.size() / 5}) {
    const auto again = read<AnthropicAnswerStream>(body.substr(0, cut), body.substr(cut));
    require((again == nullptr) == (answer == nullptr));
    if (answer) require(again->reply(0, AnswerText::everything) == answer->reply(0, AnswerText::everything));
  }
  if (!answer) return;
  const std::string everything{answer->text_so_far()};
  require(ecso::detail::is_valid_utf8(everything));
  require(answer->reply(0, AnswerText::everything).text == everything);

  const std::string whole = released(*read<AnthropicAnswerStream>(body, {}), {.path = Path::direct}, as_it_came);
  std::string id;
  for (const json& event : events_of(whole)) {
    if (event["type"] == "message_start" && event["message"].contains("id") && event["message"]["id"].is_string()) {
      id = event["message"]["id"];
    }
    check_event(everything, event);
  }
  const auto read_back = read<AnthropicAnswerStream>(whole, {});
  require(read_back && read_back->text_so_far() == everything);

  const std::size_t size = everything.size();
  for (const std::size_t verified : {std::size_t{0}, size / 3, size / 2, size}) {
    const auto in_parts = read<AnthropicAnswerStream>(body, {});
    std::string parts = in_parts->release_some(verified / 2);
    parts += in_parts->release_some(verified);
    require(in_parts->released_bytes() <= verified);
    const std::string given = parts;
    for (const json& event : events_of(given)) check_event(std::string_view{everything}.substr(0, verified), event);
    parts += released(*in_parts, {.path = Path::direct}, as_it_came);
    require(parts == whole);

    const auto stopped = read<AnthropicAnswerStream>(body, {});
    require(stopped->release_some(verified) == given);
    check_cut(given + stopped->release_end({}, noted), everything, verified);
  }
  for (const Path path : {Path::refused, Path::eyes_closed}) {
    const std::string left = released(*answer, {.path = path, .regenerated = &repaired(), .refusal = refusal}, noted);
    check_replaced(left, *answer, id);
    require(read<AnthropicAnswerStream>(left, {}) != nullptr);
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return ecso::test::mutate_json(data, size, max_size, seed, 0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body{reinterpret_cast<const char*>(data), size};
  fuzz_whole(body);
  fuzz_stream(body);
  return 0;
}
