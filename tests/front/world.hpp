// A repository, a state directory and the command line on them.
#pragma once

#include <boost/json.hpp>
#include <remora/front/cli.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "repo.hpp"

namespace remora::front {

struct answer {
  int status = 0;
  std::string out, err;

  std::vector<boost::json::object> objects() const {
    std::vector<boost::json::object> list;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);)
      list.push_back(boost::json::parse(line).as_object());
    return list;
  }
};

inline answer remora(std::vector<std::string> arguments, const std::string& in = {}) {
  std::vector<const char*> argv{"remora"};
  for (const std::string& a : arguments) argv.push_back(a.c_str());
  std::istringstream from(in);
  std::ostringstream out, err;
  const int status = cli(static_cast<int>(argv.size()), argv.data(), from, out, err);
  return {status, out.str(), err.str()};
}

inline bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

/// Task `good` makes new.txt and says so; `bad` leaves half.txt and fails until `mend` is called.
class world {
 public:
  world() {
    ::setenv("REMORA_SHIM", REMORA_SHIM, 1);
    ::setenv("XDG_STATE_HOME", repo.beside("state").c_str(), 1);
    repo.write("a.txt", "one\n");
    repo.commit("base");
    test::write_bytes(repo.beside("agent.sh"),
                      "cat > /dev/null\n"
                      "if [ $REMORA_TASK = good ]; then echo hi > new.txt; echo I made it\n"
                      "elif [ -e '" +
                          repo.beside("mended").string() +
                          "' ]; then echo whole > half.txt\n"
                          "else echo half > half.txt; echo no luck >&2; exit 3; fi\n");
    test::write_bytes(repo.beside("plan.yaml"),
                      "version: 1\nname: two\nrepo: " + repo.path().string() +
                          "\nagents: {sh: {adapter: text, command: [sh, " +
                          repo.beside("agent.sh").string() +
                          "]}}\ndefaults: {attempts: 1}\ntasks:\n"
                          "  - {id: good, prompt: Make it.}\n  - {id: bad, prompt: Try it.}\n");
  }

  answer operator()(std::vector<std::string> arguments, const std::string& in = {}) const {
    arguments.insert(arguments.begin(), {"-C", repo.path().string()});
    return remora(std::move(arguments), in);
  }
  answer run(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"run", plan()});
    return (*this)(std::move(more));
  }
  std::string plan() const { return repo.beside("plan.yaml").string(); }
  void mend() const { test::write_bytes(repo.beside("mended"), ""); }
  /// The newest run's id.
  std::string last() const {
    const auto listed = (*this)({"list", "--json", "--limit", "1"}).objects();
    return std::string(listed.at(0).at("run").as_string());
  }
  std::string refs() const { return repo.git("for-each-ref --format='%(refname)'"); }

  test::test_repo repo;
};

}  // namespace remora::front
