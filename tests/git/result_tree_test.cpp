#include <remora/git/result_tree.hpp>

#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <repo.hpp>

using namespace remora;
using namespace remora::git;
using remora::test::test_repo;
namespace fs = std::filesystem;

namespace {

struct result_fixture {
  test_repo files;
  repository repo = repository::discover(files.path()).value();
  object_writer objects{repo};
  manifest m;
  result_rules rules;

  /// The tree of raw bytes that a snapshot of the checkout is.
  oid raw_tree(const fs::path& dir) {
    std::vector<tree_entry> entries;
    for (const auto& e : fs::directory_iterator(dir)) {
      const std::string name = e.path().filename().string();
      if (name == ".git") continue;
      if (e.is_symlink())
        entries.push_back(
            {name, objects.blob(fs::read_symlink(e.path()).string()).value(), mode::symlink});
      else if (e.is_directory())
        entries.push_back({name, raw_tree(e.path()), mode::directory});
      else
        entries.push_back({name, objects.blob(test::read_bytes(e.path())).value(),
                           (e.status().permissions() & fs::perms::owner_exec) == fs::perms::none
                               ? mode::file
                               : mode::executable});
    }
    return objects.tree(std::move(entries)).value();
  }
  result_tree make(const oid& head) {
    return make_result_tree(repo, objects, raw_tree(files.path()), head, m, rules).value();
  }
  std::string left_out(const result_tree& made) {
    std::string text;
    for (const omission& o : made.left_out) text += o.path + ": " + o.reason + "\n";
    return text;
  }
  std::optional<std::string> content(const result_tree& made, const std::string& path) {
    return repo.read_path(made.tree, path).value();
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(result_trees, result_fixture)

BOOST_AUTO_TEST_CASE(a_result_is_what_git_commit_of_everything_would_have_stored) {
  files.write(".gitattributes", "* text=auto\n*.bat text eol=crlf\n*.bin -text\nraw/** -text\n");
  files.write("kept", "same\n");
  files.write("gone/x", "x\n");
  files.write("edit", "1\n");
  files.write("swap", "1\n");
  const oid head = files.commit("one");
  fs::remove_all(files.path() / "gone");
  files.write("edit", "1\r\n2\r\n");
  files.write("run.bat", "echo\r\n");
  files.write("data.bin", "a\r\n");
  files.write("sub/deep/dos.txt", "a\r\nb\r\n");
  files.write("sub/.gitattributes", "deep/kept.txt -text\n");
  files.write("sub/deep/kept.txt", "a\r\n");
  files.write("raw/x", "a\r\n");
  fs::remove(files.path() / "swap");
  files.write("swap/in", "1\n");
  fs::create_symlink("kept", files.path() / "link");
  ::chmod((files.path() / "kept").c_str(), 0755);
  const result_tree made = make(head);
  files.git("add -A");
  BOOST_TEST(made.tree.hex() == files.git("write-tree"));
  BOOST_TEST(left_out(made) == "");
}

BOOST_AUTO_TEST_CASE(W14_a_file_committed_with_carriage_returns_keeps_them_as_git_does) {
  files.write("dos", "a\r\n");
  files.write("unix", "a\n");
  files.commit("one");
  files.write(".gitattributes", "* text=auto\n");
  files.git("add .gitattributes");
  files.git("commit -q -m attributes");
  const oid head = files.id("HEAD");
  files.write("dos", "a\r\nb\r\n");
  files.write("unix", "a\r\nb\r\n");
  const result_tree made = make(head);
  files.git("add -A");
  BOOST_TEST(made.tree.hex() == files.git("write-tree"));
}

BOOST_AUTO_TEST_CASE(the_configuration_of_the_repository_counts_for_line_ends) {
  files.write("f", "a\n");
  const oid head = files.commit("one");
  files.git("config core.autocrlf true");
  files.write("f", "a\r\nb\r\n");
  files.write(".git/info/attributes", "*.raw -text\n");
  files.write("g.raw", "a\r\n");
  const result_tree made = make(head);
  files.git("add -A");
  BOOST_TEST(made.tree.hex() == files.git("write-tree"));
  BOOST_TEST(content(made, "f").value() == "a\nb\n");
}

BOOST_AUTO_TEST_CASE(the_users_checkout_has_no_say_in_what_is_converted) {
  files.write("f", "a\n");
  const oid head = files.commit("one");
  files.write("g", "a\r\n");
  const oid snapshot = raw_tree(files.path());
  files.write(".gitattributes", "* text=auto\n");
  files.git("add .gitattributes");
  const auto made = make_result_tree(repo, objects, snapshot, head, m, rules).value();
  BOOST_TEST(content(made, "g").value() == "a\r\n");
}

BOOST_AUTO_TEST_CASE(new_files_with_secret_names_stay_out_and_tracked_ones_travel) {
  files.write("tracked.pem", "1\n");
  const oid head = files.commit("one");
  files.write("tracked.pem", "2\n");
  for (const char* name : {".env", "app/.env.local", "server.key", "id_rsa.bak", "deploy/.npmrc",
                           "credentials.json", "ID_ED25519"})
    files.write(name, "secret");
  files.write("environment", "fine\n");
  files.write("keys.txt", "fine\n");
  const result_tree made = make(head);
  BOOST_TEST(left_out(made) ==
             ".env: secret name\nID_ED25519: secret name\napp/.env.local: secret name\n"
             "credentials.json: secret name\ndeploy/.npmrc: secret name\nid_rsa.bak: secret name\n"
             "server.key: secret name\n");
  BOOST_TEST(content(made, "tracked.pem").value() == "2\n");
  BOOST_TEST(content(made, "environment").has_value());
  BOOST_TEST(content(made, "keys.txt").has_value());
  BOOST_TEST(!content(made, ".env").has_value());
  BOOST_TEST(!repo.find(made.tree, "app").value().has_value());
}

BOOST_AUTO_TEST_CASE(new_files_over_the_limit_stay_out_and_grown_ones_travel) {
  files.write("old", "1");
  const oid head = files.commit("one");
  rules.max_file_bytes = 10;
  files.write("old", std::string(11, 'x'));
  files.write("new", std::string(11, 'x'));
  files.write("fits", std::string(10, 'x'));
  const result_tree made = make(head);
  BOOST_TEST(left_out(made) == "new: larger than result.max_file\n");
  BOOST_TEST(content(made, "old").value().size() == 11u);
  BOOST_TEST(content(made, "fits").has_value());
}

BOOST_AUTO_TEST_CASE(W15_a_filter_program_is_never_run_and_named_instead) {
  files.write(".gitattributes", "*.big filter=marker\n*.u16 working-tree-encoding=UTF-16\n");
  const oid head = files.commit("one");
  files.git("config filter.marker.clean 'touch ran; cat'");
  files.git("config filter.marker.required true");
  files.write("x.big", "raw\r\n");
  files.write("y.u16", "raw");
  const result_tree made = make(head);
  BOOST_TEST(left_out(made) ==
             "x.big: filter not run: marker\ny.u16: encoding not converted: UTF-16\n");
  BOOST_TEST(content(made, "x.big").value() == "raw\r\n");
  BOOST_TEST(!fs::exists(files.path() / "ran"));
}

BOOST_AUTO_TEST_CASE(W16_what_a_snapshot_could_not_take_is_not_deleted) {
  files.write("pipe", "was a file\n");
  files.write("locked/in/x", "x\n");
  files.write("gone", "x\n");
  const oid head = files.commit("one");
  fs::remove_all(files.path() / "locked");
  fs::remove(files.path() / "pipe");
  fs::remove(files.path() / "gone");
  m.left_out = {{"locked", "unreadable"}, {"pipe", "fifo"}};
  const result_tree made = make(head);
  BOOST_TEST(content(made, "pipe").has_value());
  BOOST_TEST(content(made, "locked/in/x").has_value());
  BOOST_TEST(!content(made, "gone").has_value());
}

BOOST_AUTO_TEST_CASE(a_converted_path_keeps_the_checkpoints_object) {
  files.write(".gitattributes", "*.txt text eol=crlf\n");
  const oid head = files.commit("one");
  files.write("a.txt", "a\r\n");
  m.converted = {"a.txt"};
  BOOST_TEST(content(make(head), "a.txt").value() == "a\r\n");
  m.converted.clear();
  BOOST_TEST(content(make(head), "a.txt").value() == "a\n");
}

BOOST_AUTO_TEST_CASE(without_a_change_the_result_is_heads_own_tree_and_from_nothing_the_empty_one) {
  files.write("a/b", "x");
  const oid head = files.commit("one");
  BOOST_TEST((make(head).tree == files.id("HEAD^{tree}")));
  fs::remove_all(files.path() / "a");
  BOOST_TEST(make(head).tree.hex() == "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
  files.write("new", "x");
  BOOST_TEST(content(make(oid()), "new").value() == "x");
}

BOOST_AUTO_TEST_SUITE_END()
