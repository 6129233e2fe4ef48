// What a snapshot takes of the files of a worktree, and what it says of the rest.
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <thread>

#include "slot.hpp"

using namespace remora;
using namespace remora::test;

BOOST_AUTO_TEST_SUITE(snapshot_content)

BOOST_AUTO_TEST_CASE(tracked_untracked_deleted_and_executable_are_captured) {
  slot s([](const test_repo& r) {
    r.write("same", "same");
    r.write("sub/changed", "old");
    r.write("gone/file", "x");
  });
  s.write("sub/changed", "new");
  s.write("new/deep/file", "n");
  std::filesystem::remove_all(s.root / "gone");
  std::filesystem::permissions(s.root / "same", std::filesystem::perms(0755));
  const auto taken = s.take();
  BOOST_TEST(s.paths(taken) == (names{"same", "sub/changed", "new/deep/file"}),
             boost::test_tools::per_element());
  BOOST_TEST(s.content(taken, "sub/changed") == "new");
  BOOST_TEST((s.mode(taken, "same") == git::mode::executable));
  BOOST_TEST((taken.head == git::head_state{s.base, task_branch}));
  BOOST_TEST(taken.manifest.left_out.empty());
}

BOOST_AUTO_TEST_CASE(an_untouched_worktree_is_the_base_and_old_files_are_never_read) {
  slot s([](const test_repo& r) {
    for (int i = 0; i < 20; ++i)
      r.write("d" + std::to_string(i % 3) + "/f" + std::to_string(i), "x");
  });
  const auto index = s.tree.git_dir / "index";
  timespec later[2]{};
  ::clock_gettime(CLOCK_REALTIME, &later[0]);
  later[0].tv_sec += 1000;  // an index younger than all files vouches for all of them
  later[1] = later[0];
  ::utimensat(AT_FDCWD, index.c_str(), later, 0);
  const auto taken = s.take();
  BOOST_TEST((taken.tree == must(s.opened->read_commit(s.base)).tree));
  BOOST_TEST(taken.files_scanned == 20u);
  BOOST_TEST(taken.files_read == 0u);
}

BOOST_AUTO_TEST_CASE(racy_entries_are_read_again_and_settled_ones_are_not) {
  slot s([](const test_repo& r) { r.write("a", "one"); });
  git::snapshotter shots = s.open();
  s.take(shots);
  s.write("a", "two");  // same size, perhaps in the same tick of the clock
  BOOST_TEST(s.content(s.take(shots), "a") == "two");
  s.write("a", "six");
  BOOST_TEST(s.content(s.take(shots), "a") == "six");
}

BOOST_AUTO_TEST_CASE(W1_a_fifo_is_listed_and_never_opened) {
  slot s;
  BOOST_REQUIRE(::mkfifo((s.root / "pipe").c_str(), 0600) == 0);
  std::filesystem::remove(s.root / "a.txt");
  BOOST_REQUIRE(::mkfifo((s.root / "a.txt").c_str(), 0600) == 0);
  const auto taken = s.take();
  BOOST_TEST(reason(taken, "pipe") == "fifo");
  BOOST_TEST(reason(taken, "a.txt") == "fifo");
  BOOST_TEST(s.content(taken, "a.txt") == "one\n");  // what was captured there before stays
}

BOOST_AUTO_TEST_CASE(W2_a_path_that_is_swapped_all_the_time_never_leads_outside) {
  slot s;
  const auto outside = s.repo.beside("outside");
  write_bytes(outside, "secret");
  s.write("x", "inside");
  std::filesystem::create_symlink(outside, s.root / "y");
  std::jthread swapper([&](std::stop_token stop) {
    while (!stop.stop_requested())
      ::renameat2(AT_FDCWD, (s.root / "x").c_str(), AT_FDCWD, (s.root / "y").c_str(),
                  RENAME_EXCHANGE);
  });
  git::snapshotter shots = s.open();
  for (int i = 0; i < 50; ++i) {
    const auto taken = s.take(shots);
    for (const std::string path : {"x", "y"}) {
      const auto entry = must(s.opened->find(taken.tree, path));
      if (!entry) continue;
      const std::string bytes = must(s.opened->read_blob(entry->id));
      BOOST_TEST(bytes == (entry->mode == git::mode::symlink ? outside.string() : "inside"));
    }
  }
}

BOOST_AUTO_TEST_CASE(W3_sockets_and_devices_are_listed) {
  slot s;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (s.root / "sock").string().copy(address.sun_path, sizeof address.sun_path - 1);
  BOOST_REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::close(fd);
  const bool device = ::mknod((s.root / "null").c_str(), S_IFCHR | 0600, 0x103) == 0;
  const auto taken = s.take();
  BOOST_TEST(reason(taken, "sock") == "socket");
  if (device) BOOST_TEST(reason(taken, "null") == "device");
}

BOOST_AUTO_TEST_CASE(
    W5_a_nested_repository_is_captured_as_files_and_its_git_directory_beside_them) {
  slot s;
  s.write("nested/file", "f");
  s.write("nested/sub/more", "m");
  s.git("init -q nested");
  s.write("nested/.git/config.lock", "");  // of a git that is gone when it is put back
  s.write("pointer/.git", "gitdir: /nowhere\n");
  std::filesystem::create_directory(s.root / "linked");
  std::filesystem::create_symlink("../nested/.git", s.root / "linked/.git");
  git::snapshotter shots = s.open();
  const auto taken = s.take(shots);
  BOOST_TEST(s.content(taken, "nested/file") == "f");
  BOOST_TEST(s.content(taken, "nested/sub/more") == "m");
  BOOST_REQUIRE(taken.manifest.nested.size() == 2u);
  const git::nested_repository& nested = taken.manifest.nested[0];
  BOOST_TEST(nested.path == "nested");
  BOOST_TEST(must(s.opened->read_path(nested.id, "HEAD")).value() ==
             read_bytes(s.root / "nested/.git/HEAD"));
  BOOST_TEST(std::ranges::count(nested.empty_directories, "refs/heads") == 1);
  BOOST_TEST(reason(taken, "nested/.git/config.lock") == "lock");
  BOOST_TEST(must(s.opened->read_blob(taken.manifest.nested[1].id)) == "gitdir: /nowhere\n");
  BOOST_TEST(reason(taken, "linked/.git") == "nested repository: its .git is no directory");

  const std::uint64_t written = s.objects->bytes_written();
  BOOST_TEST((s.take(shots).manifest.nested == taken.manifest.nested));
  BOOST_TEST(s.objects->bytes_written() == written);
  s.git("-C nested commit -q --allow-empty -m one");
  BOOST_TEST((s.take(shots).manifest.nested[0].id != nested.id));
}

BOOST_AUTO_TEST_CASE(W13_a_nested_repository_with_a_file_that_is_too_large_is_left_out) {
  slot s;
  s.git("init -q nested");
  s.write("nested/.git/objects/pack/pack-1.pack", std::string(2000, 'x'));
  const auto taken =
      s.take({.include = {}, .max_file_bytes = 1000, .branch = {}, .watch = {}, .shared = {}});
  BOOST_TEST(taken.manifest.nested.empty());
  BOOST_TEST(reason(taken, "nested/.git") ==
             "nested repository: a file of its git directory is too large");
}

BOOST_AUTO_TEST_CASE(W7_a_path_over_4096_bytes_is_listed) {
  slot s;
  const std::string part(100, 'p');
  int dir = ::open(s.root.c_str(), O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 60; ++i) {
    BOOST_REQUIRE(::mkdirat(dir, part.c_str(), 0755) == 0);
    const int next = ::openat(dir, part.c_str(), O_RDONLY | O_DIRECTORY);
    ::close(dir);
    dir = next;
  }
  ::close(::openat(dir, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ::close(dir);
  const auto taken = s.take();
  BOOST_REQUIRE(taken.manifest.left_out.size() == 1u);
  BOOST_TEST(taken.manifest.left_out[0].reason == "path too long");
  BOOST_TEST(taken.manifest.left_out[0].path.size() > 4095u);
  // remove_all cannot name these either
  shell(s.root, "rm -rf ./p*");
}

BOOST_AUTO_TEST_CASE(W7_directories_nested_too_deeply_are_listed) {
  slot s;
  std::string path = s.root.string();
  for (int i = 0; i < 300; ++i) path += "/d";
  std::filesystem::create_directories(path);
  const auto taken = s.take();
  BOOST_REQUIRE(taken.manifest.left_out.size() == 1u);
  BOOST_TEST(taken.manifest.left_out[0].reason == "directories nested too deeply");
}

BOOST_AUTO_TEST_CASE(W8_names_that_git_refuses_are_listed) {
  slot s;
  const std::string refused[] = {".GIT",       "git~1",  ".git ", ".git::$INDEX_ALLOCATION",
                                 ".g\u200Cit", "a\\.git"};
  for (const std::string& name : refused) s.write("d/" + name, "x");
  std::filesystem::create_symlink("/etc", s.root / "d/.gitmodules");
  s.write("d/.gitignored", "fine");
  const auto taken = s.take();
  for (const std::string& name : refused)
    BOOST_TEST(reason(taken, "d/" + name) == "name refused by git", name);
  BOOST_TEST(reason(taken, "d/.gitmodules") == "name refused by git");
  BOOST_TEST(s.paths(taken) == (names{"a.txt", "d/.gitignored"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(W9_names_of_any_bytes_are_exact) {
  slot s;
  const std::string odd[] = {"new\nline", "\xFF\xFE", " lead", "trail ", "*", "quote\"", "-rf"};
  for (const std::string& name : odd) s.write(name, name);
  const auto taken = s.take();
  for (const std::string& name : odd) BOOST_TEST(s.content(taken, name) == name);
}

BOOST_AUTO_TEST_CASE(W10_links_are_stored_as_links) {
  slot s;
  std::filesystem::create_symlink("loop", s.root / "loop");
  std::filesystem::create_symlink("/etc", s.root / "etc");
  std::filesystem::create_symlink("nowhere", s.root / "dangling");
  const auto taken = s.take();
  BOOST_TEST(s.content(taken, "loop") == "loop");
  BOOST_TEST(s.content(taken, "etc") == "/etc");
  BOOST_TEST(s.content(taken, "dangling") == "nowhere");
  BOOST_TEST((s.mode(taken, "etc") == git::mode::symlink));
}

BOOST_AUTO_TEST_CASE(W11_a_file_that_never_rests_is_taken_and_marked) {
  slot s;
  s.write("busy", std::string(200'000, 'x'));
  std::atomic<bool> wrote = false;
  std::jthread writer([&](std::stop_token stop) {
    const int fd = ::open((s.root / "busy").c_str(), O_WRONLY | O_CLOEXEC);
    for (std::uint64_t i = 0; !stop.stop_requested(); ++i) {
      const timespec when[2]{{0, 0}, {static_cast<time_t>(i), 0}};
      ::futimens(fd, when);  // each call moves the change time, which is what is compared
      wrote = true;
    }
    ::close(fd);
  });
  while (!wrote) std::this_thread::yield();
  git::snapshotter shots = s.open();
  bool marked = false;
  for (int i = 0; i < 2000 && !marked; ++i) {
    const auto taken = s.take(shots);
    BOOST_REQUIRE(s.content(taken, "busy").size() == 200'000u);
    marked = reason(taken, "busy") == "changed while read";
  }
  BOOST_TEST(marked);
}

BOOST_AUTO_TEST_CASE(W12_a_file_that_shrinks_and_grows_does_not_fail_the_snapshot) {
  slot s;
  s.write("busy", std::string(5 << 20, 'x'));
  std::jthread writer([&](std::stop_token stop) {
    while (!stop.stop_requested()) {
      ::truncate((s.root / "busy").c_str(), 0);
      ::truncate((s.root / "busy").c_str(), 5 << 20);
    }
  });
  git::snapshotter shots = s.open();
  for (int i = 0; i < 5; ++i) BOOST_TEST(s.content(s.take(shots), "a.txt") == "one\n");
}

BOOST_AUTO_TEST_CASE(W13_a_file_over_the_limit_is_left_out_and_an_old_one_stays_as_it_was) {
  slot s;
  std::filesystem::resize_file((s.write("huge", ""), s.root / "huge"), 3ull << 30);
  s.write("a.txt", std::string(2000, 'x'));
  git::snapshot_rules rules;
  rules.max_file_bytes = 1000;
  const auto taken = s.take(rules);
  BOOST_TEST(reason(taken, "huge") == "too large");
  BOOST_TEST(reason(taken, "a.txt") == "too large");
  BOOST_TEST(s.content(taken, "a.txt") == "one\n");
  BOOST_TEST(s.paths(taken) == names{"a.txt"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(W23_a_setuid_bit_is_listed_and_dropped) {
  slot s;
  s.write("tool", "t");
  BOOST_REQUIRE(::chmod((s.root / "tool").c_str(), 04755) == 0);
  const auto taken = s.take();
  BOOST_TEST((s.mode(taken, "tool") == git::mode::executable));
  BOOST_TEST(reason(taken, "tool") == "its setuid or setgid bit");
}

BOOST_AUTO_TEST_CASE(W19_empty_directories_are_listed) {
  slot s;
  std::filesystem::create_directories(s.root / "e/f/g");
  std::filesystem::create_directories(s.root / "h");
  s.write("i/file", "x");
  const auto taken = s.take();
  const std::vector<std::string> wanted{"e/f/g", "h"};
  BOOST_TEST(taken.manifest.empty_directories == wanted, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(W14_bytes_are_exact_whatever_the_attributes_say) {
  slot s([](const test_repo& r) {
    r.write(".gitattributes", "* text=auto\nkept text eol=crlf\n");
    r.write("kept", "a\nb\n");
  });
  s.write("new.txt", "c\r\nd\r\n");
  const auto index = s.tree.git_dir / "index";
  timespec later[2]{};
  ::clock_gettime(CLOCK_REALTIME, &later[0]);
  later[0].tv_sec += 1000;
  later[1] = later[0];
  ::utimensat(AT_FDCWD, index.c_str(), later, 0);
  auto taken = s.take();
  BOOST_TEST(s.content(taken, "new.txt") == "c\r\nd\r\n");
  BOOST_TEST(read_bytes(s.root / "kept") == "a\r\nb\r\n");
  BOOST_TEST(s.content(taken, "kept") == "a\nb\n");  // unchanged since checkout: the base's object
  BOOST_TEST(taken.manifest.converted == std::vector<std::string>{"kept"},
             boost::test_tools::per_element());
  s.write("kept", "a\r\nb\r\nc\r\n");
  taken = s.take();
  BOOST_TEST(s.content(taken, "kept") == "a\r\nb\r\nc\r\n");
  BOOST_TEST(taken.manifest.converted.empty());
}

BOOST_AUTO_TEST_CASE(W15_no_filter_program_runs) {
  slot s;
  s.repo.git("config filter.mark.clean 'touch " + s.repo.beside("ran").string() + "; cat'");
  s.write(".gitattributes", "* filter=mark\n");
  s.write("b", "raw");
  BOOST_TEST(s.content(s.take(), "b") == "raw");
  BOOST_TEST(!std::filesystem::exists(s.repo.beside("ran")));
}

BOOST_AUTO_TEST_CASE(W16_files_of_a_sparse_checkout_are_no_deletions) {
  slot s([](const test_repo& r) {
    r.write("in/file", "i");
    r.write("out/file", "o");
    r.write("out/deep/file", "d");
    r.write("top", "t");
  });
  s.git("sparse-checkout set --no-cone '/top' '/in/'");
  BOOST_REQUIRE(!std::filesystem::exists(s.root / "out"));
  git::snapshotter shots = s.open();
  for (int i = 0; i < 2; ++i) {
    const auto taken = s.take(shots);
    BOOST_TEST((taken.tree == must(s.opened->read_commit(s.base)).tree));
    BOOST_REQUIRE(taken.index.entries.size() == 1u);  // else as many as a repository has files
    BOOST_TEST(taken.index.entries[0].path == "out");
    BOOST_TEST((taken.index.entries[0].mode == git::mode::directory));
  }
  std::filesystem::remove(s.root / "top");
  const auto taken = s.take(shots);
  BOOST_TEST(s.paths(taken) == (names{"in/file", "out/file", "out/deep/file"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(W16_a_directory_that_differs_from_head_is_not_left_out_as_a_whole) {
  slot s([](const test_repo& r) {
    r.write("in/file", "i");
    r.write("out/file", "o");
    r.write("out/gone", "g");
    r.write("out/deep/file", "d");
    r.write("out/deep/er/file", "e");
  });
  s.git("sparse-checkout set --no-cone '/in/'");
  s.git("update-index --cacheinfo 100644,$(git rev-parse HEAD:in/file),out/file");
  s.git("rm -q --cached --sparse out/gone");
  const auto taken = s.take();
  std::string entries;
  for (const auto& e : taken.index.entries)
    entries += e.path + (e.skip_worktree ? " skipped " : " ");
  BOOST_TEST(entries == "out/deep skipped out/file ");
  BOOST_TEST((taken.index.removed == std::vector<std::string>{"out/gone"}));
}

BOOST_AUTO_TEST_CASE(W18_ignored_files_are_left_alone_unless_named_or_captured_before) {
  slot s([](const test_repo& r) {
    r.write(".gitignore", "build/\n*.log\n.env\n");
    r.write("src/a.c", "a");
    r.git("add -A");
    r.write("build/kept", "k");
    r.git("add -f build/kept");
  });
  s.write("build/kept", "k2");
  s.write("build/out.o", "o");
  s.write("build/cache/deep/state", "c");
  s.write("x.log", "l");
  s.write(".env", "e");
  auto taken = s.take();
  BOOST_TEST(s.paths(taken) == (names{".gitignore", "src/a.c", "build/kept"}),
             boost::test_tools::per_element());
  BOOST_TEST(s.content(taken, "build/kept") == "k2");
  BOOST_TEST(taken.manifest.left_out.empty());

  git::snapshot_rules rules;
  rules.include = {".env", "build/cache/"};
  git::snapshotter shots = s.open(rules);
  taken = s.take(shots);
  BOOST_TEST(s.paths(taken) ==
                 (names{".env", ".gitignore", "src/a.c", "build/kept", "build/cache/deep/state"}),
             boost::test_tools::per_element());

  s.write("notes", "n");
  s.take(shots);
  s.write(".gitignore", "notes\nlater\n");
  s.write("later", "l");
  taken = s.take(shots);
  BOOST_TEST(s.content(taken, "notes") == "n");
  BOOST_TEST(s.content(taken, "later") == "(absent)");
  s.git("add -f later");
  BOOST_TEST(s.content(s.take(shots), "later") == "l");
}

BOOST_AUTO_TEST_CASE(W22_another_file_system_is_not_entered) {
  slot s;
  s.write("mnt/under", "u");
  git::snapshotter shots = s.open();
  s.take(shots);
  const std::string point = (s.root / "mnt").string();
  if (shell(s.root, "mount -t tmpfs none '" + point + "'").status != 0) return;
  write_bytes(s.root / "mnt/foreign", "f");
  const auto taken = s.take(shots);
  shell("/", "umount '" + point + "'");
  BOOST_TEST(reason(taken, "mnt") == "other file system");
  BOOST_TEST(s.content(taken, "mnt/under") == "u");
  BOOST_TEST(s.content(taken, "mnt/foreign") == "(absent)");
}

BOOST_AUTO_TEST_CASE(C14_names_that_change_their_meaning_while_they_are_read_lead_nowhere) {
  slot s;
  const auto outside = s.repo.beside("outside");
  write_bytes(outside / "in/secret", "what nobody may read");
  s.write("file", "mine");
  s.write("in/secret", "mine, too");
  s.write("pipe", "mine as well");
  std::filesystem::create_symlink(outside / "in/secret", outside / "file");
  std::filesystem::create_directory_symlink(outside / "in", outside / "link");
  BOOST_REQUIRE(::mkfifo((outside / "pipe").c_str(), 0600) == 0);
  const std::pair<std::filesystem::path, std::filesystem::path> pairs[] = {
      {s.root / "file", outside / "file"},
      {s.root / "in", outside / "link"},
      {s.root / "pipe", outside / "pipe"}};
  const std::string secret = s.repo.git_in(outside, "hash-object in/secret");
  std::atomic<long> swaps = 0;
  std::jthread agent([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      for (const auto& [inside, trap] : pairs)
        ::renameat2(AT_FDCWD, inside.c_str(), AT_FDCWD, trap.c_str(), RENAME_EXCHANGE);
      ++swaps;
    }
  });
  git::snapshotter kept = s.open();
  for (int i = 0; swaps < 30'000 || i < 100; ++i) {
    (void)kept.take(*s.opened, *s.objects, {});
    (void)s.open().take(*s.opened, *s.objects, {});
  }
  agent.request_stop();
  agent.join();
  must(s.objects->barrier());
  BOOST_TEST(!s.opened->exists(must(git::oid::parse(secret))));
}

BOOST_AUTO_TEST_SUITE_END()
