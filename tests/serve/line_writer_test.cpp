#include "ecso/gateway/line_writer.hpp"

#include "command/command.hpp"
#include "ecso/exit_code.hpp"
#include "support/catch.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace line_writer_test {

namespace {

using namespace std::chrono_literals;
using ecso::command::LineWriter;
using ecso::command::LineWriterOptions;
using ecso::test::TemporaryFolder;
using Clock = std::chrono::steady_clock;

/// What a writer tells of losses.
struct Losses {
  std::mutex mutex;
  std::size_t lines = 0;
  std::string why;

  LineWriter::OnLost listener() {
    return [this](std::size_t more, std::string_view reason) {
      const std::lock_guard lock{mutex};
      lines += more;
      why = reason;
    };
  }
  std::size_t count() {
    const std::lock_guard lock{mutex};
    return lines;
  }
};

/// A named pipe with a reader that reads only when it is told to.
class Pipe {
 public:
  explicit Pipe(const std::string& path) {
    std::signal(SIGPIPE, SIG_IGN);  // As the command does.
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(fd_ >= 0);
    capacity_ = static_cast<std::size_t>(::fcntl(fd_, F_GETPIPE_SZ));
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() { close(); }

  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  std::string read_to_end() const {
    std::string text;
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t got = ::read(fd_, bytes.data(), bytes.size());
      if (got == 0) return text;
      if (got > 0) text.append(bytes.data(), static_cast<std::size_t>(got));
      if (got < 0) std::this_thread::sleep_for(1ms);
    }
  }

 private:
  int fd_ = -1;
  std::size_t capacity_ = 0;
};

std::string line(std::size_t number, std::size_t size) {
  std::string text = std::to_string(number);
  text.resize(size - 1, '.');
  return text + "\n";
}

/// The numbers that such lines begin with.
std::vector<std::size_t> numbers_of(const std::string& text) {
  std::vector<std::size_t> numbers;
  std::istringstream in{text};
  for (std::string one; std::getline(in, one);) numbers.push_back(std::stoul(one));
  return numbers;
}

TEST_CASE("a file that takes nothing keeps nobody waiting, and what was accepted is written once it does", "[serve]") {
  const TemporaryFolder folder;
  const Pipe pipe{folder.path("pipe")};
  Losses losses;
  constexpr std::size_t size = 1000;
  const std::size_t room = 100 * size;
  std::optional<LineWriter> writer{std::in_place,
                                   LineWriterOptions{.file = folder.path("pipe"), .max_waiting_bytes = room, .patience = 10min},
                                   losses.listener()};
  // Nobody reads the pipe before all of this is done.
  std::vector<std::size_t> accepted;
  const std::size_t count = pipe.capacity() / size + 300;
  for (std::size_t i = 0; i < count; ++i) {
    if (writer->write(line(i, size))) accepted.push_back(i);
  }
  CHECK(accepted.size() < count);
  CHECK(losses.count() == count - accepted.size());
  CHECK(losses.why == "lines come faster than the file takes them");
  std::jthread end{[&] { writer.reset(); }};
  CHECK(numbers_of(pipe.read_to_end()) == accepted);
}

TEST_CASE("a line longer than all that may wait is written if nothing waits", "[serve]") {
  const TemporaryFolder folder;
  Losses losses;
  { CHECK(LineWriter{{.file = folder.path("file"), .max_waiting_bytes = 10}, losses.listener()}.write(line(7, 1'000'000))); }
  CHECK(folder.read("file").size() == 1'000'000);
  CHECK(losses.count() == 0);
}

TEST_CASE("a file that is stuck for good is given up, with its lines counted as lost", "[serve]") {
  const TemporaryFolder folder;
  Pipe pipe{folder.path("pipe")};
  Losses losses;
  const auto start = Clock::now();
  {
    LineWriter writer{{.file = folder.path("pipe"), .patience = 100ms}, losses.listener()};
    for (std::size_t i = 0; i < 3; ++i) writer.write(line(i, pipe.capacity() - 10));
  }
  CHECK(Clock::now() - start < 5s);  // What it takes if nothing is said of patience.
  // The first fits; the second hangs in the middle.
  CHECK(losses.count() == 2);
  CHECK(losses.why == "the file takes nothing");
  pipe.close();  // Which ends the write that hung, with nobody left to tell.
  std::this_thread::sleep_for(50ms);
  CHECK(losses.count() == 2);
}

TEST_CASE("a pipe whose reader goes away loses lines and nothing else", "[serve]") {
  const TemporaryFolder folder;
  Pipe pipe{folder.path("pipe")};
  Losses losses;
  {
    LineWriter writer{{.file = folder.path("pipe")}, losses.listener()};
    pipe.close();
    for (std::size_t i = 0; i < 5; ++i) writer.write(line(i, 100));
  }
  CHECK(losses.count() == 5);
  CHECK(losses.why == "Broken pipe");
}

TEST_CASE("a named pipe that nobody reads is an error, at once", "[serve]") {
  const TemporaryFolder folder;
  const std::string path = folder.path("pipe");
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK_THROWS_WITH((LineWriter{{.file = path}, [](std::size_t, std::string_view) {}}),
                    Catch::Matchers::ContainsSubstring("it is a pipe that nobody reads"));
}

}  // namespace

}  // namespace line_writer_test
