// An upstream's chat completion of any shape, whole or streamed: what leaves is JSON, every string in it was put before the
// check, streamed text leaves only once it is verified, and nothing of a refused answer leaves. The first byte says how it is
// read, the second where the bytes are cut.

#include <ecso/backend/framing.hpp>
#include <ecso/detail/json_text.hpp>
#include <ecso/error.hpp>
#include <ecso/gateway/chat_parts.hpp>
#include <ecso/gateway/openai_answer.hpp>
#include <ecso/gateway/openai_answer_stream.hpp>
#include <ecso/gateway/openai_said.hpp>
#include <ecso/gateway/readable.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/json_mutator.hpp"
#include "support/shown_fuzz.hpp"

namespace {

using namespace ecso;
using namespace ecso::gateway;
using ecso::test::require;
using ecso::test::require_answer_shown;
using ecso::test::shows;
using nlohmann::json;

constexpr std::string_view note_json = R"({"a":1})";

/// The JSON of what leaves; requires that it is nothing else.
std::vector<std::string> jsons_of(const std::string& released, bool stream, bool has_end) {
  if (!stream) return {released};
  std::vector<std::string> events;
  bool is_over = false;
  std::string_view rest = released;
  while (!rest.empty()) {
    const std::size_t end = rest.find("\n\n");
    require(end != rest.npos && rest.starts_with("data: ") && !is_over);
    const std::string_view data = rest.substr(6, end - 6);
    require(data.find_first_of("\r\n") == data.npos);
    is_over = data == "[DONE]";
    if (!is_over) events.emplace_back(data);
    rest.remove_prefix(end + 2);
  }
  require(is_over == has_end);
  return events;
}

/// All texts and names of JSON objects, but only of the members that are named, if any are.
std::string texts_of(const std::vector<std::string>& jsons, bool only_head) {
  std::string texts;
  for (const std::string& json : jsons) {
    const detail::JsonText text{json, {.max_values = 16'000'000}};
    require(text.root().is_object() && nlohmann::json::parse(json).is_object());
    for (const detail::JsonMember& member : text.root().members()) {
      const bool is_head = std::ranges::find(openai_head, member.key.text()) != std::ranges::end(openai_head);
      if (!is_head && only_head) continue;
      test::for_each_string(json::parse(member.value.raw()), [&](const std::string& each) { append_line(texts, each); });
    }
  }
  return texts;
}

bool is_own(std::string_view name, const json& value) {
  const bool is_word = test::is_one_of(
      {"finish_reason", "id", "matched_stop", "native_finish_reason", "object", "role", "stop_reason", "type"}, name);
  return is_word && !value.is_structured();
}

/// Every token is told, and nothing beside the tokens but numbers.
void check_tokens(std::string_view shown, const json& list) {
  if (!list.is_array()) return require_answer_shown(shown, "", list);
  for (const json& item : list) {
    if (!item.is_object()) {
      require_answer_shown(shown, "", item);
      continue;
    }
    for (const auto& [name, value] : item.items()) {
      const bool is_bytes =
          name == "bytes" && value.is_array() && std::ranges::all_of(value, [](const json& b) { return b.is_number(); });
      require(name != "token" || !value.is_number());
      require(name != "token" || !value.is_string() || !value.get<std::string>().starts_with("token_id:15"));
      // What a token might have been is no part of the answer.
      if (name == "top_logprobs" || is_bytes) continue;
      require_answer_shown(shown, name, value);
    }
  }
}

/// The arguments of a function are JSON that may have numbers.
void check_function(std::string_view shown, const json& function) {
  if (!function.is_object()) return require_answer_shown(shown, "", function);
  for (const auto& [name, value] : function.items()) {
    if ((name == "arguments" || name == "input") && function.contains("name") && function["name"].is_string()) {
      test::require_shown(shown, value);
    } else if (name == "arguments" || name == "input") {
      test::for_each_string(value, [&](const std::string& text) { require(shows(shown, text)); });
    } else {
      require_answer_shown(shown, name, value);
    }
  }
}

void check_message(std::string_view shown, const json& message) {
  if (!message.is_object()) return require_answer_shown(shown, "", message);
  for (const auto& [name, value] : message.items()) {
    if (name == "tool_calls" && value.is_array()) {
      for (const json& call : value) {
        if (!call.is_object()) require_answer_shown(shown, "", call);
        if (!call.is_object()) continue;
        for (const auto& [key, member] : call.items()) {
          if (key == "function" || key == "custom") {
            check_function(shown, member);
          } else if (key != "type" || (member != "function" && member != "custom")) {
            require_answer_shown(shown, key, member);
          }
        }
      }
    } else if (name == "function_call") {
      check_function(shown, value);
    } else if (name == "content" && value.is_array()) {
      for (const json& part : value) {
        if (!part.is_object()) require_answer_shown(shown, "", part);
        if (!part.is_object()) continue;
        for (const auto& [key, member] : part.items()) {
          if (key != "type" || (member != "text" && member != "output_text")) require_answer_shown(shown, key, member);
        }
      }
    } else if (name == "reasoning_details" && value.is_array()) {
      for (const json& item : value) {
        if (!item.is_object()) require_answer_shown(shown, "", item);
        if (!item.is_object()) continue;
        for (const auto& [key, member] : item.items()) {
          const bool is_word = test::is_one_of({"format", "id", "type"}, key) && !member.is_structured();
          if (!is_word) require_answer_shown(shown, key, member);
        }
      }
    } else if (!is_own(name, value)) {
      require_answer_shown(shown, name, value);
    }
  }
}

/// Every string of a completion or a chunk that leaves, but for the API's own words, was put before the checks of its choices.
void check_shown(const std::string& leaving, const std::vector<std::string>& shown) {
  const json root = json::parse(leaving);
  for (const auto& [name, value] : root.items()) {
    require(name != "ecso" && name != "ECSO");
    if (name == "choices") continue;
    require(!test::has_number_list(value));
    if (std::ranges::find(openai_head, name) == std::ranges::end(openai_head)) require_answer_shown(shown.front(), name, value);
  }
  std::size_t place = 0;
  if (!root.contains("choices")) return;
  for (const json& choice : root["choices"]) {
    const std::size_t number =
        choice.contains("index") && choice["index"].is_number() ? choice["index"].get<std::size_t>() : place;
    const std::string& text = shown.at(number);
    ++place;
    for (const auto& [name, value] : choice.items()) {
      if (name == "message" || name == "delta") {
        check_message(text, value);
      } else if (name == "logprobs" && value.is_object()) {
        for (const auto& [key, list] : value.items()) {
          const bool is_list = key == "content" || key == "refusal";
          is_list ? check_tokens(text, list) : require_answer_shown(text, key, list);
        }
      } else if (name == "content_filter_results") {
        require(!test::has_number_list(value));
      } else if (!is_own(name, value)) {
        require_answer_shown(text, name, value);
      }
    }
  }
}

std::vector<std::string> sent_jsons(std::string_view body, bool stream) {
  if (!stream) return {std::string{body}};
  std::vector<std::string> events;
  SseFraming framing;
  bool is_over = false;
  framing.feed(body, [&](std::string_view, std::string_view data) {
    if (data == "[DONE]") is_over = true;
    if (!is_over && !data.empty()) events.emplace_back(data);
  });
  return events;
}

struct Input {
  bool stream;
  std::size_t max_choices;
  unsigned paths;
  std::size_t piece;
  std::string_view body;

  [[nodiscard]] std::unique_ptr<UpstreamAnswer> reader() const {
    if (stream) return std::make_unique<OpenAiStreamAnswer>(max_choices, (paths & 1) != 0 ? UsageChunk::due : UsageChunk::passes);
    return std::make_unique<OpenAiAnswer>(max_choices);
  }

  /// Nothing if it is refused.
  [[nodiscard]] std::unique_ptr<UpstreamAnswer> read() const {
    auto answer = reader();
    try {
      for (std::string_view rest = body; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size()))) {
        answer->feed(rest.substr(0, piece));
      }
      answer->finish();
    } catch (const Error& error) {
      require(error.code() == Errc::bad_reply || error.code() == Errc::server_error);
      return nullptr;
    }
    return answer;
  }
};

const UpstreamAnswer& repaired() {
  static const std::unique_ptr<OpenAiAnswer> answer = [] {
    auto made = std::make_unique<OpenAiAnswer>();
    made->feed(
        R"({"choices":[{"message":{"role":"assistant","content":"A fine answer.","tool_calls":[{"id":"1","index":3}]}}]})");
    made->finish();
    return made;
  }();
  return *answer;
}

void check_refused(const Input& input) {
  auto answer = input.read();
  std::vector<std::string> said;
  for (std::size_t i = 0; i < answer->choices(); ++i) said.push_back(answer->reply(i, AnswerText::everything).text);
  const std::vector<Release> refused(answer->choices(), {.path = Path::refused, .refusal = "No."});
  const std::string left = texts_of(jsons_of(answer->release(refused, {.ecso = note_json}), input.stream, true), false);
  const std::string head = texts_of(sent_jsons(input.body, input.stream), true);
  for (const std::string& text : said) {
    if (text.size() >= 12 && head.find(text) == std::string::npos) require(left.find(text) == std::string::npos);
  }
}

void check_mixed(const Input& input) {
  auto answer = input.read();
  std::vector<Release> releases;
  for (std::size_t i = 0; i < answer->choices(); ++i) {
    switch (input.paths >> (2 * i) & 3) {
      case 0: releases.push_back({.path = Path::refused, .refusal = "No."}); break;
      case 1: releases.push_back({.path = Path::eyes_closed, .regenerated = &repaired()}); break;
      default: releases.push_back({.path = Path::direct}); break;
    }
  }
  const ReleaseNote note{.ecso = note_json, .usage = {.prompt_tokens = 7, .cached_tokens = 3, .completion_tokens = 5}};
  const std::string left = answer->release(releases, note);
  const auto jsons = jsons_of(left, input.stream, true);
  (void)texts_of(jsons, false);
  require(nlohmann::json::parse(jsons.back())["ecso"]["a"] == 1);
  // It can be read again, as the same answer.
  Input again = input;
  again.body = left;
  const auto reread = again.read();
  require(reread != nullptr && reread->choices() == answer->choices());
  for (std::size_t i = 0; i < releases.size(); ++i) {
    const std::string content = reread->reply(i, AnswerText::content).text;
    if (releases[i].path == Path::refused) require(content == "No.");
    if (releases[i].path == Path::eyes_closed) require(content == "A fine answer.");
    if (releases[i].path == Path::direct) require(content == answer->reply(i, AnswerText::content).text);
  }
}

void check_direct(const Input& input) {
  auto answer = input.read();
  const std::vector<Release> direct(answer->choices(), {.path = Path::direct});
  const std::string left = answer->release(direct, {.ecso = {}, .replace_usage = false});
  if (!input.stream && left != input.body) {
    json came = json::parse(input.body);
    for (const char* name : {"ecso", "ECSO"}) came.erase(name);
    require(json::parse(left) == came && json::parse(input.body) != came);
  }
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < answer->choices(); ++i) shown.push_back(answer->reply(i, AnswerText::everything).text);
  for (const std::string& json : jsons_of(left, input.stream, true)) check_shown(json, shown);
}

/// Lets pieces out as they come, of whatever is verified so far.
void check_window(const Input& input) {
  OpenAiStreamAnswer answer{1};
  OpenAiStreamAnswer client{1};
  std::size_t verified = 0;
  try {
    for (std::string_view rest = input.body; !rest.empty(); rest.remove_prefix(std::min(input.piece, rest.size()))) {
      answer.feed(rest.substr(0, input.piece));
      verified = std::max(verified, answer.text_so_far().size() / 2);
      const std::string left = answer.release_some(verified);
      (void)texts_of(jsons_of(left, true, false), false);
      client.feed(left);
      require(client.text_so_far().size() <= verified && answer.text_so_far().starts_with(client.text_so_far()));
      require(client.text_so_far().size() <= answer.released_bytes() && answer.released_bytes() <= verified);
      // Nothing but the API's own words leaves unseen: what was verified shows it.
      const std::vector<std::string> shown{std::string{answer.text_so_far().substr(0, verified)}};
      for (const std::string& json : jsons_of(left, true, false)) check_shown(json, shown);
    }
  } catch (const Error& error) {
    require(error.code() == Errc::bad_reply || error.code() == Errc::server_error);
  }
  const std::string end = answer.release_end("Sorry.", {.ecso = note_json});
  require(!texts_of(jsons_of(end, true, true), false).empty());
  client.feed(end);
  client.finish();
  require(client.text_so_far().ends_with("Sorry."));
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return ecso::test::mutate_json(data, size, max_size, seed, 2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const unsigned flags = data[0];
  const Input input{.stream = (flags & 1) != 0,
                    .max_choices = 1 + (flags >> 1 & 3),
                    .paths = flags >> 3 | static_cast<unsigned>(data[1]) << 5,
                    .piece = std::size_t{1} + data[1] % 64 * 8,
                    .body = {reinterpret_cast<const char*>(data) + 2, size - 2}};
  if (input.stream) check_window(input);
  if (input.read() == nullptr) return 0;
  check_refused(input);
  check_mixed(input);
  check_direct(input);
  return 0;
}
