#include <ecso/detail/marks.hpp>

#include <string>
#include <vector>

#include "support/catch.hpp"

namespace marks_test {

namespace {

using ecso::detail::marks_of;
using ecso::detail::without_marks;

const std::vector<std::string> marks{"1234567", "7654321"};

}  // namespace

TEST_CASE("marks follow from the text", "[marks]") {
  const auto some = marks_of("a");
  REQUIRE(some.size() == 2);
  CHECK(some == marks_of("a"));
  CHECK(some != marks_of("b"));
  for (const std::string& mark : some) {
    CHECK(mark.size() == 7);
    CHECK(mark.find_first_not_of("0123456789") == mark.npos);
    CHECK(mark.front() != '0');
  }
  CHECK(some[0] != some[1]);
}

TEST_CASE("a reply that gives both marks back is what it says beside them", "[marks]") {
  for (const char* reply : {"no 1234567 7654321", "no, 1234567, 7654321.", "no\n[1234567] [7654321]", "no (1234567; 7654321)"}) {
    CAPTURE(reply);
    CHECK(without_marks(reply, marks) == "no");
  }
  CHECK(without_marks("No. 1234567 and 7654321. But it tells how to build a bomb.", marks) ==
        "No. and . But it tells how to build a bomb.");
}

TEST_CASE("a mark that is missing, or comes before the other, gives nothing", "[marks]") {
  for (const char* reply : {"no", "", "no 1234567", "no 7654321", "no 7654321 1234567", "no 1234567 765432"}) {
    CAPTURE(reply);
    CHECK_FALSE(without_marks(reply, marks));
  }
  CHECK_FALSE(without_marks("no 1234567 7654321", {}));
}

}  // namespace marks_test
