#include <ecso/detail/gateway/served_policies.hpp>

#include <memory>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace served_policies_test {

namespace {

using namespace ecso;
using detail::gateway::ServedPolicies;
using detail::gateway::ServedPolicy;

gateway::Options with_policy(Policy policy) {
  gateway::Options options;
  options.policy = std::make_shared<const Policy>(std::move(policy));
  return options;
}

ServedPolicy served(const gateway::Options& options) { return ServedPolicies{options}.of(options.policy); }

ServedPolicy with_marks(std::vector<int> marks) {
  Policy policy = policy::production();
  policy.incremental_check = std::move(marks);
  return served(with_policy(std::move(policy)));
}

TEST_CASE("A window has early checks even if its policy names none", "[gateway][window]") {
  CHECK_FALSE(with_marks({}).window->incremental_check.empty());
  CHECK(with_marks({7}).window->incremental_check == std::vector{7});
}

TEST_CASE("A stream that is held has the early checks of its policy", "[gateway][window]") {
  CHECK(with_marks({7}).held->incremental_check == std::vector{7});
  CHECK(with_marks({}).held->incremental_check.empty());
}

TEST_CASE("Several choices have no early checks", "[gateway][window]") {
  CHECK(with_marks({7}).several->incremental_check.empty());
}

TEST_CASE("Several choices are each quoted to their check, or shown to a guard model", "[gateway][policy]") {
  const auto form = [](CheckForm wanted) {
    Policy policy;
    policy.check_form = wanted;
    return served(with_policy(policy)).several->check_form;
  };
  CHECK(form(CheckForm::automatic) == CheckForm::quoted);
  CHECK(form(CheckForm::next_turn) == CheckForm::quoted);
  CHECK(form(CheckForm::guard) == CheckForm::guard);
}

TEST_CASE("Clients' system turns are quoted, unless they are trusted or the policy drops them", "[gateway][policy]") {
  CHECK(served(with_policy({})).held->system_turns == SystemTurns::quote);
  gateway::Options trusting = with_policy({});
  trusting.trust_system_turns = true;
  CHECK(served(trusting).window->system_turns == SystemTurns::keep);
  Policy dropping;
  dropping.system_turns = SystemTurns::drop;
  CHECK(served(with_policy(dropping)).several->system_turns == SystemTurns::drop);
}

TEST_CASE("The images that the gateway takes are those that the policy takes, unless that says otherwise", "[gateway][policy]") {
  gateway::Options options = with_policy({});
  options.chat.max_images = 40;
  CHECK(served(options).held->max_images == 40);
  Policy few;
  few.max_images = 3;
  options.policy = std::make_shared<const Policy>(few);
  CHECK(served(options).held->max_images == 3);
}

TEST_CASE("A policy that cannot be followed is refused before it is served", "[gateway][policy]") {
  Policy policy;
  policy.max_rounds = 0;
  CHECK_THROWS_AS(ServedPolicies{with_policy(policy)}, Error);
  CHECK_THROWS_AS(ServedPolicies{gateway::Options{.policy = nullptr}}, Error);
}

}  // namespace

}  // namespace served_policies_test
