#pragma once

// All faults.

#include <vector>

#include "faults/fault.hpp"
#include "faults/http_faults.hpp"
#include "faults/reply_faults.hpp"

namespace ecso::test {

[[nodiscard]] inline std::vector<Fault> all_faults() {
  std::vector<Fault> all;
  faults::add_connection_faults(all);
  faults::add_legal_oddities(all);
  faults::add_http_faults(all);
  faults::add_status_faults(all);
  faults::add_body_faults(all);
  faults::add_partial_answers(all);
  return all;
}

}  // namespace ecso::test
