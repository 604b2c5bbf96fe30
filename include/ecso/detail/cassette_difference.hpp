#pragma once

#include <ecso/detail/json.hpp>
#include <ecso/detail/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ecso::detail {

/// The first code points of `text`, in quotes, on one line.
[[nodiscard]] inline std::string quote_beginning(std::string_view text, std::size_t code_points = 60) {
  const std::string_view beginning = truncate_code_points(text, code_points);
  std::string quoted = "\"" + std::string{beginning} + (beginning.size() < text.size() ? "…\"" : "\"");
  std::ranges::replace_if(quoted, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  return quoted;
}

/// A request as it stands in a cassette, its step known to be a name, taken apart into what can differ.
struct RequestParts {
  std::string step, model, sampling, choices, top_logprobs, images, turns, prompt;

  /// Lenient: what is not there is empty.
  explicit RequestParts(const Json& request) {
    const Json options = request.value("options", Json::object());
    const auto option = [&](const char* key) { return options.contains(key) ? dump_json(options[key]) : std::string{}; };
    step = options.value("step", std::string{});
    model = option("model");
    sampling = option("sampling");
    choices = option("choices");
    top_logprobs = option("top_logprobs");
    for (const Json& message : request.value("messages", Json::array())) {
      if (!message.is_object()) continue;
      turns += prompt + '\n';
      prompt.clear();
      for (const Json& part : message.value("parts", Json::array())) {
        if (part.is_string()) {
          prompt += part.get_ref<const std::string&>();
        } else {
          images += dump_json(part);
        }
      }
    }
  }

  [[nodiscard]] std::array<std::pair<std::string_view, const std::string*>, 7> named() const {
    return {{{"prompt", &prompt},
             {"images", &images},
             {"earlier turns", &turns},
             {"model", &model},
             {"sampling", &sampling},
             {"choices", &choices},
             {"top_logprobs", &top_logprobs}}};
  }
};

/// In words, how `asked` differs from the most similar of the recorded requests of its step.
[[nodiscard]] inline std::string nearest_difference(const Json& asked, std::span<const Json* const> recorded) {
  const RequestParts wanted{asked};
  std::string best;
  std::size_t fewest = wanted.named().size() + 1;
  for (const Json* request : recorded) {
    const RequestParts had{*request};
    if (had.step != wanted.step) continue;
    std::string names;
    std::size_t count = 0;
    for (std::size_t i = 0; i < wanted.named().size(); ++i) {
      const auto [name, value] = wanted.named()[i];
      if (*value == *had.named()[i].second) continue;
      names.append(count++ == 0 ? "" : ", ").append(name);
    }
    if (count >= fewest) continue;
    fewest = count;
    best = std::move(names);
    if (wanted.prompt == had.prompt) continue;
    auto at = static_cast<std::size_t>(std::ranges::mismatch(had.prompt, wanted.prompt).in1 - had.prompt.begin());
    while (at > 0 && at < had.prompt.size() && (static_cast<unsigned char>(had.prompt[at]) & 0xC0) == 0x80) --at;
    best += " (from byte " + std::to_string(at) + "; recorded was " +
            quote_beginning(std::string_view{had.prompt}.substr(at), 30) + ")";
  }
  if (fewest > wanted.named().size()) return "no " + wanted.step + " call was recorded";
  return "the most similar recorded " + wanted.step + " call differs in: " + best;
}

}  // namespace ecso::detail
