#include <ecso/detail/token_logprobs.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace token_logprobs_test {

using namespace ecso;
using namespace ecso::detail;

namespace {

std::string name_of(std::size_t token) { return "t" + std::to_string(token); }

bool is_near(double a, double b) { return std::abs(a - b) < 1e-9; }

}  // namespace

TEST_CASE("Scores become log-probabilities whose probabilities sum to one", "[token_logprobs]") {
  const std::vector<float> logits{1.0F, 3.0F, -2.0F, 3.0F};
  const TokenDistribution distribution{logits};
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) sum += std::exp(distribution.logprob(i));
  CHECK(is_near(sum, 1.0));
  CHECK(is_near(distribution.logprob(1) - distribution.logprob(0), 2.0));
  CHECK(distribution.likeliest(3) == std::vector<std::size_t>{1, 3, 0});
  CHECK(distribution.likeliest(9).size() == 4);
}

TEST_CASE("Large scores neither overflow nor vanish", "[token_logprobs]") {
  const std::vector<float> logits{1e30F, -1e30F};
  CHECK(is_near(TokenDistribution{logits}.logprob(0), 0.0));
  CHECK(TokenDistribution{logits}.logprob(1) < -1e29);
  const std::vector<float> masked{0.0F, -std::numeric_limits<float>::infinity()};
  CHECK(std::exp(TokenDistribution{masked}.logprob(1)) == 0);
}

TEST_CASE("Scores that are no numbers are an error, not a verdict", "[token_logprobs]") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& logits :
       {std::vector<float>{nan, 1}, {1, nan}, {infinity, 1}, {-infinity, -infinity}, std::vector<float>{}}) {
    CHECK_THROWS_AS(TokenDistribution{logits}, Error);
  }
}

TEST_CASE("A token's entry has its own probability and the likeliest others", "[token_logprobs]") {
  const std::vector<float> logits{0.0F, 2.0F, 1.0F};
  const TokenLogprobs entry = token_logprobs(TokenDistribution{logits}, 0, 2, name_of);
  CHECK(entry.token == "t0");
  REQUIRE(entry.top.size() == 2);
  CHECK(entry.top[0].token == "t1");
  CHECK(entry.top[1].token == "t2");
  CHECK(is_near(entry.logprob, entry.top[0].logprob - 2.0));
}

}  // namespace token_logprobs_test
