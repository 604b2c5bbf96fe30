#include <ecso/detail/gateway/window.hpp>

#include <memory>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace ecso;
using detail::gateway::policy_for;
using detail::gateway::Window;

std::shared_ptr<const Policy> with_marks(std::vector<int> marks) {
  Policy policy = policy::production();
  policy.incremental_check = std::move(marks);
  return std::make_shared<const Policy>(std::move(policy));
}

TEST_CASE("A window has early checks even if its policy names none", "[gateway][window]") {
  CHECK_FALSE(policy_for(true, 1, with_marks({}))->incremental_check.empty());
  CHECK(policy_for(true, 1, with_marks({7}))->incremental_check == std::vector{7});
}

TEST_CASE("A stream that is held has the early checks of its policy", "[gateway][window]") {
  const auto policy = with_marks({7});
  CHECK(policy_for(false, 1, policy) == policy);
  CHECK(policy_for(false, 1, with_marks({}))->incremental_check.empty());
}

TEST_CASE("Several choices have no early checks", "[gateway][window]") {
  CHECK(policy_for(false, 2, with_marks({7}))->incremental_check.empty());
}

TEST_CASE("A check is due at each mark once, and marks that were passed meanwhile need none", "[gateway][window]") {
  const std::vector<int> marks{2, 4, 8};
  Window window;
  CHECK_FALSE(window.is_due(marks, 7));
  CHECK(window.is_due(marks, 8));
  window.begin_check(marks, 17);  // past the second mark
  CHECK_FALSE(window.is_due(marks, 31));
  CHECK(window.is_due(marks, 32));
  window.begin_check(marks, 32);
  CHECK_FALSE(window.is_due(marks, 1000));
}

TEST_CASE("Only what a check saw may leave, less the lookahead", "[gateway][window]") {
  const std::vector<int> marks{2, 4};
  Window window;
  CHECK(window.verified_bytes(0) == 0);
  window.begin_check(marks, 10);
  CHECK(window.verified_bytes(0) == 10);
  CHECK(window.verified_bytes(4) == 6);
  CHECK(window.verified_bytes(10) == 0);
  CHECK(window.verified_bytes(64) == 0);
}

}  // namespace
