#include <ecso/core/trace.hpp>

#include "support/catch.hpp"
#include "support/image_bytes.hpp"

#include <string>

namespace trace_test {

namespace {

using namespace ecso;

}  // namespace

TEST_CASE("An outcome releases nothing until told otherwise", "[trace]") {
  const Outcome outcome;
  CHECK(outcome.path == Path::failed);
  CHECK(outcome.text.empty());
  CHECK(outcome.steps.empty());
  CHECK_FALSE(outcome.error);
  CHECK(outcome.usage() == Usage{});
}

TEST_CASE("An outcome sums the tokens of all calls", "[trace]") {
  Outcome outcome;
  for (const Usage& usage : {Usage{100, 0, 20}, Usage{150, 90, 1}, Usage{}}) {
    StepRecord record;
    record.usage = usage;
    outcome.steps.push_back(record);
  }
  CHECK(outcome.usage() == Usage{250, 90, 21});
}

TEST_CASE("A trace keeps of an image its hash, size, type and sides", "[trace]") {
  const std::string bytes = test::png_bytes(3, 2);
  const Image image = Image::from_bytes(bytes);
  const ImageRecord record = TracedImage{image}.record();
  CHECK(record.sha256 == image.sha256());
  CHECK(record.bytes == bytes.size());
  CHECK(record.media_type == MediaType::png);
  CHECK(record.width == 3);
  CHECK(record.height == 2);
}

TEST_CASE("A traced image equals its record", "[trace]") {
  const TracedImage traced{Image::from_bytes(test::png_bytes(3, 2))};
  const TracedImage read_back{traced.record()};
  CHECK(traced == read_back);
  CHECK_FALSE(traced == TracedImage{Image::from_bytes(test::png_bytes(2, 3))});
}

TEST_CASE("Paths have names", "[trace]") {
  CHECK(to_string(Path::direct) == "direct");
  CHECK(to_string(Path::eyes_closed) == "eyes_closed");
  CHECK(to_string(Path::refused) == "refused");
  CHECK(to_string(Path::failed) == "failed");
}

}  // namespace trace_test
