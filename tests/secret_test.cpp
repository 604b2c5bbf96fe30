#include <ecso/secret.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>

#include <fmt/format.h>
#include <unistd.h>

#include "support/catch.hpp"

namespace secret_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::Secret;

template <typename T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

static_assert(!Streamable<Secret> && !fmt::is_formattable<Secret>::value, "a key cannot be printed");
static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<Secret, std::string_view>);

template <typename Make>
std::string refusal(Make make) {
  try {
    static_cast<void>(make());
    return "accepted";
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_input);
    return error.what();
  }
}

/// A file that is gone at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view content)
      : path_{std::filesystem::temp_directory_path() / ("ecso-secret-" + std::to_string(::getpid()))} {
    std::ofstream{path_, std::ios::binary} << content;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("A key comes from a text, a file or the environment, without its last line breaks", "[http][secret]") {
  CHECK(Secret{}.empty());
  CHECK(Secret::from_text("sk-1").reveal() == "sk-1");
  CHECK(Secret::from_file(TemporaryFile{"sk-2\r\n\n"}.path()).reveal() == "sk-2");
  ::setenv("ECSO_TEST_KEY", "sk-3\n", 1);
  CHECK(Secret::from_environment("ECSO_TEST_KEY").reveal() == "sk-3");
  ::unsetenv("ECSO_TEST_KEY");
  CHECK_THAT(refusal([] { return Secret::from_environment("ECSO_TEST_KEY"); }), ContainsSubstring("ECSO_TEST_KEY is not set"));
}

TEST_CASE("A key that is empty, or could smuggle in a header, is refused without being repeated", "[http][secret]") {
  for (const std::string text :
       {"", "\n", "hunter2\r\nX-Evil: 1", "hunter2 two", "hunter2\x7F", "hunter2\xC3\xA9", "\thunter2"}) {
    CAPTURE(text);
    const std::string message = refusal([&] { return Secret::from_text(text); });
    CHECK_THAT(message, !ContainsSubstring("accepted") && !ContainsSubstring("hunter2"));
  }
  CHECK_THAT(refusal([] { return Secret::from_text("abc\ndef"); }), ContainsSubstring("at offset 3"));
  CHECK_THAT(refusal([] { return Secret::from_text(std::string(20'000, 'k')); }), ContainsSubstring("longer than"));
}

TEST_CASE("A key file that cannot be used is named", "[http][secret]") {
  const auto folder = std::filesystem::temp_directory_path();
  CHECK_THAT(refusal([] { return Secret::from_file("/nonexistent/key"); }),
             ContainsSubstring("/nonexistent/key: cannot be opened"));
  CHECK_THAT(refusal([&] { return Secret::from_file(folder); }), ContainsSubstring("is a folder"));
  CHECK_THAT(refusal([] { return Secret::from_file(TemporaryFile{""}.path()); }), ContainsSubstring("is empty"));
  CHECK_THAT(refusal([] { return Secret::from_file(TemporaryFile{std::string(20'000, 'k')}.path()); }),
             ContainsSubstring("longer than"));
}

TEST_CASE("Every copy of a key is taken out of a text", "[http][secret]") {
  const Secret key = Secret::from_text("sk-1");
  CHECK(key.redact("sk-1, Bearer sk-1sk-1!") == "[key], Bearer [key][key]!");
  CHECK(key.redact("nothing") == "nothing");
  CHECK(Secret::from_text("e").redact("key") == "k[key]y");
  CHECK(Secret{}.redact("sk-1") == "sk-1");
}

}  // namespace secret_test
