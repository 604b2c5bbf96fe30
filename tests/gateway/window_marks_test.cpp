#include <ecso/detail/gateway/window.hpp>

#include <vector>

#include "support/catch.hpp"

namespace window_marks_test {

namespace {

using ecso::detail::gateway::Window;

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

}  // namespace window_marks_test
