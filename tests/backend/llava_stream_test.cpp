#include <ecso/backend/llava_stream.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/llava_stand_in.hpp"

namespace llava_stream_test {

namespace {

using Catch::Matchers::ContainsSubstring;
using ecso::Errc;
using ecso::Error;
using ecso::FinishReason;
using ecso::LlavaStream;
using ecso::Reply;
using ecso::test::llava_message;

const std::string prompt = "USER: \"你好\" \xF0\x9F\x90\x88 ASSISTANT:";

/// What a worker sends when the whole text is, one after the other, the prompt and each of these.
std::string stream_of(const std::vector<std::string>& answers) {
  std::string bytes;
  for (const std::string& answer : answers) bytes += llava_message(prompt + answer);
  return bytes;
}

struct Read {
  Reply reply;
  std::vector<std::string> pieces;

  [[nodiscard]] std::string given() const {
    std::string text;
    for (const std::string& piece : pieces) text += piece;
    return text;
  }
};

Read read(const std::vector<std::string_view>& packets, const std::vector<std::string>& stops = {"</s>"}, int max_tokens = 100) {
  LlavaStream stream{prompt, stops, max_tokens};
  Read result;
  for (const std::string_view packet : packets) {
    stream.feed(packet, [&](std::string_view piece) { result.pieces.emplace_back(piece); });
  }
  result.reply = std::move(stream).finish();
  return result;
}

Error error_of(std::string_view bytes) {
  try {
    static_cast<void>(read({bytes}));
  } catch (const Error& error) {
    return error;
  }
  return Error{Errc::internal, "the stream was read"};
}

}  // namespace

TEST_CASE("A worker's stream gives the answer without the prompt", "[backend][llava][stream]") {
  const Read got = read({stream_of({"", "A ", "A ", "A black ", "A black cat, 猫."})});
  CHECK(got.reply.text == "A black cat, 猫.");
  CHECK(got.pieces == std::vector<std::string>{"A ", "black ", "cat, 猫."});
  CHECK(got.reply.finish_reason == FinishReason::unknown);
  CHECK(got.reply.usage == ecso::Usage{});
  CHECK(got.reply.logprobs.empty());
}

TEST_CASE("A worker's stream may be cut at any byte", "[backend][llava][stream]") {
  const std::string bytes = stream_of({"A \"cat\", ", "A \"cat\", 猫 ", "A \"cat\", 猫 \xF0\x9F\x90\x88 here"});
  const Read whole = read({bytes});
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    const Read got = read({std::string_view{bytes}.substr(0, cut), std::string_view{bytes}.substr(cut)});
    CHECK(got.reply == whole.reply);
    CHECK(got.pieces == whole.pieces);
  }
  std::vector<std::string_view> bytewise;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytewise.push_back(std::string_view{bytes}.substr(i, 1));
  CHECK(read(bytewise).reply == whole.reply);
}

TEST_CASE("What could become the stop text is held back, and passed on if it does not", "[backend][llava][stream]") {
  const Read got = read({stream_of({"a <", "a </", "a </b", "a </b> <"})});
  CHECK(got.reply.text == "a </b> <");
  CHECK(got.pieces == std::vector<std::string>{"a ", "</b", "> "});
  CHECK(got.reply.finish_reason == FinishReason::unknown);
}

TEST_CASE("An answer that shrinks by the stop text has ended there", "[backend][llava][stream]") {
  const Read got = read({stream_of({"A cat", "A cat</", "A cat", "A cat and more"})});
  CHECK(got.reply.text == "A cat");
  CHECK(got.given() == "A cat");
  CHECK(got.reply.finish_reason == FinishReason::stop);
  const Read overlapping = read({stream_of({"a##", "a#", "a# Human: "})}, {"###"});
  CHECK(overlapping.reply.text == "a#");
  CHECK(overlapping.given() == "a#");
  CHECK(overlapping.reply.finish_reason == FinishReason::stop);
}

TEST_CASE("An answer ends at the first stop text in it, and what comes after does not matter", "[backend][llava][stream]") {
  const std::string bytes = stream_of({"one\ntwo</s>", "one\ntwo</s>three"}) + "garbage" + std::string(1, '\0') + "rest";
  const Read template_stop = read({bytes});
  CHECK(template_stop.reply.text == "one\ntwo");
  CHECK(template_stop.given() == "one\ntwo");
  CHECK(template_stop.reply.finish_reason == FinishReason::stop);
  CHECK(read({bytes}, {"</s>", "wo", "\n", "two"}).reply.text == "one");
  const Read bytewise = read({stream_of({"o", "on", "one", "one#", "one##", "one###", "one###t"})}, {"</s>", "###"});
  CHECK(bytewise.reply.text == "one");
  CHECK(bytewise.given() == "one");
}

TEST_CASE("As many messages as tokens were allowed, and the last one, tell a cut answer", "[backend][llava][stream]") {
  const std::string bytes = stream_of({"", "a ", "a b ", "a b c"});
  CHECK(read({bytes}, {"</s>"}, 3).reply.finish_reason == FinishReason::length);
  CHECK(read({bytes}, {"</s>"}, 4).reply.finish_reason == FinishReason::unknown);
  std::vector<std::string> answers(1025, "a");
  CHECK(read({stream_of(answers)}, {"</s>"}, 100'000).reply.finish_reason == FinishReason::length);
}

TEST_CASE("A worker's stream that is not what the protocol promises is a bad reply", "[backend][llava][stream]") {
  const std::string end(1, '\0');
  struct Row {
    std::string bytes;
    std::string reason;
  };
  const Row row = GENERATE_COPY(values<Row>({
      {"", "before its first message"},
      {end, "an empty response"},
      {"<html>" + end, "not JSON: <html>"},
      {R"({"text": "a)" + end, "not JSON"},
      {"[]" + end, "no error code"},
      {R"({"text": "a"})" + end, "no error code"},
      {R"({"text": "a", "error_code": "0"})" + end, "no error code"},
      {R"({"text": "a", "error_code": 0.0})" + end, "no error code"},
      {R"({"error_code": 0})" + end, "does not repeat the prompt"},
      {R"({"text": ["a"], "error_code": 0})" + end, "does not repeat the prompt"},
      {llava_message("A cat."), "does not repeat the prompt"},
      {llava_message(prompt.substr(0, prompt.size() - 1)), "does not repeat the prompt"},
      {stream_of({"A cat "}) + llava_message("A cat is"), "does not repeat the prompt"},
      {stream_of({"A cat ", "A dog "}), "takes back"},
      {stream_of({"A cat ", "A "}), "takes back"},
      {stream_of({""}), "empty content"},
      {stream_of({"", "</s>"}), "empty content"},
      {stream_of({"A cat "}) + R"({"text": )", "ended inside a message"},
      {std::string(70, '[') + end, "nests deeper"},
      {std::string(5'000'000, ' '), "longer than"},
  }));
  const Error error = error_of(row.bytes);
  CAPTURE(error.what());
  CHECK(error.code() == Errc::bad_reply);
  CHECK_THAT(error.what(), ContainsSubstring(row.reason));
}

TEST_CASE("An error in a worker's stream is an error even after a part of the answer", "[backend][llava][stream]") {
  const std::string failure{ecso::test::llava_failure};
  for (const std::string& before : {std::string{}, stream_of({"A cat "})}) {
    const Error failed = error_of(before + llava_message(failure, 1));
    CHECK(failed.code() == Errc::server_error);
    CHECK(failed.message() == "the worker failed; its log says why (error code 1: " + failure + ")");
    CHECK(error_of(before + llava_message(failure, 2)).code() == Errc::not_found);
    CHECK(error_of(before + llava_message(failure, 3)).code() == Errc::unavailable);
    CHECK(error_of(before + llava_message(prompt + "A cat is", 50001)).code() == Errc::server_error);
    CHECK(error_of(before + llava_message(prompt + "A cat is", -1)).code() == Errc::server_error);
  }
  CHECK(error_of("{\"error\": \"oops\"}" + std::string(1, '\0')).code() == Errc::server_error);
}

TEST_CASE("A worker's excuse for a prompt that is too long is not an answer", "[backend][llava][stream]") {
  const std::string excuse = "Exceeds max token length. Please start a new conversation, thanks.";
  CHECK(error_of(stream_of({excuse})).code() == Errc::bad_request);
  CHECK(read({stream_of({"", "Exceeds ", excuse})}).reply.text == excuse);
}

TEST_CASE("What the callback of a worker's stream throws comes out of it", "[backend][llava][stream]") {
  LlavaStream stream{prompt, {"</s>"}, 100};
  CHECK_THROWS_AS(stream.feed(stream_of({"a"}), [](std::string_view) { throw 7; }), int);
}

}  // namespace llava_stream_test
