#include "command.hpp"

#include "support/image_bytes.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace bad_input_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::test::ecso;
using ecso::test::only_error;
using ecso::test::TemporaryFolder;

struct Row {
  std::vector<std::string> arguments;
  int exit_code;
  std::string message;
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    CHECK_THAT(only_error(ecso(row.arguments), row.exit_code), ContainsSubstring(row.message));
  }
}

TEST_CASE("an image that cannot be used is one clear line", "[command]") {
  const TemporaryFolder folder;
  const std::string whole = ecso::test::png_bytes(40, 30);
  std::string huge = ecso::test::png_bytes(1, 1);
  huge.replace(16, 8, std::string{"\0\0\x75\x30\0\0\x75\x30", 8});
  const std::string big = folder.write("big.png", whole);
  std::filesystem::resize_file(big, 200'000'000);
  const auto ask = [](const std::string& image) { return std::vector<std::string>{"protect", "--image", image, "--query", "q"}; };
  check({{ask(folder.path("none.png")), 65, "none.png: no such file"},
         {ask(folder.path()), 65, "a folder, not an image"},
         {ask(folder.write("text.png", "Hello, world")), 65, "text.png: "},
         {ask(folder.write("short.png", whole.substr(0, whole.size() - 14))), 65, "short.png: "},
         {ask(folder.write("huge.png", huge)), 65, "huge.png: "},
         {ask(folder.write("empty.png", "")), 65, "empty.png: "},
         {ask(big), 65, "big.png: 200000000 bytes; the limit is 20971520"},
         {ask("https://example.com/a.png"), 65, "a URL is never fetched; download the image"},
         {ask("data:image/png;base64,AAAA"), 65, "name a file"},
         {ask(""), 65, "the name of the file is empty"},
         {ask(folder.write("odd\n\033[31m.png", "x")), 65, "odd"}});
  if (::geteuid() != 0) {
    const std::string closed = folder.write("closed.png", whole);
    std::filesystem::permissions(closed, std::filesystem::perms::none);
    check({{ask(closed), 65, "closed.png: cannot be opened"}});
  }
}

TEST_CASE("a query that cannot be used is one clear line", "[command]") {
  check({{{"protect", "--query", ""}, 65, "query: it is empty"},
         {{"protect", "--query", " \n"}, 65, "query: it is empty"},
         {{"protect", "--query", "caf\xE9"}, 65, "query: invalid UTF-8 at byte 3"},
         {{"protect"}, 64, "--query is needed"}});
  CHECK_THAT(only_error(ecso({"protect", "--query", "-"}, {.input = std::string(1024 * 1024, 'a')}), 65),
             ContainsSubstring("max_text_bytes, 524288 bytes"));
  CHECK_THAT(only_error(ecso({"protect", "--query", "-"}), 65), ContainsSubstring("query: it is empty"));
}

TEST_CASE("a wrong command line is one clear line", "[command]") {
  check({{{}, 64, "see ecso --help"},
         {{"frobnicate"}, 64, "frobnicate is not known here"},
         {{"protect", "--frob"}, 64, "--frob is not known here; see ecso protect --help"},
         {{"protect", "--query"}, 64, "--query"},
         {{"protect", "--query", "q", "--backend", "magic"}, 64, "--backend: there is no such backend"},
         {{"protect", "--query", "q", "--backend", "openai:localhost"}, 64, "does not start with http://"},
         {{"protect", "--query", "q", "--backend", "openai:ftp://localhost"}, 64, "neither http:// nor https://"},
         {{"protect", "--query", "q", "--backend", "openai:"}, 64, "is empty"},
         {{"protect", "--query", "q", "--backend", "openai:http://h", "--dialect", "latin"},
          64,
          "--dialect: \"latin\" is none of plain"},
         {{"protect", "--query", "q", "--deadline", "soon"}, 64, "--deadline: \"soon\" is no time"},
         {{"protect", "--query", "q", "--batch", "b"}, 64, "leave out --image and --query"},
         {{"protect", "--query", "q", "--output", "o"}, 64, "go with --batch only"},
         {{"protect", "--batch", "b", "--resume"}, 64, "--resume needs the --output FILE"},
         {{"protect", "--batch", "b", "--max-in-flight", "0"}, 64, "is no number from 1 to 1024"},
         {{"protect", "--batch", "no such batch"}, 65, "no such batch: no such file"},
         {{"protect", "--query", "q", "--backend", "replay:none.jsonl"}, 65, "none.jsonl: the recording cannot be opened"},
         {{"protect", "--query", "q", "--record", "/"}, 65, "the recording cannot be written"}});
}

TEST_CASE("a key on the command line is refused and not repeated", "[command]") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"protect", "--query", "q", "--api-key", "sk-secret"},
        {"protect", "--query", "q", "--api-key=sk-secret"},
        {"protect", "--query", "q", "--apikey=sk-secret"},
        {"protect", "--query", "q", "--key", "sk-secret"},
        {"protect", "--query", "q", "--backend", "openai:http://user:sk-secret@localhost"},
        {"protect", "--query", "q", "--backend", "openai:http://localhost/?key=sk-secret"},
        {"protect", "--query", "q", "--backend", "sk-secret"}}) {
    CHECK_THAT(only_error(ecso(arguments), 64), !ContainsSubstring("sk-secret"));
  }
}

TEST_CASE("a policy or configuration file that cannot be used is one clear line", "[command]") {
  const TemporaryFolder folder;
  const auto policy = [&](const std::string& file) {
    return std::vector<std::string>{"protect", "--query", "q", "--policy", file};
  };
  const auto config = [&](const std::string& file) {
    return std::vector<std::string>{"protect", "--query", "q", "--config", file};
  };
  check({{policy("lenient"), 65, "policy \"lenient\": no such file, and no policy of that name; there are production and paper"},
         {policy(folder.path()), 65, "a folder, not a file"},
         {policy(folder.write("a.toml", "max_rouds = 3\n")), 65, "a.toml: policy.max_rouds: unknown key; known are "},
         {policy(folder.write("b.toml", "max_rounds = \n")), 65, "b.toml: not TOML at line 1, column "},
         {policy(folder.write("c.json", "{\"max_rounds\": }")), 65, "c.json: policy: not JSON at byte 16"},
         {policy(folder.write("d.toml", "max_rounds = 99\n")), 65, "d.toml: policy: max_rounds "},
         {policy(folder.write("e.toml", "name = 2024-01-01\n")), 65, "e.toml: line 1: a date or time"},
         {policy(folder.write("f.toml", "[prompts]\ncheck = \"{query} {oops}\"\n")), 65, "f.toml: policy.prompts.check: "},
         {{"policy", "lenient"}, 65, "no policy of that name"},
         {config(folder.path("none.toml")), 65, "none.toml: no such file"},
         {config(folder.write("g.toml", "bakend = \"simulated\"\n")), 65,
          "g.toml: bakend: unknown setting; known are backend, model"},
         {config(folder.write("h.toml", "api_key = \"sk-secret\"\n")), 65, "h.toml: api_key: a key does not belong here"},
         {config(folder.write("i.toml", "backend = [1]\n")), 65, "i.toml: backend: must be a text or a number"},
         {config(folder.write("j.toml", "deadline = \"soon\"\n")), 64, "j.toml: deadline: \"soon\" is no time"}});
}

}  // namespace

}  // namespace bad_input_test
