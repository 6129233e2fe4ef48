#include "git/used_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <remora/core/text.hpp>
#include <span>
#include <system_error>
#include <thread>

#include "git/careful.hpp"
#include "git/remove_tree.hpp"
#include "git/scanner.hpp"
#include "git/tree_writer.hpp"

namespace remora::git {
namespace {

constexpr mode_t permission_bits = 07777;
constexpr unsigned most_threads = 4;

/// A directory that shall be what `tree` says.
struct job {
  std::string prefix;  ///< its path, empty or ended by `/`
  oid tree;
  const directory* known;  ///< or null
  bool is_new;             ///< nothing is in it
  mode_t mode;
  int depth;
};

/// The directories that nobody is at yet, for all threads.
class job_stack {
 public:
  void put(job j) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(j));
    ++open_;
    changed_.notify_one();
  }

  /// Waits for one. Nothing: all are done, or it was given up.
  std::optional<job> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_given_up() || !waiting_.empty() || open_ == 0; });
    if (is_given_up() || waiting_.empty()) return std::nullopt;
    job taken = std::move(waiting_.back());
    waiting_.pop_back();
    return taken;
  }

  /// What `take` gave.
  void done(const result<void>& how) {
    const std::lock_guard lock(mutex_);
    if (!how && !failed_) failed_ = how.error();
    if (--open_ == 0 || failed_) changed_.notify_all();
  }

  /// A thread ends by this exception, which `outcome` throws.
  void broken(std::exception_ptr by) {
    const std::lock_guard lock(mutex_);
    thrown_ = std::move(by);
    changed_.notify_all();
  }

  /// Once the threads have ended.
  result<void> outcome() const {
    if (thrown_) std::rethrow_exception(thrown_);
    return failed_ ? result<void>(*failed_) : result<void>();
  }

 private:
  bool is_given_up() const { return failed_ || thrown_; }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<job> waiting_;
  std::size_t open_ = 0;  ///< waiting, or in work
  std::optional<error> failed_;
  std::exception_ptr thrown_;
};

struct written_entry {
  index_entry entry;
  std::string stat;
};

/// What all threads have.
struct common {
  int root;
  dev_t device;
  gid_t group;                ///< of what is made here
  attribute_names inherited;  ///< what is made here has those
  mode_t mask;
  std::stop_token stop;
  job_stack jobs;
};

/// One thread's part.
class worker {
 public:
  worker(const repository& repo, common& all) : repo_(repo), all_(all) {}

  void work() {
    while (const auto next = all_.jobs.take()) all_.jobs.done(directory_at(*next));
  }
  std::vector<written_entry>& entries() { return entries_; }

 private:
  struct place {
    int fd;
    const job& of;
  };

  /// First what is too much: a name may differ from a wanted one in its case only.
  result<void> directory_at(const job& j) {
    if (all_.stop.stop_requested()) return fail(errc::stopped, "asked to stop");
    REMORA_TRY(const unique_fd fd,
               open_beneath(all_.root, j.prefix.empty() ? "." : j.prefix, O_RDONLY | O_DIRECTORY));
    REMORA_TRY(const std::vector<tree_entry> entries, repo_.read_tree(j.tree));
    REMORA_CHECK(refuse_conversions(entries));
    const place here{fd.get(), j};
    if (!j.is_new) REMORA_CHECK(remove_others(here, entries));
    for (const tree_entry& e : entries) {
      const std::optional<record> r = j.known ? j.known->find(e.name) : std::nullopt;
      auto made = entry_at(here, e, r);
      if (!made) return within(to_utf8(j.prefix + e.name), made.error());
    }
    return {};
  }

  result<void> refuse_conversions(const std::vector<tree_entry>& entries) const {
    for (const tree_entry& e : entries) {
      if (e.name != ".gitattributes" || e.mode == mode::symlink) continue;
      REMORA_TRY(const std::string text, repo_.read_blob(e.id));
      if (may_convert(text))
        return fail(errc::unsupported, "a checkout converts files, as .gitattributes says");
    }
    return {};
  }

  result<void> remove_others(const place& here, const std::vector<tree_entry>& entries) const {
    std::vector<std::string_view> wanted;
    wanted.reserve(entries.size() + 1);
    for (const tree_entry& e : entries) wanted.emplace_back(e.name);
    if (here.of.depth == 0) wanted.emplace_back(".git");
    std::ranges::sort(wanted);
    name_list names;
    REMORA_CHECK(names.read(here.fd));
    for (std::size_t i = 0; i < names.size(); ++i)
      if (!std::ranges::binary_search(wanted, names.name(i)))
        REMORA_CHECK(remove_tree(here.fd, std::string(names.name(i))));
    return {};
  }

  result<void> entry_at(const place& here, const tree_entry& e,
                        const std::optional<record>& known) {
    if (!is_safe_name(e.name, e.mode == mode::symlink))
      return fail(errc::unsupported, "a name that git refuses");
    if (e.mode == mode::directory)
      return subdirectory(here, e, known ? here.of.known->child(*known) : nullptr);
    if (e.mode == mode::commit) return submodule(here, e);
    struct stat st{};
    if (!here.of.is_new && ::fstatat(here.fd, e.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
      if (stays(here.fd, e, known, st)) return add(here, e, st);
      REMORA_CHECK(remove_tree(here.fd, e.name));
    }
    REMORA_TRY(const std::string bytes, repo_.read_blob(e.id));
    REMORA_CHECK(e.mode == mode::symlink ? write_link(here.fd, e.name, bytes, st)
                                         : write_file(here.fd, e, bytes, st));
    return add(here, e, st);
  }

  /// A second name, another owner, other permissions and attributes are nothing that a checkout
  /// makes.
  bool stays(int dir, const tree_entry& e, const std::optional<record>& r,
             const struct stat& st) const {
    if (!r || r->gone || r->kept || r->racy || r->converted || r->from_index) return false;
    if (r->id != e.id || r->mode != e.mode || r->stamp != stamp_of(st)) return false;
    if (st.st_dev != all_.device || st.st_uid != ::geteuid() || st.st_gid != all_.group ||
        st.st_nlink != 1)
      return false;
    if (e.mode == mode::symlink) return S_ISLNK(st.st_mode);
    return S_ISREG(st.st_mode) && (st.st_mode & permission_bits) == permissions(e.mode) &&
           !has_attributes(dir, e.name, all_.inherited);
  }

  mode_t permissions(git::mode m) const {
    return all_.mask & (m == mode::executable ? 0777 : 0666);
  }

  result<void> subdirectory(const place& here, const tree_entry& e, const directory* known) {
    if (here.of.depth >= scanner::max_depth) return fail(errc::unsupported, "nested too deeply");
    const mode_t as_made = all_.mask | (here.of.mode & S_ISGID);
    REMORA_TRY(const bool stays, here.of.is_new ? false : adopt(here, e.name, as_made));
    if (!stays) REMORA_CHECK(make_directory(here, e.name));
    all_.jobs.put({here.of.prefix + e.name + '/', e.id, stays ? known : nullptr, !stays, as_made,
                   here.of.depth + 1});
    return {};
  }

  /// What is there may be a directory of ours; then it looks as we make one. False: it is not.
  result<bool> adopt(const place& here, const std::string& name, mode_t as_made) const {
    const auto fd = open_directory(here.fd, name);
    struct stat st{};
    if (!fd || ::fstat(fd->get(), &st) != 0 || st.st_uid != ::geteuid()) return false;
    if (st.st_gid != all_.group || has_attributes(fd->get(), ".", all_.inherited)) return false;
    if (st.st_dev != all_.device) return fail(errc::unsupported, "on another file system");
    if ((st.st_mode & permission_bits) != as_made && ::fchmod(fd->get(), as_made) != 0)
      return os_error(errno, "cannot change its permissions");
    return true;
  }

  result<void> make_directory(const place& here, const std::string& name) const {
    if (!here.of.is_new) REMORA_CHECK(remove_tree(here.fd, name));
    if (::mkdirat(here.fd, name.c_str(), 0777) != 0) return os_error(errno, "cannot make");
    return {};
  }

  /// Git leaves the directory empty.
  result<void> submodule(const place& here, const tree_entry& e) {
    REMORA_CHECK(make_directory(here, e.name));
    return add(here, e, {});
  }

  /// Nobody else writes here, and whatever was there is gone: no detour by a temporary name.
  result<void> write_file(int dir, const tree_entry& e, std::string_view bytes,
                          struct stat& st) const {
    REMORA_TRY(const unique_fd fd, open_at(dir, e.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                                           e.mode == mode::executable ? 0777 : 0666));
    REMORA_CHECK(write_all(fd.get(), bytes));
    if (::fstat(fd.get(), &st) != 0) return os_error(errno, "cannot stat");
    return {};
  }

  result<void> write_link(int dir, const std::string& name, const std::string& target,
                          struct stat& st) const {
    if (::symlinkat(target.c_str(), dir, name.c_str()) != 0)
      return os_error(errno, "cannot make the link");
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return os_error(errno, "cannot stat");
    return {};
  }

  result<void> add(const place& here, const tree_entry& e, const struct stat& st) {
    written_entry& added = entries_.emplace_back();
    added.entry.path = here.of.prefix + e.name;
    added.entry.mode = e.mode;
    added.entry.id = e.id;
    added.stat = recorded_stat(st, e.mode);
    return {};
  }

  const repository& repo_;
  common& all_;
  std::vector<written_entry> entries_;
};

/// With threads of their own for all but the first. What all wrote.
result<std::vector<written_entry>> work_together(const repository& repo, common& all) {
  std::vector<std::vector<written_entry>> parts(
      std::clamp(std::thread::hardware_concurrency(), 1u, most_threads));
  const auto do_part = [&](const repository& own, std::size_t i) {
    worker w(own, all);
    w.work();
    parts[i] = std::move(w.entries());
  };
  const auto guarded = [&](const auto& body) {
    try {
      body();
    } catch (...) {
      all.jobs.broken(std::current_exception());
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < parts.size(); ++i)
        others.emplace_back([&, i] {
          guarded([&] {
            if (const auto own = repo.reopen()) do_part(*own, i);  // else the others do it all
          });
        });
    } catch (const std::system_error&) {  // no more threads
    }
    guarded([&] { do_part(repo, 0); });
  }
  REMORA_CHECK(all.jobs.outcome());
  std::vector<written_entry> entries = std::move(parts[0]);
  for (std::size_t i = 1; i < parts.size(); ++i)
    std::ranges::move(parts[i], std::back_inserter(entries));
  return entries;
}

/// Linux has `listxattrat` since 6.13, glibc no wrapper: it takes 1.1 us, the way through
/// /proc 4.9.
ssize_t list_attributes(int dir, const std::string& name, std::span<char> into) {
  constexpr long listxattrat = 465;  // on every architecture but alpha
  const long size =
      ::syscall(listxattrat, dir, name.c_str(), AT_SYMLINK_NOFOLLOW, into.data(), into.size());
  if (size >= 0 || (errno != ENOSYS && errno != EPERM)) return size;  // EPERM: of a seccomp filter
  const std::string path = fmt::format("/proc/self/fd/{}/{}", dir, name);
  return ::llistxattr(path.c_str(), into.data(), into.size());
}

}  // namespace

result<void> replace_used_files(const repository& repo, int root, const oid& wanted,
                                const directory& known, mode_t mask, new_index& index,
                                std::stop_token stop) {
  struct stat st{};
  if (::fstat(root, &st) != 0) return os_error(errno, "cannot stat the worktree");
  const attribute_names inherited = attributes_of(root, ".");
  common all{root, st.st_dev, st.st_gid, inherited, mask, std::move(stop), {}};
  all.jobs.put({"", wanted, &known, false, st.st_mode, 0});
  REMORA_TRY(std::vector<written_entry> entries, work_together(repo, all));
  const auto path_of = [](const written_entry& e) -> const std::string& { return e.entry.path; };
  std::ranges::sort(entries, {}, path_of);
  if (std::ranges::adjacent_find(entries, {}, path_of) != entries.end())
    return fail(errc::corrupt, "a tree has a name twice");
  for (const written_entry& e : entries) index.add(e.entry, e.stat);
  return {};
}

attribute_names attributes_of(int dir, const std::string& name) {
  std::array<char, 4096> names;
  attribute_names found;
  const ssize_t size = list_attributes(dir, name, names);
  if (size < 0 && errno != ENOTSUP) found.insert("");  // more than that, or unreadable
  for (const char* at = names.data(); at < names.data() + size; at += std::strlen(at) + 1)
    if (!std::string_view(at).starts_with("security.")) found.insert(at);
  if (found.contains("system.posix_acl_default")) found.insert("system.posix_acl_access");
  return found;
}

bool has_attributes(int dir, const std::string& name, const attribute_names& but) {
  return !std::ranges::includes(but, attributes_of(dir, name));
}

bool may_convert(std::string_view attributes) {
  constexpr std::string_view blank = " \t\r\n";
  for (std::size_t at = 0; at < attributes.size();) {
    const std::size_t end = std::min(attributes.find_first_of(blank, at), attributes.size());
    const std::string_view word = attributes.substr(at, end - at);
    // gitattributes(5), "Checking-out and checking-in". `text` alone writes what `core.eol` says.
    for (const std::string_view start : {"eol=crlf", "filter=", "working-tree-encoding=", "ident"})
      if (word.starts_with(start)) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace remora::git
