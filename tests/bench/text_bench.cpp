// Filling prompts and reading verdicts, beside plain copies of the same text.

#include <ecso/core/prompts.hpp>
#include <ecso/core/read_verdict.hpp>

#include <string>
#include <vector>

#include "bench/bench.hpp"

namespace {

using namespace ecso;

void print(std::string_view what, const bench::Figure& figure, const bench::Figure& copy) {
  fmt::print("{:<46} {:>9.0f} ns  {} allocations  {:>6.1f}x a copy of the text\n", what, figure.ns, figure.allocated,
             figure.ns / copy.ns);
}

}  // namespace

int main() {
  const std::string query(200, 'q');
  std::string response;
  while (response.size() < 4000) response += "A sentence of an answer, with [1] a reference and a <tag>.\n";
  const bench::Figure copy = bench::measure([&] {
    std::string text;
    text.reserve(query.size() + response.size() + 200);
    text += query;
    text += response;
    bench::keep(text);
  });
  const Prompts paper{prompts::paper};
  const Prompts hardened{prompts::hardened};
  fmt::print("a copy of 4.2 KB: {:.0f} ns\n", copy.ns);
  print("fill the paper's check, 4 KB response",
        bench::measure([&] { bench::keep(paper.check.fill({.query = query, .response = response})); }), copy);
  print("fill the hardened check, 4 KB response",
        bench::measure([&] { bench::keep(hardened.check.fill({.query = query, .response = response}, Fence::quote)); }), copy);

  const std::string word = "**No**, it is not harmful.";
  const bench::Figure word_copy = bench::measure([&] { bench::keep(std::string{word}); });
  print("paper verdict of \"Yes.\"", bench::measure([&] { bench::keep(paper_verdict("Yes.")); }), word_copy);
  print("tolerant verdict of a short reply", bench::measure([&] { bench::keep(tolerant_verdict(word)); }), word_copy);
  print("tolerant verdict of 4 KB of reasoning", bench::measure([&] { bench::keep(tolerant_verdict(response + "\nNo.")); }),
        copy);
  std::vector<TokenLogprob> top(20, TokenLogprob{"token", -5.0});
  top[3] = {"Yes", -0.5};
  top[7] = {" no", -1.5};
  const std::vector<TokenLogprobs> logprobs{{"Yes", -0.5, top}};
  print("verdict from 20 log-probabilities", bench::measure([&] { bench::keep(probability_verdict(logprobs)); }), word_copy);
}
