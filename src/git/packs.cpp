// Giving our packs up to git, and removing what dead writers left.
#include <fcntl.h>
#include <unistd.h>

#include <remora/core/posix.hpp>
#include <remora/git/packs.hpp>

#include "git/mend_packs.hpp"
#include "git/pack_files.hpp"

namespace remora::git {
namespace {

namespace fs = std::filesystem;

class sweeper {
 public:
  sweeper(const repository& repo, bool removes)
      : objects_(repo.common_dir() / "objects"), removes_(removes) {}

  std::vector<std::string> run() {
    const std::vector<our_files> packs = list_our_packs(objects_ / "pack");  // before who lives
    temporary_files();
    for (const our_files& files : packs)
      if (files.aside)
        set_aside(files);
      else
        half_named(files);
    old_directories();
    return std::move(found_);
  }

 private:
  void take(const fs::path& path) {
    std::error_code ec;
    if (removes_ ? ::unlink(path.c_str()) == 0 : fs::exists(path, ec))
      found_.push_back(path.lexically_relative(objects_));
  }

  static bool is_dead(const fs::path& path) {
    const auto fd = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    return fd && is_abandoned(fd->get());
  }

  void temporary_files() {
    std::vector<fs::path> found;
    std::error_code ec;
    for (fs::directory_iterator it(objects_ / "pack", ec), end; !ec && it != end; it.increment(ec))
      if (is_held_name(it->path().filename().string())) found.push_back(it->path());
    for (const fs::path& path : found)
      if (is_dead(path))
        take(path);
      else
        somebody_lives_ = true;
  }

  /// By who removes it while he lives. Somebody may have come to need it before its name went.
  void set_aside(const our_files& files) {
    const fs::path aside = pack_path(objects_ / "pack", files.stem, aside_ending);
    const fs::path pack = pack_path(objects_ / "pack", files.stem, ".pack");
    if (!is_dead(aside)) return;
    std::error_code ec;
    if (removes_ ? ::rename(aside.c_str(), pack.c_str()) == 0 : fs::exists(aside, ec))
      found_.push_back(aside.lexically_relative(objects_));
    if (removes_) half_named(files);  // git's gc removes an index without a pack
  }

  /// Between a publisher's first name and its last there are `.keep`, then pack, then index;
  /// whoever merges removes index, pack, `.keep`. What ends halfway was never announced, or is in
  /// another pack, or somebody lost the index of a pack that is needed: that is made anew. The
  /// files are looked at again: a listing is not of one moment.
  void half_named(const our_files& files) {
    const auto path = [&](const char* ending) {
      return pack_path(objects_ / "pack", files.stem, ending);
    };
    std::error_code ec;
    const bool has_index = fs::exists(path(".idx"), ec);  // first: a publisher names it last
    const bool has_pack = fs::exists(path(".pack"), ec);
    if (has_pack && has_index) return;
    if (has_pack) {
      // A publisher holds its pack until the index has its name.
      const auto fd = open_file(path(".pack"), O_RDONLY | O_NOFOLLOW);
      if (!fd || !is_abandoned(fd->get()) || fs::exists(path(".idx"), ec)) return;
      // Mended, it has another name.
      if (!removes_ || mend_pack(objects_.parent_path(), files.stem))
        found_.push_back(path(".pack").lexically_relative(objects_));
      return;
    }
    if (fs::exists(path(aside_ending), ec) || fs::exists(path(".pack"), ec)) return;  // meanwhile
    if (!has_index && somebody_lives_) {
      return;  // whose `.keep` this may be; its pack, in the making, is the next to be named
    }
    take(path(".idx"));
    take(path(".keep"));
  }

  /// Before there were packs, objects waited in a directory of their own.
  void old_directories() {
    std::error_code ec;
    std::vector<fs::path> found;
    for (fs::directory_iterator it(objects_, ec), end; !ec && it != end; it.increment(ec))
      if (it->path().filename().string().starts_with("tmp_objdir-remora-"))
        found.push_back(it->path());
    for (const fs::path& path : found)
      if (!removes_ || fs::remove_all(path, ec) > 0) found_.push_back(path.filename());
  }

  fs::path objects_;
  bool removes_;
  std::vector<std::string> found_;
  bool somebody_lives_ = false;
};

}  // namespace

std::vector<std::string> find_object_files(const repository& repo) {
  return sweeper(repo, false).run();
}

std::vector<std::string> sweep_object_files(const repository& repo) {
  return sweeper(repo, true).run();
}

result<void> release_kept_packs(const repository& repo, const std::function<bool()>& in_use) {
  const fs::path directory = repo.common_dir() / "objects" / "pack";
  // In this order: a pack that comes later is none of these, and who wrote one of these is either
  // asked for, or has named it, or is no more.
  std::vector<our_files> packs = list_our_packs(directory);
  std::erase_if(packs, [](const our_files& f) { return !f.pack || !f.index || !f.keep; });
  if (packs.empty() || in_use()) return {};
  REMORA_TRY(const std::vector<ref_info> checkpoints, repo.list_refs("refs/remora/wip/"));
  if (!checkpoints.empty()) return {};
  for (const our_files& files : packs) ::unlink(pack_path(directory, files.stem, ".keep").c_str());
  return {};
}

}  // namespace remora::git
