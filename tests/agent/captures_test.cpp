// Whole runs of the real CLIs: tests/agent/captures/<adapter>/<scenario>/ holds what one printed,
// how it ended (`exit`), and in `expected` what remora makes of it.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <remora/core/posix.hpp>
#include <set>

#include "summary.hpp"

namespace fs = std::filesystem;
namespace data = boost::unit_test::data;

namespace remora::agent {
namespace {

const fs::path captures = fs::path(REMORA_SOURCE_DIR) / "tests/agent/captures";

std::vector<std::string> scenarios() {
  std::set<std::string> found;
  for (const auto& adapter : fs::directory_iterator(captures))
    for (const auto& scenario : fs::directory_iterator(adapter))
      found.insert(fs::relative(scenario.path(), captures).string());
  return {found.begin(), found.end()};
}

/// Not every run wrote to stderr.
std::string read(const std::string& scenario, const char* file) {
  const fs::path path = captures / scenario / file;
  return fs::exists(path) ? read_file(path).value() : std::string();
}

exit_status ending(const std::string& scenario) {
  const std::string text(trim(read(scenario, "exit")));
  if (const auto signal = parse_signal(text); signal && text.starts_with("SIG"))
    return exit_status::killed(*signal);
  return exit_status::exited(std::stoi(text));
}

played replay(const std::string& scenario, std::string_view out) {
  return play(scenario.substr(0, scenario.find('/')), out, read(scenario, "stderr.raw"),
              ending(scenario));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(captures_of_real_runs)

BOOST_DATA_TEST_CASE(a_run_reads_as_expected, data::make(scenarios()), scenario) {
  const played run = replay(scenario, read(scenario, "stdout.raw"));
  BOOST_TEST(summary(run.events) + summary(run.outcome) == read(scenario, "expected"));
}

BOOST_DATA_TEST_CASE(turns_and_prompts_are_balanced_wherever_it_is_cut, data::make(scenarios()),
                     scenario) {
  const std::string out = read(scenario, "stdout.raw");
  for (std::size_t length = 0; length <= out.size(); length += 97) {
    const played run = replay(scenario, std::string_view(out).substr(0, length));
    BOOST_REQUIRE_EQUAL(run.count<turn_started>(), run.count<turn_ended>());
    BOOST_REQUIRE_EQUAL(run.count<prompt_started>(), run.count<prompt_ended>());
  }
}

BOOST_DATA_TEST_CASE(O6_a_run_without_its_last_line_has_not_completed, data::make(scenarios()),
                     scenario) {
  const std::string out = read(scenario, "stdout.raw");
  const std::size_t last =
      std::string_view(out).substr(0, out.empty() ? 0 : out.size() - 1).rfind('\n');
  if (last == out.npos) return;
  const played run = replay(scenario, std::string_view(out).substr(0, last + 30));
  BOOST_TEST((run.outcome.verdict != verdict::completed));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace remora::agent
