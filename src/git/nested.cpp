#include "git/nested.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <remora/git/left_out.hpp>
#include <set>
#include <utility>

#include "git/remove_tree.hpp"
#include "git/submodule.hpp"
#include "git/tree_writer.hpp"

namespace remora::git {
namespace {

constexpr std::size_t most_pointer = 8192;
constexpr const char* dot_git = ".git";
constexpr std::string_view file_too_large =
    "nested repository: a file of its git directory is too large";

std::string git_dir_of(const std::string& path) {
  return path + "/.git";
}

/// Stores nothing, and says how much there was to store.
class scale final : public content_sink {
 public:
  result<oid> blob(std::string_view bytes) override { return weighed(bytes.size()); }
  result<oid> blob_from(int, std::uint64_t size) override { return weighed(size); }
  result<oid> tree(std::vector<tree_entry>) override { return oid(); }
  void trust(const oid&) override {}
  bool is_durable(const oid&) const override { return true; }
  void adopt(const oid&) override {}
  std::uint64_t bytes_written() const override { return bytes_; }

 private:
  oid weighed(std::uint64_t size) {
    bytes_ += size;
    return {};
  }
  std::uint64_t bytes_ = 0;
};

bool has_too_large(const manifest& m) {
  return std::ranges::any_of(m.left_out, [](const omission& o) { return o.reason == too_large; });
}

scan_rules opaque_rules(std::uint64_t max_file_bytes) {
  static const shared_rules no_rules;
  static const ignore_list no_patterns;
  scan_rules how;
  how.ignore = &no_rules;
  how.include = &no_patterns;
  how.max_file_bytes = max_file_bytes;
  how.opaque = true;
  return how;
}

class taker {
 public:
  taker(const repository& repo, content_sink& sink, const std::filesystem::path& git_dir,
        const scan_rules& rules, std::uint32_t number, const std::stop_token& stop, manifest& m)
      : repo_(repo),
        sink_(sink),
        git_dir_(git_dir),
        rules_(rules),
        how_(opaque_rules(rules.max_file_bytes)),
        number_(number),
        stop_(stop),
        m_(m) {}

  /// The cache of a directory; nothing where it is none, or was left out.
  result<directory_ptr> take(int root, const std::string& path, directory_ptr known) {
    const auto above = open_beneath(root, path, O_RDONLY | O_DIRECTORY);
    if (!above) return left_out(path, above.error());
    struct stat st{}, here{};
    if (::fstat(above->get(), &here) != 0 ||
        ::fstatat(above->get(), dot_git, &st, AT_SYMLINK_NOFOLLOW) != 0)
      return left_out(path, os_error(errno, path));
    if (S_ISREG(st.st_mode)) return pointer(above->get(), path, std::move(known));
    if (!S_ISDIR(st.st_mode)) return left_out(path, "nested repository: its .git is no directory");
    if (st.st_dev != here.st_dev) return left_out(path, "other file system");
    const auto fd = open_directory(above->get(), dot_git);
    if (!fd) return left_out(path, fd.error());
    return directory_at(fd->get(), path, std::move(known), false);
  }

 private:
  result<directory_ptr> left_out(const std::string& path, std::string_view why) {
    m_.left_out.push_back({git_dir_of(path), std::string(why)});
    return directory_ptr();
  }
  result<directory_ptr> left_out(const std::string& path, const error& e) {
    if (is_lack(e)) return e;
    if (e.is_errno(ENOENT)) return directory_ptr();  // it is no repository any more
    return left_out(path, unreadable);
  }

  /// A worktree or a submodule of another repository says here where that is; one of ours has it
  /// beside our own.
  result<directory_ptr> pointer(int above, const std::string& path, directory_ptr known) {
    const unique_fd own = open_submodule_git_dir(repo_, git_dir_, above);
    struct stat st{};
    if (own && ::fstatat(own.get(), "commondir", &st, AT_SYMLINK_NOFOLLOW) != 0)
      return directory_at(own.get(), path, std::move(known), true);
    const auto is_here = [&](const submodule_files& s) { return s.path == path; };
    if (std::ranges::any_of(m_.submodules, is_here))
      (void)left_out(path, "submodule: its git directory is elsewhere");
    const auto bytes = read_regular(above, dot_git, most_pointer);
    if (!bytes) return left_out(path, bytes.error());
    REMORA_TRY(const oid id, sink_.blob(*bytes));
    m_.nested.push_back({path, mode::file, id, {}});
    return directory_ptr();
  }

  /// A git that is at work there writes objects before the refs that name them, and the walk may
  /// pass the ones before and the others after: only what two looks agree on belongs together.
  result<directory_ptr> directory_at(int fd, const std::string& path, directory_ptr known,
                                     bool moves) {
    constexpr int looks = 3;
    bool looked = known != nullptr, agreed = false;
    directory_ptr last = looked ? std::move(known) : scanner::base_root(oid());
    scale weight;
    REMORA_TRY(const scan_result weighed,
               scanner(repo_, weight, no_index_, how_, number_, stop_).run(fd, {}, last));
    if (has_too_large(weighed.manifest)) return left_out(path, file_too_large);
    if (!rules_.has_room(weight.bytes_written(), sink_)) return left_out(path, beyond_snapshot);
    manifest of;
    for (int i = 0; i < looks && !agreed; ++i) {
      scanner walk(repo_, sink_, no_index_, how_, number_, stop_);
      REMORA_TRY(scan_result scanned, walk.run(fd, {}, last));
      agreed = std::exchange(looked, true) && last->tree == scanned.root->tree;
      last = std::move(scanned.root);
      of = std::move(scanned.manifest);
    }
    if (has_too_large(of)) return left_out(path, file_too_large);
    if (!agreed) (void)left_out(path, torn);
    for (omission& o : of.left_out)
      m_.left_out.push_back({git_dir_of(path) + '/' + o.path, std::move(o.reason)});
    oid tree = last->tree;
    if (moves || tree.is_zero()) {
      REMORA_TRY(tree, tree_beside(fd, *last));
    }
    m_.nested.push_back({path, mode::directory, tree, std::move(of.empty_directories)});
    return last;
  }

  /// As it is to be where its files are.
  result<oid> tree_beside(int fd, const directory& git_dir) {
    constexpr std::size_t most = 1 << 20;
    std::vector<tree_entry> entries;
    for (const record& r : git_dir.records()) {
      if (!r.is_held()) continue;
      tree_entry e{std::string(r.name), r.id, r.mode};
      const bool configures = e.name == "config" || e.name == "config.worktree";
      if (const auto text = configures ? read_regular(fd, e.name, most) : std::string(); text) {
        const std::string beside = without_worktree(*text);
        if (beside != *text) {
          REMORA_TRY(e.id, sink_.blob(beside));
        }
      }
      entries.push_back(std::move(e));
    }
    return sink_.tree(std::move(entries));
  }

  const repository& repo_;
  content_sink& sink_;
  const std::filesystem::path& git_dir_;
  const scan_rules& rules_;  ///< of the worktree
  scan_rules how_;
  std::uint32_t number_;
  const std::stop_token& stop_;
  manifest& m_;
  index_view no_index_;
};

/// What is at `.git` in `above`, as a snapshot would name it; nothing where that cannot be said.
std::optional<nested_repository> there(const repository& repo, int root, const std::string& path,
                                       const std::stop_token& stop) {
  hash_sink sink;
  manifest m;
  scan_rules any_size;
  any_size.max_file_bytes = std::numeric_limits<std::uint64_t>::max();
  taker take(repo, sink, repo.common_dir(), any_size, 1, stop, m);
  const auto taken = take.take(root, path, nullptr);
  if (!taken || m.nested.size() != 1 || !m.left_out.empty()) return std::nullopt;
  return std::move(m.nested.front());
}

result<void> write_one(const repository& repo, int above, const nested_repository& n,
                       const std::stop_token& stop, restore_report& report) {
  REMORA_CHECK(remove_tree(above, dot_git));
  if (n.mode == mode::file) {
    REMORA_TRY(const std::string bytes, repo.read_blob(n.id));
    return replace_file(above, dot_git, bytes, 0666);
  }
  if (::mkdirat(above, dot_git, 0777) != 0)
    return os_error(errno, "cannot make " + git_dir_of(n.path));
  REMORA_TRY(const unique_fd fd, open_directory(above, dot_git));
  manifest plain;
  plain.empty_directories = n.empty_directories;
  const write_request request{n.id, &plain, nullptr, {}, {}};
  REMORA_TRY(restore_report written, tree_writer(repo, fd.get(), request, stop).run());
  make_empty_directories(fd.get(), plain, written);
  report.files_written += written.files_written;
  for (omission& o : written.not_restored)
    report.not_restored.push_back({git_dir_of(n.path) + '/' + o.path, std::move(o.reason)});
  return {};
}

}  // namespace

result<void> take_nested(const repository& repo, content_sink& sink, int root,
                         const std::filesystem::path& git_dir, const scan_rules& rules,
                         std::uint32_t number, const std::stop_token& stop, nested_cache& known,
                         manifest& m) {
  const std::vector<nested_repository> found = std::exchange(m.nested, {});
  nested_cache now;
  taker take(repo, sink, git_dir, rules, number, stop, m);
  for (const nested_repository& n : found) {
    const auto before = known.find(n.path);
    REMORA_TRY(directory_ptr taken,
               take.take(root, n.path, before == known.end() ? nullptr : before->second));
    if (taken) now.emplace(n.path, std::move(taken));
  }
  known = std::move(now);
  return {};
}

result<void> remove_other_nested(int root, const manifest& now, const manifest& wanted) {
  std::set<std::string> spared;
  for (const nested_repository& n : wanted.nested) spared.insert(git_dir_of(n.path));
  for (const omission& o : wanted.left_out) spared.insert(o.path);
  for (const nested_repository& n : now.nested) {
    if (spared.contains(git_dir_of(n.path))) continue;
    const auto above = open_beneath(root, n.path, O_RDONLY | O_DIRECTORY);
    if (above) REMORA_CHECK(remove_tree(above->get(), dot_git));
  }
  return {};
}

result<void> restore_nested(const repository& repo, int root, const manifest& wanted,
                            const std::stop_token& stop, restore_report& report) {
  for (const nested_repository& n : wanted.nested) {
    const auto above = make_path(root, n.path);
    if (!above) {
      report.not_restored.push_back({git_dir_of(n.path), "the directory cannot be made"});
      continue;
    }
    if (there(repo, root, n.path, stop) == n) continue;
    auto written = write_one(repo, above->get(), n, stop, report);
    if (!written && !written.error().is(errc::corrupt)) return written.error();
    if (!written) report.not_restored.push_back({git_dir_of(n.path), written.error().what});
  }
  return {};
}

}  // namespace remora::git
