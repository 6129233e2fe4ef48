// Lines of several writers in one file, whatever the file has become.
#include "run/append_line.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <remora/core/posix.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace remora;
namespace fs = std::filesystem;

namespace {

struct place {
  place() {
    std::string name = (fs::temp_directory_path() / "remora-lines-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
    root = name;
    file = root / "notes.md";
  }
  ~place() { fs::remove_all(root); }
  std::string text() const { return read_file(file).value(); }
  fs::path root, file;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(lines)

BOOST_AUTO_TEST_CASE(each_on_a_line_of_its_own) {
  const place p;
  BOOST_TEST(run::append_line(p.file, "a\nb").has_value());
  BOOST_TEST(run::append_line(p.file, "c").has_value());
  BOOST_TEST(p.text() == "a\nb\nc\n");
  struct stat is{};
  BOOST_REQUIRE(::stat(p.file.c_str(), &is) == 0);
  BOOST_TEST((is.st_mode & 0777) == 0600u);
}

BOOST_AUTO_TEST_CASE(also_where_somebody_left_a_line_open) {
  const place p;
  std::ofstream(p.file) << "of the agent";
  BOOST_TEST(run::append_line(p.file, "ours").has_value());
  BOOST_TEST(p.text() == "of the agent\nours\n");
}

BOOST_AUTO_TEST_CASE(those_of_several_do_not_tear) {
  const place p;
  constexpr int each = 500;
  std::vector<std::thread> writers;
  for (const char c : {'a', 'b'})
    writers.emplace_back([&, c] {
      for (int i = 0; i < each; ++i) (void)run::append_line(p.file, std::string(3'000, c));
    });
  for (std::thread& t : writers) t.join();
  std::ifstream in(p.file);
  int whole = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;  // between two that were said at once
    BOOST_REQUIRE(line.size() == 3'000u);
    BOOST_REQUIRE(line.find_first_not_of(line[0]) == line.npos);
    ++whole;
  }
  BOOST_TEST(whole == 2 * each);
}

BOOST_AUTO_TEST_CASE(nothing_but_a_regular_file) {
  const place p;
  fs::create_symlink(p.root / "elsewhere", p.file);
  BOOST_TEST(run::append_line(p.file, "a").has_error());
  BOOST_TEST(!fs::exists(p.root / "elsewhere"));
  fs::remove(p.file);
  BOOST_REQUIRE(::mkfifo(p.file.c_str(), 0600) == 0);
  BOOST_TEST(run::append_line(p.file, "a").error().is(errc::environment));
  fs::remove(p.file);
  fs::create_directory(p.file);
  BOOST_TEST(run::append_line(p.file, "a").has_error());
}

BOOST_AUTO_TEST_SUITE_END()
