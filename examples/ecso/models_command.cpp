#include "models_command.hpp"

#include "demo_images.hpp"
#include "exit_code.hpp"
#include "printing.hpp"

#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/detail/json.hpp>
#include <ecso/models/profiles.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace ecso::command {

namespace {

constexpr const char* notes = R"(Examples:
  ecso models
  ecso models llava-1.5-7b
  ecso models Qwen/Qwen3-VL-8B-Instruct --json
  ecso models --json | jq -r '.[] | select(.family == "gemma-3") | .servers[].command'

NAME is a model's name, its repository on Hugging Face, or a part of one of them that no other
  model has; upper and lower case are one. Servers that take messages apply a model's template
  themselves; ecso applies it for those that take a prompt.)";

constexpr std::string_view query = "What is this?";

struct Options {
  std::string name;
  bool json = false;
};

/// "https://github.com/haotian-liu/LLaVA" of "https://github.com/haotian-liu/LLaVA: llava/conversation.py".
std::string_view origin_of(std::string_view source) { return source.substr(0, source.find(": ")); }

std::string example_prompt(const ModelProfile& profile) {
  const Image image = Image::from_bytes(std::string{benign_png()});
  return apply_template(profile.conversation, ask({image}, std::string{query})).prompt;
}

std::string_view explain(BosPlace place) {
  switch (place) {
    case BosPlace::none: return "none";
    case BosPlace::server_adds: return "the server adds it";
    case BosPlace::in_prompt: return "in the prompt";
  }
  return "unknown";
}

std::string_view explain(SystemPlace place) {
  switch (place) {
    case SystemPlace::own_turn: return "before all turns";
    case SystemPlace::first_user_turn: return "in the first user turn";
    case SystemPlace::last_user_turn: return "in the last user turn";
  }
  return "unknown";
}

std::string_view explain(ImagePlace place) {
  return place == ImagePlace::before_text ? "before the text of its turn" : "where it stands in its turn";
}

/// The texts as JSON has them, in quotes and with escapes.
std::string quoted(std::span<const std::string_view> texts) {
  std::string list;
  for (const std::string_view text : texts) {
    if (!list.empty()) list += ", ";
    list += detail::dump_json(text);
  }
  return list;
}

detail::Json to_json(const ModelProfile& profile) {
  const ConversationTemplate& format = profile.conversation;
  detail::Json json{{"name", profile.name},
                    {"family", profile.family},
                    {"repository", profile.repository},
                    {"context_tokens", profile.context_tokens},
                    {"image_tokens", nullptr},
                    {"image_token_rule", profile.image_token_rule}};
  if (profile.image_tokens != 0) json["image_tokens"] = profile.image_tokens;
  json["template"] = {{"bos", format.bos},
                      {"bos_place", explain(format.bos_place)},
                      {"default_system", format.default_system},
                      {"system_place", explain(format.system_place)},
                      {"image_token", format.image_token},
                      {"image_place", explain(format.image_place)},
                      {"stop", format.stop},
                      {"example_prompt", example_prompt(profile)}};
  json["servers"] = detail::Json::array();
  for (const ServerRecipe& server : profile.servers)
    json["servers"].push_back({{"server", server.server}, {"command", server.command}, {"flag", server.flag}});
  json["quirks"] = profile.quirks;
  json["sources"] = profile.sources;
  return json;
}

/// Takes the first word off a shell command; single quotation marks keep spaces.
std::string_view take_word(std::string_view& command) {
  std::size_t end = 0;
  for (bool is_quoted = false; end < command.size() && (is_quoted || command[end] != ' '); ++end) {
    if (command[end] == '\'') is_quoted = !is_quoted;
  }
  const std::string_view word = command.substr(0, end);
  command.remove_prefix(std::min(end + 1, command.size()));
  return word;
}

/// A shell command in lines that can still be pasted; an option stays with its value.
std::string wrap_command(std::string_view command, std::string_view indent, std::size_t columns) {
  std::string wrapped{indent};
  std::size_t width = indent.size();
  while (!command.empty()) {
    std::string words{take_word(command)};
    if (words.starts_with('-') && !command.empty() && !command.starts_with('-')) words.append(" ").append(take_word(command));
    // Room for " \" stays.
    if (width > indent.size() && width + words.size() + 2 > columns) {
      wrapped.append("\\\n").append(indent).append("    ");
      width = indent.size() + 4;
    }
    wrapped.append(words) += ' ';
    width += words.size() + 1;
  }
  wrapped.back() = '\n';
  return wrapped;
}

std::string names_of(std::span<const ServerRecipe> servers) {
  std::string names;
  for (const ServerRecipe& server : servers) names.append(names.empty() ? "" : ", ").append(server.server);
  return names;
}

void list_group(std::string_view title, std::span<const ModelProfile> profiles, std::size_t columns) {
  fmt::print("\n{}\n", title);
  const std::string indent(34, ' ');
  for (const ModelProfile& profile : profiles) {
    const std::size_t more = profile.sources.size() - 1;
    fmt::print("  {:<21} {:>8}  {}", profile.name, profile.context_tokens, wrap(names_of(profile.servers), indent, columns));
    fmt::print("{}{} and {} more\n", indent, origin_of(profile.sources.front()), more);
  }
}

void list_all(std::size_t columns) {
  fmt::print("  {:<21} {:>8}  {}\n", "MODEL", "CONTEXT", "SERVED BY, and first source");
  const auto all = all_profiles();
  list_group("Of the paper (arXiv 2403.09572)", all.first(models::paper.size()), columns);
  list_group("In use now", all.subspan(models::paper.size()), columns);
  fmt::print("\n`ecso models NAME` says all of one: its prompt, how to start a server, what to know, sources.\n");
}

void print_field(std::string_view name, std::string_view value, std::size_t columns) {
  fmt::print("{:<14}{}", name, wrap(value, std::string(14, ' '), columns));
}

void print_list(std::string_view title, std::span<const std::string_view> items, std::size_t columns) {
  if (items.empty()) return;
  fmt::print("\n{}\n", title);
  for (const std::string_view item : items) fmt::print("  - {}", wrap(item, "    ", columns));
}

void show(const ModelProfile& profile, std::size_t columns) {
  const ConversationTemplate& format = profile.conversation;
  fmt::print("{}\n\n", profile.name);
  print_field("Repository", profile.repository, columns);
  print_field("Context", fmt::format("{} tokens, images and answer included", profile.context_tokens), columns);
  print_field("Image tokens", profile.image_token_rule, columns);
  print_field("Image", fmt::format("{}, {}", quoted({&format.image_token, 1}), explain(format.image_place)), columns);
  print_field("System text",
              fmt::format("{}; {}", explain(format.system_place),
                          format.default_system.empty() ? "none of its own" : "one of its own, as below"),
              columns);
  print_field("Begins with",
              format.bos.empty() ? "nothing" : fmt::format("{}, {}", quoted({&format.bos, 1}), explain(format.bos_place)),
              columns);
  print_field("Stops at", quoted(format.stop), columns);

  const std::string prompt = example_prompt(profile);
  const bool is_ascii = std::ranges::all_of(prompt, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  fmt::print("\nPrompt for an image and \"{}\"\n    {}", query, wrap(prompt, "    ", is_ascii ? columns : columns / 2));

  fmt::print("\nServers\n");
  for (const ServerRecipe& server : profile.servers) {
    fmt::print("  {}\n", server.server);
    std::string_view commands = server.command;
    while (!commands.empty()) {
      const std::size_t end = std::min(commands.find('\n'), commands.size());
      fmt::print("{}", wrap_command(commands.substr(0, end), "    ", columns));
      commands.remove_prefix(std::min(end + 1, commands.size()));
    }
    const std::string flags{server.flag};
    fmt::print("{}", flags.empty()
                         ? "    ecso does not speak to it.\n"
                         : wrap_command("ecso protect " + flags + " --image photo.jpg --query '" + std::string{query} + "'",
                                        "    ", columns));
  }
  print_list("To know", profile.quirks, columns);
  print_list("Sources", profile.sources, columns);
}

void print_models(const Options& options) {
  const std::size_t columns = std::min<std::size_t>(terminal_of(STDOUT_FILENO, ColorMode::never).columns, 100);
  if (!options.json) {
    options.name.empty() ? list_all(columns) : show(find_profile(options.name), columns);
    return;
  }
  detail::Json json = detail::Json::array();
  if (options.name.empty()) {
    for (const ModelProfile& profile : all_profiles()) json.push_back(to_json(profile));
  } else {
    json = to_json(find_profile(options.name));
  }
  fmt::print("{}\n", detail::dump_json(json, 2));
}

}  // namespace

void add_models_command(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("models", "List known models: their prompts, and the commands that serve them");
  command.footer(notes);
  const auto options = std::make_shared<Options>();
  command.add_option("model", options->name, "Say all of this one")->type_name("NAME");
  command.add_flag("--json", options->json, "Print JSON: of one model, or an array of all");
  command.callback([options] {
    try {
      print_models(*options);
    } catch (const std::system_error&) {
      throw WriteError{"standard output cannot be written"};
    }
    if (std::fflush(stdout) != 0) throw WriteError{"standard output cannot be written"};
    throw CLI::Success{};
  });
}

}  // namespace ecso::command
