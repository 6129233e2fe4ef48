// docs/cli.md and the program name the same commands and options.
#include <boost/test/unit_test.hpp>
#include <map>
#include <regex>
#include <set>

#include "world.hpp"

namespace remora::front {
namespace {

using options = std::set<std::string>;

options options_in(const std::string& text) {
  static const std::regex option("--[a-z][a-z-]*");
  options found;
  for (std::sregex_iterator i(text.begin(), text.end(), option), end; i != end; ++i)
    found.insert(i->str());
  found.erase("--help");
  return found;
}

/// The option column of a help text: descriptions may name other options.
options options_of(const std::string& help) {
  options found;
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    static const std::regex begins("^ +(-[a-zA-Z],)?(--[a-z][a-z-]*).*");
    std::smatch m;
    if (std::regex_match(line, m, begins)) found.insert(m[2]);
  }
  found.erase("--help");
  return found;
}

/// The names below «Subcommands:».
std::vector<std::string> subcommands_of(const std::string& help) {
  std::vector<std::string> names;
  std::istringstream lines(help);
  bool below = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Subcommands:"))
      below = true;
    else if (below && line.starts_with("  ") && line.size() > 2 && line[2] != ' ')
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

void collect(std::vector<std::string> command, std::map<std::string, options>& all) {
  std::vector<std::string> arguments = command;
  arguments.push_back("--help");
  const answer help = remora(arguments);
  BOOST_TEST(help.status == 0);
  std::string name;
  for (const std::string& word : command) name += (name.empty() ? "" : " ") + word;
  const auto below = subcommands_of(help.out);
  // `agents` and `init` do something by themselves; a pure group has no section of its own.
  if (name != "checkpoint" && name != "here") all[name] = options_of(help.out);
  for (const std::string& sub : below) {
    std::vector<std::string> longer = command;
    longer.push_back(sub);
    collect(longer, all);
  }
}

/// Per `### command` section of the document: the options that begin a row of its table.
std::map<std::string, options> documented() {
  std::map<std::string, options> all;
  std::istringstream lines(test::read_bytes(std::string(REMORA_SOURCE_DIR) + "/docs/cli.md"));
  std::string section;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) inside = line.starts_with("### ");
    if (line.starts_with("### ")) {
      section = line.substr(4) == "remora" ? "" : line.substr(4);
      all[section];
    } else if (inside && line.starts_with("| `-")) {
      all[section].merge(options_in(line.substr(0, line.find(" | "))));
    }
  }
  return all;
}

BOOST_AUTO_TEST_SUITE(help)

BOOST_AUTO_TEST_CASE(the_document_names_every_command_and_option_and_no_other) {
  std::map<std::string, options> program;
  collect({}, program);
  const std::map<std::string, options> document = documented();
  BOOST_TEST(program.size() > 15u);
  for (const auto& [command, known] : program) {
    const auto section = document.find(command);
    BOOST_TEST((section != document.end()), "docs/cli.md has no section '" << command << "'");
    if (section == document.end()) continue;
    for (const std::string& o : known)
      BOOST_TEST(section->second.contains(o), "docs/cli.md: " << command << " lacks " << o);
    for (const std::string& o : section->second)
      BOOST_TEST(known.contains(o), "docs/cli.md: " << command << " has no " << o);
  }
  for (const auto& [command, known] : document)
    BOOST_TEST(program.contains(command), "docs/cli.md: there is no '" << command << "'");
}

BOOST_AUTO_TEST_CASE(help_and_version_go_to_stdout_and_exit_with_0) {
  const answer version = remora({"--version"});
  BOOST_TEST(version.status == 0);
  BOOST_TEST(version.out.starts_with("remora "));
  BOOST_TEST(holds(remora({"run", "--help"}).out, "without it, remora.yaml"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace remora::front
