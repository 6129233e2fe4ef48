#include <boost/test/unit_test.hpp>

#include "world.hpp"

namespace remora::front {
namespace {

struct bad {
  std::vector<std::string> arguments;
  int status;
  std::string_view says;
};

void refuse(const world& w, const bad& b) {
  const answer got = w(b.arguments);
  std::string line;
  for (const std::string& a : b.arguments) line += " " + a;
  BOOST_TEST(got.status == b.status, line << " exits with " << got.status);
  BOOST_TEST(got.err.starts_with("remora: error: "), line << ": " << got.err);
  BOOST_TEST(holds(got.err, b.says), line << ": " << got.err);
  BOOST_TEST(got.out == "", line << " prints: " << got.out);
}

BOOST_AUTO_TEST_SUITE(selectors)

BOOST_AUTO_TEST_CASE(what_matches_nothing_is_refused_by_every_command_that_takes_it) {
  const world w;
  w.run();
  for (const bad& b : std::vector<bad>{
           {{"show", "nonsense"}, 2, "no run matches 'nonsense'"},
           {{"show", "last/none"}, 2, "has no task 'none'"},
           {{"show", "last/good@1"}, 2, "names a checkpoint"},
           {{"show", "last/"}, 2, ""},
           {{"show", "last/GOOD"}, 2, "good"},
           {{"log", "last"}, 2, "names a run; name a task of it"},
           {{"log", "last/good@1"}, 2, "names a checkpoint"},
           {{"log", "last/good", "--attempt", "9"}, 2, "has no attempt 9; it has 1"},
           {{"log", "last/good", "--raw", "--json"}, 2, "excludes"},
           {{"diff", "last"}, 2, "name a task"},
           {{"diff", "last/good@1"}, 2, "names a checkpoint"},
           {{"results", "nonsense"}, 2, "no run matches"},
           {{"resume", "nonsense"}, 2, "no run matches"},
           {{"rerun", "nonsense"}, 2, "no run matches"},
           {{"rerun", "last", "--task", "none"}, 2, "has no task 'none'"},
           {{"rerun", "last/bad@99"}, 2, "has no checkpoint @99"},
           {{"drop", "nonsense"}, 2, "no run matches"},
           {{"drop", "last/bad@1"}, 2, "names a checkpoint"},
           {{"prune", "nonsense"}, 2, "no run matches"},
           {{"prune", "--older-than", "soon"}, 2, "soon"},
           {{"list", "--after", "nonsense"}, 2, "no run matches"},
           {{"list", "--limit", "0"}, 2, "--limit"},
           {{"checkpoint", "list", "last"}, 2, "name a task"},
           {{"checkpoint", "show", "last/bad@99"}, 2, "has no checkpoint @99"},
           {{"checkpoint", "show", "last/bad@0"}, 2, "'@0' is not a checkpoint"},
           {{"checkpoint", "show", "last/bad@x"}, 2, "'@x' is not a checkpoint"},
           {{"checkpoint", "diff", "last/bad@-99"}, 2, "has no checkpoint @-99"},
           {{"checkpoint", "prompt", "last/good"}, 2, "no checkpoint"},
           {{"checkpoint", "restore", "last/bad"}, 2, "--to DIR or --branch NAME"},
           {{"checkpoint", "restore", "last/bad", "--branch", "a..b"}, 2, "a..b"},
       })
    refuse(w, b);
}

BOOST_AUTO_TEST_CASE(a_wrong_command_line_is_refused_before_anything_starts) {
  const world w;
  const std::string refs = w.refs();
  for (const bad& b : std::vector<bad>{
           {{"frobnicate"}, 2, "remora --help"},
           {{}, 2, ""},
           {{"checkpoint"}, 2, ""},
           {{"show"}, 2, ""},
           {{"run"}, 2, "there is no remora.yaml here"},
           {{"run", "/no/such/plan.yaml"}, 2, "/no/such/plan.yaml"},
           {{"run", "--prompt", "x"}, 2, "--prompt needs --agent"},
           {{"run", "--agent", "text"}, 2, "--agent needs --prompt"},
           {{"run", "--agent", "nobody", "--prompt", "x"}, 2, "nobody"},
           {{"run", w.plan(), "--agent", "text", "--prompt", "x"}, 2, "do not go together"},
           {{"run", w.plan(), "--parallel", "0"}, 2, "--parallel"},
           {{"run", w.plan(), "--task", "none"}, 2, "no task 'none'"},
           {{"list", "--frob"}, 2, "--frob"},
           {{"show", "last"}, 2, "there is no run in this repository yet"},
       })
    refuse(w, b);
  BOOST_TEST(w.refs() == refs);
}

BOOST_AUTO_TEST_CASE(without_a_repository_the_status_is_4) {
  const test::temp_dir empty;
  const answer got = remora({"-C", empty.path().string(), "list"});
  BOOST_TEST(got.status == 4);
  BOOST_TEST(got.err.starts_with("remora: error: "));
  BOOST_TEST(remora({"list", "-C", (empty / "nowhere").string()}).status == 4);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace remora::front
