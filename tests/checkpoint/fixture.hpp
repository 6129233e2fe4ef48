// A repository with one commit, a store on it, and checkpoints made by hand: what a worktree would
// have given is written down.
#pragma once

#include <boost/test/unit_test.hpp>
#include <map>
#include <remora/checkpoint/store.hpp>

#include "repo.hpp"

namespace remora::test {

using file_map = std::map<std::string, std::string>;

struct fixture {
  fixture() {
    git::initialise();
    repo_dir.write("a.txt", "one\n");
    base = repo_dir.commit("base");
    open_again();
  }

  /// As another process would: nothing is known of what was written before.
  void open_again() {
    store.reset();
    objects.reset();
    repo.emplace(git::repository::discover(repo_dir.path()).value());
    objects.emplace(*repo);
    store.emplace(*repo, *objects, true);
  }

  git::oid tree_of(const file_map& files) {
    std::vector<git::tree_entry> entries;
    for (const auto& [name, bytes] : files)
      entries.push_back({name, objects->blob(bytes).value(), git::mode::file});
    return objects->tree(std::move(entries)).value();
  }

  checkpoint::request request(std::uint32_t number, const file_map& files,
                              std::optional<git::oid> previous = {}) {
    checkpoint::request r{.run = run, .task = task};
    r.attempt = attempt_no(1);
    r.number = checkpoint_no(number);
    r.reason = "turn";
    r.base = base;
    r.previous = previous;
    r.files.tree = tree_of(files);
    r.files.head = {base, checkpoint::task_branch(run, task)};
    r.files.index.known = true;
    r.mind.state = "{\"schema\":\"remora.state/1\"}\n";
    r.mind.prompt = "Fix the parser\n";
    r.seconds = 1'700'000'000 + number;
    return r;
  }

  /// Prepared and published.
  checkpoint::record save(checkpoint::request r) {
    auto p = store->prepare(std::move(r)).value();
    const auto done = store->publish(p).value();
    BOOST_TEST(!done.kept.has_value());
    BOOST_TEST(!done.branch_error.has_value());
    return p.what;
  }
  /// `count` checkpoints, one after the other.
  std::vector<checkpoint::record> chain(std::uint32_t count) {
    std::vector<checkpoint::record> made;
    for (std::uint32_t n = 1; n <= count; ++n)
      made.push_back(
          save(request(n, {{"a.txt", std::to_string(n) + "\n"}},
                       made.empty() ? std::nullopt : std::optional(made.back().commit))));
    return made;
  }

  std::filesystem::path object_path(const git::oid& id) {
    if (repo_dir.unpack()) open_again();
    const std::string hex = id.hex();
    return repo_dir.path() / ".git/objects" / hex.substr(0, 2) / hex.substr(2);
  }
  /// As after a power cut without a sync: the name is there and the bytes are not.
  void empty_object(const git::oid& id) {
    std::filesystem::permissions(object_path(id), std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    std::filesystem::resize_file(object_path(id), 0);
  }
  void delete_object(const git::oid& id) { BOOST_TEST(std::filesystem::remove(object_path(id))); }

  /// The id a ref holds, as git sees it; empty where it does not exist.
  std::string ref(const std::string& name) const {
    const auto ran = test_repo::try_git(repo_dir.path(), "rev-parse -q --verify " + name);
    return ran.status == 0 ? ran.out.substr(0, 40) : std::string();
  }

  test_repo repo_dir;
  git::oid base;
  run_id run = run_id::parse("20260102-000000-27ab").value();
  task_id task = task_id::parse("parser").value();
  std::string wip = checkpoint::wip_ref(run, task);
  std::string branch = checkpoint::wip_branch(run, task);
  std::optional<git::repository> repo;
  std::optional<git::object_writer> objects;
  std::optional<checkpoint::store> store;
};

inline bool failed_with(const error& e, errc code) {
  if (e.is(code)) return true;
  BOOST_TEST_MESSAGE("another error: " << e.code << ' ' << e.what);
  return false;
}

}  // namespace remora::test
