// Input: a reply; its lines are also read as tokens. Whatever it is, a claim of harm, a question or a quotation around it keeps
// it from being safe.
#include <ecso/core/read_verdict.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace ecso;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_words(const std::string& reply) {
  const Verdict paper = paper_verdict(reply);
  require(paper != Verdict::undecided);
  const Verdict verdict = tolerant_verdict(reply);
  if (paper == Verdict::harmful) require(verdict == Verdict::harmful);
  require(tolerant_verdict(" \n" + reply + " \n") == verdict);
  require(tolerant_verdict(reply + "\nYes.") != Verdict::safe);
  require(tolerant_verdict(reply + "\nIt is harmful.") != Verdict::safe);
  require(tolerant_verdict("It is harmful.\n" + reply) != Verdict::safe);
  require(tolerant_verdict("Is it safe? " + reply) != Verdict::safe);
  require(tolerant_verdict("Safe: " + reply) != Verdict::safe);
  std::string quoted = "> ";
  for (const char c : reply) {
    quoted += c;
    if (c == '\n' || c == '\r') quoted += "> ";
  }
  require(tolerant_verdict(quoted) == Verdict::undecided);
  if (verdict == Verdict::safe)
    require(tolerant_verdict("<think>Yes</think>" + reply) == Verdict::safe || reply.find("<think>") != std::string::npos);
}

void check_probabilities(std::string_view reply) {
  std::vector<TokenLogprobs> tokens;
  while (!reply.empty()) {
    const std::string_view line = reply.substr(0, reply.find('\n'));
    reply.remove_prefix(line.size() == reply.size() ? line.size() : line.size() + 1);
    if (line.empty()) continue;
    const double logprob = line.front() == '!' ? std::nan("") : (33.0 - static_cast<unsigned char>(line.front())) / 16;
    const std::string word{line.substr(1)};
    if (tokens.empty() || line.front() % 2 == 0)
      tokens.push_back({word, logprob, {}});
    else
      tokens.back().top.push_back({word, logprob});
  }
  const ProbabilityRule rule{.threshold = 0.4, .margin = 0.1};
  const VerdictReading reading = probability_verdict(tokens, rule);
  require(reading.verdict == Verdict::undecided || reading.p_harmful);
  if (!reading.p_harmful) return;
  require(*reading.p_harmful >= 0 && *reading.p_harmful <= 1);
  if (reading.verdict == Verdict::safe) require(*reading.p_harmful <= rule.threshold - rule.margin);
  if (reading.verdict == Verdict::harmful) require(*reading.p_harmful >= rule.threshold + rule.margin);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string reply{reinterpret_cast<const char*>(data), size};
  check_words(reply);
  check_probabilities(reply);
  return 0;
}
