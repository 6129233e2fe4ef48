#include <boost/test/unit_test.hpp>
#include <remora/run/view.hpp>

#include "repo.hpp"

using namespace remora;

BOOST_AUTO_TEST_SUITE(views)

BOOST_AUTO_TEST_CASE(T2_the_next_id_sorts_behind_all_even_those_of_a_later_second) {
  git::initialise();
  const test::test_repo files;
  const std::string commit = files.commit("one").hex();
  git::repository repo = git::repository::discover(files.path()).value();
  const auto now = std::chrono::sys_days(std::chrono::year(2026) / 1 / 2);
  for (const char* newest : {"20260102-000000-aaaa", "20260102-000000-zzzz", "20260102-000009-zzzz",
                             "20270102-000000-aaaa"}) {
    files.git(std::string("update-ref refs/remora/runs/") + newest + " " + commit);
    BOOST_TEST(run::next_id(repo, now).value().str() > newest);
  }
}

BOOST_AUTO_TEST_SUITE_END()
