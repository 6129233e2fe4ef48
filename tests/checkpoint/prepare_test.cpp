// What a checkpoint consists of.
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <csignal>

#include "fixture.hpp"

using namespace remora;
using namespace remora::test;

namespace {

struct preparing : fixture {
  std::string parents(const git::oid& commit) const {
    return repo_dir.git("log -1 --format=%P " + commit.hex());
  }
  git::oid commit_on(const git::oid& parent, const std::string& message) const {
    return git::oid::parse(repo_dir.git("commit-tree -p " + parent.hex() + " -m " + message + " " +
                                        parent.hex() + "^{tree}"))
        .value();
  }
};

/// While it lives every file stays below 64 bytes: the write of a larger one fails as on a full
/// disk (EFBIG for ENOSPC).
class full_disk {
 public:
  full_disk() : before_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    rlimit small = limit_;
    small.rlim_cur = 64;
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  full_disk(const full_disk&) = delete;
  full_disk& operator=(const full_disk&) = delete;
  ~full_disk() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }

 private:
  rlimit limit_{};
  void (*before_)(int);
};

/// While it lives nobody may write in `directory`; root is somebody else for as long (setfsuid(2)).
class forbidden {
 public:
  explicit forbidden(std::filesystem::path directory) : directory_(std::move(directory)) {
    ::chmod(directory_.c_str(), 0555);
    if (::geteuid() == 0) ::setfsuid(nobody);
  }
  forbidden(const forbidden&) = delete;
  forbidden& operator=(const forbidden&) = delete;
  ~forbidden() {
    ::setfsuid(::geteuid());
    ::chmod(directory_.c_str(), 0755);
  }

 private:
  static constexpr uid_t nobody = 65534;
  std::filesystem::path directory_;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(prepare, preparing)

BOOST_AUTO_TEST_CASE(the_first_checkpoint_stands_on_the_base) {
  const auto p = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  BOOST_TEST(p.old.is_zero());
  BOOST_TEST(p.changed_files);
  BOOST_TEST(p.bytes > 0u);
  BOOST_TEST(parents(p.what.files) == base.hex());
  BOOST_TEST(parents(p.what.commit) == p.what.files.hex());
  BOOST_TEST(repo_dir.git("show " + p.what.files.hex() + ":a.txt") == "two");
  BOOST_TEST(repo_dir.git("log -1 --format='%an <%ae> %at %cn %ct' " + p.what.commit.hex()) ==
             "remora <remora@localhost> 1700000001 remora 1700000001");
  BOOST_TEST(repo_dir.git("fsck --strict --no-dangling") == "");
}

BOOST_AUTO_TEST_CASE(a_record_reads_back_as_it_was_prepared) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  auto r = request(2, {{"a.txt", "three\n"}}, first.commit);
  r.from = checkpoint_no(1);
  const auto p = store->prepare(std::move(r)).value();
  const auto again = checkpoint::read_record(*repo, p.what.commit).value();
  BOOST_TEST((again.commit == p.what.commit && again.files == p.what.files));
  BOOST_TEST((again.mind == p.what.mind && again.files_tree == p.what.files_tree));
  BOOST_TEST((again.previous == first.commit && again.from == checkpoint_no(1)));
  BOOST_TEST(again.seconds == 1'700'000'002);
  BOOST_TEST(checkpoint::record_message(again) == checkpoint::record_message(p.what));
}

BOOST_AUTO_TEST_CASE(X2_the_same_request_gives_the_same_ids) {
  const auto once = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  const auto twice = store->prepare(request(1, {{"a.txt", "two\n"}})).value();
  BOOST_TEST((once.what.commit == twice.what.commit));
  BOOST_TEST(twice.bytes == 0u);
}

BOOST_AUTO_TEST_CASE(unchanged_files_add_no_commit_to_the_branch) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto p = store->prepare(request(2, {{"a.txt", "two\n"}}, first.commit)).value();
  BOOST_TEST(!p.changed_files);
  BOOST_TEST((p.what.files == first.files));
  BOOST_TEST(parents(p.what.commit) == first.files.hex() + " " + first.commit.hex());
}

BOOST_AUTO_TEST_CASE(files_equal_to_the_base_are_still_a_checkpoint_of_their_own) {
  const auto p = store->prepare(request(1, {{"a.txt", "one\n"}})).value();
  BOOST_TEST(!p.changed_files);
  BOOST_TEST((p.what.files != base));
  BOOST_TEST(checkpoint::read_record(*repo, p.what.commit).has_value());
}

BOOST_AUTO_TEST_CASE(an_agents_commits_are_parents_once_each) {
  const git::oid mine = commit_on(base, "agent");
  const git::oid stash = commit_on(base, "stash");
  const git::oid merged = commit_on(base, "merged");
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.head.commit = mine;
  r.files.operation = {{"MERGE_HEAD", merged.hex() + "\n" + mine.hex() + "\n"},
                       {"MERGE_MSG", "Merge\n"},
                       {"ORIG_HEAD", base.hex() + "\n"}};
  r.files.stashes = {stash, stash};
  const auto p = store->prepare(std::move(r)).value();
  const std::vector<git::oid> expected{mine, merged, stash};
  BOOST_TEST((p.what.keep == expected));
  BOOST_TEST(parents(p.what.commit) ==
             p.what.files.hex() + " " + mine.hex() + " " + merged.hex() + " " + stash.hex());
}

BOOST_AUTO_TEST_CASE(what_the_base_reaches_needs_no_keeping) {
  const git::oid older = base;
  base = commit_on(base, "newer");
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.head.commit = older;
  BOOST_TEST(store->prepare(std::move(r)).value().what.keep.empty());
  auto unborn = request(1, {{"a.txt", "two\n"}});
  unborn.files.head.commit = git::oid();
  const auto p = store->prepare(std::move(unborn)).value();
  BOOST_TEST(p.what.keep.empty());
  BOOST_TEST(store->read_snapshot(p.what).value().head.commit.is_zero());
}

BOOST_AUTO_TEST_CASE(C18_a_commit_that_the_agent_broke_costs_only_that_commit) {
  const git::oid nowhere = git::oid::parse(std::string(40, 'e')).value();
  const git::oid hollow =
      git::oid::parse(repo_dir.git("hash-object -t commit -w --literally --stdin <<'END'\n"
                                   "tree " +
                                   nowhere.hex() +
                                   "\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n"
                                   "END\n"))
          .value();
  auto r = request(1, {{"a.txt", "two\n"}});
  r.files.head.commit = hollow;
  r.files.operation = {{"MERGE_HEAD", nowhere.hex() + "\n"}};
  const auto p = store->prepare(std::move(r)).value();
  BOOST_TEST(p.what.keep.empty());
  BOOST_TEST((p.what.head.commit == hollow));
  const std::string index = repo_dir.git("show " + p.what.commit.hex() + ":index.json");
  const auto unreadable = boost::json::parse(index).at("unreadable").as_array();
  BOOST_TEST(unreadable.size() == 2u);
}

BOOST_AUTO_TEST_CASE(thinning_starts_a_new_chain_and_swaps_the_old_one) {
  const auto before = chain(3);
  auto r = request(4, {{"a.txt", "4\n"}}, before.back().commit);
  r.thin = true;
  r.mind.transcript = {{attempt_no(1), "more", "", ""}};
  const auto p = store->prepare(std::move(r)).value();
  BOOST_TEST((p.old == before.back().commit));
  BOOST_TEST(parents(p.what.files) == base.hex());
  BOOST_TEST(parents(p.what.commit) == p.what.files.hex());
  BOOST_TEST(!store->publish(p).value().kept);
  BOOST_TEST(store->history(run, task).value().size() == 1u);
  BOOST_TEST(store->newest(run, task).value()->number.value() == 4u);
}

BOOST_AUTO_TEST_CASE(a_rerun_continues_the_files_and_ends_its_own_history_at_the_border) {
  const auto old = chain(2);
  const run_id old_run = run;
  run = run_id::parse("20260103-000000-zzzz").value();
  auto r = request(3, {{"a.txt", "again\n"}}, old.back().commit);
  const auto p = store->prepare(std::move(r)).value();
  BOOST_TEST(p.old.is_zero());
  BOOST_TEST(parents(p.what.files) == old.back().files.hex());
  BOOST_REQUIRE(store->publish(p).has_value());
  BOOST_TEST(!store->publish(p).value().kept);
  const auto mine = store->history(run, task).value();
  BOOST_REQUIRE(mine.size() == 1u);
  BOOST_TEST((mine.front().previous == old.back().commit));
  BOOST_TEST(store->history(old_run, task).value().size() == 2u);
  BOOST_TEST(store->all().value().size() == 2u);
  // Success removes the old one as well, and the new one can still be read.
  BOOST_REQUIRE(store->remove(old.back()).has_value());
  BOOST_TEST(store->newest(run, task).value()->number.value() == 3u);
}

BOOST_AUTO_TEST_CASE(G13_a_damaged_previous_record_is_named) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  delete_object(first.mind);
  const auto p = store->prepare(request(2, {{"a.txt", "three\n"}}, first.commit));
  BOOST_REQUIRE(p.has_error());
  BOOST_TEST(failed_with(p.error(), errc::corrupt));
  BOOST_TEST(p.error().what.find(first.mind.hex()) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(F2_a_full_disk_leaves_the_ref_and_a_retry_succeeds) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  auto r = request(2, {{"a.txt", "three\n"}}, first.commit);
  r.mind.state.assign(4096, 's');
  const auto refused = [&] {
    const full_disk full;
    return store->prepare(r);
  }();
  BOOST_REQUIRE(refused.has_error());
  BOOST_TEST(refused.error().is_errno(EFBIG), refused.error().what);
  BOOST_TEST(ref(wip) == first.commit.hex());
  const auto second = save(r);
  BOOST_TEST(ref(wip) == second.commit.hex());
  BOOST_TEST(store->read_state(second).value() == r.mind.state);
  BOOST_TEST(repo_dir.git("fsck --strict --no-dangling") == "");
}

BOOST_AUTO_TEST_CASE(F12_a_store_that_may_not_be_written_leaves_the_ref_and_a_retry_succeeds) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto snapshot = [&] { return request(2, {{"a.txt", "three\n"}}, first.commit); };
  const auto r = snapshot();
  const auto refused = [&] {
    const forbidden packs(repo->common_dir() / "objects" / "pack");
    return store->prepare(r);
  }();
  BOOST_REQUIRE(refused.has_error());
  BOOST_TEST(refused.error().is_errno(EACCES), refused.error().what);
  BOOST_TEST(refused.error().what.find("objects/pack") != std::string::npos, refused.error().what);
  BOOST_TEST(ref(wip) == first.commit.hex());
  const auto second = save(snapshot());  // a retry is one from the start
  BOOST_TEST(ref(wip) == second.commit.hex());
  BOOST_TEST(repo_dir.git("fsck --strict --no-dangling") == "");
}

BOOST_AUTO_TEST_CASE(F4_after_a_failed_barrier_nothing_is_announced_and_a_retry_succeeds) {
  const auto first = save(request(1, {{"a.txt", "two\n"}}));
  const auto r = request(2, {{"a.txt", "three\n"}}, first.commit);
  objects->adopt(git::oid::parse(std::string(40, 'e')).value());  // no sync can find it
  BOOST_TEST(store->prepare(r).has_error());
  BOOST_TEST(ref(wip) == first.commit.hex());
  BOOST_TEST(!objects->is_durable(r.files.tree));
  // A new writer, as a pool thread has after an error: the old one keeps its doubts.
  objects.emplace(*repo);
  store.emplace(*repo, *objects, true);
  BOOST_TEST(ref(wip) == first.commit.hex());
  BOOST_TEST(save(r).number.value() == 2u);
}

BOOST_AUTO_TEST_SUITE_END()
