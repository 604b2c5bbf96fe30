#include <ecso/calibrate/interval.hpp>

#include <cstddef>

#include "support/catch.hpp"

namespace interval_test {

using namespace ecso;
using Catch::Approx;

TEST_CASE("Wilson's interval is that of the tables", "[calibrate]") {
  // Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
  CHECK(wilson_interval(81, 263).low == Approx(0.2553).margin(5e-5));
  CHECK(wilson_interval(81, 263).high == Approx(0.3662).margin(5e-5));
  CHECK(wilson_interval(15, 148).low == Approx(0.0624).margin(5e-5));
  CHECK(wilson_interval(15, 148).high == Approx(0.1605).margin(5e-5));
  CHECK(wilson_interval(0, 20).low == 0);
  CHECK(wilson_interval(0, 20).high == Approx(0.1611).margin(5e-5));
  CHECK(wilson_interval(1, 29).low == Approx(0.0061).margin(5e-5));
  CHECK(wilson_interval(1, 29).high == Approx(0.1718).margin(5e-5));
  CHECK(wilson_interval(20, 20).high == 1);
  CHECK(wilson_interval(0, 0) == Interval{0, 1});
}

TEST_CASE("so many trials without a hit show a share, and one less does not", "[calibrate]") {
  for (const double share : {0.01, 0.05, 0.1, 0.5}) {
    const std::size_t trials = trials_to_show(share);
    CHECK(wilson_interval(0, trials).high <= share);
    CHECK(wilson_interval(0, trials - 1).high > share);
  }
  CHECK(trials_to_show(0.05) == 73);
}

}  // namespace interval_test
